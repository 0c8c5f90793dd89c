"""A question to a model: labels as sentences, encoded once, and how scores come from them.

V views of a video, D embedding width, K templates, C labels, those to reject included.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from actionclip.data import label_sets
from actionclip.encoding.words import resolve_labels
from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import CalibrationConfig
from actionclip.model.prompts.label_files import read_labels
from actionclip.model.prompts.labels import LabelReport, check
from actionclip.model.prompts.text import Prompts, make_prompts, read_descriptions, read_templates
from actionclip.model.scoring import (
    NONE_OF_THESE,
    Activation,
    Ensemble,
    LabelSet,
    Score,
    arrange,
    check_answer,
    fold_rejected,
    in_set,
    rank,
    refuse_none,
    score,
)
from actionclip.model.text_cache import encode_cached

MEANING = "the threshold is a cosine"
"""What a calibration's numbers are. It goes into the key: one whose numbers are something else (the
threshold was a score once) fits no labels, and is not obeyed."""

Descriptions = str | Path | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Question:
    """Labels encoded by one model; belongs to that model and its precision."""

    labels: tuple[str, ...]
    """As the user spelt them, without those to reject."""
    texts: Float[Tensor, "K C D"]
    scale: float
    bias: float
    ensemble: Ensemble
    activation: Activation
    threshold: float | None
    """Labels that score below it are not reported; 0: nothing is rejected."""
    prompts: Prompts | None = None
    """The sentences that were encoded."""
    calibration: CalibrationConfig | None = None
    """What is known of these very labels; its temperature is already in scale and bias."""

    @property
    def names(self) -> tuple[str, ...]:
        """The labels and then those to reject: what the columns of `matrix` are."""
        return self.labels if self.prompts is None else self.prompts.labels

    @property
    def may_reject(self) -> bool:
        """Whether *none of these* may be the answer."""
        known = self.calibration
        calibrated = known is not None and known.threshold is not None
        return len(self.names) > len(self.labels) or bool(self.threshold) or calibrated

    def matrix(self, videos: Float[Tensor, "B V D"]) -> Float[Tensor, "B C"]:
        """How well each label fits each of B videos, from the unit vectors of their views."""
        return score(
            videos,
            self.texts,
            scale=self.scale,
            bias=self.bias,
            ensemble=self.ensemble,
            activation=self.activation,
        )

    def nearness(self, videos: Float[Tensor, "B V D"]) -> Float[Tensor, " B"]:
        """The cosine of each video to the label that is nearest, the mean over views and templates.

        Unlike a score it does not depend on what else is asked: it is low where nothing fits.
        """
        means = self.texts.float().mean(dim=0)
        if self.ensemble == "embeddings":
            means = F.normalize(means, dim=-1)
        return torch.einsum("bvd,cd->bc", videos.float(), means).amax(dim=1) / videos.shape[1]

    def rejects(self, videos: Float[Tensor, "B V D"]) -> Bool[Tensor, " B"]:
        """Which videos are answered with *none of these*, since no label is near enough."""
        known = self.calibration
        if known is None or known.threshold is None:
            return torch.zeros(len(videos), dtype=torch.bool)
        return self.nearness(videos) < known.threshold

    def only(self, labels: Sequence[str]) -> "Question":
        """The same about some of the labels, without those to reject."""
        places = [self.labels.index(label) for label in labels]
        same = len(places) == len(self.names)
        return replace(
            self,
            labels=tuple(labels),
            texts=self.texts[:, places],
            prompts=None,
            calibration=self.calibration if same else None,
        )

    def scores(self, views: Float[Tensor, "V D"], *, top_k: int | None = 5) -> list[Score]:
        """The answer for one video from the unit vectors of its views, best first."""
        if self.rejects(views[None])[0]:
            return [Score(NONE_OF_THESE, 1.0)]  # a decision, not a share of the scores
        folded = fold_rejected(self.matrix(views[None]), len(self.labels), self.activation)
        return rank(folded[0], self.labels, top_k=top_k, threshold=self.threshold or None)

    def label_set(self, views: Float[Tensor, "V D"]) -> LabelSet | None:
        """The labels of which one is right in a stated share of cases, where that is known."""
        known = self.calibration
        if known is None or known.coverage is None or known.floor is None:
            return None
        scores = self.matrix(views[None])
        inside = in_set(scores, known.floor)[0]
        order = scores[0].argsort(descending=True, stable=True).tolist()
        return LabelSet(tuple(self.labels[n] for n in order if inside[n]), known.coverage)


def ask(
    model: ActionCLIP,
    labels: str | Path | Sequence[str] | None = None,
    *,
    templates: str | Path | Sequence[str] | None = None,
    descriptions: Descriptions | None = None,
    ensemble: str | None = None,
    reject: str | Sequence[str] = (),
    threshold: float | None = None,
    clean_labels: bool | None = None,
    look_alikes: bool = True,
    calibrated: bool = True,
) -> Question:
    """Encode labels for a model; what is not given is as the model folder says.

    Args:
        model: whose text tower reads the sentences.
        labels: the words to choose from; or text: words between commas, a file, the name of a
            built-in set. None: the labels the model was trained on.
        templates: sentences with `{}` for the label; or a named set or a file of them.
        descriptions: whole sentences for each label, `{label: [sentences]}` or a JSON or CSV file.
        ensemble: `scores` or `embeddings`; see `ModelConfig`.
        reject: competing labels, reported together as *none of these*.
        threshold: labels that score below it are not reported; takes the place of the calibrated
            threshold (0: nothing is rejected).
        clean_labels: whether `ApplyEyeMakeup` becomes words first; `brush_hair` does in any case.
        look_alikes: whether to warn of labels that the text tower can hardly tell apart.
        calibrated: whether the model's calibration is used, where it has one.

    Raises:
        ActionCLIPError: for labels that are missing, twice there, or too long; for one called *none
            of these* where that may be the answer; for an option that is not one.
    """
    check_answer(threshold=threshold)
    config = model.config
    names = labels_of(model, labels)
    rejected = read_labels(reject) if reject else []
    chosen = _ensemble(ensemble) if ensemble is not None else config.ensemble
    clean = config.clean_labels if clean_labels is None else clean_labels
    sentences = config.templates if templates is None else read_templates(templates)
    prompts = make_prompts(
        [*names, *rejected],
        sentences,
        descriptions=None if descriptions is None else read_descriptions(descriptions),
        clean_labels=clean,
    )
    for complaint in prompts.complaints:
        warnings.warn(complaint, stacklevel=3)
    check(
        [*names, *rejected], clean_labels=clean, tokenize=model.tokenize, templates=sentences
    ).raise_for_errors()
    texts = arrange(encode_cached(model, prompts.sentences), prompts, chosen)
    if look_alikes and not _is_built_in(labels):
        _warn(check([*names, *rejected], clean_labels=clean, embeddings=texts))
    question = assemble(
        model, prompts, len(names), texts, chosen, threshold=threshold, calibrated=calibrated
    )
    if calibrated and (complaint := uncalibrated(model, question)):
        warnings.warn(complaint, stacklevel=3)
    return question


def assemble(
    model: ActionCLIP,
    prompts: Prompts,
    labels: int,
    texts: Float[Tensor, "K C D"],
    ensemble: str | None,
    *,
    threshold: float | None = None,
    calibrated: bool = True,
) -> Question:
    """What was encoded, with what the model and its calibration say about scores.

    Args:
        model: that encoded it.
        prompts: the sentences, of the labels and then of those to reject.
        labels: how many are not to reject.
        texts: the sentences' unit vectors.
        ensemble: as for `ask`, as are the others.
        threshold: see there.
        calibrated: see there.

    Raises:
        ActionCLIPError: for an ensemble that is none; for a label that is called *none of these*
            where that may be the answer.
    """
    scale, bias = scale_and_bias(model)
    question = Question(
        labels=prompts.labels[:labels],
        texts=texts,
        scale=scale,
        bias=bias,
        ensemble=model.config.ensemble if ensemble is None else _ensemble(ensemble),
        activation=model.config.activation,
        threshold=threshold,
        prompts=prompts,
    )
    known = model.config.calibration if calibrated else None
    question = _obeying(known, question, threshold is None)
    if question.may_reject:
        refuse_none(question.labels)
    return question


def uncalibrated(model: ActionCLIP, question: Question) -> str | None:
    """A sentence for labels that the model's threshold and label sets were not fitted on."""
    known = model.config.calibration
    if known is None or question.calibration is not None:
        return None
    if known.threshold is None and known.floor is None:
        return None
    return (
        f"This model was calibrated for {known.labels} labels, and these labels or sentences "
        "are others (or an older version calibrated it): its temperature is used, its threshold "
        "and label sets are not. `actionclip calibrate` fits them to your labels."
    )


