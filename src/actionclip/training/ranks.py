"""Several processes that train one model: who we are, and what the others have.

Each process encodes its share of a batch. Embeddings are gathered so that every video meets every
text of the whole batch, and the gradient is the one that a single process with the whole batch
would have had. W processes, B rows in each.
"""

import contextlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.training.spread.sharded import is_shared

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another one before it gives up, so that `torchrun` can start all of
them again. Longer than an evaluation or a save that only one process does."""

SEEN_LATE = 60.0
"""Seconds after which another machine sees a file that was written: a network file system may
remember for half a minute that it was not there."""

HEARD = 5.0
"""Seconds that a process which failed stays, so that the others hear why."""

BUCKET = 64 * 2**20
"""Bytes of gradients that travel together."""

_LOST = re.compile(r"gloo/|NCCL|ProcessGroup")
"""What torch says where another process does not answer."""

_begun = itertools.count()


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


@contextlib.contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Within it the processes that `torchrun` started are a group, and an error of one ends all.

    The one that fails says why in the store by which they met, and closes its connections (weights
    that are shared out keep some until its end): the others, which wait for it or soon will, raise
    the same and not what torch makes of that. A group that the caller made stays as it is.

    Raises:
        ActionCLIPError: in the others: what ended the one, or that one is gone and said nothing.
        StorageError: the same, where that was one.
    """
    own, failed = join(device), False
    board = _Board() if current_ranks().world > 1 else None
    try:
        yield
    except BaseException as error:
        if board is None or isinstance(error, SystemExit):  # all of them stop alike
            raise
        failed = True
        if _is_lost(error):
            raise board.read() from None
        board.tell(error)
        raise
    finally:
        if own and failed:  # leaving in order would wait for those that wait for this one
            dist.distributed_c10d._abort_process_group()
        elif own:
            dist.destroy_process_group()
        if board is not None:
            board.stay()


class _Board:
    """Where a process that fails tells the others why; made before it does."""

    def __init__(self) -> None:
        again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.distributed_c10d._get_default_store()
        self._store = dist.PrefixStore(  # pyright: ignore[reportPrivateImportUsage]
            f"actionclip training {again}-{next(_begun)}", store
        )
        self._ranks = current_ranks()
        self._told = False

    def tell(self, error: BaseException) -> None:
        """Say what happened here, unless another one was faster."""
        ours = isinstance(error, ActionCLIPError)
        what = error.what if ours else f"{type(error).__name__}: {error}"
        said = {
            "what": f"Process {self._ranks.rank} of {self._ranks.world} ended the training: "
            + what.partition("\n")[0].rstrip(": .")
            + ".",
            "hint": getattr(error, "hint", ""),
            "storage": isinstance(error, StorageError),
        }
        with contextlib.suppress(RuntimeError):  # the store is gone with its process
            self._store.compare_set("why", "", json.dumps(said))
            self._store.add("know", 1)
            self._told = True

    def stay(self) -> None:
        """Where something was told, return when all know it, but not too late.

        The store may be in this process.
        """
        late = time.monotonic() + HEARD
        with contextlib.suppress(RuntimeError):
            while self._told and time.monotonic() < late:
                if self._store.add("know", 0) >= self._ranks.world:
                    return
                time.sleep(0.05)

    def read(self) -> ActionCLIPError:
        """What another process said of its end."""
        with contextlib.suppress(RuntimeError):
            if self._store.check(["why"]):
                said = json.loads(self._store.get("why"))
                self._store.add("know", 1)
                kind = StorageError if said["storage"] else ActionCLIPError
                return kind(said["what"], hint=said["hint"])
        return ActionCLIPError(
            "Another process of this training is gone, or cannot be reached, and did not say why.",
            hint="Was it killed, perhaps for want of memory? The same command goes on from the "
            "last save.",
        )


def _is_lost(error: BaseException) -> bool:
    """Whether an error only says that another process does not answer."""
    told = isinstance(error, dist.DistError) or bool(_LOST.search(str(error)))
    return isinstance(error, RuntimeError) and told


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
