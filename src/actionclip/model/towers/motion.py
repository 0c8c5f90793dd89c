"""Input that shows movement, and a small tower to look at it.

B videos, T frames, R input size.

A frame's brightness and how it differs from its two neighbours make three channels, which fit any
image tower. The differences are local in time: they are between frames as far apart as the model's
sampling says, never over a whole clip, so frames encoded once can serve many windows.
"""

from typing import Any

import torch
from jaxtyping import Float
from timm.models import build_model_with_cfg, register_model
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor

GAIN = 2.0
"""What differences are multiplied by: they are smaller than the brightness itself."""
OWN_TOWERS = ("actionclip_tiny",)
"""Image towers that open_clip finds by name because they are registered here."""
_NO_WEIGHTS = {"input_size": (3, 96, 96), "first_conv": "stem.conv", "classifier": "head.fc"}
_LUMA = (0.299, 0.587, 0.114)


def motion_input(frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B T 3 R R"]:
    """Red, green and blue become brightness, and its change since and until the neighbours.

    Where a video begins or ends there is no neighbour, and the change is zero. The frames are
    normalised ones with the same mean and deviation for all three colours.
    """
    weights = torch.tensor(_LUMA, dtype=frames.dtype, device=frames.device)
    gray = torch.einsum("btchw,c->bthw", frames, weights)
    change = gray.diff(dim=1) * GAIN
    still = torch.zeros_like(gray[:, :1])
    since, until = torch.cat([still, change], dim=1), torch.cat([change, still], dim=1)
    return torch.stack([gray, since, until], dim=2)


@register_model
def actionclip_tiny(pretrained: bool = False, **settings: Any) -> ByobNet:
    """A residual network of 0.7 million parameters for pictures of about 100 x 100 pixels.

    Registered with timm, so an open_clip configuration can name it (`timm_model_name`). timm's own
    networks of this cost were slower to train on a CPU, or smaller (docs/log.md).
    """
    widths = (24, 48, 96, 192)
    blocks = tuple(ByoBlockCfg(type="basic", d=1, c=c, s=2, gs=0, br=1.0) for c in widths)
    settings["pretrained_cfg"] = settings.get("pretrained_cfg") or dict(_NO_WEIGHTS)
    network = ByoModelCfg(blocks=blocks, stem_chs=16, stem_type="3x3", stem_pool="")
    return build_model_with_cfg(
        ByobNet, "actionclip_tiny", pretrained, model_cfg=network, **settings
    )
