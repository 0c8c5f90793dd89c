"""The processes in which strangers' files are decoded, and how the parent deals with them."""
