"""Before and after, on clips held out in turn.

The clips are dealt into folds, whole recordings together. Each fold is answered with what was
fitted on the others; all answers together are measured. So every clip is tested, none by a number
it helped to fit, and the numbers are of the procedure: what is stored at the end was fitted on all.

N clips that show a label, M that show none, C labels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.fitting import Wanted, fit, losses_of
from actionclip.evaluation.calibration.measures import (
    calibration_error,
    covered,
    interval,
    mean_of,
    share,
    telling_apart,
)
from actionclip.evaluation.intervals import DRAWS, Estimate
from actionclip.model.scoring import in_set

FOLDS = 5
RECORDINGS = 3
"""The fewest: a fit wants two, and one is held out."""


@dataclass(frozen=True)
class Report:
    """What calibration did to clips it did not see."""

    clips: int
    unknown: int
    folds: int
    before: dict[str, Estimate] = field(default_factory=dict)
    """`top1`, `nll`, `ece` of the scores as they were."""
    after: dict[str, Estimate] = field(default_factory=dict)
    """The same at the fitted temperatures."""
    sets: dict[str, Estimate] = field(default_factory=dict)
    """`coverage` and `set_size` (labels in a set, the mean); nothing where a fold held out leaves
    too few clips for the promise."""
    rejection: dict[str, Estimate] = field(default_factory=dict)
    """`kept`: known clips above the threshold; `rejected`: unknown ones below; `auroc`; `fpr95`."""

    def to_dict(self) -> dict[str, Any]:
        """The stable keys."""
        parts = {
            name: {key: value.to_dict() for key, value in getattr(self, name).items()}
            for name in ("before", "after", "sets", "rejection")
        }
        return {"clips": self.clips, "unknown": self.unknown, "folds": self.folds, **parts}


def measure(answers: Answers, wanted: Wanted, *, draws: int = DRAWS) -> Report | None:
    """Fit on all but one fold and answer that, for each fold; None for too few recordings."""
    known, unknown = answers.known, answers.unknown
    folds = min(FOLDS, len(set(known.groups)))
    if folds < RECORDINGS:
        return None
    fold_of, fold_of_unknown = (deal(each.groups, folds, wanted.seed) for each in (known, unknown))
    count = answers.question.texts.shape[1]
    scores = np.zeros((len(known), count), np.float32)
    inside = np.zeros((len(known), count), bool)
    near, strange = known.nearness(), unknown.nearness()
    promised = wanted.coverage is not None
    kept, rejected = np.zeros(len(known)), np.zeros(len(unknown))
    for fold in range(folds):
        here, there = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of_unknown == fold)
        rest = _joined(known, unknown, fold_of != fold, fold_of_unknown != fold)
        found = fit(rest, wanted)
        scores[here] = known.only(here).scores(found.temperature)
        kept[here] = near[here] >= found.threshold
        promised &= found.floor is not None
        if found.floor is not None:
            inside[here] = in_set(torch.from_numpy(scores[here]), found.floor).numpy()
        rejected[there] = strange[there] < found.threshold
    how: dict[str, Any] = {"draws": draws, "seed": wanted.seed}
    sets, rejection = {}, {"kept": share(kept, known.groups, **how)}
    if promised:
        hits = covered(inside, known.truth)
        sets["coverage"] = share(hits, known.groups, **how)
        sets["set_size"] = interval(mean_of(inside.sum(axis=1)), known.groups, **how)
    if len(unknown):
        rejection["rejected"] = share(rejected, unknown.groups, **how)
        both = known.groups, unknown.groups
        rejection |= telling_apart(near, strange, both, **how)
    return Report(
        clips=len(known),
        unknown=len(unknown),
        folds=folds,
        before=_of_scores(known, known.scores(), how),
        after=_of_scores(known, scores, how),
        sets=sets,
        rejection=rejection,
    )


def deal(groups: tuple[str, ...], folds: int, seed: int) -> np.ndarray:
    """The fold of each clip; whole recordings, dealt in an order drawn by chance."""
    names = sorted(set(groups))
    order = np.random.default_rng([seed, 1]).permutation(len(names)).tolist()
    fold_of = {names[n]: place % folds for place, n in enumerate(order)}
    return np.array([fold_of[group] for group in groups], np.int64)


def _joined(known: Answers, unknown: Answers, ours: np.ndarray, others: np.ndarray) -> Answers:
    """Some of the known and some of the unknown clips."""
    one, other = known.only(np.flatnonzero(ours)), unknown.only(np.flatnonzero(others))
    return Answers(
        known.question,
        np.concatenate([one.views, other.views]),
        np.concatenate([one.truth, other.truth]),
        (*one.groups, *other.groups),
    )


def _of_scores(known: Answers, scores: np.ndarray, how: dict[str, Any]) -> dict[str, Estimate]:
    """How right and how honest scores are.

    Clips that count twice add to a calibration error, by more than its interval is wide: the draws
    are moved to it.
    """
    hits = scores.argmax(axis=1) == known.truth
    losses = losses_of(scores, known.truth, known.question.activation)
    return {
        "top1": share(hits, known.groups, **how),
        "nll": interval(mean_of(losses), known.groups, **how),
        "ece": interval(calibration_error(scores, known.truth), known.groups, **how, about=True),
    }
