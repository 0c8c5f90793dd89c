"""A video becomes frames, in processes that hostile files cannot break out of."""

from actionclip.video.decode.clip import Clip
from actionclip.video.decode.workers.pool import DecodePool, check_pool
from actionclip.video.decode.workers.process import sandbox_report

__all__ = ["Clip", "DecodePool", "check_pool", "sandbox_report"]
