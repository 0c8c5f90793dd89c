"""The class names of the field's data sets, as their authors wrote them.

Lists in circulation disagree in the order of HMDB51's classes, so match labels by name, never by
position.
"""

from importlib.resources import files

from actionclip.errors import unknown

_FOLDER = files("actionclip.data") / "labels"


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
