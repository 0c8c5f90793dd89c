"""Average precision when clips count several times, as in the draws of a bootstrap.

N clips, B draws. torchmetrics knows no weights; this agrees with it where all weights are one, and
with scikit-learn where they are not.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


def weighted_average_precision(
    scores: Float[np.ndarray, " N"],
    positive: Bool[np.ndarray, " N"],
    weights: Int[np.ndarray, "B N"] | Shaped[np.ndarray, "B N"],
) -> Float[np.ndarray, " B"]:
    """The sum over thresholds of precision times the step in recall; NaN without a positive clip.

    Args:
        scores: of one label; clips with equal scores are passed by a threshold together.
        positive: which clips have the label.
        weights: how often each clip counts, for each draw.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # no difference is taken: that of two clips with -inf, which were not read, is no number
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1)
    drawn = weights[:, order]
    seen = drawn.cumsum(axis=1)[:, ends].astype(np.float64)
    found = (drawn * positive[order]).cumsum(axis=1)[:, ends].astype(np.float64)
    steps = np.diff(found, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, found / seen, 0.0)
        return (precision * steps).sum(axis=1) / found[:, -1]
