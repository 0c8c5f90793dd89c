"""Which arithmetic a model runs in: float32 unless asked, bfloat16 where it pays."""

from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from actionclip.errors import unknown

LARGE_ENOUGH = 40_000_000
"""Parameters from which bf16 gains on a CPU: a small model is faster in fp32."""


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
    large = sum(p.numel() for p in parameters) >= LARGE_ENOUGH
    return "bf16" if large and has_bf16(parameters[0].device.type) else "fp32"


@cache
def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 natively (not only stores it)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    flags = Path("/proc/cpuinfo")
    words = set(flags.read_text().split()) if flags.is_file() else set()
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
