"""Which arithmetic a model runs in: float32 unless asked, bfloat16 where it pays."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from actionclip.errors import unknown

if TYPE_CHECKING:
    from actionclip.model.actionclip import ActionCLIP

LARGE_ENOUGH_WITH_TILES = 12_000_000
"""Parameters from which bf16 pays where matrices have units of their own (AMX tiles, a GPU).

Measured, one thread, image tower, 8 frames: 1.8 times faster at 9 million parameters (19 ms become
10, nothing beside decoding), 2.4 at 13, 3.2 at 29, 3.3 for ViT-S/32, 4 for ViT-B/32.
"""

LARGE_ENOUGH = 40_000_000
"""The same for other CPUs that multiply bf16: 2.0 to 2.3 times faster for ViT-B/32 on Zen 4."""


def choose_precision(precision: str, model: nn.Module) -> Literal["fp32", "bf16"]:
    """The precision for a model; `auto` looks at the hardware and at the model's size.

    Raises:
        ActionCLIPError: for a name that is no precision.
    """
    if precision not in ("fp32", "bf16", "auto"):
        raise unknown("precision", precision, ["fp32", "bf16", "auto"])
    if precision != "auto":
        return "bf16" if precision == "bf16" else "fp32"
    parameters = list(model.parameters())
    least = least_parameters(parameters[0].device.type)
    large = least is not None and sum(p.numel() for p in parameters) >= least
    return "bf16" if large else "fp32"


def least_parameters(device: str) -> int | None:
    """How large a model must be for bf16 to be faster than fp32; None: it never is."""
    if not has_bf16(device):
        return None
    if device != "cpu" or "amx_bf16" in _cpu_words():
        return LARGE_ENOUGH_WITH_TILES
    # Intel's cores without their tiles (a virtual machine may hide them) multiply bf16 no faster
    # than fp32 and lose time converting: 0.7 times the speed of fp32.
    return None if "GenuineIntel" in _cpu_words() else LARGE_ENOUGH


def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 natively (not only stores it)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(_cpu_words() & {"avx512_bf16", "amx_bf16", "bf16"})


def set_precision(model: "ActionCLIP", precision: Literal["fp32", "bf16"]) -> "ActionCLIP":
    """Let the image tower and the visual prompts compute in a precision; change them in place.

    The text tower stays as it is. It runs once for a set of labels, and its error would shift the
    scores of every video: with random towers of ViT-B/16 and 20 labels, bf16 frames kept the first
    label of 98 % of clips with texts in fp32, and of 88 % with texts in bf16.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    for part in (model.backbone.visual, model.pre, model.inner, model.post):
        if part is not None:
            part.to(dtype)
    return model


@cache
def _cpu_words() -> frozenset[str]:
    """Everything Linux says about the processor, its maker and its flags among it."""
    information = Path("/proc/cpuinfo")
    return frozenset(information.read_text().split()) if information.is_file() else frozenset()
