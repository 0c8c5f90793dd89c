"""torch.compile as a setting: block by block.

Blocks are compiled in place, so no name changes, and all blocks of a tower share the work of
compiling one. What is around them (sorted sentences of different lengths, prompts that hook in)
stays ordinary Python.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from actionclip.errors import ActionCLIPError
from actionclip.training.spread.blocks import find_blocks


@contextlib.contextmanager
def compiled(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Within it the model's transformer blocks run compiled.

    Raises:
        ActionCLIPError: when it has none.
    """
    blocks: list[Any] = [block for _, block in find_blocks(model)] if wanted else []
    if wanted and not blocks:
        raise ActionCLIPError(
            "There is no transformer block to compile in this model.", hint="Set compile = false."
        )
    try:
        for block in blocks:
            block.compile()
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None
