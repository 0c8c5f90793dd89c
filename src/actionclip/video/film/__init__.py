"""A whole film, however long, read once from beginning to end in memory that does not grow."""
