"""One part of a film that is read from beginning to end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionclip.video.outcomes import Outcome

MOST_POINTS = 5_000_000
"""Points of a grid after which a film's times are not believed: a week, eight times a second."""


@dataclass(frozen=True)
class Part:
    """The next points of the grid, in order. N points, M different frames.

    Point n of the film lies `(n + 0.5) * spacing` seconds after the first frame. A part may be
    empty: then it only says that the reader is still at work, or, the last one, how it ended.
    """

    frames: NDArray[np.uint8] | None
    """RGB, [M, H, W, 3]; None when there is no point."""
    index: NDArray[np.int64]
    """Which of `frames` is on screen at each point, [N]."""
    spacing: float
    """Seconds between points, the same in all parts."""
    promised: float | None
    """How long the film's header says it is, seconds."""
    done: bool = False
    """Whether this is the last part; what follows is said only there."""
    status: Outcome = Outcome.OK
    message: str = ""
    seconds: float | None = None
    """How long the film is."""
    begins: float = 0.0
    """What a player's clock shows at the first frame, seconds: the sound may begin before it."""
    size: tuple[int, int] | None = None
    """Height and width of the film's own picture."""
    notes: tuple[str, ...] = ()
    decoder: str = ""
    advice: str | None = None
    """What to do, where more is known than `status` says."""

    def __len__(self) -> int:
        return len(self.index)


def failed(
    status: Outcome, message: str, *, spacing: float = 1.0, advice: str | None = None
) -> Part:
    """The last part of a film that came to no good end."""
    none = np.zeros(0, np.int64)
    return Part(None, none, spacing, None, done=True, status=status, message=message, advice=advice)
