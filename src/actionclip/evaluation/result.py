"""What comes of a test: numbers for each part, and for all parts together."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from actionclip.data.manifest import Row
from actionclip.evaluation.clips import EncodedClip
from actionclip.evaluation.intervals import Estimate, bootstrap, percentiles
from actionclip.evaluation.metrics import Numbers, Sheet
from actionclip.evaluation.protocols import Protocol

Key = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class PartResult:
    """One split, draw or kind of classes, and what was measured on it."""

    sheet: Sheet
    numbers: Numbers


@dataclass(frozen=True)
class Failure:
    """A clip that could not be read; it counted as wrong."""

    path: str
    """With its times where it is a stretch of a video."""
    code: str
    reason: str
    hint: str

    @classmethod
    def of(cls, row: Row, clip: EncodedClip) -> "Failure":
        """Why a row has no answer."""
        return cls(row.name, str(clip.status), clip.message, clip.hint)


@dataclass(frozen=True)
class Summary:
    """One number over all parts."""

    value: float
    """The mean over the parts; for `base-to-novel` the harmonic mean."""
    deviation: float = math.nan
    """The sample standard deviation over the parts, where there are several."""
    low: float = math.nan
    high: float = math.nan

    def to_dict(self) -> dict[str, float | None]:
        """The stable keys; what is not known is null."""
        return {k: None if math.isnan(v) else round(v, 6) for k, v in asdict(self).items()}

    def __str__(self) -> str:
        if not math.isnan(self.deviation):
            return f"{self.value:.1%} ± {100 * self.deviation:.1f}"
        return str(Estimate(self.value, self.low, self.high))


@dataclass(frozen=True)
class Evaluation:
    """What came of a test."""

    protocol: Protocol
    parts: list[PartResult]
    summary: dict[str, Summary]
    """`top1`, `top5` (or fewer), `mean_class`, `ece`; `map` where clips have several labels."""
    failures: list[Failure]
    clips: int
    """Clips that the protocol tests, each counted once."""
    unlabelled: int = 0
    """Rows without a label, which nothing can be said about."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What decided the numbers: backbone, splits, views, templates, ensemble, scale, seed."""

    @property
    def value(self) -> float:
        """The number that a protocol is known by: top-1, mAP, or the harmonic mean."""
        return next(iter(self.summary.values())).value

    @property
    def answered(self) -> int:
        """How many clips gave frames."""
        return len({clip for p in self.parts for clip, read in _answers(p.sheet) if read})

    @property
    def adds_up(self) -> bool:
        """Whether every clip is accounted for: answered, or listed as failed."""
        tested = {clip for part in self.parts for clip in part.sheet.clips}
        return len(tested) == self.clips == self.answered + len(self.failures)


def _answers(sheet: Sheet) -> Iterator[tuple[Key, bool]]:
    """Each clip of a sheet, and whether the model saw it."""
    return zip(sheet.clips, map(bool, sheet.read), strict=True)


def summarise(plan: Protocol, parts: list[PartResult], *, seed: int = 0) -> dict[str, Summary]:
    """The numbers of all parts together.

    Args:
        plan: how they become one.
        parts: each with its own numbers.
        seed: of the bootstrap of a number that no part has alone; it draws as often as the parts.
    """
    every = [part.numbers.metrics for part in parts]
    names = [name for name in every[0] if all(name in each for each in every)]
    if plan.combine == "harmonic":
        return _harmonic(parts, seed) | {
            f"{part.sheet.name} {name}": _alone(part.numbers.metrics[name])
            for part in parts
            for name in part.numbers.metrics
        }
    if len(parts) == 1:
        return {name: _alone(every[0][name]) for name in names}
    found = {}
    for name in names:
        values = [each[name].value for each in every]
        found[name] = Summary(float(np.mean(values)), float(np.std(values, ddof=1)))
    return found


def _alone(estimate: Estimate) -> Summary:
    return Summary(estimate.value, low=estimate.low, high=estimate.high)


def _harmonic(parts: list[PartResult], seed: int) -> dict[str, Summary]:
    """The harmonic mean of the parts' top-1, which is low when one of them is.

    A draw is of the recordings of both parts at once: a recording with clips in both is drawn for
    both, and recordings of one part do not follow those of the other. The mean is worked out for
    each draw; a draw without a clip of one part has none. Where none of a part is right, or all of
    both are, every draw says the same, and the ends are those of the parts: see `of_share`.
    """
    mean = harmonic_mean(*(part.numbers.metrics["top1"].value for part in parts))
    groups = [
        row.group or str(part.sheet.root / row.path) for part in parts for row in part.sheet.rows
    ]
    ends = np.cumsum([len(part.sheet.rows) for part in parts])[:-1]
    hits = [part.sheet.places == 0 for part in parts]

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            shares = [
                drawn @ hit / drawn.sum(axis=1)
                for drawn, hit in zip(np.split(weights, ends, axis=1), hits, strict=True)
            ]
        return np.array([harmonic_mean(*pair) for pair in zip(*shares, strict=True)])

    draws = len(parts[0].numbers.draws.get("top1", ()))
    drawn = bootstrap(means, groups, draws=draws, seed=seed)
    low, high = percentiles(drawn)
    if len(drawn) and mean in (0, 1) and (drawn[~np.isnan(drawn)] == mean).all():
        shares = [part.numbers.metrics["top1"] for part in parts]
        low = harmonic_mean(*(share.low for share in shares))
        high = harmonic_mean(*(share.high for share in shares))
    return {"harmonic_mean": Summary(mean, low=min(low, mean), high=max(high, mean))}


def harmonic_mean(first: float, second: float) -> float:
    """The harmonic mean; 0 where both are.

    >>> round(harmonic_mean(0.6, 0.3), 12)
    0.4
    """
    return 2 * first * second / (first + second) if first + second else 0.0
