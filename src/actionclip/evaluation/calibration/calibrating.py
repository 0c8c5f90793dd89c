"""Calibrate a model on labelled clips: the one public call."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionclip.data.manifest import Manifest, Row
from actionclip.encoding.encoder import VideoEncoder, Views
from actionclip.encoding.questions import Question, ask, key_of
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.conformal import clips_needed
from actionclip.evaluation.calibration.fitting import (
    COLDEST,
    FOR_TEMPERATURE,
    HOTTEST,
    KEPT,
    Fitted,
    Wanted,
    fit,
    in_part,
)
from actionclip.evaluation.calibration.report import Report, measure
from actionclip.evaluation.clips import EncodedClip, Seen, encode_clips
from actionclip.evaluation.intervals import DRAWS
from actionclip.evaluation.protocols import Part, against
from actionclip.evaluation.result import Failure
from actionclip.evaluation.run import Answering, encoder_of
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import CalibrationConfig
from actionclip.video.sources import Source, find_videos

FEWEST = 10
"""Clips below which nothing is fitted."""
ROUGH = 50
"""Clips below which the numbers are called rough."""
SPLITS = ("val", "", "test")
"""The split to calibrate on where none is named: the first in which clips have labels."""


@dataclass(frozen=True)
class Calibrated:
    """What was fitted, and what it did to clips held out."""

    calibration: CalibrationConfig
    report: Report | None
    """None: there are too few recordings to hold some out."""
    failures: list[Failure]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The stable keys."""
        return {
            "calibration": dataclasses.asdict(self.calibration),
            "report": None if self.report is None else self.report.to_dict(),
            "failed": len(self.failures),
            "notes": self.notes,
        }


def calibrate(
    model: ActionCLIP | Answering,
    data: Manifest,
    *,
    unknown: Sequence[str | Path | Source] = (),
    labels: Sequence[str] | None = None,
    coverage: float | None = 0.9,
    keep: float | None = None,
    split: str | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    seen: Seen = lambda clip: None,
    reading: Mapping[str, Any] | None = None,
) -> Calibrated:
    """Fit temperature, rejection threshold and label sets; the model obeys them from now on.

    Args:
        model: an `ActionCLIP` or a `Recognizer`; `save` keeps what was fitted.
        data: clips with one label each, like those it will be asked about; best ones that it was
            not trained on.
        unknown: clips that show none of the labels: files, folders, lists.
        labels: what competes, in place of the classes of the data; matched by name.
        coverage: of label sets; None: no sets.
        keep: the share of known clips that stay above the threshold; None: the best balance with
            `unknown`, or 0.95 without.
        split: of the data; None: val, or else rows without one, or else test.
        seed: for what is drawn.
        draws: of the bootstrap; 0: no intervals.
        seen: told about each clip as it is done.
        reading: `workers`, `limits` and `decoder` as for `Recognizer`, where `model` is none.

    Raises:
        ActionCLIPError: for a coverage or share that is none, too few clips, clips with several
            labels, labels that do not fit.
    """
    wanted = _checked(Wanted(coverage, keep, seed))
    rows, chosen = rows_of(data, split)
    part = Part("all", dataclasses.replace(data, rows=rows))
    part = part if labels is None else against(part, labels)
    sources = [part.manifest.source(row) for row in rows]
    others = _strangers(unknown, sources)
    with encoder_of(model, reading or {}) as encoder:
        network = encoder.model
        names = list(part.manifest.classes)
        question = ask(network, names, look_alikes=False, calibrated=False)
        known, failed = _encode(encoder, sources, seen)
        strange, also = _encode(encoder, others, seen)
    answers = _answers(question, part.manifest, known, strange)
    failures = [*failed, *also]
    _check_count(answers, wanted, failures)
    found = fit(answers, wanted)
    calibration = _config(question, found, len(known), coverage)
    network.config = dataclasses.replace(network.config, calibration=calibration)
    report = measure(answers, wanted, draws=draws)
    notes = [*_notes(answers, found, chosen, keep), *_notes_of(report, coverage)]
    return Calibrated(calibration, report, failures, notes)


def _strangers(unknown: Sequence[str | Path | Source], known: Sequence[Source]) -> list[Source]:
    """The videos that show none of the labels.

    Raises:
        ActionCLIPError: for one that is among the data too.
    """
    named = [item for item in unknown if not isinstance(item, Source)]
    found = [item for item in unknown if isinstance(item, Source)]
    found += find_videos(named) if named else []
    labelled = {source.path for source in known}
    if both := [source.name for source in found if source.path in labelled]:
        raise ActionCLIPError(
            f"Unknown videos that are among the data too: {len(both)}, first {both[0]}.",
            expected="Unknown videos show none of the labels.",
        )
    return found


def _checked(wanted: Wanted) -> Wanted:
    """Refuse shares that are none.

    Raises:
        ActionCLIPError: naming the one.
    """
    for name in ("coverage", "keep"):
        share = getattr(wanted, name)
        if share is not None and not 0 < share < 1:
            raise ActionCLIPError(f"{name} is {share}.", expected="It must be between 0 and 1.")
    return wanted


def _config(
    question: Question, found: Fitted, clips: int, coverage: float | None
) -> CalibrationConfig:
    """What is kept in the model folder."""
    return CalibrationConfig(
        key=key_of(question),
        labels=len(question.labels),
        clips=clips,
        temperature=found.temperature,
        threshold=found.threshold,
        coverage=coverage,
        floor=found.floor,
    )


