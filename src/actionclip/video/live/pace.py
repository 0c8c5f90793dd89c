"""Which frames of a stream a model wants, and when each of them was.

A live source has two clocks: the stream's own, which is even but may jump, and the time of arrival,
which never jumps and is uneven. The stream's own is used as long as it goes on sensibly.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from actionclip.video.sampling import Timeline, whole_frames

REMEMBERED = 12
"""Frames whose times say whether the rate is steady."""

_TICK = 1e-6
_SOONEST = 0.75  # share of the spacing that whole frames take at least
_SAME_RATE = 0.01
_AHEAD = 0.5
"""Seconds that a stream's time may run ahead of arrival before it counts as jumped."""


class Pace:
    """Picks frames `spacing` seconds apart, as `spaced` does in a file.

    Where frames come at a steady rate, the spacing is rounded to whole frames; else it is the first
    frame that is late enough.

    >>> pace = Pace(0.125)
    >>> [n for n in range(16) if pace.wants(n / 25)]  # 25 a second: every third
    [0, 3, 6, 9, 12, 15]
    """

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._taken: float | None = None
        self._since = 0
        self._step, self._each = 0, 0.0

    def wants(self, time: float) -> bool:
        """Whether the model wants the frame shown at `time` (seconds); asked of every frame."""
        step = time - self._times[-1] if self._times else 0.0
        if self._times and step == 0:
            return False
        if not 0 <= step < max(self.spacing * 4, 1.0):
            self._times.clear()
            self._taken = None
        self._times.append(time)
        self._since += 1
        if self._taken is not None and not self._due(time - self._taken):
            return False
        self._taken, self._since = time, 0
        return True

    def _due(self, passed: float) -> bool:
        if passed < self.spacing * _SOONEST:
            return False
        step = self._whole_step()
        return self._since >= step if step else passed >= self.spacing - _TICK

    def _whole_step(self) -> int:
        """How many frames from one to the next where the rate is steady, else 0."""
        if len(self._times) < 3:
            return 0
        times = np.array(self._times)
        step, each = whole_frames(Timeline(times, float(times[-1] - times[0])), self.spacing)
        if not step or abs(each - self._each) > _SAME_RATE * each:
            self._step, self._each = step, each  # else 7 and a half would be 7 and 8 in turn
        return self._step


class Moment(NamedTuple):
    """When a frame was."""

    time: float
    """Seconds since the first frame of all."""
    jumped: bool
    """Whether the stream's clock went back, further ahead than time had passed, or stood still."""


class StreamClock:
    """Makes the times of a stream, of one connection after the other, into seconds since its start.

    Args:
        live: whether frames arrive as they happen. In a file only its own times count.
        gap: see `LiveSettings`; the stream's own time may leap this far before it counts as a jump.
        pause: seconds without arrivals that passed even if the stream's own time did not.
    """

    def __init__(self, *, live: bool, gap: float, pause: float = 10.0) -> None:
        self._live, self._gap, self._pause = live, gap, pause
        self._start: float | None = None
        self._base: float | None = None
        self._last = self._last_arrival = 0.0

    def reconnected(self) -> None:
        """The stream's own clock starts anew."""
        self._base = None

    def at(self, stamp: float | None, arrival: float) -> Moment:
        """When a frame was.

        Args:
            stamp: what the stream says, in seconds from any zero; None if it does not.
            arrival: on the clock of `time.monotonic`.
        """
        first = self._start is None
        self._start = arrival if self._start is None else self._start
        now = arrival - self._start if self._live else self._last
        jumped = False
        if stamp is None:
            time = arrival - self._start
        elif self._base is None:
            time = now if first else max(now, self._last + _TICK)
            self._base = time - stamp
        else:
            time = self._base + stamp
            if self._leaps(time - self._last, arrival - self._last_arrival):
                jumped = True
                time = max(now, self._last + _TICK)
                self._base = time - stamp
        self._last, self._last_arrival = max(time, self._last), arrival
        return Moment(self._last, jumped)

    def _leaps(self, step: float, passed: float) -> bool:
        if step < -_TICK:
            return True
        ahead = step > self._gap and step > passed + _AHEAD
        stood_still = passed > self._pause and step < passed / 2
        return self._live and (ahead or stood_still)
