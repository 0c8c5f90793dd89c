"""Write frames as a video file that appears when it is whole."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from actionclip.errors import ActionCLIPError

STEADY = "mbtree=0"
"""x264 with its macroblock tree compresses the same frames now to these bytes, now to others."""


def write_clip(
    path: Path, frames: UInt8[np.ndarray, "T H W 3"], *, fps: float = 25.0, crf: int = 20
) -> None:
    """Write RGB frames as H.264 in an MP4 file; the file appears when it is whole.

    The same frames give the same bytes, by one version of x264.

    Args:
        path: ends in `.mp4`; its folder exists.
        frames: width and height are even.
        fps: frames per second.
        crf: how much is lost, 0 (nothing) to 51.

    Raises:
        ActionCLIPError: when a side has an odd number of pixels.
    """
    import av

    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ActionCLIPError(
            f"A picture of {width} x {height} pixels does not fit H.264.",
            expected="Both sides must have an even number of pixels.",
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(unfinished), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = height, width
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": str(crf), "preset": "veryfast", "x264-params": STEADY}
            for picture in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
