"""Weights, gradients and what the optimiser remembers shared out over the processes (FSDP2).

Each process holds a part of every transformer block, of the image tower around them, of the visual
prompt and of the table of words, and the whole of a block only while it is computed. What little is
outside (`logit_scale`, the ends of the text tower) every process holds. A tensor that is shared out
is a DTensor; what is saved is always put together first, so that it can be read by any number of
processes.

A model that is shared out computes only where all processes do the same at the same time. In an
evaluation they do not, each encodes other clips: for it every process takes the whole model back.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from actionclip.model.actionclip import ActionCLIP
from actionclip.training.spread.blocks import find_blocks


def shard(model: ActionCLIP) -> ActionCLIP:
    """A copy of the model that is shared out over the process group.

    The model itself is moved to the CPU's memory, where it waits to take the weights back.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = model.device
    shared = copy.deepcopy(model)
    model.to("cpu")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    words = [m for n, m in shared.named_modules() if n.endswith("token_embedding")]
    blocks = [block for _, block in find_blocks(shared)]
    for module in [*blocks, *words, shared.backbone.visual, shared.post]:
        if any(True for _ in module.parameters()):
            fully_shard(module, mesh=mesh, reshard_after_forward=True)
    return shared


def take_back(model: ActionCLIP, shared: ActionCLIP) -> None:
    """Give a model the weights of its copy that is shared out, and move it to where that is.

    Every process has to take part.
    """
    newest = shared.state_dict()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(whole(newest[name]))
    model.to(shared.device)


@contextmanager
def taken_back(model: ActionCLIP, shared: ActionCLIP) -> Iterator[ActionCLIP]:
    """Within it a model can be used with the weights of its copy that is shared out."""
    try:
        take_back(model, shared)
        yield model
    finally:
        model.to("cpu")


def is_shared(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process has to ask for it."""
    shared: Any = tensor
    return shared.detach().full_tensor() if is_shared(tensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors by name; every process has to ask for them.

    Those that are shared out come one after the other into the CPU's memory of the first process,
    which writes them. The others have none of them for longer than that takes.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not is_shared(tensor):
            found[name] = tensor
        elif dist.get_rank() == 0:
            found[name] = whole(tensor).cpu()
        else:
            whole(tensor)
    return found


def local(tensor: Tensor) -> Tensor:
    """The part that this process holds, with the same memory.

    What is done number by number is done on it: DTensor would think about each operation anew.
    """
    shared: Any = tensor
    return shared.to_local() if is_shared(tensor) else tensor


def like(reference: Tensor, value: Tensor) -> Tensor:
    """A whole tensor shared out as another one is; every process must have the same."""
    if not is_shared(reference) or value.shape != reference.shape:
        return value.to(reference.device)
    from torch.distributed.tensor import distribute_tensor

    other: Any = reference
    placed = value.to(reference.device)
    return distribute_tensor(placed, other.device_mesh, other.placements, src_data_rank=None)


def set_value(parameter: Tensor, value: Tensor) -> None:
    """Give a parameter or a buffer other numbers."""
    if is_shared(parameter):  # its memory is known to FSDP: only the content may change
        with torch.no_grad():
            local(parameter.detach()).copy_(local(value))
    else:
        parameter.data = value


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The length of all gradients together."""
    parts = [local(each) for each in gradients if is_shared(each)]
    if not parts:
        return get_total_norm(gradients)
    square = get_total_norm(parts).square()
    dist.all_reduce(square)
    own = [each for each in gradients if not is_shared(each)]
    return (square + get_total_norm(own).square()).sqrt() if own else square.sqrt()


def clip_norm(parameters: Iterable[nn.Parameter], longest: float, norm: Tensor) -> None:
    """Shorten the gradients to a length, if they are longer."""
    parameters = list(parameters)
    clip_grads_with_norm_([p for p in parameters if not is_shared(p)], longest, norm)
    factor = (longest / (norm + 1e-6)).clamp(max=1.0)  # as torch has it
    for parameter in parameters:
        if is_shared(parameter) and parameter.grad is not None:
            local(parameter.grad).mul_(factor)
