"""Test a model on a data set by a protocol of the field: the one public call."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, runtime_checkable
from typing import Protocol as Shape

import numpy as np
import torch

from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest, Row
from actionclip.encoding.encoder import VideoEncoder, Views
from actionclip.encoding.questions import Question, ask
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.clips import EncodedClip, Seen, encode_clips, precision_of
from actionclip.evaluation.intervals import DRAWS
from actionclip.evaluation.metrics import Numbers, Sheet, multi_label, single_label, torchmetrics
from actionclip.evaluation.protocols import (
    Choices,
    Data,
    Part,
    Protocol,
    against,
    find_protocol,
    named,
    shots_of,
)
from actionclip.evaluation.result import Evaluation, Failure, Key, PartResult, summarise
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.prompts.text import read_descriptions, read_templates
from actionclip.model.scoring import Activation, in_set

VECTORS = "vectors"
"""The folder, in that of the results, that keeps what was encoded."""
SCORED_AT_ONCE = 256
"""Clips scored together."""


@runtime_checkable
class Answering(Shape):
    """What a `Recognizer` has, so that its workers and limits are used."""

    model: ActionCLIP
    encoder: VideoEncoder


def evaluate(
    model: ActionCLIP | Answering,
    data: Data | Sequence[Row] | str | Path,
    labels: Sequence[str] | None = None,
    *,
    protocol: str = "closed-set",
    views: str | Views | None = None,
    split: str | None = None,
    seed: int = 0,
    base: Sequence[str] | None = None,
    activation: Activation | None = None,
    draws: int = DRAWS,
    folder: Path | None = None,
    seen: Seen = lambda clip: None,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Test a model; every clip counts, one that cannot be read as wrong.

    In a process group (`torchrun`) every process calls this and encodes a share of the clips; all
    return the same, bit for bit what one process returns.

    Args:
        model: an `ActionCLIP`, whose mode is put back afterwards, or a `Recognizer`.
        data: a manifest, rows, or a path for `read_data`; several manifests by name where the
            protocol has several parts.
        labels: what competes in place of the classes of the data; matched with them by name.
        protocol: a name in `PROTOCOLS`.
        views: `CLIPSxCROPS` such as `10x3`, or `Views`; None: as the model folder says.
        split: the split to test on; None: test, or else val, or else rows without one.
        seed: for what the protocol draws and for the bootstrap.
        base: for `base-to-novel` the base classes; None: the half with most training clips.
        activation: `softmax`, `sigmoid` or `none`; None: the model's own, and `none` (scaled
            cosines) for `multi-label`, where clips are ranked label by label.
        draws: of the bootstrap; 0: no intervals.
        folder: where vectors are kept as they come, so that a run that was killed goes on.
        seen: told about each clip as it is done.
        reading: `workers`, `limits` and `decoder` as for `Recognizer`, where `model` is none.
        options: `templates`, `descriptions`, `ensemble`, `clean_labels`, `calibrated`: see `ask`.

    Raises:
        ActionCLIPError: for data, labels or options that do not fit, or without torchmetrics.
        StorageError: when `folder` cannot be written.
    """
    plan = find_protocol(protocol)
    tested = _data_of(data)
    parts = parts_to_test(plan, tested, Choices(split, seed, base), labels)
    with encoder_of(model, reading or {}) as encoder:
        chosen = views_of(encoder.model, views)
        question = _question(encoder.model, parts, activation, plan, options)
        clips = _encode(encoder, parts, chosen, folder, seen)
        settings = _settings(encoder, chosen, question, draws, seed)
        settings |= _asked(encoder.model, plan, tested, parts, options)
    measure = partial(multi_label if plan.multi_label else single_label, draws=draws, seed=seed)
    sheets = [_sheet(part, clips, question) for part in parts]
    done = [PartResult(sheet, _noted(measure(sheet), chosen)) for sheet in sheets]
    failed = [Failure.of(row, clip) for row, clip in clips.values() if clip.views is None]
    bare = sum(not row.labels for one in named(tested).values() for row in one.rows)
    summary = summarise(plan, done, seed=seed)
    return Evaluation(plan, done, summary, failed, len(clips), bare, settings)


