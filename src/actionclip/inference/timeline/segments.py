"""From scores over time to segments: smoothing, two thresholds, merging, a least length.

Arrays in, segments out; no video and no model. N windows in time, K labels.

1. *Smooth*: a weighted mean over the neighbours in time.
2. *Two thresholds*: a segment is a stretch where a label stays at or above `leave` and reaches
   `enter` somewhere. So a score that swings about one threshold does not make ten segments. Where
   only one label may hold at a time, the stretch is where it is also the best one.
3. *Merge* what is separated by a short gap in which nothing else is, *drop* what is short, and
   merge again over the gaps that opened. A film of a single window is not too short for itself.

The same backwards in time gives the same segments backwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from actionclip.config import config
from actionclip.errors import ActionCLIPError

_TOUCH = 1e-6
"""Seconds: of a length that is just what was asked for, the last digit is not."""


class Segment(NamedTuple):
    """A stretch of a video in which a label holds."""

    start: float
    """Seconds."""
    end: float
    label: str
    score: float
    """The mean of the label's smoothed scores in the stretch, between 0 and 1."""


@config
class Rules:
    """How scores become segments."""

    enter: float = 0.3
    """What a label has to reach somewhere in a segment."""
    leave: float = 0.2
    """Where a segment ends: the score falls below."""
    smooth: float = 1.0
    """Seconds before and after over which scores are averaged, near ones more; 0: not at all."""
    min_length: float = 1.0
    """Shorter segments are dropped, seconds; but not of a film that is a single window."""
    merge_gap: float = 0.5
    """Segments of a label separated by no more than this become one, seconds."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if not 0 <= self.leave <= self.enter <= 1:
            raise ActionCLIPError(
                f"enter is {self.enter:g} and leave is {self.leave:g}.",
                expected="Both are from 0 to 1, and leave is not above enter.",
            )
        for name in ("smooth", "min_length", "merge_gap"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ActionCLIPError(
                    f"{name} is {getattr(self, name)} seconds.", expected="It must be 0 or more."
                )

    def entering_at(self, threshold: float) -> "Rules":
        """The same with another `enter`, and `leave` in proportion."""
        share = self.leave / self.enter if self.enter else 1.0
        return replace(self, enter=threshold, leave=threshold * share)

    def leaving_at(self, leave: float | None) -> "Rules":
        """The same with another `leave`, if one is given.

        Raises:
            ActionCLIPError: when it is above `enter`.
        """
        return self if leave is None else replace(self, leave=leave)


@dataclass(frozen=True)
class Run:
    """Windows from `first` to `last`, both included, in which one label holds."""

    first: int
    last: int
    label: int


def find_segments(
    scores: Float[np.ndarray, "N K"],
    start: Float[np.ndarray, " N"],
    end: Float[np.ndarray, " N"],
    labels: Sequence[str],
    rules: Rules,
    *,
    multi_label: bool = False,
    none: Float[np.ndarray, " N"] | None = None,
) -> list[Segment]:
    """The segments of a video, sorted by time.

    Args:
        scores: of each window and label, already smoothed.
        start: where each window begins, seconds, ascending.
        end: where it ends.
        labels: the names of the columns, all different.
        rules: thresholds and lengths; `smooth` is not used here.
        multi_label: whether several labels may hold at once.
        none: the scores of "none of these", which makes no segments and hides lower labels.
    """
    if not len(scores):
        return []
    if len(scores) == 1:  # all of the film: nothing flickers there
        rules = replace(rules, min_length=0.0)
    # By name, so that equal scores do not depend on the order of the columns.
    order = np.array(sorted(range(len(labels)), key=lambda k: labels[k]), np.int64)
    ordered = scores[:, order]
    holds = ordered >= rules.leave
    if none is not None:
        holds &= ordered > none[:, None]
    if not multi_label:
        holds &= np.arange(len(labels)) == ordered.argmax(axis=1)[:, None]
    edges = edges_of(start, end)
    found = [run for run in _runs(holds) if _best(ordered, run) >= rules.enter]
    kept = tidy(found, edges, rules, exclusive=not multi_label)
    segments = [
        Segment(
            float(edges[run.first]),
            float(edges[run.last + 1]),
            labels[int(order[run.label])],
            float(ordered[run.first : run.last + 1, run.label].mean()),
        )
        for run in kept
    ]
    return sorted(segments)


def edges_of(
    start: Float[np.ndarray, " N"], end: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N1"]:
    """The time each window speaks for, [N + 1]: half way to the middles of its neighbours.

    The first window speaks from its beginning, the last one to its end.

        >>> edges_of(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0])).tolist()
        [0.0, 1.5, 2.5, 4.0]
    """
    middle = (start + end) / 2
    return np.concatenate([start[:1], (middle[1:] + middle[:-1]) / 2, end[-1:]])


def smooth(
    scores: Float[np.ndarray, "N K"], times: Float[np.ndarray, " N"], seconds: float
) -> Float[np.ndarray, "N K"]:
    """A mean over the neighbours within `seconds`, whose weight falls evenly to zero.

    >>> smooth(np.array([[0.0], [1.0], [0.0]]), np.array([0.0, 1.0, 2.0]), 2.0).ravel().tolist()
    [0.3333333333333333, 0.5, 0.3333333333333333]
    """
    if seconds <= 0 or len(scores) < 2:
        return scores
    total, weights = scores.copy(), np.ones(len(scores))
    for away in range(1, len(scores)):
        weight = (1 - (times[away:] - times[:-away]) / seconds).clip(0)
        if not weight.any():
            break
        total[away:] += weight[:, None] * scores[:-away]
        total[:-away] += weight[:, None] * scores[away:]
        weights[away:] += weight
        weights[:-away] += weight
    return total / weights[:, None]


def tidy(
    runs: Sequence[Run], edges: NDArray[np.float64], rules: Rules, *, exclusive: bool
) -> list[Run]:
    """Merge, drop the short ones, merge again. Doing it twice changes nothing.

    Args:
        runs: of the same label they do not overlap.
        edges: see `edges_of`.
        rules: `min_length` and `merge_gap` are used.
        exclusive: whether the runs of another label in a gap keep it open.
    """
    merged = merge(runs, edges, rules.merge_gap, exclusive=exclusive)
    long = [run for run in merged if _seconds(run, edges) >= rules.min_length - _TOUCH]
    return merge(long, edges, rules.merge_gap, exclusive=exclusive)


def merge(
    runs: Sequence[Run], edges: NDArray[np.float64], gap: float, *, exclusive: bool
) -> list[Run]:
    """Join runs of a label with at most `gap` seconds between them; sorted by time."""
    done: list[Run] = []
    newest: dict[int, int] = {}  # where in `done` the newest run of each label is
    for run in sorted(runs, key=lambda run: (run.first, run.label)):
        place = newest.get(run.label)
        before = None if place is None else done[place]
        is_near = before is not None and edges[run.first] - edges[before.last + 1] <= gap + _TOUCH
        is_free = not exclusive or place == len(done) - 1
        if place is not None and before is not None and is_near and is_free:
            done[place] = Run(before.first, run.last, run.label)
            continue
        newest[run.label] = len(done)
        done.append(run)
    return done


def _runs(holds: Bool[np.ndarray, "N K"]) -> list[Run]:
    """Stretches of True in each column."""
    outside = np.zeros((1, holds.shape[1]), bool)
    change = np.diff(np.concatenate([outside, holds, outside]).astype(np.int8), axis=0)
    found = []
    for label in np.flatnonzero(holds.any(axis=0)).tolist():
        begins = np.flatnonzero(change[:, label] == 1).tolist()
        ends = np.flatnonzero(change[:, label] == -1).tolist()
        found += [Run(a, b - 1, label) for a, b in zip(begins, ends, strict=True)]
    return found


def _best(scores: NDArray[np.floating], run: Run) -> float:
    return float(scores[run.first : run.last + 1, run.label].max())


def _seconds(run: Run, edges: NDArray[np.float64]) -> float:
    return float(edges[run.last + 1] - edges[run.first])
