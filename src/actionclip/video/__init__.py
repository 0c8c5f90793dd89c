"""A source becomes frames: find it, open it, choose frames, decode them, make them model input."""
