"""A model that was loaded, written to a folder or to the Hub."""

import tempfile
from pathlib import Path

from actionclip.inference.recognizer import Recognizer
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.folder import save as save_folder
from actionclip.model.weights.hub import push_folder


def save(model: Recognizer | ActionCLIP, folder: str | Path) -> None:
    """Write a model folder that `load` reads: weights, settings, labels and a card.

    Raises:
        StorageError: when it cannot be written; what was there before stays whole.
    """
    save_folder(model.model if isinstance(model, Recognizer) else model, Path(folder))


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
