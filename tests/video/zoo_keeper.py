"""How an animal of the zoo is entered in its book, and what several of them are made with.

`ZOO` maps a name to a function that puts the animal into an empty folder and returns its path, and
to the outcome that is right for it. The folder itself returned is a folder of frames.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clips import render

from actionclip.video.outcomes import Outcome


class Animal(NamedTuple):
    """How to make it, and how reading it ends."""

    build: Callable[[Path], Path]
    ends: Outcome
    said: str
    """Part of what the user is told."""


ZOO: dict[str, Animal] = {}


def ends(outcome, said=""):
    def register(build):
        ZOO[build.__name__] = Animal(build, Outcome(outcome), said)
        return build

    return register


def small(folder, name="v.mp4", count=24, **options):
    return render(folder / name, count, **options)


def patched(path, old, new, *, count=1):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path
