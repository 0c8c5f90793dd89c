"""What calibration did, measured on clips that it did not see, each number with its interval.

N clips that show a label, M that show none, B draws of a bootstrap.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from actionclip.evaluation.intervals import DRAWS, Estimate, bootstrap, of_share, percentiles
from actionclip.evaluation.metrics import BINS

Weights = Float[np.ndarray, "B N"] | Int[np.ndarray, "B N"]


def mean_of(values: np.ndarray) -> Callable[[Weights], Float[np.ndarray, " B"]]:
    """The mean of some values under every draw."""
    return lambda weights: (weights @ values.astype(np.float64)) / weights.sum(axis=1)


def calibration_error(
    scores: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]
) -> Callable[[Weights], Float[np.ndarray, " B"]]:
    """Expected calibration error of the best label under every draw, in bins of equal width."""
    best = scores.max(axis=1).astype(np.float64)
    right = (scores.argmax(axis=1) == truth).astype(np.float64)
    edges = np.linspace(0, 1, BINS + 1)
    place = (np.searchsorted(edges, best, side="right") - 1).clip(0, BINS - 1)
    gaps = np.zeros((len(best), BINS))
    gaps[np.arange(len(best)), place] = right - best
    return lambda weights: np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)


def interval(
    statistic: Callable[[Weights], Float[np.ndarray, " B"]],
    groups: tuple[str, ...],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    about: bool = False,
) -> Estimate:
    """A number of the clips as they are, and its bootstrap interval.

    Args:
        statistic: the number under every draw.
        groups: as for `drawn_weights`.
        draws: as for `drawn_weights`.
        seed: as for `drawn_weights`.
        about: whether draws get the number wrong: see `percentiles`. It is one from 0 to 1.
    """
    value = float(statistic(np.ones((1, len(groups)), np.int64))[0])
    drawn = bootstrap(statistic, groups, draws=draws, seed=seed)
    if about:
        return Estimate(value, *percentiles(drawn, about=value)).inside
    return Estimate(value, *percentiles(drawn))


def share(
    hits: np.ndarray, groups: tuple[str, ...], *, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """The share of clips that are hits, and its interval; see `of_share`."""
    drawn = bootstrap(mean_of(hits), groups, draws=draws, seed=seed)
    return of_share(float(hits.mean()), drawn, len(set(groups)))


def telling_apart(
    known: Float[np.ndarray, " N"],
    unknown: Float[np.ndarray, " M"],
    groups: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """How well nearness tells clips that show a label from those that show none.

    `auroc`: the chance that of one of each the known one is nearer. `fpr95`: the share of
    unknown clips that are kept where 95 % of the known ones are.
    """
    wins = (known[:, None] > unknown).astype(np.float64)
    wins += 0.5 * (known[:, None] == unknown)
    both = len(known)

    def split(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        ours, others = weights[:, :both].astype(np.float64), weights[:, both:].astype(np.float64)
        return ours / ours.sum(axis=1, keepdims=True), others / others.sum(axis=1, keepdims=True)

    order = np.argsort(known, kind="stable")

    def area(weights: Weights) -> np.ndarray:
        ours, others = split(weights)
        return np.einsum("bn,bn->b", ours, others @ wins.T)

    def kept_at_95(weights: Weights) -> np.ndarray:
        ours, others = split(weights)
        below = np.cumsum(ours[:, order], axis=1) > 0.05 + 1e-12
        least = known[order][below.argmax(axis=1)]
        return (others * (unknown >= least[:, None])).sum(axis=1) + 0 * ours.sum(axis=1)

    named = (*(f"known {g}" for g in groups[0]), *(f"unknown {g}" for g in groups[1]))
    with np.errstate(invalid="ignore"):  # a draw may hold none of a kind: left out
        return {
            "auroc": interval(area, named, draws=draws, seed=seed),
            "fpr95": interval(kept_at_95, named, draws=draws, seed=seed),
        }


def covered(sets: Bool[np.ndarray, "N C"], truth: Int[np.ndarray, " N"]) -> np.ndarray:
    """Whether each clip's set holds its label."""
    return sets[np.arange(len(sets)), truth].astype(np.float64)
