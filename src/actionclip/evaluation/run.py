"""Test a model on a data set by a protocol of the field: the one public call."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Shape

import numpy as np
import torch

from actionclip.data.manifest import Manifest, Row
from actionclip.encoding.encoder import Decoder, VideoEncoder, Views
from actionclip.encoding.questions import Descriptions, Question, ask
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.clips import EncodedClip, Seen, encode_clips
from actionclip.evaluation.intervals import DRAWS, Estimate, percentiles
from actionclip.evaluation.metrics import Numbers, Sheet, multi_label, single_label
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
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import Activation
from actionclip.video.settings import Limits

VECTORS = "vectors"
"""The folder, in that of the results, that keeps what was encoded."""
SCORED_AT_ONCE = 256
"""Clips scored together."""


@runtime_checkable
class Answering(Shape):
    """What a `Recognizer` has, so that its workers and limits are used."""

    model: ActionCLIP
    encoder: VideoEncoder


@dataclass(frozen=True)
class TestedPart:
    """One split, draw or kind of classes, and what was measured on it."""

    sheet: Sheet
    numbers: Numbers


@dataclass(frozen=True)
class Failure:
    """A clip that could not be read; it counted as wrong."""

    path: str
    code: str
    reason: str
    hint: str


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
    parts: list[TestedPart]
    summary: dict[str, Summary]
    """`top1`, `top5` (or fewer), `mean_class`, `ece`; `map` where clips have several labels."""
    failures: list[Failure]
    clips: int
    """Clips that the protocol tests, each counted once."""
    answered: int
    """Those of them that gave frames."""
    unlabelled: int = 0
    """Rows without a label, which nothing can be said about."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What decided the numbers: model, views, templates, ensemble, scale, seed."""

    @property
    def value(self) -> float:
        """The number that a protocol is known by: top-1, mAP, or the harmonic mean."""
        return next(iter(self.summary.values())).value

    @property
    def adds_up(self) -> bool:
        """Whether every clip is accounted for: answered, or listed as failed."""
        tested = {clip: answered for p in self.parts for clip, answered in _answers(p.sheet)}
        everything = len(tested) == self.clips == self.answered + len(self.failures)
        return everything and sum(tested.values()) == self.answered


def evaluate(
    model: ActionCLIP | Answering,
    data: Data | Sequence[Row],
    labels: Sequence[str] | None = None,
    *,
    protocol: str = "closed-set",
    views: str | Views | None = None,
    split: str | None = None,
    seed: int = 0,
    base: Sequence[str] | None = None,
    draws: int = DRAWS,
    templates: str | Path | Sequence[str] | None = None,
    descriptions: Descriptions | None = None,
    ensemble: str | None = None,
    clean_labels: bool | None = None,
    activation: Activation | None = None,
    folder: Path | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    decoder: Decoder = "pyav",
    seen: Seen = lambda clip: None,
) -> Evaluation:
    """Test a model; every clip counts, one that cannot be read as wrong.

    In a process group (`torchrun`) each process calls this and encodes a share of the clips; all
    return the same, bit for bit what one process returns.

    Args:
        model: an `ActionCLIP`, whose mode is put back afterwards, or a `Recognizer`.
        data: a manifest, or rows; several manifests by name where the protocol has several parts.
        labels: what competes in place of the classes of the data; matched with them by name.
        protocol: a name in `PROTOCOLS`.
        views: `CLIPSxCROPS` such as `10x3`, or `Views`; None: as the model folder says.
        split: the split to test on; None: test, or else val, or else rows without one.
        seed: for what the protocol draws and for the bootstrap.
        base: for `base-to-novel` the base classes; None: the half with most training clips.
        draws: of the bootstrap; 0: no intervals.
        templates: as for `Recognizer.question`; like the next three, None: as the folder says.
        descriptions: as for `Recognizer.question`.
        ensemble: as for `Recognizer.question`.
        clean_labels: as for `Recognizer.question`.
        activation: `softmax`, `sigmoid` or `none`; None: the model's own, and `none` (the mean
            cosine) for `multi-label`, where clips are ranked label by label.
        folder: where vectors are kept as they come, so that a run that was killed goes on.
        workers: decoding processes, where `model` is an `ActionCLIP`; as the next two.
        limits: what a video may cost.
        decoder: `pyav` or `torchcodec`.
        seen: told about each clip as it is done.

    Raises:
        ActionCLIPError: for data that does not fit the protocol, labels or options we cannot use.
        StorageError: when `folder` cannot be written.
    """
    plan = find_protocol(protocol)
    tested = data if isinstance(data, (Manifest, Mapping)) else Manifest(tuple(data))
    parts = plan.parts(tested, Choices(split, seed, base))
    if labels is not None:
        parts = _with_labels(plan, parts, labels)
    own = None if isinstance(model, ActionCLIP) else model.encoder
    encoder = own or VideoEncoder(
        model if isinstance(model, ActionCLIP) else model.model,
        workers=workers,
        limits=limits,
        decoder=decoder,
    )
    chosen = views_of(encoder.model, views)
    with _testing(encoder.model):
        question = _question(encoder.model, parts, templates, descriptions, ensemble, clean_labels)
        if activation is None and plan.multi_label:
            activation = "none"
        try:
            clips = _encode(encoder, parts, chosen, folder, seen)
        finally:
            if own is None:
                encoder.close()
        sheets = [_sheet(part, clips, question, activation) for part in parts]
    measure = multi_label if plan.multi_label else single_label
    done = [TestedPart(sheet, measure(sheet, draws=draws, seed=seed)) for sheet in sheets]
    failed = [
        Failure(row.path, str(clip.status), clip.message, clip.hint)
        for row, clip in clips.values()
        if clip.views is None
    ]
    shots = {"shots": shots_of(tested)} if plan.name == "few-shot" else {}
    return Evaluation(
        plan,
        done,
        _summary(plan, done),
        failed,
        len(clips),
        len(clips) - len(failed),
        sum(not row.labels for one in named(tested).values() for row in one.rows),
        _settings(encoder, chosen, question, activation, draws, seed) | shots,
    )


