"""Three numbers from labelled clips: temperature, rejection threshold, and the floor of a set.

N clips, C labels. The temperature is fitted on other clips than the floor: a set keeps its promise
only if the scores were fixed before the clips that set the floor were seen.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.conformal import clips_needed, fit_floor

COLDEST, HOTTEST = 1 / 20, 20.0
"""The temperatures that are looked at."""
SPREAD = math.log(2)
"""How far from 1 a temperature is thought to be, as a deviation of its logarithm, before any clip
is seen. Where every clip is right, colder is better without end, and a handful of clips often are:
without this, 17 clips of which 16 were right gave a loss of 1.3 on others in place of 0.3."""
STEPS, ZOOMS = 17, 4
"""Temperatures tried at a time, and how often between the neighbours of the best."""
FOR_TEMPERATURE = 1 / 3
"""Share of the clips that the temperature is fitted on."""
KEPT = 0.95
"""Share of known clips that are kept where nothing else is known."""
TINY = 1e-12
CLOSE = 1e-6
"""What a clip's cosine may differ by when it is computed among others and alone. The limits were
some clip's own numbers: they are kept that much lower, or they would reject that clip."""
CLOSE_SCORES = 1e-4
"""The same for scores, as a share of them: their logits are a hundred times a cosine."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted."""

    temperature: float
    threshold: float
    floor: float | None
    """None: no sets were asked for, or there are too few clips for their promise."""


@dataclass(frozen=True)
class Wanted:
    """What the numbers are fitted for."""

    coverage: float | None = 0.9
    """Of label sets; None: no sets."""
    keep: float | None = None
    """Share of known clips above the threshold; None: the best balance with unknown clips where
    there are any, else `KEPT`."""
    seed: int = 0
    """Decides which clips the temperature is fitted on."""


def fit(answers: Answers, wanted: Wanted) -> Fitted:
    """All three, from clips that show a label and perhaps clips that show none."""
    known, unknown = answers.known, answers.unknown
    first = in_part(known.groups, FOR_TEMPERATURE, wanted.seed)
    # rounded as it is kept: the floor belongs to this very temperature
    temperature = round(fit_temperature(known.only(np.flatnonzero(first))), 6)
    rest = known.only(np.flatnonzero(~first))
    scores = rest.scores(temperature)
    right = scores[np.arange(len(rest)), rest.truth]
    floor = None
    if wanted.coverage is not None and len(rest) >= clips_needed(wanted.coverage):
        floor = fit_floor(right, wanted.coverage) * (1 - CLOSE_SCORES)
    keep = KEPT if wanted.keep is None and not len(unknown) else wanted.keep
    threshold = fit_threshold(rest.nearness(), unknown.nearness(), keep)
    return Fitted(temperature, max(threshold - CLOSE, -1.0), floor)


def in_part(groups: tuple[str, ...], share: float, seed: int) -> np.ndarray:
    """Which clips belong to a part: whole recordings, drawn by chance, about that share."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = {names[n] for n in order[:count].tolist()}
    return np.array([group in chosen for group in groups])


def fit_temperature(answers: Answers) -> float:
    """What to divide logits by, so that the right labels are as likely as can be.

    For one view and one template the loss is convex in 1 / temperature, so it has one minimum; with
    several it is their mean that is scored, and it need not be. Hence a grid between `COLDEST` and
    `HOTTEST`, even in the logarithm, made finer around its best point. Few clips move the
    temperature little (`SPREAD`).
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    best = 0.0
    for _ in range(ZOOMS):
        tried = np.linspace(low, high, STEPS)
        losses = [cost(answers, math.exp(each)) for each in tried]
        place = int(np.argmin(losses))
        best = float(tried[place])
        low, high = float(tried[max(place - 1, 0)]), float(tried[min(place + 1, STEPS - 1)])
    return math.exp(best)


def cost(answers: Answers, temperature: float) -> float:
    """What the temperature makes least: the mean loss, and what speaks against it beforehand."""
    beforehand = (math.log(temperature) / SPREAD) ** 2 / 2
    return mean_loss(answers, temperature) + beforehand / max(len(answers), 1)


def mean_loss(answers: Answers, temperature: float) -> float:
    """Negative log likelihood of the right labels, the mean over the clips."""
    scores = answers.scores(temperature)
    return float(losses_of(scores, answers.truth, answers.question.activation).mean())


def losses_of(
    scores: Float[np.ndarray, "N C"], truth: Int[np.ndarray, " N"], activation: str
) -> Float[np.ndarray, " N"]:
    """The negative log likelihood of each clip; under sigmoid that of every label by itself."""
    values = scores.astype(np.float64)
    right = values[np.arange(len(values)), truth]
    if activation != "sigmoid":
        return -np.log(np.maximum(right, TINY))
    wrong = -np.log(np.maximum(1 - values, TINY))
    own = wrong[np.arange(len(values)), truth]
    return wrong.sum(axis=1) - own - np.log(np.maximum(right, TINY))


def fit_threshold(
    known: Float[np.ndarray, " N"], unknown: Float[np.ndarray, " M"], keep: float | None
) -> float:
    """The nearness (cosine of the nearest label) below which the answer is *none of these*.

    Where `keep` of the known ones are kept; without `keep`, where the share of known ones kept and
    the share of unknown ones rejected have the highest mean.

    >>> fit_threshold(np.array([0.2, 0.8, 0.9]), np.array([0.1, 0.3]), None)
    0.8
    >>> fit_threshold(np.array([0.2, 0.4, 0.8, 0.9]), np.array([]), 0.75)
    0.4
    """
    ordered = np.sort(known.astype(np.float64))
    if keep is not None:
        lost = math.floor(round((1 - keep) * len(ordered), 9))
        return float(ordered[min(lost, len(ordered) - 1)])
    places = np.concatenate([[-1.0], ordered])
    kept = 1 - np.searchsorted(ordered, places, side="left") / len(ordered)
    strange = np.sort(unknown.astype(np.float64))
    rejected = np.searchsorted(strange, places, side="left") / len(strange)
    return float(places[int(np.argmax(kept + rejected))])
