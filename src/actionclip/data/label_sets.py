"""The class names of the field's data sets, as their authors wrote them.

Lists in circulation disagree in the order of HMDB51's classes, so match labels by name, never by
position.
"""

import re
from difflib import get_close_matches
from importlib.resources import files

from actionclip.errors import ActionCLIPError, unknown

_FOLDER = files("actionclip.data") / "labels"

CLOSE = 0.85
"""How alike a word and a name are where one is meant to be the other: from 0 to 1, as `difflib`
says it. `kinetcs400` and `charade` are at 0.95 and 0.93; `cards` is at 0.77 from `charades`."""


def names() -> list[str]:
    """The label sets that can be loaded, sorted."""
    return sorted(file.name.removesuffix(".txt") for file in _FOLDER.iterdir())


def load(name: str) -> list[str]:
    """The labels of a set, e.g. `kinetics400`, in its file's order.

    Raises:
        ActionCLIPError: when there is no such set; it names the nearest one.
    """
    if name not in names():
        raise unknown("label set", name, names())
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def misspelt(word: str) -> str | None:
    """The set whose name a word nearly is, or begins but for the digits; None for other words.

    >>> misspelt("ucf-101"), misspelt("Kinetics"), misspelt("parade")
    ('ucf101', 'kinetics400', None)
    """
    folded, sets = word.strip().casefold(), names()
    begun = [name for name in sets if re.split(r"\d", name)[0] == folded]
    near = begun or get_close_matches(folded, sets, n=1, cutoff=CLOSE)
    return near[0] if near else None


def refuse_misspelt(word: str) -> None:
    """Refuse a single word for labels that was surely meant to be a set.

    Raises:
        ActionCLIPError: naming the set, and how to ask for the word itself.
    """
    if near := misspelt(word):
        raise ActionCLIPError(
            f"No set of labels is called {word!r}.",
            expected=f"Choose from: {', '.join(names())}.",
            hint=f"Did you mean {near!r}? If {word!r} is your only label, write it with a comma "
            f"behind it: {word + ','!r}.",
        )
