"""Small real video files for tests of every room."""

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, *, frames=24, size=(96, 128), fps=12, codec="libx264", seed=0) -> Path:
    """A drifting coloured texture: every frame differs, and so does every seed."""
    height, width = size
    texture = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = np.roll(texture, 3 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
