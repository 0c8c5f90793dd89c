"""The last block of a CLIP image tower works for one token only, so it computes one token only.

What leaves such a tower is its class token. In the last block the patches are still looked at, as
keys and values, but what the block would make of them is thrown away: their queries, the attention
they pay, their perceptron. That is 10 of the 12 matrix products' shares of a block, a twelfth of
ViT-B, forward and backward. The class token comes out as before, but for rounding.

It is done with forward pre-hooks on public submodules (docs/design.md): what goes into the branches
of the block is narrowed to the class token, and the sum they are added to broadcasts. Behind the
block the rows of the patches mean nothing.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

_WHOLE = ContextVar("_WHOLE", default=False)
"""Whether towers compute every token, for this thread: others may use the same tower meanwhile."""


class ClassTokenOnly:
    """Narrows the last block of an image tower to its class token.

    Args:
        visual: open_clip's own ViT which ends in the class token; see `fits`.
    """

    def __init__(self, visual: VisionTransformer) -> None:
        block: Any = visual.transformer.resblocks[-1]
        block.attn.register_forward_pre_hook(self.before_attention)
        block.ln_2.register_forward_pre_hook(self.before_perceptron)

    @staticmethod
    def fits(visual: nn.Module) -> bool:
        """Whether nothing but the class token leaves this tower."""
        return (
            type(visual) is VisionTransformer
            and visual.pool_type == "tok"
            and visual.attn_pool is None
            and not visual.output_tokens
            and visual.transformer.batch_first
            and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
        )

    def before_attention(
        self, module: nn.Module, args: tuple[Float[Tensor, "N L w"], ...]
    ) -> tuple[Tensor, ...]:
        """The hook before the attention: query, key, value."""
        query, *rest = args
        return args if _WHOLE.get() else (query[:, :1], *rest)

    def before_perceptron(
        self, module: nn.Module, args: tuple[Float[Tensor, "N L w"], ...]
    ) -> tuple[Tensor, ...]:
        """The hook before the perceptron's norm."""
        return args if _WHOLE.get() else (args[0][:, :1],)

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Within it this thread computes every token to the end."""
        before = _WHOLE.set(True)
        try:
            yield
        finally:
            _WHOLE.reset(before)
