"""Pre-network visual prompt: joint space-time attention (paper section 3.3, "Joint").

B videos, T frames, n patches of a frame, w width of the tower, R rows of the table of times.
"""

import torch
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.tower import TowerPrompt, refuse


class Joint(TowerPrompt):
    """All patches of all frames form one sequence, so the tower returns one vector for a video.

    Each patch gets the embedding of its frame's time added before `ln_pre`. The order is that of
    the authors' tower: class token first, then patch by patch and within a patch frame by frame.

    The times start at zero (the authors draw them): a video of one frame is then exactly CLIP's
    image, and only training makes the order of frames matter.

    Args:
        visual: open_clip's `VisionTransformer`, the OpenAI kind.
        rows: most frames a video may have.

    Raises:
        ActionCLIPError: for any other tower. A rotary one places patches anew in each block, a
            convolutional one has no tokens, attention pooling was trained for one frame's tokens.
    """

    def __init__(self, visual: nn.Module, *, rows: int) -> None:
        super().__init__()
        if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None:
            raise refuse(
                "joint",
                visual,
                "It needs OpenAI's kind of ViT: learned positions, a class token, no attention "
                "pooling, no rotary positions, no convolutions.",
            )
        self.time_embedding = nn.Parameter(torch.zeros(rows, visual.class_embedding.shape[0]))
        visual.ln_pre.register_forward_pre_hook(self.join)

    def join(
        self, module: nn.Module, args: tuple[Float[Tensor, "N L w"]]
    ) -> tuple[Float[Tensor, "B S w"]]:
        """The hook before `ln_pre`: N = B * T rows of L = 1 + n tokens become B of 1 + n * T.

        The class tokens of a video's frames are equal here, so the first stands for all.
        """
        (tokens,) = args
        frames, rows = self.frames_now(), self.time_embedding.shape[0]
        if frames > rows:
            raise ActionCLIPError(
                f"The visual prompt 'joint' got {frames} frames for a video.",
                expected=f"Its table of times has {rows} rows, so {rows} frames at most.",
                hint="Sample fewer frames, or build the model with more prompts.positions.",
            )
        videos = tokens.unflatten(0, (-1, frames))
        times = self.time_embedding[:frames].to(tokens.dtype)
        patches = videos[:, :, 1:] + times[:, None]
        patches = patches.transpose(1, 2).flatten(1, 2)
        return (torch.cat([videos[:, 0, :1], patches], dim=1),)


PRE: dict[str, type[Joint]] = {"joint": Joint}
