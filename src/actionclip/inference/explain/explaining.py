"""The answer for one video, taken apart: frames, places, sentences.

V views of a video (windows x crops), T frames of a window, F their vectors (T; 1 with `joint`),
N different frames, D embedding width, C labels (the chosen one and the runner-up).
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionclip.encoding.encoder import Views
from actionclip.encoding.questions import Question
from actionclip.errors import unknown
from actionclip.inference.explain.explanation import Explanation, FrameEvidence, Maps
from actionclip.inference.explain.leaving import Lost, leave_out_each
from actionclip.inference.explain.maps import choose_kind, mixes_frames
from actionclip.inference.explain.sentences import label_vectors, weigh_sentences
from actionclip.inference.explain.watched import (
    Windows,
    draw_maps,
    encode_windows,
    pooled,
    similarity,
)
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import NONE_OF_THESE
from actionclip.video.decode.clip import Clip


def explain_clip(
    model: ActionCLIP,
    clip: Clip,
    question: Question,
    views: Views,
    *,
    label: str | None = None,
    against: str | None = None,
    maps: str = "auto",
    leave_out: bool = True,
) -> Explanation:
    """Why the model answers a question about a clip as it does.

    Args:
        model: the network.
        clip: read with these views.
        question: the labels, encoded by this model.
        views: which frames, and how they are cut.
        label: what is explained; None: the best label.
        against: what it is compared with; None: the best of the others.
        maps: `auto`, `none`, or a kind of `explanation.MEANS`.
        leave_out: whether each frame is left out in turn. Cheap, but for `joint`.

    Raises:
        VideoError: for a clip without frames.
        ActionCLIPError: for a label that was not asked about, or maps that the tower cannot give.
    """
    kind = choose_kind(model, maps)
    windows = Windows.of(clip, views)
    with torch.no_grad():
        vectors = encode_windows(model, windows)
        fused = pooled(model, vectors)
        scores = question.matrix(fused[None])[0]
        first, second = _two(scores, question, label, against)
        pair = [first] if second is None else [first, second]
        labels = label_vectors(question)[pair]
        similarities = _of_frames(model, windows, vectors, labels)
        drops = None
        if leave_out:
            drops = leave_out_each(model, windows, vectors, fused, question, pair)
        drawn = None if kind is None else draw_maps(model, windows, kind, labels)
        answer = question.scores(fused, top_k=None)
        sentences = weigh_sentences(model, question, fused, first)
    names = question.names
    frames = _frames(clip, windows.index, similarities, drops)
    return Explanation(
        source=clip.source.name,
        label=names[first],
        score=float(scores[first]),
        runner_up=None if second is None else names[second],
        runner_up_score=None if second is None else float(scores[second]),
        answer=answer,
        frames=frames,
        sentences=sentences,
        maps=None
        if drawn is None or kind is None
        else Maps(kind, drawn[..., 0], None if second is None else drawn[..., 1]),
        notes=_notes(model, question, answer[0].label, leave_out=leave_out),
        pixels=windows.pixels[windows.centre].permute(0, 2, 3, 1).contiguous().numpy(),
    )


def _two(
    scores: Float[Tensor, " All"], question: Question, label: str | None, against: str | None
) -> tuple[int, int | None]:
    """The numbers of the label that is explained and of the one it is compared with."""
    names = question.names
    for name in (label, against):
        if name is not None and name not in names:
            raise unknown("label that was asked about", name, names)
    order = scores.argsort(descending=True, stable=True).tolist()
    first = order[0] if label is None else names.index(label)
    others = [number for number in order if number != first]
    if against is not None and names.index(against) != first:
        return first, names.index(against)
    return first, others[0] if others else None


def _of_frames(
    model: ActionCLIP,
    windows: Windows,
    vectors: Float[Tensor, "V F D"],
    labels: Float[Tensor, "C D"],
) -> Float[np.ndarray, "N C"] | None:
    """Each different frame's similarity to the labels, the mean over where it stands."""
    if model.pre is not None:
        return None
    found = similarity(vectors, labels).cpu()
    places = torch.as_tensor(windows.places).flatten()
    frames = windows.pixels.shape[1]
    sums = torch.zeros(frames, len(labels)).index_add_(0, places, found.flatten(0, 1))
    return (sums / places.bincount(minlength=frames)[:, None]).numpy()


def _frames(
    clip: Clip,
    index: Int[np.ndarray, "W T"],
    similarities: Float[np.ndarray, "N C"] | None,
    drops: list[Lost | None] | None,
) -> list[FrameEvidence]:
    """What is known of each different frame; they stand in the order shown."""
    assert clip.times is not None
    frames, first = np.unique(index, return_index=True)
    times = clip.times.flatten()[first]
    found = []
    for frame, time in zip(frames.tolist(), times.tolist(), strict=True):
        row = None if similarities is None else similarities[frame].tolist()
        lost = None if drops is None else drops[frame]
        found.append(
            FrameEvidence(
                time=time,
                chosen=None if row is None else row[0],
                runner_up=None if row is None or len(row) < 2 else row[1],
                drop=None if lost is None else lost.score,
                margin_drop=None if lost is None else lost.margin,
            )
        )
    return found


def _notes(
    model: ActionCLIP, question: Question, answer: str, *, leave_out: bool
) -> tuple[str, ...]:
    """What must be said of numbers like these."""
    post = model.config.prompts.post
    notes = []
    if model.pre is not None:
        notes.append(
            "The visual prompt 'joint' sees all frames at once: they have no embeddings of their "
            "own, and only the drop without a frame tells them apart."
        )
    elif mixes_frames(model):
        notes.append(
            f"The post-network prompt {post!r} mixes frames: the similarity of a single frame is a "
            "stand-in, the drop without it is what the answer rests on."
        )
    if not model.sees_frames_alone and model.pre is None:
        notes.append(
            "A frame's embedding also holds what changed from and to its neighbours; leaving it "
            "out leaves their share of it."
        )
    if leave_out and post == "transf_cls":
        notes.append("'transf_cls' has a fixed number of frames: its neighbour takes its place.")
    prompts = question.prompts
    if question.ensemble == "embeddings" and question.texts.shape[0] > 1:
        notes.append(
            "The model averages the templates' embeddings first; a template's share is what it "
            "would give alone."
        )
    if prompts is not None and prompts.templates is None:
        notes.append(
            "The model averages the embeddings of a label's descriptions; a sentence's share is "
            "what it would give alone."
        )
    if answer == NONE_OF_THESE:
        notes.append(f"The answer is {NONE_OF_THESE!r}; explained is the label that came nearest.")
    return tuple(notes)
