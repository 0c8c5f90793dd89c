"""How sure a number is: bootstrap intervals over clips, Wilson's for single classes.

N clips, B draws of a bootstrap.

Clips of one recording are alike, so what is drawn again and again (with replacement, N at a time)
are *groups*: all clips of one recording together. Every number here is a function of how often each
clip was drawn, so one set of draws serves all numbers of a table.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

LEVEL = 0.95
DRAWS = 1000
AT_ONCE = 4_000_000
"""Weights held in memory at a time."""


@dataclass(frozen=True)
class Estimate:
    """A number between 0 and 1, and the interval it is believed to lie in."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def inside(self) -> "Estimate":
        """The same with an interval that ends at 0 and 1."""
        if math.isnan(self.low):
            return self
        return Estimate(self.value, max(self.low, 0.0), min(self.high, 1.0))

    def to_dict(self) -> dict[str, float | None]:
        """The stable keys; what is not known is null."""
        found = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if math.isnan(v) else round(v, 6) for k, v in found.items()}

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{self.value:.1%}"
        return f"{self.value:.1%}  [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def drawn_weights(
    groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Iterator[Int[np.ndarray, "B N"]]:
    """How often each clip is drawn, some draws at a time; the same for the same seed.

    Args:
        groups: for each clip the recording it belongs to.
        draws: how many in all.
        seed: where chance comes from.
    """
    names, of_clip = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // max(len(of_clip), 1))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        picked = rng.integers(0, len(names), (count, len(names)))
        offsets = np.arange(count)[:, None] * len(names)
        times = np.bincount((picked + offsets).ravel(), minlength=count * len(names))
        yield times.reshape(count, len(names))[:, of_clip]


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], Float[np.ndarray, "B ..."]],
    groups: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Float[np.ndarray, "B ..."]:
    """A statistic under every draw of the clips; nothing where all clips are of one recording.

    Every draw would then be the same clips, and the interval would have no width: one recording
    does not say how another differs.

    Args:
        statistic: from weights [B, N] to its value, or values, under each of the B draws.
        groups: as for `drawn_weights`.
        draws: as for `drawn_weights`.
        seed: as for `drawn_weights`.
    """
    if not draws or len(set(groups)) < 2:
        return np.zeros(0)
    parts = drawn_weights(groups, draws=draws, seed=seed)
    return np.concatenate([statistic(weights) for weights in parts])


def percentiles(
    values: Float[np.ndarray, " B"], level: float = LEVEL, *, about: float | None = None
) -> tuple[float, float]:
    """The interval that holds the middle `level` of the values; draws without a value are left out.

    Args:
        values: of the draws.
        level: share of them that lie in the interval.
        about: of a number that draws get wrong, the number: they are moved so that their mean is
            this, and the interval holds it. Average precision comes out too high where clips count
            twice, by more than the interval is wide if labels are many and clips few.

    >>> percentiles(np.arange(101) / 100)
    (0.025, 0.975)
    >>> percentiles(np.arange(101) / 100, about=0.4)
    (-0.075, 0.875)
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    if about is not None:
        moved = about - known.mean()
        low, high = min(low + moved, about), max(high + moved, about)
    return round(float(low), 12), round(float(high), 12)


def wilson(successes: float, trials: float, level: float = LEVEL) -> Estimate:
    """A share with Wilson's interval, which is also right for few trials and for none or all.

    >>> print(wilson(5, 5))
    100.0%  [56.6, 100.0]
    >>> print(wilson(0, 0))
    -
    """
    if not trials:
        return Estimate(math.nan)
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    reach /= 1 + z * z / trials
    low, high = max(middle - reach, 0.0), min(middle + reach, 1.0)
    return Estimate(share, min(low, share), max(high, share))  # rounding may step over all or none


def of_share(value: float, draws: Float[np.ndarray, " B"], recordings: int) -> Estimate:
    """A share with the interval of its draws.

    Where every clip is right, or none is, so are the clips of every draw. Then it is Wilson's
    interval of as many trials as there are recordings: ten clips that are right do not promise that
    all others will be.

    Args:
        value: the share.
        draws: the share in every draw of a bootstrap; none: no interval.
        recordings: how many are drawn.

    >>> print(of_share(1.0, np.ones(1000), 10))
    100.0%  [72.2, 100.0]
    """
    if len(draws) and value in (0, 1) and (draws == value).all():
        return wilson(value * recordings, recordings)
    return Estimate(value, *percentiles(draws))
