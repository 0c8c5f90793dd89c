"""What the answer would be without a frame: the measure that holds for every head.

V views of a video, T frames of a window, F their vectors (T; 1 with `joint`), N different frames,
D embedding width.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from actionclip.encoding.questions import Question
from actionclip.inference.explain.sentences import label_vectors
from actionclip.inference.explain.watched import Windows, encode, pooled
from actionclip.model.actionclip import ActionCLIP


@dataclass(frozen=True)
class Lost:
    """What the chosen label loses without a frame; below zero: it gains."""

    score: float
    margin: float
    """Of its lead over the runner-up, in cosines."""


def leave_out_each(
    model: ActionCLIP,
    windows: Windows,
    vectors: Float[Tensor, "V F D"],
    fused: Float[Tensor, "V D"],
    question: Question,
    pair: list[int],
) -> list[Lost | None]:
    """What is lost without each different frame; None where no frame would be left.

    A frame is taken out of all views at once. A head that wants a number of frames (`transf_cls`)
    gets the nearest other frame in its place. With `joint` windows are encoded again.

    Args:
        model: the network.
        windows: what it read.
        vectors: the frames' vectors.
        fused: the views' unit vectors.
        question: the labels.
        pair: the numbers of the chosen label and of the runner-up, where there is one.
    """
    places = windows.places
    changed = _without(model, windows, vectors, places)
    before = _measure(fused, question, pair)
    found: list[Lost | None] = []
    for frame in range(windows.pixels.shape[1]):
        spared = fused[torch.from_numpy(~(places == frame).any(axis=1))]
        rows = torch.cat([spared, *changed.get(frame, [])])
        if not len(rows):
            found.append(None)
            continue
        after = _measure(rows, question, pair)
        found.append(Lost(before.score - after.score, before.margin - after.margin))
    return found


def _measure(views: Float[Tensor, "V D"], question: Question, pair: list[int]) -> Lost:
    """The score of the chosen label, and its lead in cosines."""
    score = float(question.matrix(views[None])[0, pair[0]])
    cosines = (views.float() @ label_vectors(question)[pair].T).mean(dim=0).tolist()
    return Lost(score, cosines[0] - (cosines[1] if len(cosines) > 1 else 0.0))


def _without(
    model: ActionCLIP,
    windows: Windows,
    vectors: Float[Tensor, "V F D"],
    places: Int[np.ndarray, "V T"],
) -> dict[int, list[Float[Tensor, "1 D"]]]:
    """For each frame, the views that hold it as they are without it."""
    shorter: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
    for view, row in enumerate(places):
        for frame in np.unique(row).tolist():
            kept = np.flatnonzero(row != frame)
            if len(kept):
                rest = _rest(model, windows, vectors, view, row, kept)
                shorter[len(rest)].append((frame, rest))
    found: dict[int, list[Tensor]] = defaultdict(list)
    for same_length in shorter.values():  # heads take windows of one length together
        fused = pooled(model, torch.stack([rest for _, rest in same_length]))
        for (frame, _), one in zip(same_length, fused, strict=True):
            found[frame].append(one[None])
    return found


def _rest(
    model: ActionCLIP,
    windows: Windows,
    vectors: Float[Tensor, "V F D"],
    view: int,
    row: Int[np.ndarray, " T"],
    kept: Int[np.ndarray, " K"],
) -> Float[Tensor, "L D"]:
    """The vectors of a view's other frames."""
    if model.pre is not None:
        crop = windows.crops[view % len(windows.crops)]
        return encode(model, windows.numbers(crop, model), row[kept][None])[0]
    if model.config.prompts.post == "transf_cls":
        nearest = np.abs(np.arange(len(row))[:, None] - kept).argmin(axis=1)
        return vectors[view, torch.from_numpy(kept[nearest])]
    return vectors[view, torch.from_numpy(kept)]