def views_of(model: ActionCLIP, views: str | Views | None) -> Views:
    """The views that a model is tested with.

    Args:
        model: whose own settings hold where nothing else is said.
        views: `CLIPSxCROPS`: temporal clips and spatial crops of each.

    Raises:
        ActionCLIPError: for another spelling.
    """
    if isinstance(views, Views):
        return views
    if views is None:
        return Views.of(model.config)
    clips, _, crops = views.lower().partition("x")
    if not clips.isdigit() or not int(clips) or crops not in ("1", "3"):
        raise ActionCLIPError(
            f"The views are {views!r}.",
            expected="CLIPSxCROPS was expected: 1x1, 4x3, 10x3. Crops are 1 or 3.",
        )
    return Views.of(model.config, windows=int(clips), crops=3 if crops == "3" else 1)


@contextmanager
def _testing(model: ActionCLIP):  # noqa: ANN202  a generator of nothing
    """The model in testing mode, and afterwards as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _with_labels(plan: Protocol, parts: list[Part], labels: Sequence[str]) -> list[Part]:
    if not plan.all_classes:
        raise ActionCLIPError(
            f"Labels were given, and {plan.name} decides itself which classes compete.",
            hint="Leave them out.",
        )
    return [against(part, labels) for part in parts]


def _question(
    model: ActionCLIP,
    parts: list[Part],
    templates: str | Path | Sequence[str] | None,
    descriptions: Descriptions | None,
    ensemble: str | None,
    clean_labels: bool | None,
) -> Question:
    """The labels of all parts, encoded once."""
    names = list(dict.fromkeys(name for part in parts for name in part.manifest.classes))
    return ask(
        model,
        names,
        templates=templates,
        descriptions=descriptions,
        ensemble=ensemble,
        clean_labels=clean_labels,
        look_alikes=False,
    )


Key = tuple[str, float | None, float | None]
Clips = dict[Key, tuple[Row, EncodedClip]]


def _answers(sheet: Sheet) -> Iterator[tuple[Key, bool]]:
    """Each clip of a sheet, and whether the model saw it."""
    return zip(sheet.clips, map(bool, sheet.read), strict=True)


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
    sources = [manifest.source(row) for row, manifest in rows.values()]
    kept = None if folder is None else folder / VECTORS
    found = encode_clips(encoder, sources, views, folder=kept, seen=seen)
    if len(found) != len(rows):
        raise RuntimeError(f"{len(rows)} clips were to be encoded and {len(found)} were.")
    return {key: (row, clip) for (key, (row, _)), clip in zip(rows.items(), found, strict=True)}


def _sheet(part: Part, clips: Clips, question: Question, activation: Activation | None) -> Sheet:
    """The scores of a part's labels for its clips."""
    asked = question.only(part.manifest.classes)
    rows, root = part.manifest.rows, part.manifest.root
    found = [clips[_key(row, part.manifest)][1].views for row in rows]
    scores = np.full((len(rows), len(asked.labels)), np.nan, np.float32)
    readable = [place for place, views in enumerate(found) if views is not None]
    for start in range(0, len(readable), SCORED_AT_ONCE):
        places = readable[start : start + SCORED_AT_ONCE]
        some: Any = [found[place] for place in places]
        videos = torch.from_numpy(np.stack(some))
        scores[places] = asked.matrix(videos, activation).numpy()
    used = activation or asked.activation
    return Sheet(part.name, asked.labels, rows, scores, root, used != "none")


def _summary(plan: Protocol, parts: list[TestedPart]) -> dict[str, Summary]:
    """The numbers of all parts together."""
    every = [part.numbers.metrics for part in parts]
    names = [name for name in every[0] if all(name in each for each in every)]
    if plan.combine == "harmonic":
        return _harmonic(parts) | {
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


def _harmonic(parts: list[TestedPart]) -> dict[str, Summary]:
    """The harmonic mean of the parts' top-1, which is low when one of them is."""
    values = [part.numbers.metrics["top1"].value for part in parts]
    mean = harmonic_mean(*values)
    drawn = [part.numbers.draws.get("top1", np.zeros(0)) for part in parts]
    low, high = percentiles(np.array([harmonic_mean(*pair) for pair in zip(*drawn, strict=True)]))
    return {"harmonic_mean": Summary(mean, low=low, high=high)}


def harmonic_mean(first: float, second: float) -> float:
    """The harmonic mean; 0 where both are.

    >>> round(harmonic_mean(0.6, 0.3), 12)
    0.4
    """
    return 2 * first * second / (first + second) if first + second else 0.0


def _settings(
    encoder: VideoEncoder,
    views: Views,
    question: Question,
    activation: Activation | None,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    from actionclip import __version__

    model = encoder.model
    return {
        "actionclip": __version__,
        "backbone": model.config.backbone.name,
        "prompts": asdict(model.config.prompts),
        "views": f"{views.sampling.windows}x{views.preprocess.crops}",
        "sampling": asdict(views.sampling),
        "preprocess": asdict(views.preprocess),
        "precision": str(model.dtype).removeprefix("torch."),
        "device": model.device.type,
        "decoder": encoder.decoder,
        "sentences": len(question.texts) * question.texts.shape[1],
        "ensemble": question.ensemble,
        "scale": question.scale,
        "bias": question.bias,
        "activation": activation or question.activation,
        "draws": draws,
        "seed": seed,
    }
