"""The labels that somebody means: words, a file, or a built-in set. No model, and no torch."""

from collections.abc import Sequence
from pathlib import Path

from actionclip.data import label_sets
from actionclip.model.prompts.label_files import read_labels


def resolve_labels(labels: str | Path | Sequence[str]) -> list[str]:
    """Labels from words, a file, or the name of a built-in set.

    Raises:
        ActionCLIPError: when there is no label, a file cannot be read, or a single word is nearly
            the name of a set.
    """
    found = read_labels(labels, known=_built_in)
    if isinstance(labels, str) and found == [labels.strip()]:
        label_sets.refuse_misspelt(found[0])
    return found


def _built_in(name: str) -> list[str] | None:
    return list(label_sets.load(name)) if name in label_sets.names() else None