def _data_of(data: Data | Sequence[Row] | str | Path) -> Data:
    if isinstance(data, (str, Path)):
        return read_data(data).manifest
    return data if isinstance(data, (Manifest, Mapping)) else Manifest(tuple(data))


def views_of(
    model: ActionCLIP,
    views: str | Views | None,
    frames: int | None = None,
    spacing: float | None = None,
) -> Views:
    """The views that a model is tested with.

    Args:
        model: whose own settings hold where nothing else is said.
        views: `CLIPSxCROPS`: temporal clips and spatial crops of each.
        frames: in a clip.
        spacing: seconds between frames.

    Raises:
        ActionCLIPError: for another spelling.
    """
    if isinstance(views, Views):
        return views
    if views is None:
        return Views.of(model.config, frames=frames, spacing=spacing)
    windows, sides = clips_and_crops(views)
    return Views.of(model.config, frames=frames, windows=windows, crops=sides, spacing=spacing)


def clips_and_crops(views: str) -> tuple[int, Literal[1, 3]]:
    """The two numbers of `CLIPSxCROPS`.

    Raises:
        ActionCLIPError: for another spelling.
    """
    clips, _, crops = views.lower().partition("x")
    if not clips.isdigit() or not int(clips) or crops not in ("1", "3"):
        raise ActionCLIPError(
            f"The views are {views!r}.",
            expected="CLIPSxCROPS was expected: 1x1, 4x3, 10x3. Crops are 1 or 3.",
        )
    return int(clips), 3 if crops == "3" else 1


def parts_to_test(
    plan: Protocol, data: Data, choices: Choices, labels: Sequence[str] | None
) -> list[Part]:
    """What is tested against what; nothing is read and no model is needed.

    Raises:
        ActionCLIPError: for data that does not fit the protocol, labels it has no room for, or
            without torchmetrics.
    """
    torchmetrics()
    if labels is not None and not plan.all_classes:
        raise ActionCLIPError(
            f"Labels were given, and {plan.name} decides itself which classes compete.",
            hint="Leave them out.",
        )
    parts = plan.parts(data, choices)
    return parts if labels is None else [against(part, labels) for part in parts]


def _noted(numbers: Numbers, views: Views) -> Numbers:
    """With a note where three crops are one and the same: no side of a frame is longer than one."""
    preprocess, resize = views.preprocess, views.preprocess.resize
    if preprocess.crops == 1 or resize.mode == "shortest" or resize.size > preprocess.size:
        return numbers
    note = (
        f"The {preprocess.crops} crops are one and the same: the model resizes frames by "
        f"{resize.mode!r}, which leaves no side longer than a crop."
    )
    return replace(numbers, notes=[*numbers.notes, note])


@contextmanager
def encoder_of(
    model: ActionCLIP | Answering, reading: Mapping[str, Any]
) -> Generator[VideoEncoder, None, None]:
    """What encodes for the model, which is in testing mode meanwhile."""
    own = None if isinstance(model, ActionCLIP) else model.encoder
    network = model if isinstance(model, ActionCLIP) else model.model
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    encoder = own or VideoEncoder(network, **reading)
    try:
        yield encoder
    finally:
        for module, training in modes:
            module.training = training
        if own is None:
            encoder.close()


def _question(
    model: ActionCLIP,
    parts: list[Part],
    activation: Activation | None,
    plan: Protocol,
    options: Mapping[str, Any],
) -> Question:
    """The labels of all parts, encoded once.

    Label sets and threshold were fitted to scores as the model makes them: with another activation
    nothing is known of them.
    """
    names = list(dict.fromkeys(name for part in parts for name in part.manifest.classes))
    question = ask(model, names, look_alikes=False, **options)
    if activation is None:
        activation = "none" if plan.multi_label else question.activation
    same = activation == question.activation
    known = question.calibration if same else None
    return replace(question, activation=activation, calibration=known)


