"""FFmpeg through PyAV: open a file that may be hostile, index it, plan, decode exact frames."""
