"""Which frames of a video to look at. Times in, frame numbers out; no video is opened here.

The authors' two rules divide the *frames* of a video into equal parts; the rule `spaced` and the
sliding windows go by the *seconds* at which frames are shown, so a video with a variable frame rate
is read at an even pace too. Frame numbers count from 0 in the order shown.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionclip.errors import ActionCLIPError
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import ReadRequest, Sampling

Frames = NDArray[np.int64]
Random = np.random.Generator | np.random.RandomState

TICK = 1e-6  # seconds; 0.1 * 7 and 7 / 10 are the same instant, whatever the last bit says
_UNSTEADY = 0.1  # share by which frames of a steady rate may be early or late (whole milliseconds)
_ROUNDED = 0.2001  # share by which a spacing may be changed to be a whole number of frames


@dataclass(frozen=True)
class Timeline:
    """When each frame of a video is shown.

    Args:
        times: presentation time of each frame in seconds, [n], ascending; the first may not be 0.
        duration: seconds from the origin to the last frame's end.
        origin: from where seconds are counted, on the clock of `times`; None: from the first
            frame's appearance. A stretch of a video begins while a frame is on screen that may
            have appeared long before, where a camera writes none while nothing moves.

    Raises:
        ActionCLIPError: when there is no frame.
    """

    times: NDArray[np.float64]
    duration: float
    origin: float | None = None

    def __post_init__(self) -> None:
        """Refuse an empty video: there is nothing to choose from."""
        _at_least_one_frame(len(self.times))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def begins(self) -> float:
        """Where its seconds are counted from, on the clock of `times`."""
        return float(self.times[0]) if self.origin is None else self.origin

    @property
    def seconds(self) -> float:
        """The duration, or the time of the last frame where a header claims less than that."""
        return max(self.duration, float(self.times[-1] - self.begins))

    def at(self, seconds: NDArray[np.float64]) -> Frames:
        """The frame on screen at each time, counted in seconds from where the timeline begins.

        Before the first frame that is the first, after the end the last.

            >>> Timeline(np.array([5.0, 5.1, 5.9]), 1.0).at(np.array([0.0, 0.5, 0.9, 7.0])).tolist()
            [0, 1, 2, 2]
        """
        shown = np.searchsorted(self.times - self.begins, seconds + TICK, side="right") - 1
        return shown.clip(0, len(self) - 1).astype(np.int64)


def choose_for(request: ReadRequest, timeline: Timeline) -> Frames:
    """The frames that a request is about, [windows, frames], counted in the whole video.

    Raises:
        VideoError: `empty`, when the video ends before the stretch that is asked for begins.
    """
    if request.numbers is not None:
        return np.array([request.numbers], np.int64).clip(0, len(timeline) - 1)
    first, part = stretch(timeline, request.start, request.end)
    return first + choose(request.sampling, part, seed=request.seed)


def stretch(
    timeline: Timeline, start: float | None = None, end: float | None = None
) -> tuple[int, Timeline]:
    """The frames on screen between two times: the number of the first, and when each is shown.

    The seconds of the part are counted from `start`, whenever its first frame appeared.

        >>> first, part = stretch(Timeline(np.arange(100) / 25, 4.0), 1.0, 2.0)
        >>> first, len(part), part.seconds
        (25, 25, 1.0)

    Raises:
        VideoError: `empty`, when the video ends before the stretch begins.
    """
    if start is None and end is None:
        return 0, timeline
    begin, stop = start or 0.0, timeline.seconds if end is None else min(end, timeline.seconds)
    if begin >= timeline.seconds and begin > 0:
        raise VideoError(
            f"The stretch from {begin:g} s on is beyond its end: it has {timeline.seconds:g} s.",
            Outcome.EMPTY,
            hint="Begin the clip earlier.",
        )
    first, last = timeline.at(np.array([begin, max(stop - 2 * TICK, begin)]))
    shown = timeline.times[first : last + 1]
    return int(first), Timeline(shown, max(stop - begin, 0.0), origin=timeline.begins + begin)


def choose(sampling: Sampling, timeline: Timeline, *, seed: int | None = None) -> Frames:
    """The frames a model looks at, [windows, frames], each row ascending.

    Args:
        sampling: the rule and its numbers.
        timeline: when the frames of the video are shown.
        seed: see `ReadRequest`.
    """
    if sampling.rule == "spaced":
        assert sampling.spacing is not None  # Sampling sees to it
        return spaced(
            timeline,
            sampling.frames,
            sampling.spacing,
            windows=sampling.windows,
            rng=None if seed is None else np.random.default_rng(seed),
        )
    if sampling.rule == "random":
        rng = np.random.default_rng(seed)
        rows = [
            segment_random(len(timeline), sampling.frames, rng) for _ in range(sampling.windows)
        ]
    else:
        rows = [
            segment_centres(
                len(timeline), sampling.frames, position=(window + 0.5) / sampling.windows
            )
            for window in range(sampling.windows)
        ]
    return np.stack(rows)


def segment_centres(length: int, segments: int, *, position: float = 0.5) -> Frames:
    """One frame of each of `segments` equal parts of a video: the authors' test-time rule.

    Several windows look at several `position`s inside the parts, from 0 (where a part begins) to
    1 (where it ends); 0.5 is the authors' one window. A video with no more frames than segments is
    read from the start of each part, repeating frames, so there are always `segments` of them.

        >>> segment_centres(80, 4).tolist()
        [9, 29, 49, 69]
        >>> segment_centres(2, 4).tolist()
        [0, 0, 1, 1]

    Raises:
        ActionCLIPError: when there is no frame.
    """
    _at_least_one_frame(length)
    if segments == 1:  # theirs too: half a frame later than the rule below
        return np.array([min(int(length * position), length - 1)], dtype=np.int64)
    if length <= segments:
        return _part_starts(length, segments)[:-1]
    starts = np.arange(segments) * length / segments
    return (starts + (length / segments - 1) * position).astype(np.int64)


def segment_random(length: int, segments: int, rng: Random) -> Frames:
    """One random frame of each of `segments` equal parts: the authors' training rule, ascending.

    A video with fewer frames than segments shows every frame once and random ones again.

    Args:
        length: frames in the video.
        segments: how many to choose.
        rng: where chance comes from. Given a `numpy.random.RandomState(s)` the result is that of
            the authors' code after `numpy.random.seed(s)`; anything new uses a `Generator`.

    Raises:
        ActionCLIPError: when there is no frame.
    """
    _at_least_one_frame(length)
    if length <= segments:
        again = _integers(rng, np.full(segments - length, length))
        return np.sort(np.concatenate([np.arange(length, dtype=np.int64), again]))
    starts = _part_starts(length, segments)
    return starts[:-1] + _integers(rng, np.diff(starts))


def spaced(
    timeline: Timeline,
    frames: int,
    spacing: float,
    *,
    windows: int = 1,
    rng: np.random.Generator | None = None,
) -> Frames:
    """Frames `spacing` seconds apart, [windows, frames].

    The windows are spread evenly, one window stands in the middle; with `rng` they begin anywhere.
    Where a video is shorter than a window, the window begins with the video and the last frame is
    repeated.

    The pace is even: where frames come at a steady rate, the spacing is rounded to whole frames if
    that changes it by a fifth at most. Every 0.125 s of 25 frames/s would be 3, 3 and 4 frames in
    turn, and a person who walks would seem to skip.

        >>> timeline = Timeline(np.arange(100) / 25, 4.0)
        >>> spaced(timeline, 4, 0.2, windows=2).tolist()
        [[21, 26, 31, 36], [63, 68, 73, 78]]
        >>> spaced(timeline, 6, 0.125).tolist()
        [[42, 45, 48, 51, 54, 57]]
    """
    step, each = whole_frames(timeline, spacing)
    spacing = step * each if step else spacing
    room = max(timeline.seconds - (frames - 1) * spacing, 0.0)
    places = (np.arange(windows) + 0.5) / windows if rng is None else np.sort(rng.random(windows))
    starts = room * places
    if step:
        numbers = timeline.at(starts)[:, None] + step * np.arange(frames)
        return numbers.clip(max=len(timeline) - 1)
    return timeline.at(starts[:, None] + spacing * np.arange(frames))


def paced(spacing: float, rate: float, *, even: bool = True) -> tuple[float, float]:
    """Spacing and first point of a grid, in seconds.

    If `even` the spacing is rounded to whole frames of a rate, where that changes it by a fifth at
    most; points then stand in the middle of a frame, else in the middle of their cell.

        >>> spacing, first = paced(0.125, 25.0)
        >>> round(spacing, 3), round(first, 3)  # three frames; the second of them, half way
        (0.12, 0.06)
        >>> paced(0.125, 5.0)  # less than a frame: as it was asked for
        (0.125, 0.0625)
    """
    step = max(round(spacing * rate), 1)
    whole = step / rate
    if not even or abs(whole - spacing) > _ROUNDED * spacing:
        return spacing, spacing / 2
    return whole, (step // 2 + 0.5) / rate


class Windows(NamedTuple):
    """Stretches of a video, in order. N windows."""

    start: NDArray[np.float64]
    """Seconds after the first frame, [N]."""
    end: NDArray[np.float64]
    """[N]."""
    frames: Frames
    """What to look at, [N, frames]."""


def sliding_windows(
    timeline: Timeline, window_seconds: float, stride_seconds: float, frames: int
) -> Windows:
    """Windows of equal length, one every `stride_seconds`, each with evenly spaced frames.

    The frames are those on screen in the middle of `frames` equal parts of the window, in seconds.
    The last window ends where the video ends, so that nothing is left out; a video shorter than a
    window is one window.

    Raises:
        ActionCLIPError: when a length is not above zero.
    """
    for name, value in (("window", window_seconds), ("stride", stride_seconds)):
        if not value > 0:
            raise ActionCLIPError(f"The {name} is {value} seconds.", expected="It must be above 0.")
    length = min(window_seconds, timeline.seconds)
    last = timeline.seconds - length
    starts = np.arange(0.0, last, stride_seconds)
    starts = np.append(starts[starts < last - TICK], last)
    inside = (np.arange(frames) + 0.5) / frames * length
    return Windows(starts, starts + length, timeline.at(starts[:, None] + inside))


def whole_frames(timeline: Timeline, spacing: float) -> tuple[int, float]:
    """How many frames of a steady rate make about `spacing` seconds, and how long each is shown;
    0 of them where the rate changes or nothing is near enough.

    Of a frame that appeared before a stretch begins only the rest is looked at: where the rate is
    steady it is no longer than a frame.
    """
    is_cut = timeline.times[0] < timeline.begins - TICK
    times = timeline.times[1:] if is_cut else timeline.times
    if len(times) < 3:
        return 0, 0.0
    shown = np.diff(times)
    each = float(times[-1] - times[0]) / len(shown)
    slack = max(_UNSTEADY * each, TICK)
    if each <= TICK or np.abs(shown - each).max() > slack:
        return 0, 0.0
    if is_cut and times[0] - timeline.begins > each + slack:
        return 0, 0.0
    step = round(spacing / each)
    return (step, each) if abs(step * each - spacing) <= _ROUNDED * spacing else (0, 0.0)


def _part_starts(length: int, segments: int) -> Frames:
    """Where each of `segments` parts begins, and where the last one ends, [segments + 1]."""
    return np.arange(segments + 1, dtype=np.int64) * length // segments


def _integers(rng: Random, below: Frames) -> Frames:
    """A random integer from 0 to each limit, the limit itself left out."""
    draw = rng.integers if isinstance(rng, np.random.Generator) else rng.randint
    return np.asarray(draw(below), dtype=np.int64) if len(below) else below


def _at_least_one_frame(length: int) -> None:
    if length < 1:
        raise ActionCLIPError(
            f"Cannot choose frames from a video of {length} frames.",
            expected="A video has at least one frame.",
        )
