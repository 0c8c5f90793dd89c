"""Scores and the truth become numbers: accuracies, average precision, calibration.

N clips, C labels, B draws of a bootstrap. Single numbers come from torchmetrics; intervals from the
same clips drawn again (`intervals`). A clip that could not be read counts as wrong everywhere: it
has no right answer, and in a ranking it comes last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from actionclip.data.manifest import Row
from actionclip.errors import ActionCLIPError, counted
from actionclip.evaluation.intervals import (
    DRAWS,
    Estimate,
    bootstrap,
    of_share,
    percentiles,
    wilson,
)
from actionclip.evaluation.precision import weighted_average_precision

BINS = 15
"""Bins of the calibration error, equally wide, as in most papers."""


@dataclass(frozen=True)
class Sheet:
    """The answers for clips that are tested together."""

    name: str
    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    scores: Float[np.ndarray, "N C"]
    """NaN for a clip that could not be read."""
    root: Path = field(default_factory=Path)
    """What the rows' paths are relative to."""
    are_probabilities: bool = True
    """Whether scores lie between 0 and 1, so that it can be asked whether they are honest."""
    sets: Bool[np.ndarray, "N C"] | None = None
    """The labels in each clip's set, for a calibrated model; none for a clip that was not read."""
    coverage: float | None = None
    """What the sets promise."""
    kept: Bool[np.ndarray, " N"] | None = None
    """Whether a clip is answered with a label and not with *none of these*, for a calibrated model;
    no clip that was not read is."""

    @cached_property
    def targets(self) -> Bool[np.ndarray, "N C"]:
        """Which labels are right."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        found = np.zeros((len(self.rows), len(self.classes)), bool)
        for place, row in enumerate(self.rows):
            found[place, [numbers[label] for label in row.labels]] = True
        return found

    @cached_property
    def read(self) -> Bool[np.ndarray, " N"]:
        """Which clips gave frames."""
        return np.asarray(np.isfinite(self.scores).all(axis=1))

    @cached_property
    def truth(self) -> Int[np.ndarray, " N"]:
        """The number of each clip's one label."""
        return self.targets.argmax(axis=1)

    @cached_property
    def order(self) -> Int[np.ndarray, "N C"]:
        """Labels, best first; of equal scores the earlier label, as `classify` has it."""
        return np.argsort(-np.nan_to_num(self.scores, nan=-np.inf), axis=1, kind="stable")

    @cached_property
    def places(self) -> Int[np.ndarray, " N"]:
        """The place of the right label, counted from 0; C for a clip that could not be read."""
        places = (self.order == self.truth[:, None]).argmax(axis=1)
        return np.where(self.read, places, len(self.classes))

    @cached_property
    def ranks(self) -> Float[np.ndarray, "N C"]:
        """Scores as places from 0 to 1 in each column: the same ranking, unread clips last."""
        columns = []
        for column in np.nan_to_num(self.scores, nan=-np.inf).T:
            _, place = np.unique(column, return_inverse=True)
            columns.append(place / max(len(column), 1))
        return np.stack(columns, axis=1)

    @property
    def clips(self) -> list[tuple[str, float | None, float | None]]:
        """What tells each clip from all others: its file and the stretch of it."""
        return [(str(self.root / row.path), row.start, row.end) for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """For each clip its recording, or else its file: what a bootstrap draws."""
        return [row.recording for row in self.rows]


@dataclass(frozen=True)
class ClassRow:
    """How one class did."""

    label: str
    clips: int
    result: Estimate
    """Share of its clips that were recognised; with several labels a clip, average precision."""
    confused: str = ""
    """What its clips are most often taken for."""
    confused_clips: int = 0


@dataclass(frozen=True)
class Numbers:
    """What was measured on a sheet."""

    metrics: dict[str, Estimate]
    per_class: list[ClassRow]
    notes: list[str] = field(default_factory=list)
    draws: dict[str, Float[np.ndarray, " B"]] = field(default_factory=dict, repr=False)
    """Bootstrap values, for numbers that are made of several parts."""


def single_label(sheet: Sheet, *, draws: int = DRAWS, seed: int = 0) -> Numbers:
    """Accuracies of clips with one label each.

    Args:
        sheet: the answers.
        draws: of the bootstrap; 0: no intervals.
        seed: of the bootstrap.

    Raises:
        ActionCLIPError: for a clip with several labels, or without torchmetrics.
    """
    several = next((row for row in sheet.rows if len(row.labels) != 1), None)
    if several is not None:
        raise ActionCLIPError(
            f"{several.path} has {len(several.labels)} labels: {', '.join(several.labels)}.",
            expected="This protocol wants one label a clip.",
            hint="For several labels a clip: --protocol multi-label.",
        )
    top_k = min(5, len(sheet.classes))
    right = _right(sheet, (1, top_k))
    support = np.bincount(sheet.truth, minlength=len(sheet.classes))
    shown = support > 0
    metrics = {
        "top1": right[1].sum() / len(sheet.rows),
        f"top{top_k}": right[top_k].sum() / len(sheet.rows),
        "mean_class": (right[1][shown] / support[shown]).mean(),
    }
    if sheet.sets is not None:
        metrics["coverage"] = _covered(sheet).mean()
    if sheet.kept is not None:
        metrics["kept"] = sheet.kept.mean()
    values = _bootstrap_accuracies(sheet, top_k, draws, seed)
    recordings = len(set(sheet.groups))
    found = {
        name: of_share(float(value), values.get(name, np.zeros(0)), recordings)
        for name, value in metrics.items()
    }
    if sheet.are_probabilities and sheet.read.any():
        found["ece"] = Estimate(calibration_error(sheet))
    return Numbers(found, _class_rows(sheet, right[1], support), _notes(sheet, top_k), values)


def multi_label(sheet: Sheet, *, draws: int = DRAWS, seed: int = 0) -> Numbers:
    """Mean average precision over the classes that have a clip.

    Raises:
        ActionCLIPError: without torchmetrics.
    """
    values, support = average_precisions(sheet), sheet.targets.sum(axis=0)
    shown = support > 0

    def precisions(weights: np.ndarray) -> np.ndarray:
        return weighted_average_precisions(sheet, weights)

    drawn = bootstrap(precisions, sheet.groups, draws=draws, seed=seed)
    drawn = drawn.T if len(drawn) else np.zeros((len(sheet.classes), 0))
    means = mean_of_known(drawn[shown])
    rows = [
        ClassRow(label, int(support[n]), _precision(values[n], drawn[n]))
        for n, label in enumerate(sheet.classes)
    ]
    return Numbers(
        {"map": _precision(values[shown].mean(), means)}, rows, _notes(sheet, None), {"map": means}
    )


def average_precisions(sheet: Sheet) -> Float[np.ndarray, " C"]:
    """The average precision of every label; NaN for one without a clip.

    A clip that was not read comes last. Where none was read there is no ranking: all is wrong, 0.

    Raises:
        ActionCLIPError: without torchmetrics.
    """
    classification = torchmetrics()
    values = np.full(len(sheet.classes), np.nan)
    for number in np.flatnonzero(sheet.targets.any(axis=0)):
        values[number] = classification.binary_average_precision(
            torch.from_numpy(sheet.ranks[:, number]),
            torch.from_numpy(sheet.targets[:, number]).long(),
        )
    return values if sheet.read.any() else 0 * values


def weighted_average_precisions(
    sheet: Sheet, weights: Int[np.ndarray, "B N"]
) -> Float[np.ndarray, "B C"]:
    """The same when clips count several times, for each draw of a bootstrap."""
    columns = zip(sheet.ranks.T, sheet.targets.T, strict=True)
    values = np.stack([weighted_average_precision(*c, weights) for c in columns], axis=1)
    return values if sheet.read.any() else 0 * values


def mean_of_known(values: Float[np.ndarray, "C B"]) -> Float[np.ndarray, " B"]:
    """The mean over C of what is known."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(values).sum(axis=0) / known.sum(axis=0)


def calibration_error(sheet: Sheet) -> float:
    """Expected calibration error of the clips that were read, in `BINS` bins of equal width."""
    classification = torchmetrics()
    scores = torch.from_numpy(sheet.scores[sheet.read])
    truth = torch.from_numpy(sheet.truth[sheet.read])
    if len(sheet.classes) == 1:
        scores, sure = torch.cat([scores, 1 - scores], dim=1), truth
        return float(classification.multiclass_calibration_error(scores, sure, 2, n_bins=BINS))
    return float(
        classification.multiclass_calibration_error(
            scores, truth, len(sheet.classes), n_bins=BINS, norm="l1"
        )
    )


def _right(sheet: Sheet, tops: Sequence[int]) -> dict[int, Float[np.ndarray, " C"]]:
    """For each class the clips whose label is among the first k."""
    if not sheet.read.any():
        return {k: np.zeros(len(sheet.classes)) for k in tops}
    if len(sheet.classes) == 1:  # torchmetrics wants two
        return {k: np.array([float(sheet.read.sum())]) for k in tops}
    classification = torchmetrics()
    places = np.argsort(sheet.order[sheet.read], axis=1)
    ranked = torch.from_numpy(-places.astype(np.float64))  # no two equal: which is first is sure
    truth = torch.from_numpy(sheet.truth[sheet.read])
    return {
        k: classification.multiclass_stat_scores(
            ranked, truth, len(sheet.classes), average="none", top_k=k
        )[:, 0]
        .double()
        .numpy()
        for k in tops
    }


def _bootstrap_accuracies(
    sheet: Sheet, top_k: int, draws: int, seed: int
) -> dict[str, Float[np.ndarray, " B"]]:
    """The same numbers under every draw of the clips."""
    hits = {"top1": sheet.places < 1, f"top{top_k}": sheet.places < top_k}
    if sheet.sets is not None:
        hits["coverage"] = _covered(sheet)
    if sheet.kept is not None:
        hits["kept"] = sheet.kept
    member = sheet.targets.astype(np.float64)

    def accuracies(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        columns = [(weights @ hit) / total for hit in hits.values()]
        support = weights @ member
        with np.errstate(invalid="ignore"):
            per_class = ((weights * hits["top1"]) @ member) / support
        columns.append(mean_of_known(per_class.T))
        return np.stack(columns, axis=1)

    values = bootstrap(accuracies, sheet.groups, draws=draws, seed=seed)
    if not len(values):
        return {}
    return dict(zip([*hits, "mean_class"], values.T, strict=True))


def _covered(sheet: Sheet) -> Bool[np.ndarray, " N"]:
    """Whether each clip's set holds its label."""
    assert sheet.sets is not None
    return sheet.sets[np.arange(len(sheet.rows)), sheet.truth] & sheet.read


def _class_rows(
    sheet: Sheet, right: Float[np.ndarray, " C"], support: Int[np.ndarray, " C"]
) -> list[ClassRow]:
    rows = []
    for number, label in enumerate(sheet.classes):
        wrong = sheet.order[(sheet.truth == number) & sheet.read & (sheet.places > 0), 0]
        taken = np.bincount(wrong, minlength=1)
        confused = sheet.classes[int(taken.argmax())] if len(wrong) else ""
        share = wilson(float(right[number]), int(support[number]))
        rows.append(ClassRow(label, int(support[number]), share, confused, int(taken.max())))
    return rows


def _notes(sheet: Sheet, top_k: int | None) -> list[str]:
    """What a careful reader would want to know."""
    notes = []
    if unread := int((~sheet.read).sum()):
        clips = counted(unread, "clip")
        notes.append(f"{clips} of {len(sheet.rows)} could not be read and counted as wrong.")
    if empty := int((~sheet.targets.any(axis=0)).sum()):
        notes.append(
            f"{empty} of {len(sheet.classes)} labels have no clip: they compete, and are left out "
            "of the mean over classes."
        )
    if top_k is not None and top_k < 5:
        notes.append(f"There are {len(sheet.classes)} labels: top-{top_k} stands for top-5.")
    if sheet.sets is not None and sheet.coverage is not None and sheet.read.any():
        size = sheet.sets[sheet.read].sum(axis=1).mean()
        notes.append(
            f"Label sets promise to hold the right label in {sheet.coverage:.0%} of clips like "
            f"those they were calibrated on; they have {size:.2f} labels on average."
        )
    if sheet.kept is not None and (lost := int((sheet.read & ~sheet.kept).sum())):
        notes.append(
            f"{lost} of {len(sheet.rows)} clips are answered with none of these; accuracies count "
            "their best label all the same."
        )
    groups = len(set(sheet.groups))
    if groups == 1:
        notes.append(
            "There are no intervals: all clips are of one recording, which does not say how much "
            "another would differ."
        )
        return notes
    if groups < len(sheet.rows):
        notes.append(f"Intervals draw {groups} recordings, not {len(sheet.rows)} single clips.")
    if groups < 20:
        notes.append(f"Intervals from {groups} independent clips or recordings are rough.")
    return notes


def _precision(value: float, draws: np.ndarray) -> Estimate:
    """Average precision, which a draw gets too high: see `percentiles`."""
    low, high = percentiles(draws, about=float(value))
    return Estimate(float(value), low, high).inside


def torchmetrics() -> Any:
    """The library that single numbers come from; ask for it before clips are encoded for hours.

    Raises:
        ActionCLIPError: where it is not installed.
    """
    try:
        from torchmetrics.functional import classification
    except ImportError:
        raise ActionCLIPError(
            "Evaluation needs torchmetrics, which is not installed.",
            hint="Install it with: pip install 'actionclip[train]'",
        ) from None
    return classification