def _obeying(known: CalibrationConfig | None, question: Question, rejects: bool) -> Question:
    """The question with what is known of its scores.

    Threshold and label sets hold for the labels they were fitted on; the temperature is used for
    others too.
    """
    if known is None:
        return question
    cooled = replace(
        question,
        scale=question.scale / known.temperature,
        bias=question.bias / known.temperature,
    )
    if key_of(question) == known.key:
        return replace(cooled, calibration=known if rejects else replace(known, threshold=None))
    return cooled


def key_of(question: Question) -> str:
    """A hash of what a calibration is for: the labels with their sentences, in any order.

    Templates are scored one by one, descriptions by their mean, so which of them the sentences are
    is part of it.
    """
    assert question.prompts is not None
    prompts = question.prompts
    of_label: list[list[str]] = [[] for _ in prompts.labels]
    for owner, sentence in zip(prompts.owners, prompts.sentences, strict=True):
        of_label[owner].append(sentence)
    told = sorted(sorted(sentences) for sentences in of_label)
    rejected = len(prompts.labels) - len(question.labels)
    how = [question.ensemble, question.activation, prompts.templates is None, rejected]
    text = json.dumps([MEANING, told, *how])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def scale_and_bias(model: ActionCLIP) -> tuple[float, float]:
    """What the cosines are multiplied by, and what is added."""
    scale, bias = model.config.scale, model.logit_bias
    learned = float(model.logit_scale.detach().exp()) if scale is None else scale
    return learned, 0.0 if bias is None else float(bias.detach())