def rows_of(manifest: Manifest, split: str | None) -> tuple[tuple[Row, ...], str]:
    """The rows to calibrate on, and which split that is.

    Raises:
        ActionCLIPError: when there are none, or a clip has several labels.
    """
    known = manifest.labelled
    there = [name for name in SPLITS if name in known.splits]
    chosen = split if split is not None else next(iter(there), "train")
    rows = known.only(chosen).rows
    if not rows:
        named = ", ".join(name or "(none)" for name in manifest.splits) or "no row at all"
        raise ActionCLIPError(
            f"The data set has the splits {named}, and no clip to calibrate on in {chosen!r}.",
            hint="Name the split with --split.",
        )
    several = next((row for row in rows if len(row.labels) != 1), None)
    if several is not None:
        raise ActionCLIPError(
            f"{several.path} has {len(several.labels)} labels: {', '.join(several.labels)}.",
            expected="Calibration wants one label a clip.",
        )
    return rows, chosen


def _encode(
    encoder: VideoEncoder, sources: Sequence[Source], seen: Seen
) -> tuple[list[tuple[int, EncodedClip]], list[Failure]]:
    """Clips as vectors, each with its place in the list, and those that could not be read."""
    clips = encode_clips(encoder, sources, Views.of(encoder.model.config), seen=seen)
    read = [(place, clip) for place, clip in enumerate(clips) if clip.views is not None]
    failed = [
        Failure(source.name, str(clip.status), clip.message, clip.hint)
        for source, clip in zip(sources, clips, strict=True)
        if clip.views is None
    ]
    return read, failed


def _answers(
    question: Question,
    manifest: Manifest,
    known: list[tuple[int, EncodedClip]],
    strange: list[tuple[int, EncodedClip]],
) -> Answers:
    rows = [manifest.rows[place] for place, _ in known]
    number = {name: place for place, name in enumerate(manifest.classes)}
    truth = [number[row.labels[0]] for row in rows] + [-1] * len(strange)
    groups = [row.recording for row in rows] + [f"unknown {n}" for n, _ in strange]
    vectors: Any = [clip.views for _, clip in [*known, *strange]]
    views = np.stack(vectors) if vectors else np.zeros((0, 1, question.texts.shape[-1]), np.float32)
    return Answers(question, views, np.array(truth, np.int64), tuple(groups))


def _check_count(answers: Answers, wanted: Wanted, failures: Sequence[Failure]) -> None:
    """Refuse clips too few for what is promised.

    Raises:
        ActionCLIPError: saying how many there are and how many are needed.
    """
    known = answers.known
    if len(known) < FEWEST or len(set(known.groups)) < 2:
        raise ActionCLIPError(
            f"{len(known)} clips of {len(set(known.groups))} recordings can be calibrated on.",
            expected=f"At least {FEWEST} clips with labels, of two recordings or more.",
            hint=_unread(failures),
        )
    rest = int((~in_part(known.groups, FOR_TEMPERATURE, wanted.seed)).sum())
    if wanted.coverage is not None and rest < clips_needed(wanted.coverage):
        raise ActionCLIPError(
            f"{rest} of the {len(known)} clips are left for the label sets (the temperature has "
            f"the others), too few for a coverage of {wanted.coverage:.0%}.",
            expected=f"At least {clips_needed(wanted.coverage)}: with fewer, only the set of all "
            "labels keeps that promise.",
            hint="Give more clips, a lower --coverage, or --coverage 0 for no label sets.",
        )


def _unread(failures: Sequence[Failure]) -> str:
    """How many clips could not be read, and why the first could not."""
    if not failures:
        return ""
    first = failures[0]
    return f"{len(failures)} clips could not be read; {first.path}: {first.reason}"


def _notes(answers: Answers, found: Fitted, split: str, keep: float | None) -> list[str]:
    """What a careful reader would want to know."""
    known, notes = answers.known, []
    if split in ("train", "test"):
        why = {
            "train": "a model is surer of clips it was trained on than of others.",
            "test": "do not test on these clips afterwards.",
        }
        notes.append(f"Calibrated on the {split} split: {why[split]}")
    if len(known) < ROUGH:
        notes.append(f"{len(known)} clips give rough numbers; {ROUGH} or more are better.")
    if len(set(known.groups)) < len(known):
        notes.append(
            f"The clips are of {len(set(known.groups))} recordings: clips of one recording are "
            "alike, so coverage of other recordings may be lower."
        )
    if len(answers.question.labels) == 1 and answers.question.activation == "softmax":
        notes.append(
            "There is one label, and its score is 1 whatever a clip shows: only the threshold says "
            "something."
        )
    if not COLDEST * 1.01 < found.temperature < HOTTEST / 1.01:
        notes.append(
            f"The temperature is {found.temperature:.3g}, the end of what is tried: the clips are "
            "all right with room to spare, or say nothing."
        )
    if not len(answers.unknown):
        notes.append(
            f"No clips of none of the labels were given: the threshold keeps {keep or KEPT:.0%} of "
            "known clips, and how many others it rejects is not known."
        )
    return notes


def _notes_of(report: Report | None, coverage: float | None) -> list[str]:
    """What the clips held out say, or why they say nothing."""
    if report is None:
        return ["Nothing was measured: that takes three recordings or more."]
    notes = []
    if report.after["nll"].value > report.before["nll"].value:
        notes.append(
            "On clips held out the temperature did not make the loss less: there are too few clips "
            "to say more than the model does, or it is calibrated already."
        )
    if coverage is not None and not report.sets:
        notes.append(
            "Label sets were not measured: with clips held out too few are left for a coverage of "
            f"{coverage:.0%}."
        )
    return notes
