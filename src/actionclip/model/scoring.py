"""From embeddings to scores: how alike a video is to the sentences of each label.

B videos, V views of a video, K templates, C labels, N sentences, D embedding width. All embeddings
have unit length, but for the means that `arrange` makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.text import Prompts

Ensemble: TypeAlias = Literal["scores", "embeddings"]
Activation: TypeAlias = Literal["softmax", "sigmoid", "none"]

NONE_OF_THESE = "none of these"
"""What is reported for the labels to reject, and when no label reaches the threshold."""


LOGITS_AT_ONCE = 1 << 24
"""Numbers that `score` has in memory at a time: videos x views x templates x labels."""


@dataclass(frozen=True)
class Score:
    """A label and how well it fits a video."""

    label: str
    score: float
    """Between 0 and 1."""


@dataclass(frozen=True)
class LabelSet:
    """Labels of which one is right in a stated share of cases."""

    labels: tuple[str, ...]
    """Best first; at least one."""
    coverage: float
    """In that share of clips like those it was calibrated on, the set holds the right label."""

    def to_dict(self) -> dict[str, object]:
        """The stable keys of `--json`."""
        return {"coverage": self.coverage, "labels": list(self.labels)}


def in_set(scores: Float[Tensor, "B C"], floor: float) -> Bool[Tensor, "B C"]:
    """Which labels reach the floor; the best one is always in."""
    best = F.one_hot(scores.argmax(dim=1), scores.shape[1]).bool()
    return best | (scores >= floor)


def arrange(
    embeddings: Float[Tensor, "N D"], prompts: Prompts, ensemble: Ensemble
) -> Float[Tensor, "K C D"]:
    """The text embeddings of a set of labels, as `score` takes them.

    With templates, sentence k*C + c goes to [k, c], and `score` does the ensemble. Labels with
    sentences of their own, whose numbers differ, cannot be scored sentence by sentence; each gets
    the mean of its sentences' embeddings and K is 1. For the ensemble "scores" the mean is left as
    long as it is: its product with the video is the mean of the sentences' cosines. For
    "embeddings" it is made unit length again, as for templates.
    """
    if prompts.templates is not None:
        return embeddings.unflatten(0, (prompts.templates, len(prompts.labels)))
    owners = torch.tensor(prompts.owners, device=embeddings.device)
    sums = torch.zeros(
        len(prompts.labels), embeddings.shape[1], dtype=torch.float32, device=embeddings.device
    ).index_add_(0, owners, embeddings.float())
    means = sums / owners.bincount(minlength=len(prompts.labels))[:, None]
    return (F.normalize(means, dim=-1) if ensemble == "embeddings" else means)[None]


def score(
    videos: Float[Tensor, "B D"] | Float[Tensor, "B V D"],
    texts: Float[Tensor, "K C D"],
    *,
    scale: float,
    bias: float = 0.0,
    ensemble: Ensemble = "scores",
    activation: Activation = "softmax",
) -> Float[Tensor, "B C"]:
    """How well each label fits each video, between 0 and 1 unless `activation` is "none".

    Ensemble "scores" is the authors' way: logits for each template, softmax over the labels, then
    the mean over templates. "embeddings" is CLIP's: one embedding for each label, the mean over
    templates made unit length. The scores of several views are averaged.

    Args:
        videos: unit vectors, one for each video or one for each view.
        texts: see `arrange`.
        scale: what multiplies the cosines: exp(logit_scale), or the authors' 100.
        bias: what is added to the logits; only `sigmoid` notices.
        ensemble: where to average over templates.
        activation: "softmax": the scores of a video sum to one. "sigmoid": each label for itself.
            "none": the mean of the logits as they are, for rankings.
    """
    views = videos[:, None] if videos.ndim == 2 else videos
    views, texts = views.float(), texts.float()
    if ensemble == "embeddings" and len(texts) > 1:
        texts = F.normalize(texts.mean(dim=0, keepdim=True), dim=-1)
    at_once = max(1, LOGITS_AT_ONCE // max(1, views.shape[1] * texts.shape[0] * texts.shape[1]))
    found = []
    for some in views.split(at_once):
        logits = scale * torch.einsum("bvd,kcd->bvkc", some, texts) + bias
        if activation != "none":
            logits = logits.softmax(dim=-1) if activation == "softmax" else logits.sigmoid()
        found.append(logits.mean(dim=(1, 2)))
    return torch.cat(found)


def fold_rejected(
    scores: Float[Tensor, "B All"], labels: int, activation: Activation
) -> Float[Tensor, "B C1"]:
    """Replace the columns of the labels to reject, which come last, by one for all of them.

    Under softmax that is the sum of their scores, the probability that it is one of them; under
    sigmoid, where scores do not compete, the highest.

    Args:
        scores: for the labels and then the labels to reject.
        labels: how many are labels.
        activation: as for `score`.
    """
    rejected = scores[:, labels:]
    if rejected.shape[1] == 0:
        return scores
    whole = rejected.sum(dim=1) if activation == "softmax" else rejected.amax(dim=1)
    return torch.cat([scores[:, :labels], whole[:, None]], dim=1)


def check_answer(*, top_k: int | None = None, threshold: float | None = None) -> None:
    """Refuse what cannot decide which entries are reported; see `rank`.

    Raises:
        ActionCLIPError: for a top_k below 1 or a threshold outside 0 to 1.
    """
    if top_k is not None and (not isinstance(top_k, Integral) or top_k < 1):
        raise ActionCLIPError(
            f"top_k is {top_k}.", expected="It must be a whole number, 1 or more, or none."
        )
    if threshold is not None and not 0 <= threshold <= 1:
        raise ActionCLIPError(f"threshold is {threshold}.", expected="It must be from 0 to 1.")


def refuse_none(labels: Sequence[str]) -> None:
    """Refuse a label that is called as the answer where none of the labels fits.

    Raises:
        ActionCLIPError: naming it.
    """
    for label in labels:
        if " ".join(label.split()).casefold() == NONE_OF_THESE:
            raise ActionCLIPError(
                f"A label is called {label!r}, and so is the answer where none of them fits.",
                expected=f"With labels to reject or a threshold, {NONE_OF_THESE!r} is no label.",
                hint="Take it out: it is among the answers by itself.",
            )


def rank(
    scores: Float[Tensor, " C1"],
    labels: Sequence[str],
    *,
    top_k: int | None = 5,
    threshold: float | None = None,
) -> list[Score]:
    """The answer for one video: best first, equal scores in the order of the labels.

    Args:
        scores: one for each label; one more if labels to reject were folded into a last column,
            which is called `none of these` and ranked like a label.
        labels: as the user spelt them.
        top_k: how many entries to report; None for all.
        threshold: entries below it are not reported. If none is left, the answer is `none of these`
            alone, with the score of that column, or without one 1 - the best score.

    Raises:
        ActionCLIPError: for a top_k below 1 or a threshold outside 0 to 1.
    """
    check_answer(top_k=top_k, threshold=threshold)
    values = scores.tolist()
    has_rejected = len(values) == len(labels) + 1
    names = [*labels, NONE_OF_THESE] if has_rejected else list(labels)
    found = [Score(name, value) for name, value in zip(names, values, strict=True)]
    best = sorted(found, key=lambda entry: -entry.score)
    kept = [entry for entry in best if threshold is None or entry.score >= threshold]
    if not kept:
        return [Score(NONE_OF_THESE, values[-1] if has_rejected else 1 - best[0].score)]
    return kept[:top_k]
