"""Moments: neighbouring windows that answer a query become one stretch of a video.

Pure functions over numbers; no video, no index and no model here.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from actionclip.data.json_text import json_text

MOMENT_COLUMNS = ("rank", "source", "start", "end", "score")
_TOUCH = 1e-6  # seconds; windows that end and begin at the same instant are neighbours


@dataclass(frozen=True)
class Hit:
    """A window of an indexed video and how well it answers the query."""

    source: str
    start: float
    """Seconds after the video's first frame."""
    end: float
    score: float
    """Cosine of the angle between the window's vector and the query's."""


@dataclass(frozen=True)
class Moment:
    """A stretch of a video that answers a query."""

    source: str
    """The file, as an absolute path."""
    start: float
    """Seconds after the video's first frame."""
    end: float
    score: float
    """Of its best window: the cosine of the angle between its vector and the query's, -1 to 1."""
    best: float
    """Seconds: the middle of the best window, where a picture should be taken."""

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json`."""
        return {
            "source": self.source,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "score": round(self.score, 6),
            "best": round(self.best, 3),
        }

    def to_json(self) -> str:
        """One line of JSON. A name that is not UTF-8 keeps its bytes as lone surrogates."""
        return json_text(self.to_dict())


def moments_of(
    hits: Iterable[Hit], *, margin: float, merge: bool = True, top: int | None = None
) -> list[Moment]:
    """The moments behind some windows, best first; those of one video do not overlap.

    The best window takes in its neighbours on both sides, as far as they overlap or touch and score
    at most `margin` less; other windows that overlap the stretch are the same moment seen again and
    are dropped. Then the best of the rest, and so on.

        >>> hits = [Hit("a", 0, 2, 0.1), Hit("a", 1, 3, 0.3), Hit("a", 2, 4, 0.29)]
        >>> [(m.start, m.end, m.score) for m in moments_of(hits, margin=0.05)]
        [(1, 4, 0.3)]

    Args:
        hits: windows of any number of videos, in any order.
        margin: how much less than the best a neighbour may score.
        merge: False: every window is a moment of its own.
        top: how many; None: all.
    """
    ranked = sorted(hits, key=lambda hit: (-hit.score, hit.source, hit.start))
    if not merge:
        return [_moment(hit, hit.start, hit.end) for hit in ranked[:top]]
    of_video: dict[str, list[Hit]] = defaultdict(list)
    for hit in ranked:
        of_video[hit.source].append(hit)
    for windows in of_video.values():
        windows.sort(key=_span)
    found: list[Moment] = []
    taken: dict[str, list[Moment]] = defaultdict(list)
    for hit in ranked:
        if len(found) == top:
            break
        before = taken[hit.source]
        if any(_overlap(hit, moment) for moment in before):
            continue
        windows = of_video[hit.source]
        place = bisect_left(windows, _span(hit), key=_span)
        start, _ = _reach(hit, windows[:place][::-1], before, margin)
        _, end = _reach(hit, windows[place + 1 :], before, margin)
        moment = _moment(hit, start, end)
        before.append(moment)
        found.append(moment)
    return found


def best_moments(
    nearest: Callable[[Collection[str]], tuple[Sequence[Hit], bool]],
    films: Callable[[Collection[str]], Iterable[Hit]],
    *,
    top: int,
    margin: float,
) -> list[Moment]:
    """The first `top` of `moments_of` all windows, of which only some are looked at.

    A moment ends where a window scores less, however little that one answers the query. So each
    video in the answer is looked at whole.

    Args:
        nearest: some windows of other videos than these, best first, and whether they are all.
        films: all windows of these videos.
        top: how many.
        margin: see `moments_of`.
    """
    whole: dict[str, list[Hit]] = {}
    while True:
        near, is_all = nearest(whole)
        while True:
            hits = [hit for hit in near if hit.source not in whole]
            hits += [hit for film in whole.values() for hit in film]
            found = moments_of(hits, margin=margin, top=top)
            new = {moment.source for moment in found} - whole.keys()
            if not new:
                break
            whole |= {source: [] for source in new}
            for hit in films(new):
                whole[hit.source].append(hit)
        # What has not been seen scores less than what has.
        if is_all or (len(found) == top and found[-1].score >= near[-1].score):
            return found


def _reach(
    best: Hit, neighbours: Sequence[Hit], taken: Sequence[Moment], margin: float
) -> tuple[float, float]:
    """How far a moment goes to one side: its start and end with the neighbours taken in."""
    start, end = best.start, best.end
    for window in neighbours:
        apart = window.start > end + _TOUCH or window.end < start - _TOUCH
        if apart or window.score < best.score - margin:
            break
        if any(_overlap(window, moment) for moment in taken):
            break
        start, end = min(start, window.start), max(end, window.end)
    return start, end


def _span(hit: Hit) -> tuple[float, float]:
    return hit.start, hit.end


def _moment(best: Hit, start: float, end: float) -> Moment:
    return Moment(best.source, start, end, best.score, (best.start + best.end) / 2)


def _overlap(one: Hit | Moment, other: Hit | Moment) -> bool:
    return one.start < other.end - _TOUCH and other.start < one.end - _TOUCH