Clips = dict[Key, tuple[Row, EncodedClip]]


def _key(row: Row, manifest: Manifest) -> Key:
    """What tells clips apart; labels differ from part to part."""
    return str(manifest.root / row.path), row.start, row.end


def _encode(
    encoder: VideoEncoder, parts: list[Part], views: Views, folder: Path | None, seen: Seen
) -> Clips:
    """Every clip of any part, once."""
    rows = {
        _key(row, part.manifest): (row, part.manifest)
        for part in parts
        for row in part.manifest.rows
    }
    # In an order of their own, so that protocols that draw the same clips otherwise share vectors.
    order = sorted(rows, key=lambda key: (key[0], key[1] or 0.0, key[2] or math.inf))
    sources = [manifest.source(row) for row, manifest in map(rows.__getitem__, order)]
    kept = None if folder is None else folder / VECTORS
    found = encode_clips(encoder, sources, views, folder=kept, seen=seen)
    if len(found) != len(rows):
        raise RuntimeError(f"{len(rows)} clips were to be encoded and {len(found)} were.")
    clips = dict(zip(order, found, strict=True))
    return {key: (row, clips[key]) for key, (row, _) in rows.items()}


def _sheet(part: Part, clips: Clips, question: Question) -> Sheet:
    """The scores of a part's labels for its clips."""
    asked = question.only(part.manifest.classes)
    rows, root = part.manifest.rows, part.manifest.root
    found = [clips[_key(row, part.manifest)][1].views for row in rows]
    scores = np.full((len(rows), len(asked.labels)), np.nan, np.float32)
    kept = np.zeros(len(rows), bool)
    readable = [place for place, views in enumerate(found) if views is not None]
    for start in range(0, len(readable), SCORED_AT_ONCE):
        places = readable[start : start + SCORED_AT_ONCE]
        some: Any = [found[place] for place in places]
        videos = torch.from_numpy(np.stack(some))
        scores[places] = asked.matrix(videos).numpy()
        kept[places] = ~asked.rejects(videos).numpy()
    sheet = Sheet(part.name, asked.labels, rows, scores, root, asked.activation != "none")
    known = asked.calibration
    if known is not None and known.threshold is not None:
        sheet = replace(sheet, kept=kept)
    if known is None or known.floor is None:
        return sheet
    sets = np.zeros(scores.shape, bool)
    sets[readable] = in_set(torch.from_numpy(scores[readable]), known.floor).numpy()
    return replace(sheet, sets=sets, coverage=known.coverage)


def _asked(
    model: ActionCLIP, plan: Protocol, data: Data, parts: list[Part], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Which clips are tested, and what labels become sentences with."""
    own = model.config
    templates, told = options.get("templates"), options.get("descriptions")
    clean = options.get("clean_labels")
    shots = {"shots": shots_of(data)} if plan.name == "few-shot" else {}
    return {
        **shots,
        "splits": {part.name: part.manifest.splits for part in parts},
        "templates": list(own.templates if templates is None else read_templates(templates)),
        "descriptions": None if told is None else read_descriptions(told),
        "clean_labels": own.clean_labels if clean is None else clean,
    }


def _settings(
    encoder: VideoEncoder,
    views: Views,
    question: Question,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    from actionclip import __version__

    model = encoder.model
    assert question.prompts is not None  # it was asked, not cut
    return {
        "actionclip": __version__,
        "backbone": model.config.backbone.name,
        "prompts": asdict(model.config.prompts),
        "views": f"{views.sampling.windows}x{views.preprocess.crops}",
        "sampling": asdict(views.sampling),
        "preprocess": asdict(views.preprocess),
        "precision": precision_of(model),
        "device": model.device.type,
        "decoder": encoder.decoder,
        "sentences": len(question.prompts.sentences),
        "ensemble": question.ensemble,
        "scale": question.scale,
        "bias": question.bias,
        "activation": question.activation,
        "calibration": None if question.calibration is None else asdict(question.calibration),
        "draws": draws,
        "seed": seed,
    }
