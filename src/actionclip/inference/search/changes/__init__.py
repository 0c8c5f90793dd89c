"""What has become of the files of an index, and bringing the index up to date with them."""
