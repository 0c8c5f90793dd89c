"""In-network visual prompt: the temporal shift (paper section 3.3, "Shift").

B videos, T frames, L tokens of a frame (prefix tokens such as the class token first), w width.
"""

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from torch import Tensor, cat, nn

from actionclip.model.prompts.tower import TowerPrompt, refuse


def shift(x: Float[Tensor, "N L w"], *, frames: int, prefix: int) -> Float[Tensor, "N L w"]:
    """Patches look one frame ahead with an eighth of their channels, one back with another.

    The first `w // 8` channels come from the next frame, the next `w // 8` from the one before,
    zeros beyond the ends of the video; the rest and the first `prefix` tokens stay. N = B * T.
    """
    fold = x.shape[-1] // 8
    videos = x.unflatten(0, (-1, frames))
    patches = videos[:, :, prefix:]
    after = F.pad(patches[:, 1:, :, :fold], (0, 0, 0, 0, 0, 1))
    before = F.pad(patches[:, :-1, :, fold : 2 * fold], (0, 0, 0, 0, 1, 0))
    shifted = cat([after, before, patches[..., 2 * fold :]], dim=-1)
    return cat([videos[:, :, :prefix], shifted], dim=2).flatten(0, 1)


def blocks_of(visual: nn.Module) -> tuple[list[nn.Module], int]:
    """The transformer blocks of an image tower and the number of its prefix tokens.

    Raises:
        ActionCLIPError: for a tower that is not a plain transformer over patches.
    """
    if isinstance(visual, VisionTransformer):
        return list(visual.transformer.resblocks), 1
    trunk = getattr(visual, "trunk", None)
    blocks = getattr(trunk, "blocks", None)
    prefix = getattr(trunk, "num_prefix_tokens", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or not isinstance(prefix, int):
        raise refuse(
            "shift", visual, "It needs a vision transformer: the same tokens in every block."
        )
    return list(blocks), prefix


class Shift(TowerPrompt):
    """Every block of the image tower sees its input shifted in time. No parameters.

    As in the authors' code the whole input of a block is shifted, the residual path too. With one
    frame the shifted channels become zero. Rotary towers (PE-Core) and timm's ViTs work as well.

    Raises:
        ActionCLIPError: for a tower without such blocks (convolutions, Swin windows).
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        blocks, self.prefix = blocks_of(visual)
        for block in blocks:
            block.register_forward_pre_hook(self.before_block)

    def before_block(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The hook before each block; what else a block is given passes through."""
        return (shift(args[0], frames=self.frames_now(), prefix=self.prefix), *args[1:])


INNER: dict[str, type[Shift]] = {"shift": Shift}
