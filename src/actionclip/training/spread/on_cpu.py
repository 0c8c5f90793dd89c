"""What torch is slow at where a gradient is wanted on a CPU, done another way.

Measured on a Xeon with AMX, one thread, forward and backward, 32 frames, bf16: the first layer of
ViT-B/32 takes 465 ms as a convolution and 26 as a matrix product (131 and 101 in float32),
attention among 50 tokens 69 ms in bf16 and 30 in float32.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h
_NEVER = -1
_CHOSEN = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for what it asks for next.

    A step asks for pieces of tens of megabytes and frees them. glibc gives such pieces back to the
    system, which clears their pages anew each time: a tenth of a step of ViT-B/32, a fifth of one
    of ViT-B/16. With this the process stays as large as it was at its largest, and that may be a
    fifth more, as pieces of different sizes leave room between them. `actionclip train` calls it
    where activations are not checkpointed; a program of your own may, before it trains.

    Returns:
        Whether it was done: not without glibc, nor where the environment has chosen
        (`MALLOC_MMAP_MAX_`, `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`).
    """
    if not _is_glibc() or any(name in os.environ for name in _CHOSEN):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))


def _is_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):  # Windows, macOS, musl
        return False


@contextlib.contextmanager
def quick_on_cpu(model: nn.Module, *, wanted: bool = True) -> Iterator[None]:
    """Within it a step of a model on a CPU is quicker; elsewhere nothing changes.

    Activation checkpointing encodes again during the backward pass, so that must be within too.

    Args:
        model: what is trained. The layers stay what they are, with other `forward`s.
        wanted: False changes nothing (compiled blocks take care of themselves).
    """
    changed: list[Any] = []
    if wanted and next(model.parameters()).device.type == "cpu":
        module: Any
        for module in model.modules():
            if type(module) is nn.Conv2d and _takes_patches(module):
                module.forward = partial(_patches, module)
            elif type(module) is nn.MultiheadAttention and _is_plain(module):
                module.forward = partial(_attention, module)
            else:
                continue
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _takes_patches(layer: nn.Conv2d) -> bool:
    """Whether a convolution sees square patches that neither overlap nor leave out anything."""
    height, width = layer.kernel_size
    return (
        height == width >= 8
        and layer.stride == layer.kernel_size
        and layer.padding in ((0, 0), "valid")
        and layer.dilation == (1, 1)
        and layer.groups == 1
    )


def _patches(layer: nn.Conv2d, input: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E h w"]:
    """The convolution as one matrix product; what is left at the edges is left, as it does."""
    side = layer.kernel_size[0]
    height, width = (size - size % side for size in input.shape[-2:])
    patches = F.pixel_unshuffle(input[..., :height, :width], side).permute(0, 2, 3, 1)
    return F.linear(patches, layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)


def _is_plain(layer: nn.MultiheadAttention) -> bool:
    """Whether an attention is as CLIP's towers have it."""
    return (
        layer.in_proj_weight is not None
        and layer.bias_k is None
        and not layer.add_zero_attn
        and layer.dropout == 0
        and layer.batch_first
    )


def _attention(
    layer: nn.MultiheadAttention,
    query: Float[Tensor, "N L E"],
    key: Float[Tensor, "N S E"],
    value: Float[Tensor, "N S E"],
    *rest: Any,
    **how: Any,
) -> tuple[Tensor, Tensor | None]:
    """Its products in the precision of autocast, what is between them in float32."""
    as_clip = not rest and how.keys() <= {"need_weights", "attn_mask"} and key is value
    in_bf16 = torch.is_autocast_enabled("cpu") and query.dim() == 3
    if not (as_clip and in_bf16) or how.get("need_weights", True):
        return nn.MultiheadAttention.forward(layer, query, key, value, *rest, **how)
    weight, bias = layer.in_proj_weight, layer.in_proj_bias
    if query is key:
        parts = F.linear(query, weight, bias).chunk(3, dim=-1)
    else:
        width = layer.embed_dim
        biases = (None, None) if bias is None else (bias[:width], bias[width:])
        both = F.linear(key, weight[width:], biases[1]).chunk(2, dim=-1)
        parts = (F.linear(query, weight[:width], biases[0]), *both)
    heads = [part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2).float() for part in parts]
    mask = how.get("attn_mask")
    if mask is not None and mask.is_floating_point():
        mask = mask.float()
    if mask is not None and mask.dim() == 3:  # one for each video and head, as torch's layer has it
        mask = mask.unflatten(0, (-1, layer.num_heads))
    with torch.autocast("cpu", enabled=False):
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=mask)
    # As torch's layer does it: with the matrix, to which an adapter has been added already.
    last = layer.out_proj
    return F.linear(mixed.transpose(1, 2).flatten(-2), last.weight, last.bias), None
