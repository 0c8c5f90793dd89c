"""From the shapes of a state dict to the towers they belong to, as OpenAI's loader does it.

w width of the image tower, n patches of a frame, D embedding width, K sentences.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.files import some

HEAD_WIDTH = 64
"""Width of an attention head in OpenAI's models, which no shape tells."""

OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
"""Numbers beside the weights in OpenAI's archives; the shapes say the same."""

_NEEDED = {
    "visual.conv1.weight": 4,
    "visual.class_embedding": 1,
    "visual.positional_embedding": 2,
    "visual.proj": 2,
    "positional_embedding": 2,
    "token_embedding.weight": 2,
    "ln_final.weight": 1,
    "text_projection": 2,
    "logit_scale": None,
}
CLIP_WORDS = 49408
"""The size of CLIP's vocabulary."""

_TEXT_SIZES = ("context_length", "vocab_size", "width", "layers")
_BLOCK = re.compile(r"^(visual\.)?transformer\.resblocks\.(\d+)\.")


def infer_architecture(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """open_clip's configuration for OpenAI's kind of ViT, from the shapes of its tensors.

    `quick_gelu` is not among what shapes tell and is left out.

    Raises:
        ActionCLIPError: for a ResNet, other towers, more words than CLIP knows, or shapes that
            contradict each other.
    """
    _check_kind(state, path)
    if (words := state["token_embedding.weight"].shape[0]) > CLIP_WORDS:
        raise ActionCLIPError(
            f"{path} has a vocabulary of {words:,} tokens, and CLIP's has {CLIP_WORDS:,}.",
            expected="Towers that read CLIP's tokens, where nothing else is said.",
            hint="Say which of open_clip's models it is: name='architecture/tag'.",
        )
    convolution, places = state["visual.conv1.weight"], state["visual.positional_embedding"]
    width, patch = convolution.shape[0], convolution.shape[-1]
    grid = math.isqrt(max(places.shape[0] - 1, 0))
    text_width = state["ln_final.weight"].shape[0]
    vision_layers, text_layers = _layers(state, "visual."), _layers(state, "")
    if grid < 1 or grid * grid != places.shape[0] - 1:
        raise _contradiction(path, f"visual.positional_embedding has {places.shape[0]} rows")
    if width % HEAD_WIDTH or text_width % HEAD_WIDTH:
        raise _contradiction(path, f"the towers are {width} and {text_width} wide")
    if not vision_layers or not text_layers:
        raise _contradiction(path, f"there are {vision_layers} and {text_layers} blocks")
    architecture: dict[str, Any] = {
        "embed_dim": state["text_projection"].shape[1],
        "vision_cfg": {
            "image_size": grid * patch,
            "patch_size": patch,
            "width": width,
            "layers": vision_layers,
            "head_width": HEAD_WIDTH,
        },
        "text_cfg": {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": state["token_embedding.weight"].shape[0],
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": text_layers,
        },
    }
    if "logit_bias" in state:
        architecture["init_logit_bias"] = -10
    return architecture


def _check_kind(state: Mapping[str, Tensor], path: Path) -> None:
    if any(name.startswith(("visual.layer1.", "visual.attnpool.")) for name in state):
        raise ActionCLIPError(
            f"{path} holds a ResNet CLIP.",
            expected="Checkpoints with a vision transformer are read.",
            hint="OpenAI's ResNets are the models RN50/openai, RN101/openai and so on.",
        )
    wrong = [
        name
        for name, dimensions in _NEEDED.items()
        if name not in state or dimensions not in (None, state[name].ndim)
    ]
    if wrong:
        raise ActionCLIPError(
            f"{path} holds no CLIP with a vision transformer: {some(wrong)} missing or of another "
            f"kind; it has {some(sorted(state))}.",
            expected="Tensors named as in OpenAI's and open_clip's ViT models.",
            hint="For another of open_clip's models say which: name='architecture/tag'.",
        )


def _layers(state: Mapping[str, Tensor], tower: str) -> int:
    found = {int(m[2]) for name in state if (m := _BLOCK.match(name)) and (m[1] or "") == tower}
    return max(found) + 1 if found == set(range(len(found))) and found else 0


def _contradiction(path: Path, what: str) -> ActionCLIPError:
    return ActionCLIPError(
        f"{path} holds towers that make no sense: {what}.",
        expected="A square grid of patches, widths in multiples of 64, blocks without gaps.",
    )


def known_name(architecture: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The name open_clip has for towers of these sizes, and its configuration.

    The largest models have heads wider than 64, which shapes do not tell: where open_clip knows
    towers of exactly these sizes, its number of heads is taken. Without a match the name is None
    and the architecture comes back as it was.
    """
    import open_clip

    ours = _sizes(architecture)
    for name in open_clip.list_models():
        candidate = open_clip.get_model_config(name) or {}
        if "-quickgelu" not in name and _sizes(candidate) == ours:
            candidate.pop("quick_gelu", None)
            if "init_logit_bias" in architecture:
                candidate["init_logit_bias"] = architecture["init_logit_bias"]
            return name, candidate
    return None, dict(architecture)


def _sizes(architecture: Mapping[str, Any]) -> tuple[Any, ...] | None:
    vision, text = architecture["vision_cfg"], architecture["text_cfg"]
    keys = ("image_size", "patch_size", "width", "layers")
    plain_vision, plain_text = {*keys, "head_width", "mlp_ratio"}, {*_TEXT_SIZES, "heads"}
    if architecture.get("custom_text") or not (
        set(vision) <= plain_vision and set(text) <= plain_text
    ):
        return None
    return (
        architecture["embed_dim"],
        *(vision.get(key) for key in keys),
        *(text.get(key) for key in _TEXT_SIZES),
    )


def looks_like_quick_gelu(state: Mapping[str, Tensor]) -> bool:
    """Whether weights bear the marks of OpenAI's own, which were trained with QuickGELU.

    OpenAI saved matrices in half precision beside norms in single precision. Whatever type they
    have now, such matrices are exact in half; those of other trainings are not.
    """
    if all(value.dtype == torch.float16 for value in state.values() if value.ndim):
        return False  # made half by somebody: says nothing
    matrices = [
        state[name].float()
        for name in ("visual.conv1.weight", "visual.proj", "text_projection")
        if name in state
    ]
    return all(torch.equal(matrix, matrix.half().float()) for matrix in matrices)
