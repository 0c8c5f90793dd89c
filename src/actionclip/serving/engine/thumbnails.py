"""Small pictures of the frames that the model saw."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from actionclip.video.decode.clip import Clip

MOST = 16
"""Frames of a video that get a picture, evenly chosen."""
LONGEST_SIDE = 320
QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """One sampled frame as a picture."""

    time: float
    """Seconds after the first frame of the video."""
    number: int
    """Its place in the video, counted from 0."""
    jpeg: bytes


def thumbnails(clip: Clip, most: int = MOST) -> list[Thumbnail]:
    """Pictures of the different frames of a clip in their order, at most `most` of them."""
    if clip.frames is None or clip.times is None or clip.frame_numbers is None:
        return []
    assert clip.index is not None
    rows, first = np.unique(clip.index, return_index=True)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int)
    return [
        Thumbnail(
            time=float(clip.times.flat[first[place]]),
            number=int(clip.frame_numbers.flat[first[place]]),
            jpeg=jpeg(clip.frames[rows[place]]),
        )
        for place in chosen
    ]


def jpeg(frame: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A frame as a JPEG, made smaller where it is large."""
    picture = Image.fromarray(frame)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def data_address(picture: bytes) -> str:
    """A JPEG as the address of an image in a page."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()
