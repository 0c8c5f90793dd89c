"""Visual prompts that work inside an image tower: what they share.

A tower sees single frames, B * T of them, row = video * T + frame. A prompt of this kind lets the
frames of a video meet inside it. It hangs on to public submodules of an open_clip tower by forward
pre-hooks, so the tower's code and the names of its parameters stay as they are.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import nn

from actionclip.errors import ActionCLIPError

_FRAMES: ContextVar[int | None] = ContextVar("_FRAMES", default=None)
"""T in this thread's pass: others may run the same tower with another number meanwhile."""


class TowerPrompt(nn.Module):
    """A visual prompt that lives in an image tower. One tower carries at most one.

    The tower's input does not say where one video ends: `OpenClipBackbone.encode_frames` does,
    before each pass and for its thread only. `frames` is T of the pass begun last. It is what
    counts in compiled code, and where gradients are made in a thread of their own and activations
    are computed once more.

    Hooks are bound methods, which pickle and deep-copy together with tower and prompt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames = 1

    def frames_now(self) -> int:
        """T, the frames of a video, in the pass that this is called in."""
        told = None if torch.compiler.is_compiling() else _FRAMES.get()
        return self.frames if told is None else told


@contextlib.contextmanager
def videos_of(frames: int) -> Iterator[None]:
    """Within it the videos that this thread runs through any tower have so many frames."""
    before = _FRAMES.set(frames)
    try:
        yield
    finally:
        _FRAMES.reset(before)


def describe(visual: nn.Module) -> str:
    """What to call an image tower in an error."""
    trunk = getattr(visual, "trunk", None)
    return type(visual if trunk is None else trunk).__name__


def refuse(prompt: str, visual: nn.Module, reason: str) -> ActionCLIPError:
    """The error for a visual prompt that cannot work in this tower."""
    return ActionCLIPError(
        f"The visual prompt {prompt!r} cannot work in this image tower ({describe(visual)}).",
        expected=reason,
        hint="Choose a backbone such as ViT-B-16, or leave the prompt out and use a post prompt.",
    )
