"""Videos arrive: onto the disk, a piece at a time, within limits, and away again."""
