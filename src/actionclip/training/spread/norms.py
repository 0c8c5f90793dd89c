"""Running statistics of batch norms: learnt once in a step, from the whole batch, or not at all.

A batch norm counts every pass of the forward. But a step may encode the same videos twice (in
parts, with checkpointed activations), each process sees its own share of a batch, and a step whose
numbers are not finite must leave nothing behind. So statistics are taken down in the first pass
only, and written at the end.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms that learn statistics now: those in training mode that keep any."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]


def has_norms(model: nn.Module) -> bool:
    """Whether the model has batch norms that are to be trained."""
    return any(
        isinstance(module, _BatchNorm) and any(p.requires_grad for p in module.parameters())
        for module in model.modules()
    )


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """What all batch norms of a model remember, by name, but for their counters."""
    return {
        f"{place}.{name}": buffer
        for place, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.is_floating_point()
    }


class Norms:
    """The running statistics of a model in one step.

    Args:
        model: before the first pass of the step, in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self._now = [buffer for norm in batch_norms(model) for buffer in norm.buffers()]
        self._before = _copied(self._now)
        self._sum: list[Tensor] = []
        self._parts = 0

    def note(self) -> None:
        """A part of the batch was encoded for the first time: take down what came of it.

        The statistics are again what they were before the step.
        """
        found = _copied(self._now)
        if self._parts:  # counters are alike in all parts
            for total, value in zip(self._sum, found, strict=True):
                if value.is_floating_point():
                    total += value
        else:
            self._sum = found
        self._parts += 1
        self.restore()

    def learn(self) -> None:
        """Write the mean over all parts, of all processes, of what came of them."""
        fractions = [total for total in self._sum if total.is_floating_point()]
        world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if fractions and world > 1:
            flat = torch.cat([total.flatten() for total in fractions])
            dist.all_reduce(flat)
            sizes = [total.numel() for total in fractions]
            for total, value in zip(fractions, flat.split(sizes), strict=True):
                total.copy_(value.view_as(total))
        for total in fractions:
            total /= self._parts * world
        _write(self._now, self._sum)

    def restore(self) -> None:
        """Make the statistics what they were before the step."""
        _write(self._now, self._before)


def _copied(buffers: Sequence[Tensor]) -> list[Tensor]:
    return [buffer.detach().clone() for buffer in buffers]


def _write(buffers: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Past autograd, which keeps the buffers for a backward pass that does not look at them."""
    for buffer, value in zip(buffers, values, strict=True):
        buffer.data.copy_(value)
