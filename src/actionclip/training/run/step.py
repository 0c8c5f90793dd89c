"""One step: from a batch to new weights, or to none when a number is not finite."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from actionclip.model.actionclip import ActionCLIP
from actionclip.training.adapt.teacher import Teacher, distillation
from actionclip.training.loss import contrastive_loss, info_nce
from actionclip.training.ranks import average_gradients, current_ranks, gather
from actionclip.training.run.batches import Batch
from actionclip.training.settings import TrainConfig
from actionclip.training.spread.norms import Norms, running_statistics
from actionclip.training.spread.on_cpu import quick_on_cpu
from actionclip.training.spread.sharded import (
    clip_norm,
    is_shared,
    like,
    local,
    set_value,
    total_norm,
)
from actionclip.video.transforms import as_input

Taught: TypeAlias = tuple[Tensor | None, Tensor | None]
"""A teacher's embeddings of videos and sentences, where they count."""


def sow(seed: int, step: int, rank: int, part: int = 0) -> None:
    """Start torch's generators anew for a part of a step.

    What dropout draws then depends on nothing that happened before, so a run that resumes has no
    state of a generator to restore, and a part that is encoded twice gets the same draws.
    """
    number = np.random.SeedSequence([seed, step, rank, part]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(number))


def encode(
    model: ActionCLIP,
    frames: UInt8[Tensor, "B T 3 R R"] | Float[Tensor, "B T 3 R R"],
    tokens: Int[Tensor, "B L"],
    precision: Literal["fp32", "bf16"],
) -> tuple[Tensor, Tensor]:
    """Embeddings of the videos and of the sentences, of unit length and in float32."""
    device = model.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        video = model.encode_video(as_input(frames, model.config.preprocess, device))
        text = model.encode_text(tokens.to(device, non_blocking=True))
    return video, text


def batch_loss(
    model: ActionCLIP,
    video: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    batch: Batch,
    settings: TrainConfig,
    taught: Taught = (None, None),
) -> Float[Tensor, ""]:
    """The loss of the whole batch, the other ranks' share included.

    Args:
        model: for its scale.
        video: our share's embeddings.
        text: the same of their sentences.
        batch: our share.
        settings: which loss.
        taught: what the teacher makes of our share.
    """
    video, text = gather(video), gather(text)
    loss = _contrast(model, video, text, batch, settings)
    if settings.distill.is_on:
        of_video, of_text = (None if rows is None else gather(rows) for rows in taught)
        loss = loss + distillation(settings.distill, video, text, (of_video, of_text))
    return loss


def _contrast(
    model: ActionCLIP,
    video: Float[Tensor, "B D"],
    text: Float[Tensor, "B D"],
    batch: Batch,
    settings: TrainConfig,
) -> Float[Tensor, ""]:
    scale = model.logit_scale.float().exp()
    if settings.loss == "info_nce":
        return info_nce(video, text, scale)
    labels = gather(batch.labels.to(video.device))
    named = gather(batch.text_labels.to(video.device))
    captions = bool((named < 0).any())
    return contrastive_loss(
        video,
        text,
        labels,
        scale,
        text_labels=None if captions else named,
        sharpness=settings.sharpness,
    )


class Abandoned(Exception):
    """A step was given up before it changed a weight."""


def find_gradients(
    model: ActionCLIP,
    batch: Batch,
    settings: TrainConfig,
    step: int,
    may_leave: Callable[[], bool] = lambda: False,
    teacher: Teacher | None = None,
    norms: Norms | None = None,
) -> Float[Tensor, ""]:
    """Forward and backward; gradients are those of the whole batch on every rank.

    Batch norms normalise each process's share for itself, and each part. What they learn from it
    is the mean over all of them, once, however often a part is encoded.

    Args:
        model: its gradients must be empty.
        batch: our share of the batch.
        settings: loss, precision, parts.
        step: for the draws of dropout.
        may_leave: asked before each part of a batch in parts.
        teacher: for the settings that ask for one.
        norms: the model's batch norms, for who wants to undo what they learn.

    Returns:
        The loss.

    Raises:
        Abandoned: when `may_leave` said so; there are no gradients then.
    """
    norms = norms or Norms(model)
    with quick_on_cpu(model, wanted=not settings.compile):
        if settings.accumulate == 1:
            sow(settings.seed, step, current_ranks().rank)
            video, text = encode(model, batch.frames, batch.tokens, settings.precision)
            norms.note()
            loss = batch_loss(model, video, text, batch, settings, _teach(teacher, batch, settings))
            loss.backward()
        else:
            loss = _in_parts(model, batch, settings, step, may_leave, teacher, norms)
    average_gradients(model.parameters())
    norms.learn()
    return loss.detach()


def _teach(teacher: Teacher | None, batch: Batch, settings: TrainConfig) -> Taught:
    if teacher is None:
        return None, None
    return teacher.embed(batch.frames, batch.tokens, settings.precision)


