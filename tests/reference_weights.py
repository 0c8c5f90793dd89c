"""Weights and inputs computed from names: the contract behind the numbers in tests/golden.

    value(key) = rule(key, standard normal numbers seeded with crc32(key)), rounded to half

Keys are OpenAI's names of CLIP's parameters and the authors' names of the heads', each behind a
namespace: `model/visual.proj`, `fusion/shift.weight`. Every value is exact in half precision, but
for `logit_scale`.
"""

import math
import zlib
from functools import cache

import numpy as np
import torch

EMBEDDINGS = (
    "class_embedding",
    "positional_embedding",
    "time_embedding",
    "cls_token",
    "pos_embed",
    "token_embedding.weight",
    "frame_position_embeddings.weight",
)


def _tower(width, layers):
    return {"width": width, "layers": layers}


def _architecture(embed_dim, image, patch, vision, text):
    """open_clip's configuration; attention heads are the width / 64, as in OpenAI's models."""
    return {
        "embed_dim": embed_dim,
        "quick_gelu": True,
        "vision_cfg": {"image_size": image, "patch_size": patch, **vision},
        "text_cfg": {**text, "heads": text["width"] // 64},
    }


CONFIGS = {
    # one head per tower, all widths equal
    "s1": _architecture(64, 32, 8, _tower(64, 3), _tower(64, 2)),
    # two heads per tower, embedding narrower than the towers
    "s2": _architecture(64, 32, 8, _tower(128, 3), _tower(128, 2)),
    # the published ViT-B/32
    "b32": _architecture(512, 224, 32, _tower(768, 12), _tower(512, 12)),
}


@cache
def weight(namespace, key, shape):
    """The float32 array that belongs to a name; `shape` is a tuple."""
    if key == "logit_scale":
        return np.array(math.log(1 / 0.07), dtype=np.float32)
    seed = zlib.crc32(f"{namespace}/{key}".encode())
    normal = np.random.default_rng(seed).standard_normal(shape)
    last = key.rsplit(".", 1)[-1]
    if key.endswith(EMBEDDINGS):
        value = 0.05 * normal
    elif last in ("proj", "text_projection"):  # used as x @ W
        value = normal / math.sqrt(shape[0])
    elif len(shape) == 1:
        value = 1 + 0.02 * normal if last.startswith("weight") else 0.02 * normal
    else:
        value = normal / math.sqrt(math.prod(shape[1:]))
    return value.astype(np.float16).astype(np.float32)


def reference_weights(module_or_shapes, namespace):
    """A state dict for a module, or for a mapping of names to shapes."""
    shapes = module_or_shapes
    if isinstance(shapes, torch.nn.Module):
        shapes = {key: value.shape for key, value in shapes.state_dict().items()}
    return {
        key: torch.tensor(weight(namespace, key, tuple(shape))) for key, shape in shapes.items()
    }


def canonical(name):
    """The namespace and the authors' name of one of an ActionCLIP's parameters."""
    for ours, namespace, theirs in (
        ("backbone.clip.", "model", ""),
        ("pre.", "model", "visual."),
        ("post.", "fusion", ""),
    ):
        if name.startswith(ours):
            return namespace, theirs + name.removeprefix(ours)
    raise KeyError(name)


def load_reference(model):
    """Give a whole ActionCLIP its reference weights; returns it, ready for inference."""
    weights = {
        name: torch.tensor(weight(*canonical(name), tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(weights)
    return model.eval()


def image_input(seed, images, size):
    """Normalised images [images, 3, size, size], row = video * T + frame."""
    values = np.random.default_rng(seed).standard_normal((images, 3, size, size))
    return torch.tensor(values.astype(np.float32))


def feature_input(seed, videos, frames, width):
    """Embeddings of frames [videos, frames, width]."""
    values = np.random.default_rng(seed).standard_normal((videos, frames, width))
    return torch.tensor(values.astype(np.float32))
