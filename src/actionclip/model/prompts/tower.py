"""Visual prompts that work inside an image tower: what they share.

A tower sees single frames, B * T of them, row = video * T + frame. A prompt of this kind lets the
frames of a video meet inside it. It hangs on to public submodules of an open_clip tower by forward
pre-hooks, so the tower's code and the names of its parameters stay as they are.
"""

from torch import nn

from actionclip.errors import ActionCLIPError


class TowerPrompt(nn.Module):
    """A visual prompt that lives in an image tower. One tower carries at most one.

    `frames` is T, the frames of a video: the tower's input does not say where one video ends.
    `OpenClipBackbone.encode_frames` sets it before each pass, so a model must not be run by
    several threads with different numbers of frames at the same time.

    Hooks are bound methods, which pickle and deep-copy together with tower and prompt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames = 1


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
