"""Weights in half precision: half the bytes of a model that is shipped or shared."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.files import read_tensors, some, tensor_content, text_content
from actionclip.model.weights.folder import CARD, WEIGHTS, copy_folder, load_folder

NOTE = "The weights were rounded to half precision (float16) to be small."
"""What the card says."""
LARGEST = torch.finfo(torch.float16).max


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in float16; single numbers (scale, bias) and counters stay as they are.

    Raises:
        ActionCLIPError: for numbers that float16 cannot hold.
    """
    wide = {
        name
        for name, value in tensors.items()
        if value.ndim and value.is_floating_point() and value.element_size() > 2
    }
    if large := [name for name in wide if tensors[name].abs().amax() > LARGEST]:
        raise ActionCLIPError(
            f"Numbers are too large for half precision in {some(sorted(large))}.",
            expected=f"None beyond {LARGEST:g}.",
            hint="Leave these weights as they are.",
        )
    return {name: value.half() if name in wide else value for name, value in tensors.items()}


def halve(folder: str | Path, target: str | Path) -> Path:
    """Write a model folder with the weights of another in float16; it is computed with as before.

    Args:
        folder: a model folder.
        target: where to; may be `folder` itself.

    Raises:
        ActionCLIPError: when it is no whole model folder, or its numbers are too large.
        StorageError: when it cannot be written; what was there before stays whole.
    """
    folder, target = Path(folder), Path(target)
    config = load_folder(folder).config
    new = {WEIGHTS: tensor_content(halved(read_tensors(folder / WEIGHTS)))}
    card = folder / CARD
    if card.is_file():
        said = card.read_text("utf-8", "surrogateescape").replace(f"\n{NOTE}\n", "")
        new[CARD] = text_content(f"{said}\n{NOTE}\n")
    return copy_folder(folder, target, config, new)