def labels_of(model: ActionCLIP, labels: str | Path | Sequence[str] | None) -> list[str]:
    """The labels a user means, or those the model was trained on.

    Raises:
        ActionCLIPError: when there are none.
    """
    if labels is not None:
        return resolve_labels(labels)
    if not model.config.labels:
        raise no_labels()
    return list(model.config.labels)


def no_labels() -> ActionCLIPError:
    """The error where neither the user nor the model has any."""
    return ActionCLIPError(
        "No labels were given, and this model was not trained on a fixed set.",
        expected="A recogniser chooses among labels: give the words to choose from.",
        hint='For example: --labels "washing dishes, juggling balls", or --labels kinetics400.',
    )


def read_words(
    labels: str | Path | Sequence[str] | None,
    *,
    templates: str | Path | Sequence[str] | None = None,
    descriptions: Descriptions | None = None,
    ensemble: str | None = None,
    reject: str | Sequence[str] = (),
) -> dict[str, Any]:
    """What a question is made of, with its files read: options for `ask`, which reads none again.

    No model is needed, so words that cannot be used are refused before one is loaded.

    Args:
        labels: as for `ask`, as are the others. The name of a built-in set stays as it is: it means
            more than its labels.
        templates: see there.
        descriptions: see there.
        ensemble: see there.
        reject: see there.

    Raises:
        ActionCLIPError: for words or files we cannot use.
    """
    if labels is not None:
        names = resolve_labels(labels)
        refuse_none(names if reject else [])
        labels = labels if _is_built_in(labels) else names
    return {
        "labels": labels,
        "templates": None if templates is None else read_templates(templates),
        "descriptions": None if descriptions is None else read_descriptions(descriptions),
        "ensemble": None if ensemble is None else _ensemble(ensemble),
        "reject": read_labels(reject) if reject else [],
    }


def check_labels(model: ActionCLIP, labels: Sequence[str]) -> LabelReport:
    """Everything we can tell about a set of labels: duplicates, too long, hard to tell apart."""
    config = model.config
    clean, templates = config.clean_labels, config.templates
    report = check(labels, clean_labels=clean, tokenize=model.tokenize, templates=templates)
    if report.errors:
        return report
    prompts = make_prompts(labels, templates, clean_labels=clean)
    texts = arrange(encode_cached(model, prompts.sentences), prompts, "scores")
    return check(labels, clean_labels=clean, embeddings=texts)


def _is_built_in(labels: object) -> bool:
    return labels is None or (isinstance(labels, str) and labels.strip() in label_sets.names())


def _ensemble(name: str) -> Ensemble:
    if name == "scores" or name == "embeddings":
        return name
    raise unknown("ensemble", name, ["scores", "embeddings"])


def _warn(report: LabelReport) -> None:
    for line in report.warnings:
        warnings.warn(line, stacklevel=4)
