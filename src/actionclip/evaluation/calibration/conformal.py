"""Sets of labels that hold the right one in a stated share of cases (split conformal prediction).

N clips. The only assumption is that the clips of the calibration and those to come are
exchangeable: drawn alike, in any order. It is broken by other videos than those calibrated on, and
bent by several clips of one recording.
"""

import math

import numpy as np
from jaxtyping import Float

from actionclip.errors import ActionCLIPError


def clips_needed(coverage: float) -> int:
    """The fewest clips that can promise a coverage with anything less than all labels.

    >>> clips_needed(0.9), clips_needed(0.95), clips_needed(0.5)
    (9, 19, 1)
    """
    return math.ceil(round(coverage / (1 - coverage), 9))


def fit_floor(right: Float[np.ndarray, " N"], coverage: float) -> float:
    """The score that a label needs to be in the set.

    With n clips the floor is the k-th smallest score of a right label, k = floor((n + 1) (1 -
    coverage)): the correction for finite samples, with which a clip to come has its right label
    above the floor with a probability of at least `coverage`, over the draw of clips and
    calibration. Fewer than `clips_needed` clips promise nothing: the floor is 0, all labels.

    Args:
        right: the score of each clip's right label.
        coverage: between 0 and 1.

    Raises:
        ActionCLIPError: for a coverage that is none.

    >>> fit_floor(np.arange(1, 10) / 10, 0.9)
    0.1
    >>> fit_floor(np.arange(1, 9) / 10, 0.9)
    0.0
    """
    if not 0 < coverage < 1:
        raise ActionCLIPError(
            f"The coverage is {coverage}.", expected="It must be above 0 and below 1."
        )
    place = min(math.floor(round((len(right) + 1) * (1 - coverage), 9)), len(right))
    return 0.0 if place < 1 else float(np.sort(right)[place - 1])
