"""Labels become vectors once: label by label, so that a changed set costs only what is new in it.

K templates, C labels (those to reject included), D embedding width.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.questions import Question, ask, assemble, labels_of, uncalibrated
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.prompts.labels import check
from actionclip.model.prompts.text import make_prompts
from actionclip.model.scoring import refuse_none
from actionclip.serving.answers import RequestError, wrong
from actionclip.serving.asked import Labelled
from actionclip.serving.engine.batching import Heed
from actionclip.serving.settings import MIB, ServeConfig

MEMORY = 64 * MIB
"""Bytes of text embeddings kept."""
AT_ONCE = 512
"""Sentences that are encoded before it is asked whether anybody still waits for them."""
MOST_COMPARED = 200
"""Labels up to which the answer warns of those that are hard to tell apart."""


@dataclass(frozen=True)
class Wording:
    """Checked labels and how they become sentences."""

    labels: tuple[str, ...]
    reject: tuple[str, ...]
    templates: tuple[str, ...] | None
    ensemble: str | None
    clean: bool | None

    @property
    def style(self) -> tuple[object, ...]:
        """What a label's vectors depend on, besides the label."""
        return self.templates, self.ensemble, self.clean


class Words:
    """Questions for one model, put together from labels that are encoded once.

    Safe to use from several threads.
    """

    def __init__(self, model: ActionCLIP, settings: ServeConfig) -> None:
        self._model, self._settings = model, settings
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()
        self._bytes = 0

    def wording(self, asked: Labelled) -> Wording:
        """What was asked, checked without encoding anything.

        Raises:
            RequestError: 400 for labels that are missing, twice there, or too many.
        """
        config = self._model.config
        try:
            labels = labels_of(self._model, asked.labels)
        except ActionCLIPError as error:
            raise _labels(error.what, "Send labels: words between commas, or a list.") from None
        every = [*labels, *asked.reject]
        if len(every) > self._settings.max_labels:
            raise _labels(
                f"There are {len(every)} labels.",
                f"The service takes {self._settings.max_labels} at most.",
            )
        templates = None if asked.templates is None else tuple(asked.templates)
        count = len(config.templates if templates is None else templates)
        if count * len(every) > self._settings.max_sentences:
            raise _labels(
                f"{len(every)} labels with {count} templates are {count * len(every)} sentences.",
                f"The service takes {self._settings.max_sentences} at most: fewer labels or "
                "templates.",
            )
        clean = config.clean_labels if asked.clean_labels is None else asked.clean_labels
        try:
            check(every, clean_labels=clean).raise_for_errors()
            if asked.reject:
                refuse_none(labels)
        except ActionCLIPError as error:
            raise wrong(error, "labels") from None
        return Wording(
            tuple(labels), tuple(asked.reject), templates, asked.ensemble, asked.clean_labels
        )

    def missing(self, wording: Wording) -> list[str]:
        """The labels that have to be encoded first."""
        with self._lock:
            every = [*wording.labels, *wording.reject]
            return [label for label in every if (label, *wording.style) not in self._known]

    def question(
        self, wording: Wording, threshold: float | None = None, heed: Heed = lambda: None
    ) -> Question:
        """The question, ready to be scored; encodes what is missing.

        Args:
            wording: the labels and how they become sentences.
            threshold: as for `ask`.
            heed: called before some of the sentences are encoded, and then before some more.

        Raises:
            RequestError: 400 for a label or a template that cannot be used.
        """
        every = [*wording.labels, *wording.reject]
        for vectors, some in self._encode(self.missing(wording), wording, heed):
            self._learn(some, vectors, wording)
        with self._lock:
            found = [self._known.get((label, *wording.style)) for label in every]
        texts = [vectors for vectors in found if vectors is not None]
        whole = len(texts) == len(every)  # there may be more labels than fit in the cache
        if whole:
            vectors = torch.stack(texts, dim=1)
        else:
            parts = self._encode(every, wording, heed)
            vectors = torch.cat([part for part, _ in parts], dim=1)
        config = self._model.config
        clean = config.clean_labels if wording.clean is None else wording.clean
        prompts = make_prompts(every, wording.templates or config.templates, clean_labels=clean)
        count, how = len(wording.labels), wording.ensemble
        try:
            return assemble(self._model, prompts, count, vectors, how, threshold=threshold)
        except ActionCLIPError as error:
            raise wrong(error, "labels") from None

    def warnings(self, wording: Wording, question: Question) -> list[str]:
        """Sentences about labels that are hard to tell apart, or alone."""
        every = [*wording.labels, *wording.reject]
        if len(every) > MOST_COMPARED:
            return []
        clean = self._model.config.clean_labels if wording.clean is None else wording.clean
        complaint = uncalibrated(self._model, question)
        alike = check(every, clean_labels=clean, embeddings=question.texts).warnings
        return [*alike, *([] if complaint is None else [complaint])]

    def _learn(
        self, labels: Sequence[str], texts: Float[Tensor, "K C D"], wording: Wording
    ) -> None:
        with self._lock:
            for label, vectors in zip(labels, texts.unbind(dim=1), strict=True):
                self._keep((label, *wording.style), vectors.clone())
            while self._bytes > MEMORY:
                self._bytes -= self._known.popitem(last=False)[1].nbytes

    def _keep(self, key: tuple[object, ...], vectors: Float[Tensor, "K D"]) -> None:
        if key not in self._known:
            self._known[key] = vectors
            self._bytes += vectors.nbytes

    def _encode(
        self, labels: Sequence[str], wording: Wording, heed: Heed
    ) -> Iterator[tuple[Float[Tensor, "K C D"], Sequence[str]]]:
        """The vectors of some labels, some more, and so on; what cannot be used is said first."""
        config = self._model.config
        templates = config.templates if wording.templates is None else wording.templates
        clean = config.clean_labels if wording.clean is None else wording.clean
        step = max(1, AT_ONCE // max(1, len(templates)))
        try:
            if len(labels) > step:
                tokenize = self._model.tokenize
                check(
                    labels, clean_labels=clean, tokenize=tokenize, templates=templates
                ).raise_for_errors()
            for start in range(0, len(labels), step):
                heed()
                some = labels[start : start + step]
                question = ask(
                    self._model,
                    list(some),
                    templates=wording.templates,
                    ensemble=wording.ensemble,
                    clean_labels=wording.clean,
                    look_alikes=False,
                    calibrated=False,
                )
                yield question.texts, some
        except ActionCLIPError as error:
            raise wrong(error, "labels") from None


def _labels(message: str, hint: str) -> RequestError:
    return RequestError(400, "labels", message, hint=hint)
