"""A short film in which one action follows another, with known times."""

import numpy as np

from actionclip.data.synthetic.clips import synthesise
from actionclip.data.synthetic.files import write_clip

ACTIONS = ("jumping jacks", "bending down", "waving one hand")
EACH = 3.0
"""Seconds of each action."""


def write_film(path, actions=ACTIONS, *, fps=12.0, size=(160, 120)):
    """Somebody does one thing after the other, each for `EACH` seconds."""
    frames = [
        synthesise(action, seed, frames=round(EACH * fps), size=size, fps=fps, clean=True).frames
        for seed, action in enumerate(actions, start=1)
    ]
    write_clip(path, np.concatenate(frames), fps=fps)
    return path


def shared_film(tmp_path_factory):
    """A film as above that all tests of a run share."""
    path = tmp_path_factory.getbasetemp() / "film of actions.mp4"
    return path if path.exists() else write_film(path)
