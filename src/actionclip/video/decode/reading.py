"""What reading one video gives: pictures and their places, or the reason why there are none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionclip.video.outcomes import Outcome


@dataclass(frozen=True)
class Reading:
    """The outcome of decoding one video. N different pictures.

    The arrays are None where `status` is neither `ok` nor `degraded`.
    """

    status: Outcome
    message: str = ""
    """What is wrong, in a sentence; empty when `status` is ok."""
    advice: str = ""
    """What to do, where more is known than `status` says."""
    frames: NDArray[np.uint8] | None = None
    """RGB, the right way up, resized as asked, in the order shown, [N, H, W, 3]."""
    index: NDArray[np.int64] | None = None
    """Rows of `frames`, [windows, frames]."""
    frame_numbers: NDArray[np.int64] | None = None
    """Position in the video, counted from 0, [windows, frames]."""
    times: NDArray[np.float64] | None = None
    """Seconds after the first frame, [windows, frames]."""
    seconds: float | None = None
    """Duration of the video."""
    notes: tuple[str, ...] = ()
    """What a careful reader would want to know."""
    decoder: str = ""
    """Name and versions of what decoded it."""
