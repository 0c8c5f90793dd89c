"""A frozen teacher: the model as it was keeps the one that learns from drifting away.

FROSTER (Huang et al. 2024) showed how much of its open vocabulary a fine-tuned CLIP keeps when its
features must stay near those of the frozen one. Here the teacher is the start of the run, and what
is compared is what the loss sees: embeddings of unit length, of the same frames and sentences.

B videos, D embedding width.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from actionclip.config import config
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.video.transforms import as_input


@config
class DistillConfig:
    """How much the embeddings must stay near those of the start. Weights of 0 switch it off."""

    video: float = 0.0
    """Weight of the videos' term in the loss."""
    text: float = 0.0
    """Weight of the sentences' term."""
    distance: Literal["cosine", "mse"] = "cosine"
    """`cosine`: 1 - cosine. `mse`: the mean over channels of the squared difference, times D; of
    unit vectors that is twice the former."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if not (0 <= self.video < math.inf and 0 <= self.text < math.inf):
            raise ActionCLIPError(
                f"distill.video is {self.video} and distill.text {self.text}.",
                expected="Weights of 0 or more.",
            )

    @property
    def is_on(self) -> bool:
        """Whether there is a teacher at all."""
        return self.video > 0 or self.text > 0


class Teacher:
    """The start of a run, which never changes.

    Args:
        model: it is frozen, and belongs to the teacher from now on.
        settings: the terms' weights.
    """

    def __init__(self, model: ActionCLIP, settings: DistillConfig) -> None:
        self.model, self.settings = model.eval().requires_grad_(False), settings

    def embed(
        self,
        frames: UInt8[Tensor, "B T 3 R R"] | Float[Tensor, "B T 3 R R"],
        tokens: Int[Tensor, "B L"],
        precision: Literal["fp32", "bf16"],
    ) -> tuple[Float[Tensor, "B D"] | None, Float[Tensor, "B D"] | None]:
        """What it makes of videos and sentences; None where the term's weight is 0."""
        return teach(self.model, self.settings, frames, tokens, precision)


@torch.no_grad()
def teach(
    model: ActionCLIP,
    settings: DistillConfig,
    frames: UInt8[Tensor, "B T 3 R R"] | Float[Tensor, "B T 3 R R"],
    tokens: Int[Tensor, "B L"],
    precision: Literal["fp32", "bf16"],
) -> tuple[Float[Tensor, "B D"] | None, Float[Tensor, "B D"] | None]:
    """What a model that teaches makes of videos and sentences; see `Teacher.embed`."""
    device = model.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        video = None
        if settings.video:
            video = model.encode_video(as_input(frames, model.config.preprocess, device))
        text = model.encode_text(tokens.to(device)) if settings.text else None
    return video, text


def distillation(
    settings: DistillConfig,
    video: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    teacher: tuple[Float[Tensor, "B D"] | None, Float[Tensor, "B D"] | None],
) -> Float[Tensor, ""]:
    """What is added to the loss: the weighted distances to the teacher's embeddings."""
    total = torch.zeros((), device=video.device)
    for weight, ours, theirs in (
        (settings.video, video, teacher[0]),
        (settings.text, text, teacher[1]),
    ):
        if theirs is not None:
            total = total + weight * distance(ours, theirs, settings.distance)
    return total


def distance(
    ours: Float[Tensor, "B D"],
    theirs: Float[Tensor, "B D"],
    kind: Literal["cosine", "mse"] = "cosine",
) -> Float[Tensor, ""]:
    """How far unit vectors are from others, averaged over the rows.

    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    >>> [round(distance(a, b, kind).item(), 4) for kind in ("cosine", "mse")]
    [0.4, 0.8]
    """
    if kind == "cosine":
        return 1 - (ours * theirs).sum(dim=1).mean()
    return (ours - theirs).square().sum(dim=1).mean()
