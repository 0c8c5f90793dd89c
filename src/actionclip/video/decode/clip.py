"""What comes back from reading a video: frames with their times, or the reason why not."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actionclip.video.outcomes import HINTS, Outcome, VideoError
from actionclip.video.sources import Source


@dataclass(frozen=True)
class Clip:
    """The outcome of one read.

    A frame wanted several times is held once: `frames` are the different frames in the order
    shown, `index` says which of them stand where in the windows.
    """

    source: Source
    status: Outcome
    message: str = ""
    """What is wrong, in a sentence; empty when `status` is ok."""
    frames: NDArray[np.uint8] | None = None
    """RGB, [N, H, W, 3]."""
    index: NDArray[np.int64] | None = None
    """Rows of `frames`, [windows, frames]."""
    frame_numbers: NDArray[np.int64] | None = None
    """Position in the video, counted from 0, [windows, frames]."""
    times: NDArray[np.float64] | None = None
    """Seconds after the first frame, [windows, frames]."""
    seconds: float | None = None
    """Duration of the video."""
    decoder: str = ""
    """Name and versions of what decoded it."""
    notes: tuple[str, ...] = field(default=())
    """What a careful reader would want to know, e.g. that the header's frame count is wrong."""
    advice: str | None = None
    """What to do, where more is known than `status` says."""

    @property
    def hint(self) -> str:
        """What a person can do about it."""
        return HINTS[self.status] if self.advice is None else self.advice

    def raise_for_status(self) -> "Clip":
        """The clip itself, if it has frames.

        Raises:
            VideoError: if it has none.
        """
        if not self.status.usable:
            raise VideoError(f"{self.source.name}: {self.message}", self.status, hint=self.hint)
        return self

    def windows(self) -> NDArray[np.uint8]:
        """The frames in their windows, [windows, frames, H, W, 3]."""
        clip = self.raise_for_status()
        assert clip.frames is not None
        assert clip.index is not None
        return clip.frames[clip.index]