def _in_parts(
    model: ActionCLIP,
    batch: Batch,
    settings: TrainConfig,
    step: int,
    may_leave: Callable[[], bool],
    teacher: Teacher | None,
    norms: Norms,
) -> Float[Tensor, ""]:
    """Every part is first encoded without gradients; the loss of all embeddings says how each
    should change; then each part is encoded again and passes that on to the weights (Gao et al.
    2021, "Scaling deep contrastive learning batch size"). The result is the gradient of the
    undivided batch, which adding up the parts' own losses is not: fewer texts would be compared.
    Batch norms normalise each part for itself, both times alike.
    """
    size = len(batch.frames) // settings.accumulate
    parts = [batch.rows(i, i + size) for i in range(0, len(batch.frames), size)]

    def encode_part(place: int) -> tuple[Tensor, Tensor]:
        if may_leave():
            model.zero_grad(set_to_none=True)
            norms.restore()
            raise Abandoned
        sow(settings.seed, step, current_ranks().rank, place)
        part = parts[place]
        return encode(model, part.frames, part.tokens, settings.precision)

    pairs = []
    for place in range(len(parts)):
        with torch.no_grad():
            pairs.append(encode_part(place))
        norms.note()
    video, text = (torch.cat(rows).requires_grad_() for rows in zip(*pairs, strict=True))
    lessons = [_teach(teacher, part, settings) for part in parts]
    of_video, of_text = (
        None if rows[0] is None else torch.cat([row for row in rows if row is not None])
        for rows in zip(*lessons, strict=True)
    )
    loss = batch_loss(model, video, text, batch, settings, (of_video, of_text))
    loss.backward()
    for place in range(len(parts)):
        rows = slice(place * size, (place + 1) * size)
        passed = [
            (new, old.grad[rows])
            for new, old in zip(encode_part(place), (video, text), strict=True)
            if new.requires_grad and old.grad is not None
        ]
        torch.autograd.backward([new for new, _ in passed], [grad for _, grad in passed])
    return loss


@torch.no_grad()
def loss_again(
    model: ActionCLIP, batch: Batch, settings: TrainConfig, step: int
) -> tuple[float, float]:
    """The loss of a batch with the weights as they are now, without a teacher's part in it.

    Nothing learns; every rank has to take part.

    Returns:
        The loss, and what it would be if all texts were equally near to all videos.
    """
    norms = Norms(model)
    size = len(batch.frames) // settings.accumulate
    pairs = []
    with quick_on_cpu(model, wanted=not settings.compile):
        for place, start in enumerate(range(0, len(batch.frames), size)):
            sow(settings.seed, step, current_ranks().rank, place)
            part = batch.rows(start, start + size)
            pairs.append(encode(model, part.frames, part.tokens, settings.precision))
            norms.restore()
        video, text = (torch.cat(rows) for rows in zip(*pairs, strict=True))
    video, text = gather(video), gather(text)
    nowhere = torch.zeros_like(video)
    loss, chance = (_contrast(model, v, text, batch, settings) for v in (video, nowhere))
    return loss.item(), chance.item()


def apply_gradients(
    model: ActionCLIP,
    optimizer: torch.optim.Optimizer,
    settings: TrainConfig,
    loss: Float[Tensor, ""],
) -> float | None:
    """Change the weights; returns the length of the gradient.

    None, and no weight is changed, when the loss or a gradient is NaN or infinite.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = total_norm(gradients)
    finite = bool(torch.isfinite(norm) & torch.isfinite(loss))
    if finite:
        if settings.clip_norm is not None:
            clip_norm(parameters, settings.clip_norm, norm)
        optimizer.step()
        if settings.largest_scale is not None and model.logit_scale.requires_grad:
            with torch.no_grad():
                model.logit_scale.clamp_(max=torch.tensor(settings.largest_scale).log().item())
    optimizer.zero_grad(set_to_none=True)
    return norm.item() if finite else None


class Average:
    """Weights averaged over time (EMA): each step moves them a little towards the newest.

    With them goes what batch norms remember: the newest statistics are those of other weights.
    """

    def __init__(self, model: ActionCLIP, momentum: float) -> None:
        self.momentum = momentum
        learns = {name for name, p in model.named_parameters() if p.requires_grad}
        self.values = {
            name: tensor.detach().clone()
            for name, tensor in _tensors(model).items()
            if name in learns or not isinstance(tensor, nn.Parameter)
        }

    @torch.no_grad()
    def update(self, model: ActionCLIP) -> None:
        """Take in the newest weights."""
        newest = _tensors(model)
        for name, value in self.values.items():
            local(value).lerp_(local(newest[name].detach()), 1 - self.momentum)

    def load(self, values: Mapping[str, Tensor], model: ActionCLIP) -> None:
        """Take over averages that were saved.

        Args:
            values: the averages.
            model: for statistics of batch norms that were not averaged then.
        """
        newest = running_statistics(model)
        for name, value in self.values.items():
            saved = newest[name] if name in newest and name not in values else values[name]
            value.copy_(like(value, saved))

    def give(self, model: nn.Module) -> None:
        """Make the averages the model's weights."""
        for name, tensor in _tensors(model).items():
            if name in self.values:
                set_value(tensor, self.values[name])

    @contextlib.contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Within it the model has the averages for weights."""
        newest = {
            name: tensor.detach().clone() if is_shared(tensor) else tensor.data
            for name, tensor in _tensors(model).items()
            if name in self.values
        }
        try:
            self.give(model)
            yield
        finally:
            for name, tensor in _tensors(model).items():
                if name in newest:
                    set_value(tensor, newest[name])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **running_statistics(model)}
