"""Data sets as people already have them on disk, read into one manifest."""
