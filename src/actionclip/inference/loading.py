"""Models come and go: loaded by name, written to a folder or to the Hub."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionclip.inference.precision import check_precision, choose_device
from actionclip.inference.recognizer import Recognizer
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.folder import save as save_folder
from actionclip.model.weights.hub import push_folder
from actionclip.model.zoo.pretrained import DEFAULT, build
from actionclip.video.decode import check_pool


def load(
    name: str | Path = DEFAULT,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    **options: Any,
) -> Recognizer:
    """A model ready to answer.

    Args:
        name: `open_clip-name/tag`, `tiny`, `hf-hub:owner/repo`, or a model folder.
        device: where it runs; None: a GPU if there is one.
        precision: `fp32`; `bf16`; or `auto`, bf16 where the hardware has it and it pays.
        options: `workers`, `limits` and `decoder`, as for `Recognizer`.

    Raises:
        ActionCLIPError: for a name we do not know, or weights that cannot be had. What is wrong
            with the other arguments is told before a model is loaded.
    """
    check_pool(options.get("workers"), options.get("decoder", "pyav"))
    check_precision(precision)
    place = choose_device(device)
    model = build(str(name))
    recognizer = Recognizer(model.to(place), precision=precision, **options)
    recognizer.origin = str(name)
    return recognizer


def save(model: Recognizer | ActionCLIP, folder: str | Path) -> None:
    """Write a model folder that `load` reads: weights, settings, labels and a card.

    Of a model that `load` rounded to bf16 the weights are written as they were loaded.

    Raises:
        StorageError: when it cannot be written; what was there before stays whole.
        ActionCLIPError: for weights that were rounded and cannot be had as they were.
    """
    if isinstance(model, Recognizer):
        save_folder(model.model, Path(folder), tensors=_as_loaded(model))
    else:
        save_folder(model, Path(folder))


def _as_loaded(recognizer: Recognizer) -> dict[str, Tensor] | None:
    """The weights before they were rounded; None where they were not, or are others by now."""
    model, origin = recognizer.model, recognizer.origin
    if not model.rounded or origin is None:
        return None
    before = build(origin).state_dict()
    now = {name: value.cpu() for name, value in model.state_dict().items()}
    same = before.keys() == now.keys() and all(
        torch.equal(before[name].to(value.dtype), value) for name, value in now.items()
    )
    return before if same else None


def push_to_hub(
    model: Recognizer | ActionCLIP | str | Path, repo: str, *, private: bool = True
) -> str:
    """Upload a model, or a model folder, to the Hugging Face Hub.

    Args:
        model: what `load` gave, or a folder that `save` or `convert` wrote.
        repo: `owner/repo`; made when it is not there.
        private: whether a repository made by this call is visible to its owner alone.

    Returns:
        The name to load it by, `hf-hub:owner/repo`.

    Raises:
        ActionCLIPError: when the Hub cannot be reached or refuses.
    """
    if isinstance(model, (str, Path)):
        return push_folder(model, repo, private=private)
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        return push_folder(folder, repo, private=private)
