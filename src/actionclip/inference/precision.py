"""Where a model runs and in which arithmetic: float32 unless asked, bfloat16 where it pays."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.prompts.inner import blocks_of

if TYPE_CHECKING:
    from actionclip.model.actionclip import ActionCLIP

LARGE_ENOUGH_WITH_TILES = 12_000_000
"""Parameters from which bf16 pays where matrices have units of their own (AMX tiles, a GPU).

Measured, one thread, image tower, 8 frames: 1.8 times faster at 9 million parameters (19 ms become
10, nothing beside decoding), 2.4 at 13, 3.2 at 29, 3.3 for ViT-S/32, 4 for ViT-B/32.
"""

LARGE_ENOUGH = 40_000_000
"""The same for other CPUs that multiply bf16: 2.0 to 2.3 times faster for ViT-B/32 on Zen 4."""


def check_precision(precision: str) -> None:
    """Refuse a name that is no precision.

    Raises:
        ActionCLIPError: with the names there are.
    """
    if precision not in ("fp32", "bf16", "auto"):
        raise unknown("precision", precision, ["fp32", "bf16", "auto"])


def choose_precision(precision: str, model: nn.Module) -> Literal["fp32", "bf16"]:
    """The precision for a model; `auto` looks at the hardware and at the model's size.

    Raises:
        ActionCLIPError: for a name that is no precision.
    """
    check_precision(precision)
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
    """Let the image tower compute in a precision; change it in place.

    bf16 is for the matrix products in the tower's blocks, where the time goes: attention and MLP.
    The sum they are added to, the norms, the first and the last projection and the visual prompts
    stay float32, which costs no time and leaves a third of the error. A tower without such blocks,
    of convolutions, computes in bf16 throughout.

    The text tower stays as it is: it runs once for a set of labels, and its error would shift the
    scores of every video. `model.cast(torch.bfloat16)` lowers everything.

    Rounding cannot be undone: float32 computes from then on with the rounded weights, and
    `model.rounded` says so.
    """
    visual = model.backbone.visual
    if precision == "fp32":
        for part in (visual, model.pre, model.inner, model.post):
            if part is not None:
                part.float()
        return model
    model.rounded |= any(p.dtype == torch.float32 for p in visual.parameters())
    branches = _branches(visual)
    for branch in branches:
        branch.to(torch.bfloat16)
        _Lowered().attach(branch)
        if type(branch) is nn.Sequential and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            branch.__class__ = RoundedOnce
    if not branches:
        visual.to(torch.bfloat16)
    return model


def precision_of(model: "ActionCLIP") -> Literal["fp32", "bf16"]:
    """What the image tower multiplies in, as it is now."""
    types = {parameter.dtype for parameter in model.backbone.visual.parameters()}
    return "bf16" if torch.bfloat16 in types else "fp32"


def _branches(visual: nn.Module) -> list[nn.Module]:
    """What the blocks of a transformer add to their input; none for other towers."""
    try:
        blocks, _ = blocks_of(visual)
    except ActionCLIPError:
        return []
    parts = [part for block in blocks for part in block.named_children()]
    return [part for name, part in parts if name in ("attn", "mlp")]


class RoundedOnce(nn.Sequential):
    """An MLP whose first layer and GELU are one step of oneDNN: on a CPU, in bf16, no gradient.

    The sum a product ends in is then not rounded to bf16 before GELU sees it: embeddings of
    ViT-B/16 have 6 % less error, in the same time. The layers stay what they are; where the first
    is another (adapted, say) or a gradient is wanted, they are called one by one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """From [..., width] to [..., width]."""
        first, gelu, *others = self
        plain = type(first) is nn.Linear and type(gelu) is nn.GELU and gelu.approximate == "none"
        here = input.dtype == torch.bfloat16 and input.device.type == "cpu" and has_bf16("cpu")
        if not (plain and here) or torch.is_grad_enabled():
            return super().forward(input)
        step = torch.ops.mkldnn._linear_pointwise
        x = step(input, first.weight, first.bias, "gelu", [], "none")
        for layer in others:
            x = layer(x)
        return x


class _Lowered:
    """Lets a branch of a block compute in the type of its weights, whatever surrounds it.

    Its hooks are bound methods, which pickle and deep-copy together with the branch.
    """

    def __init__(self) -> None:
        self._outside = torch.float32

    def attach(self, branch: nn.Module) -> None:
        """Hook into it."""
        branch.register_forward_pre_hook(self._before)
        branch.register_forward_hook(self._after)

    def _before(self, branch: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Lower the input. Query, key and value stay one tensor, for which torch is faster."""
        self._outside = args[0].dtype
        inside = next(branch.parameters()).dtype
        lowered = {id(x): x.to(inside) for x in args if _is_number(x)}
        return tuple(lowered.get(id(x), x) for x in args)

    def _after(self, branch: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Raise the output; an attention's is a tuple, with its weights behind it, or None."""
        if isinstance(output, tuple):
            return (output[0].to(self._outside), *output[1:])
        return output.to(self._outside)


def _is_number(x: object) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point()


@cache
def _cpu_words() -> frozenset[str]:
    """Everything Linux says about the processor, its maker and its flags among it."""
    information = Path("/proc/cpuinfo")
    return frozenset(information.read_text().split()) if information.is_file() else frozenset()


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        ActionCLIPError: for a device that this machine does not have.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available.append("cuda")
    if torch.backends.mps.is_available():
        available.append("mps")
    if device is None:
        return torch.device(available[-1])
    if str(device).split(":")[0] not in available:
        raise unknown("device of this machine", str(device), available)
    return torch.device(device)
