"""Memory that does not suffice: how torch says so, and what a person can do about it."""

import contextlib
from collections.abc import Iterator

import torch

from actionclip.errors import ActionCLIPError


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
