"""A rolling label for video that is watched while it happens."""

from actionclip.inference.stream.events import Event, Summary
from actionclip.inference.stream.watching import Stream, watch

__all__ = ["Event", "Stream", "Summary", "watch"]
