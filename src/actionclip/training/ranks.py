"""Several processes that train one model: who we are, and what the others have.

Each process encodes its share of a batch. Embeddings are gathered so that every video meets every
text of the whole batch, and the gradient is the one that a single process with the whole batch
would have had. W processes, B rows in each.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from actionclip.errors import ActionCLIPError
from actionclip.training.spread.sharded import is_shared

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another one before it gives up, so that `torchrun` can start all of
them again. Longer than an evaluation or a save that only one process does."""

SEEN_LATE = 60.0
"""Seconds after which another machine sees a file that was written: a network file system may
remember for half a minute that it was not there."""

BUCKET = 64 * 2**20
"""Bytes of gradients that travel together."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and reports."""
        return self.rank == 0


def current_ranks() -> Ranks:
    """Who we are in the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return Ranks()


def launched() -> Ranks:
    """Who we are among the processes that `torchrun` started, before they have met."""
    if dist.is_available() and dist.is_initialized():
        return current_ranks()
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def join(device: torch.device) -> bool:
    """Join the processes that `torchrun` started, if it did; whether there is a group to leave.

    A group that the caller already made is used as it is.

    Processes tell each other their addresses in a store that `torchrun` keeps over restarts, under
    names that torch chooses the same each time: after a restart a fast process may read the address
    of one that was killed. On one machine every start therefore has names of its own. On several
    the counts of restarts differ, and a wrong address ends in an error and another restart.
    """
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        return False
    options: dict[str, Any] = {"backend": "gloo", "timeout": PATIENCE}
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what is sent as an object travels by way of this one
        options |= {"backend": "nccl", "device_id": device}
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if restart is not None and os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
        own = dist.PrefixStore(  # pyright: ignore[reportPrivateImportUsage]
            f"actionclip start {restart}", store
        )
        options |= {"store": own, "rank": rank, "world_size": world}
    dist.init_process_group(**options)
    return True


class _Gather(torch.autograd.Function):
    """All ranks' rows, in the order of the ranks; backward sums what each rank's loss says."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Collect."""
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Our rows of the sum over the ranks."""
        [gradient] = gradients
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.narrow(0, dist.get_rank() * ctx.rows, ctx.rows)


def gather(rows: Shaped[Tensor, "b ..."]) -> Shaped[Tensor, "n ..."]:
    """The rows of all ranks, with gradients; every rank must have the same number of rows.

    When each rank takes the loss of all rows and gradients are then averaged over the ranks
    (`average_gradients`), the result is the gradient of a single process with all rows.
    """
    if current_ranks().world == 1:
        return rows
    gathered = _Gather.apply(rows)
    assert isinstance(gathered, Tensor)
    return gathered


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks."""
    world = current_ranks().world
    if world == 1:
        return
    bucket: list[Tensor] = []
    # those of parameters that are shared out were averaged on the way (FSDP)
    gradients = [p.grad for p in parameters if p.grad is not None and not is_shared(p.grad)]
    for place, gradient in enumerate(gradients):
        bucket.append(gradient)
        full = sum(g.nbytes for g in bucket) >= BUCKET
        if full or place == len(gradients) - 1 or gradients[place + 1].dtype != gradient.dtype:
            flat = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(flat)
            flat /= world
            for old, new in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                old.copy_(new.view_as(old))
            bucket = []


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether a flag is set in any of the processes."""
    if current_ranks().world == 1:
        return flag
    value = torch.tensor(int(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value.item())


def of_first(value: Any) -> Any:
    """What the first process has, so that all decide alike by it; it must be picklable."""
    values = [value]
    if current_ranks().world > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def all_see(path: Path, device: torch.device) -> bool:
    """Whether a file is there: the same answer in every process, and every process has to ask.

    Raises:
        ActionCLIPError: in every process, where only some of them see it.
    """
    if not any_rank(path.is_file(), device):
        return False
    late = time.monotonic() + SEEN_LATE
    while not path.is_file() and time.monotonic() < late:
        time.sleep(1.0)
    if any_rank(not path.is_file(), device):
        raise not_one_folder(path)
    return True


def not_one_folder(path: Path) -> ActionCLIPError:
    """The error for processes that do not find the same file under a name."""
    return ActionCLIPError(
        f"Not every process of this training sees the same {path}.",
        expected="Every process, on every machine, must see the folder of the run.",
        hint="Train in a folder on a disk that the machines share.",
    )


def wait_for_all() -> None:
    """Return when every process got here."""
    if current_ranks().world > 1:
        dist.barrier()
