"""What a training will do and cost, said before it begins."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from actionclip.model.actionclip import ActionCLIP
from actionclip.training.adapt.teacher import teach
from actionclip.training.optimiser import build_optimizer, parameter_groups
from actionclip.training.run.batches import AHEAD, order
from actionclip.training.run.step import encode
from actionclip.training.settings import TrainConfig
from actionclip.training.spread.memory import held_bytes, is_out_of_memory
from actionclip.training.spread.norms import has_norms
from actionclip.training.spread.on_cpu import quick_on_cpu
from actionclip.training.trained import checkpointed, choose_trained

_MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1}
_MUCH = 0.05
"""Of the start in averaged weights; a person would rather know."""
_TRIED = 4
"""Videos that are encoded to measure what a step costs, where a part of a batch has as many."""


@dataclass(frozen=True)
class Cost:
    """What one video costs in a step, measured on this machine."""

    seconds: float
    activation_bytes: int
    """What is kept for the backward pass."""
    teacher_seconds: float = 0.0
    """What the teacher makes of it, if there is one."""


@dataclass(frozen=True)
class Plan:
    """See `make_plan`."""

    clips: int
    left_out: int
    """Videos of each epoch's shuffle that fill no batch; others in each epoch."""
    batch_size: int
    epochs: int
    steps: int
    parameters: int
    trained: dict[str, int]
    """Trained parameters of the groups text, visual and prompt."""
    state_bytes: int
    """Weights, gradients, what the optimiser remembers and averages, and the weights of a teacher,
    in each process."""
    memory_bytes: int | None
    """The same, the activations of one part of a batch, and the videos that are read ahead; None
    without a measurement. Of a GPU's memory where one trains."""
    seconds: float | None
    """Of all steps, without waiting for videos; None without a measurement."""
    normalised: int | None = None
    """Videos that batch norms see at a time: a process's share, or a part of it. None where that
    is the whole batch, or no batch norm is trained."""
    start_left: float = 0.0
    """Share of the start's weights in the averaged ones (`ema`) at the end."""
    process_bytes: int | None = None
    """What Python, torch and the rest of this process take besides, in the machine's memory; None
    where a GPU trains."""
    too_many: int | None = None
    """Videos for which memory did not suffice when their cost was to be measured."""

    def lines(self) -> list[str]:
        """The plan for a person."""
        trained = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in self.trained.items())
        per_epoch = self.steps // self.epochs
        lines = [
            f"videos      {self.clips:,} in batches of {self.batch_size}"
            + (f" ({self.left_out} sit out each epoch)" if self.left_out else ""),
            f"steps       {self.steps:,} = {self.epochs} epochs x {per_epoch:,}",
            f"parameters  {self.parameters / 1e6:.2f} M, trained: {trained}",
        ]
        if self.memory_bytes is not None and self.seconds is not None:
            whole = (self.memory_bytes + (self.process_bytes or 0)) / 2**30
            where = "in" if self.process_bytes is not None else "of a GPU in"
            lines.append(f"memory      about {whole:.2f} GiB {where} each process")
            lines.append(f"time        about {_duration(self.seconds)}, if videos come fast enough")
        elif self.too_many is None:
            lines.append(f"memory      {self.state_bytes / 2**30:.2f} GiB, and the activations")
        else:
            lines.append(
                f"memory      more than there is here: {self.state_bytes / 2**30:.2f} GiB, and the "
                f"activations of {self.too_many} videos at once"
            )
        if self.normalised is not None:
            lines.append(
                f"batch norms {self.normalised} videos at a time, not all {self.batch_size}; "
                "they keep the mean of what each part says"
            )
        if self.start_left > _MUCH:
            lines.append(
                f"averages    {self.start_left:.0%} of them are still the start after "
                f"{self.steps:,} steps: choose a smaller ema"
            )
        return lines


def make_plan(
    config: TrainConfig, model: ActionCLIP, clips: int, *, processes: int = 1, measure: bool = False
) -> Plan:
    """What `train` would do with these settings.

    Args:
        config: the settings.
        model: what would be trained. Its weights are not changed.
        clips: how many videos there are.
        processes: how many share each batch.
        measure: encode a few random videos to estimate time and memory, if memory suffices.

    Raises:
        ActionCLIPError: for settings that do not fit the model or the number of videos.
    """
    teacher = _weight_bytes(model) if config.distill.is_on else 0  # the model without adapters
    adapted = choose_trained(model, config)
    try:
        return _plan(config, model, clips, processes, measure, teacher)
    finally:
        if adapted is not None:
            adapted.remove()


