"""What goes wrong outside our code, said so that a person can act on it."""

from collections.abc import Iterable
from difflib import get_close_matches


class ActionCLIPError(Exception):
    """Something the user can put right: a file, a name, a setting. Never a bug.

    Three parts, each one or more whole sentences: what happened (with the value), what was
    expected, and what to do next. `str()` joins them.
    """

    def __init__(self, what: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.expected, self.hint) if part)


class StorageError(ActionCLIPError):
    """A result could not be written: the disk is full, or the place is not writable."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> ActionCLIPError:
    """The error for a name that is not among the choices, with the nearest one suggested.

    >>> print(unknown("visual prompt", "transv", ["meanp", "transf"]))
    No visual prompt is called 'transv'. Choose from: meanp, transf. Did you mean 'transf'?
    """
    known = sorted(choices)
    near = get_close_matches(name, known, n=1)
    return ActionCLIPError(
        f"No {kind} is called {name!r}.",
        expected=f"Choose from: {', '.join(known)}.",
        hint=f"Did you mean {near[0]!r}?" if near else "",
    )
