"""Frames that wait for a model: a few of them, and the oldest go when there are too many.

What happens to the stream (a loss, a gap, its end) waits in the same line, in order, and is never
dropped.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from actionclip.errors import ActionCLIPError

MOST_NOTICES = 1000
"""Notices kept for someone who does not take them."""


@dataclass(frozen=True)
class LiveFrame:
    """A picture and when it was."""

    image: NDArray[np.uint8]
    """RGB, [H, W, 3], resized as asked."""
    time: float
    """Seconds since the first frame."""
    arrived: float
    """When the decoder had read all of it, on the clock of `time.monotonic`."""
    number: int
    """Counted from 0 over all frames wanted; where one is missing, it was dropped."""


@dataclass(frozen=True)
class Gap:
    """A stretch without frames."""

    time: float
    """Where the frames go on, in seconds since the first frame."""
    seconds: float
    """How long there were none."""
    reason: str


@dataclass(frozen=True)
class Lost:
    """A connection was lost, or could not be made."""

    reason: str
    attempt: int
    """How many in a row gave no frame, this one included."""
    wait: float
    """Seconds before the next."""


@dataclass(frozen=True)
class Connected:
    """The first frame of a connection came."""

    connection: int
    """Counted from 1."""


@dataclass(frozen=True)
class End:
    """Nothing more comes."""

    error: ActionCLIPError | None
    """What stopped it, if it did not simply end."""


Notice: TypeAlias = Gap | Lost | Connected | End
Item: TypeAlias = LiveFrame | Notice


class FrameQueue:
    """A line with room for `size` frames, for one thread that puts and one that takes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._frames = 0
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0
        """Frames that had to go."""

    def __len__(self) -> int:
        return self._frames

    def put(self, item: Item, *, wait: bool = False) -> None:
        """Add something at the end.

        Args:
            item: a frame or a notice.
            wait: wait until there is room for a frame, in place of dropping one.
        """
        with self._changed:
            if isinstance(item, LiveFrame):
                if wait:
                    self._changed.wait_for(lambda: self._frames < self._size or self._closed)
                elif self._frames >= self._size:
                    self._drop(LiveFrame)
                    self._frames -= 1
                    self.dropped += 1
                self._frames += 1
            elif len(self._items) - self._frames >= MOST_NOTICES:
                self._drop(Gap | Lost | Connected)
            self._items.append(item)
            self._changed.notify_all()

    def take(self, seconds: float | None = None) -> list[Item]:
        """Everything there is, in order, once there is something; empty after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, seconds)
            items = list(self._items)
            self._items.clear()
            self._frames = 0
            self._changed.notify_all()
            return items

    def wake(self) -> None:
        """Let who waits go: nobody takes any more, and nothing has to be waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop(self, kind: object) -> None:
        """Remove the oldest of a kind."""
        for place, item in enumerate(self._items):
            if isinstance(item, kind):  # type: ignore[arg-type]
                del self._items[place]
                return
