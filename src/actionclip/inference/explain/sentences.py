"""Which sentence spoke for a label.

V views of a video, K templates, C labels, S sentences of one label, D embedding width.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.questions import Question
from actionclip.inference.explain.explanation import SentenceEvidence
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.text_cache import encode_cached


def label_vectors(question: Question) -> Float[Tensor, "C D"]:
    """One direction for each label: a frame's product with it is its similarity to the label.

    The mean over templates of their embeddings; of unit length where the model makes it so.
    """
    means = question.texts.float().mean(dim=0)
    return F.normalize(means, dim=-1) if question.ensemble == "embeddings" else means


def weigh_sentences(
    model: ActionCLIP, question: Question, views: Float[Tensor, "V D"], label: int
) -> list[SentenceEvidence]:
    """Each sentence of a label, the most telling first.

    A sentence's score is what the label would get if it stood alone: for templates the score under
    that template, of which the answer is the mean; for a label with sentences of its own, its score
    when the other labels stay as they are. Shares are parts of the sum of these scores.

    Args:
        model: whose text tower reads sentences of a description.
        question: the labels.
        views: unit vectors of the video.
        label: its number.
    """
    prompts = question.prompts
    if prompts is None:
        return []
    places = [place for place, owner in enumerate(prompts.owners) if owner == label]
    sentences = [prompts.sentences[place] for place in places]
    if prompts.templates is not None:
        vectors = question.texts[:, label]
        scores = [_alone(question, views, texts[None], label) for texts in question.texts]
    else:
        vectors = encode_cached(model, tuple(sentences)).to(question.texts.device)
        scores = []
        for vector in vectors:
            texts = question.texts.clone()
            texts[0, label] = vector
            scores.append(_alone(question, views, texts, label))
    similarities = (views.float() @ vectors.float().T).mean(dim=0).tolist()
    shares = _shares(torch.tensor(scores, dtype=torch.float64))
    rows = zip(sentences, similarities, scores, shares, strict=True)
    return sorted((SentenceEvidence(*row) for row in rows), key=lambda each: -each.share)


def _alone(
    question: Question, views: Float[Tensor, "V D"], texts: Float[Tensor, "1 C D"], label: int
) -> float:
    """The label's score with one sentence for each label."""
    return float(replace(question, texts=texts).matrix(views[None])[0, label])


def _shares(scores: Float[Tensor, " S"]) -> list[float]:
    """Parts of the sum; equal ones where all scores are zero."""
    total = scores.sum()
    if total <= 0:
        return [1 / len(scores)] * len(scores)
    return (scores / total).tolist()
