"""Frames and words become vectors of one space: towers, visual and text prompts, scores, files."""