def _weight_bytes(model: ActionCLIP) -> int:
    return sum(t.nbytes for t in [*model.parameters(), *model.buffers()])


def _video_bytes(model: ActionCLIP) -> int:
    return 3 * model.config.sampling.frames * model.backbone.image_size**2


def _plan(
    config: TrainConfig,
    model: ActionCLIP,
    clips: int,
    processes: int,
    measure: bool,
    teacher: int,
) -> Plan:
    build_optimizer(model, config.optim)
    per_epoch = len(order(clips, config.batch_size, config.seed, 0))
    steps = per_epoch * config.schedule.epochs
    trained = {
        name: sum(parameter.numel() for parameter in members.values())
        for name, members in parameter_groups(model).items()
    }
    copies = 1 + _MOMENTS[config.optim.optimiser] + (config.ema is not None)
    weights, on_cpu = _weight_bytes(model), model.device.type == "cpu"
    state = weights + 4 * copies * sum(trained.values())
    if config.sharded and processes > 1:  # the model itself waits in the processor's memory
        state = state // processes + (weights if on_cpu else 0)
    state += teacher
    process = max(0, held_bytes() - weights) if on_cpu else None
    memory = seconds = None
    share = config.batch_size // processes
    part = max(1, share // config.accumulate)
    tried = min(_TRIED, part)
    cost = _cost_if_it_fits(config, model, tried) if measure else None
    if cost is not None:
        memory = state + cost.activation_bytes * part
        if on_cpu:
            memory += (
                _video_bytes(model) * share * (AHEAD + 3)
            )  # one is made, one learnt from, one kept
        twice = 4 / 3 if config.accumulate > 1 else 1.0  # one forward more: half a backward
        seconds = (cost.seconds * twice + cost.teacher_seconds) * share * steps
    return Plan(
        clips=clips,
        left_out=clips - per_epoch * config.batch_size,
        batch_size=config.batch_size,
        epochs=config.schedule.epochs,
        steps=steps,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=trained,
        state_bytes=state,
        memory_bytes=memory,
        seconds=seconds,
        normalised=part if part < config.batch_size and has_norms(model) else None,
        start_left=0.0 if config.ema is None else config.ema**steps,
        process_bytes=process,
        too_many=tried if measure and cost is None else None,
    )


def _cost_if_it_fits(config: TrainConfig, model: ActionCLIP, tried: int) -> Cost | None:
    was_training = model.training
    try:
        return measure_cost(config, model, tried)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        model.zero_grad(set_to_none=True)
        model.train(was_training)
        return None


def measure_cost(config: TrainConfig, model: ActionCLIP, tried: int = _TRIED) -> Cost:
    """Forward and backward of some random videos at once; the model's weights are not changed."""
    size, frames = model.backbone.image_size, model.config.sampling.frames
    videos = torch.rand(tried, frames, 3, size, size)
    tokens = model.tokenize(["a video of a person who does something"] * tried)
    was_training = model.training
    model.eval()  # so that batch norms do not learn from noise
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    seconds = teacher = 0.0

    with (
        quick_on_cpu(model, wanted=not config.compile),
        checkpointed(model, config.activation_checkpointing),
    ):
        for _ in range(2):  # the first one warms up
            kept.clear()
            began = time.perf_counter()
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                video, text = encode(model, videos, tokens, config.precision)
                loss = (video * text).sum()
            loss.backward()
            loss.item()  # waits for a GPU
            seconds = time.perf_counter() - began
            model.zero_grad(set_to_none=True)
            teacher = _teacher_seconds(config, model, videos, tokens)
    model.train(was_training)
    return Cost(seconds / tried, sum(kept.values()) // tried, teacher / tried)


def _teacher_seconds(
    config: TrainConfig, model: ActionCLIP, videos: Tensor, tokens: Tensor
) -> float:
    if not config.distill.is_on:
        return 0.0
    began = time.perf_counter()
    for taught in teach(model, config.distill, videos, tokens, config.precision):
        if taught is not None:
            taught.sum().item()  # waits for a GPU
    return time.perf_counter() - began


def _duration(seconds: float) -> str:
    """A time for a person.

    >>> [_duration(s) for s in (30, 600, 7200, 400_000)]
    ['30 s', '10 min', '2.0 h', '4.6 days']
    """
    for limit, unit, name, digits in (
        (120, 1, "s", 0),
        (7200, 60, "min", 0),
        (172800, 3600, "h", 1),
    ):
        if seconds < limit:
            return f"{seconds / unit:.{digits}f} {name}"
    return f"{seconds / 86400:.1f} days"
