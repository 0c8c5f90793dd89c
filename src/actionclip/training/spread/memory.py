"""Memory: what this process holds, and what is said where it does not suffice."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from actionclip.errors import ActionCLIPError


def held_bytes() -> int:
    """What this process holds of the machine's memory now; 0 where the system does not say."""
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there is not enough memory, of a processor or of a GPU."""
    by_class = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return by_class or "DefaultCPUAllocator" in str(error)  # torch has no class for a CPU's


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Within it memory that does not suffice is an error of the user.

    Raises:
        ActionCLIPError: then; what the library said is its cause.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = "GPU" if isinstance(error, torch.OutOfMemoryError) else "machine"
        raise ActionCLIPError(
            f"The memory of this {where} does not suffice for the training.",
            expected="The weights, and what is kept of one part of a batch, must fit.",
            hint="Set training.activation_checkpointing = true, with which a run that was begun "
            "goes on, or in a new folder training.accumulate = 4 (more parts need less), "
            "training.precision = 'bf16' or a smaller training.batch_size.",
        ) from error
