"""Two tests of the same clips, clip by clip: what changed, and whether it could be chance.

The difference is *paired*: the same clips are drawn for both, so what is hard for both cancels out,
and its interval is narrower than the two intervals of the tests.

N clips, B draws.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from actionclip.data.manifest import Row
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.intervals import DRAWS, Estimate, bootstrap, percentiles
from actionclip.evaluation.metrics import (
    Sheet,
    average_precisions,
    mean_of_known,
    weighted_average_precisions,
)
from actionclip.evaluation.report.folder import read_results
from actionclip.evaluation.result import harmonic_mean


@dataclass(frozen=True)
class Flip:
    """A clip that one test had right and the other had not."""

    part: str
    row: Row
    before: str
    """The first test's answer; empty where the clip could not be read."""
    after: str


@dataclass(frozen=True)
class ClassChange:
    """How one class changed."""

    label: str
    clips: int
    before: float
    after: float
    part: str = ""
    """The part it is of; empty where there is one alone, or where clips of all parts count."""


@dataclass(frozen=True)
class PartChange:
    """How one part changed."""

    name: str
    clips: int
    before: float
    after: float
    difference: Estimate


@dataclass(frozen=True)
class Comparison:
    """The second test against the first."""

    metric: str
    """`top1`; `harmonic_mean` of base-to-novel; `map` where clips have several labels."""
    clips: int
    before: float
    """`top1` of all clips; of `map` the mean over the parts, as the tests report it."""
    after: float
    difference: Estimate
    """After minus before."""
    parts: list[PartChange]
    gained: list[Flip]
    lost: list[Flip]
    classes: list[ClassChange]
    """Those that changed, the largest change first."""

    @property
    def could_be_chance(self) -> bool | None:
        """Whether the interval of the difference holds zero; none without an interval."""
        if math.isnan(self.difference.low):
            return None
        return self.difference.low <= 0 <= self.difference.high

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json`."""
        return {
            "metric": self.metric,
            "clips": self.clips,
            "before": round(self.before, 6),
            "after": round(self.after, 6),
            "difference": self.difference.to_dict(),
            "could_be_chance": self.could_be_chance,
            "parts": [
                {
                    **{"name": part.name, "clips": part.clips},
                    **{"before": round(part.before, 6), "after": round(part.after, 6)},
                    "difference": part.difference.to_dict(),
                }
                for part in self.parts
            ],
            "gained": [_flip(each) for each in self.gained],
            "lost": [_flip(each) for each in self.lost],
            "classes": [
                {
                    **{"part": c.part, "label": c.label, "clips": c.clips},
                    **{"before": c.before, "after": c.after},
                }
                for c in self.classes
            ],
        }


def compare(before: Path, after: Path, *, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Compare the results of two folders.

    Args:
        before: a folder of `write_results`.
        after: another one, of the same protocol and clips.
        draws: of the bootstrap; 0: no interval.
        seed: of the bootstrap.

    Raises:
        ActionCLIPError: when they are not of the same protocol, or not of the same clips.
    """
    first, sheets = read_results(before)
    second, others = read_results(after)
    if first["protocol"] != second["protocol"]:
        raise ActionCLIPError(
            f"{before} is a test by {first['protocol']}, {after} one by {second['protocol']}.",
            expected="Numbers of different protocols cannot be compared.",
        )
    names, new = [s.name for s in sheets], [s.name for s in others]
    if names != new:
        raise ActionCLIPError(
            f"{before} has the parts {', '.join(names)}, {after} has {', '.join(new)}.",
            expected="The same parts were expected.",
        )
    pairs = [_matched(*pair, before, after) for pair in zip(sheets, others, strict=True)]
    if "map" in first["summary"]:
        return _precisions(pairs, draws, seed)
    return _accuracies(pairs, draws, seed, harmonic="harmonic_mean" in first["summary"])


Pair = tuple[Sheet, Sheet]


def _matched(one: Sheet, other: Sheet, before: Path, after: Path) -> Pair:
    """The second sheet in the order of the first.

    A clip may be listed several times: with other labels each time, or, as it is, with the same.
    """
    mine, theirs = (
        Counter((row.path, row.start, row.end) for row in sheet.rows) for sheet in (one, other)
    )
    alone = [(mine - theirs).total(), (theirs - mine).total()]
    if any(alone):
        raise ActionCLIPError(
            f"{alone[0]} clips are in {before} alone and {alone[1]} in {after} alone.",
            expected="Two tests of the same clips were expected.",
        )
    places = {key: place for place, key in enumerate(_keys(other.rows))}
    keys = _keys(one.rows)
    strange = next((a for a, key in zip(one.rows, keys, strict=True) if key not in places), None)
    if strange is not None:
        raise ActionCLIPError(
            f"{strange.path} has other labels in {after}.",
            expected="The same labels were expected.",
        )
    order = [places[key] for key in keys]
    rows = tuple(other.rows[place] for place in order)
    return one, Sheet(one.name, other.classes, rows, other.scores[order])


def _keys(rows: Sequence[Row]) -> list[tuple[Any, int]]:
    """What tells each row from all others: its clip, its labels, and which of its like it is."""
    seen: Counter[Any] = Counter()
    keys = []
    for row in rows:
        key = (row.path, row.start, row.end, row.labels)
        keys.append((key, seen[key]))
        seen[key] += 1
    return keys


def _accuracies(pairs: Sequence[Pair], draws: int, seed: int, *, harmonic: bool) -> Comparison:
    """Top-1 of all clips and of each part; in place of the former the parts' harmonic mean."""
    hits = [(a.places == 0, b.places == 0) for a, b in pairs]
    was, now = (np.concatenate(each) for each in zip(*hits, strict=True))
    labels = [row.labels[0] for one, _ in pairs for row in one.rows]

    def shares(weights: list[Any], test: int) -> list[Float[np.ndarray, " B"]]:
        every = [hit[test] for hit in hits]
        with np.errstate(invalid="ignore"):
            own = [w @ hit / w.sum(axis=1) for w, hit in zip(weights, every, strict=True)]
            if harmonic:
                return [np.array([harmonic_mean(*p) for p in zip(*own, strict=True)]), *own]
            together = np.concatenate(weights, axis=1)
            return [together @ np.concatenate(every) / together.sum(axis=1), *own]

    def changes(weights: list[Any]) -> list[Float[np.ndarray, " B"]]:
        both = zip(shares(weights, 0), shares(weights, 1), strict=True)
        return [after - before for before, after in both]

    once = [np.ones((1, len(one.rows))) for one, _ in pairs]
    before, after = (float(shares(once, test)[0][0]) for test in (0, 1))
    whole, *own = _drawn(changes, pairs, draws, seed)
    rows = [
        (label, mine.sum(), was[mine].mean(), now[mine].mean())
        for label in dict.fromkeys(labels)
        if (mine := np.array([each == label for each in labels])).any()
    ]
    flips = [_flips(*pair, *hit) for pair, hit in zip(pairs, hits, strict=True)]
    return Comparison(
        "harmonic_mean" if harmonic else "top1",
        len(was),
        before,
        after,
        Estimate(after - before, *whole),
        [
            _part(one, first.mean(), second.mean(), interval)
            for (one, _), (first, second), interval in zip(pairs, hits, own, strict=True)
        ],
        [flip for gained, _ in flips for flip in gained],
        [flip for _, lost in flips for flip in lost],
        _changes(rows),
    )


def _flips(
    one: Sheet, other: Sheet, was: Bool[np.ndarray, " N"], now: Bool[np.ndarray, " N"]
) -> tuple[list[Flip], list[Flip]]:
    def flip(place: Any) -> Flip:
        answers = [
            sheet.classes[sheet.order[place, 0]] if sheet.read[place] else ""
            for sheet in (one, other)
        ]
        return Flip(one.name, one.rows[place], *answers)

    gained, lost = np.flatnonzero(~was & now), np.flatnonzero(was & ~now)
    return [flip(place) for place in gained], [flip(place) for place in lost]


def _precisions(pairs: Sequence[Pair], draws: int, seed: int) -> Comparison:
    """Mean average precision of the classes both know, in each part; and the mean over parts."""
    places = [_shared(*pair) for pair in pairs]
    values = [
        (average_precisions(one)[mine], average_precisions(other)[theirs])
        for (one, other), (mine, theirs) in zip(pairs, places, strict=True)
    ]

    def changes(weights: list[Any]) -> list[Float[np.ndarray, " B"]]:
        own = []
        for (one, other), (mine, theirs), drawn in zip(pairs, places, weights, strict=True):
            before = weighted_average_precisions(one, drawn)[:, mine]
            after = weighted_average_precisions(other, drawn)[:, theirs]
            own.append(mean_of_known((after - before).T))
        return [np.mean(own, axis=0), *own]

    once = [np.ones((1, len(one.rows)), np.int64) for one, _ in pairs]
    about = [float(change[0]) for change in changes(once)]
    whole, *own = _drawn(changes, pairs, draws, seed, about=about)
    parts = [
        _part(one, was.mean(), now.mean(), interval)
        for (one, _), (was, now), interval in zip(pairs, values, own, strict=True)
    ]
    before, after = (float(np.mean([getattr(p, n) for p in parts])) for n in ("before", "after"))
    rows = [
        (one.classes[n], one.targets[:, n].sum(), *both, one.name if len(pairs) > 1 else "")
        for (one, _), (mine, _), part in zip(pairs, places, values, strict=True)
        for n, *both in zip(mine, *part, strict=True)
    ]
    return Comparison(
        "map",
        sum(part.clips for part in parts),
        before,
        after,
        Estimate(float(np.mean([part.difference.value for part in parts])), *whole),
        parts,
        [],
        [],
        _changes(rows),
    )


def _drawn(
    statistics: Callable[[list[Any]], list[Float[np.ndarray, " B"]]],
    pairs: Sequence[Pair],
    draws: int,
    seed: int,
    about: Sequence[float] | None = None,
) -> list[tuple[float, float]]:
    """The intervals of all parts together and of each, from draws of the recordings of all parts.

    A recording with clips in several parts is drawn for all of them. A draw without a clip of a
    part says nothing of it. A part of one recording has no interval, nor have all of one together.

    Args:
        statistics: all of them, from the weights of each part.
        pairs: the parts.
        draws: of the bootstrap.
        seed: of the bootstrap.
        about: the numbers, where draws get them wrong: see `percentiles`.
    """
    groups = [group for one, _ in pairs for group in one.groups]
    ends = np.cumsum([len(one.rows) for one, _ in pairs])[:-1]

    def columns(weights: Any) -> Float[np.ndarray, "B P"]:
        return np.stack(statistics(np.split(weights, ends, axis=1)), axis=1)

    drawn = bootstrap(columns, groups, draws=draws, seed=seed)
    if not len(drawn):
        return [(math.nan, math.nan)] * (1 + len(pairs))
    alone = [False, *(len(set(one.groups)) < 2 for one, _ in pairs)]
    centres = about or [None] * len(alone)
    return [
        (math.nan, math.nan) if single else percentiles(row, about=centre)
        for row, centre, single in zip(drawn.T, centres, alone, strict=True)
    ]


def _part(one: Sheet, before: float, after: float, interval: tuple[float, float]) -> PartChange:
    difference = Estimate(float(after - before), *interval)
    return PartChange(one.name, len(one.rows), float(before), float(after), difference)


def _shared(one: Sheet, other: Sheet) -> tuple[list[int], list[int]]:
    """The places of the classes that both know and that have a clip."""
    known = [one.classes[place] for place in np.flatnonzero(one.targets.any(axis=0))]
    names = [name for name in known if name in other.classes]
    return [one.classes.index(n) for n in names], [other.classes.index(n) for n in names]


def _changes(rows: Any) -> list[ClassChange]:
    found = [
        ClassChange(name, int(n), float(was), float(now), *part)
        for name, n, was, now, *part in rows
    ]
    changed = [each for each in found if each.before != each.after]
    return sorted(changed, key=lambda each: -abs(each.after - each.before))


def _flip(flip: Flip) -> dict[str, Any]:
    return {
        "part": flip.part,
        "path": flip.row.path,
        "start": flip.row.start,
        "end": flip.row.end,
        "label": flip.row.labels[0],
        "before": flip.before,
        "after": flip.after,
    }
