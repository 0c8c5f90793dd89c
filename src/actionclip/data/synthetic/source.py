"""Rendered people as a source for training: made when they are asked for, no files.

T frames, R input size.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from actionclip.config import config
from actionclip.data.example import Example
from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.captions import PHRASES, captions
from actionclip.data.synthetic.clips import Clip, plan
from actionclip.errors import ActionCLIPError, unknown

_ASPECTS = (1.25, 1.5)
"""Shapes of the camera's picture, width by height; few, as the backdrops of each are kept."""
_STILL_FROM = 12
"""A picture shows one moment of so many."""


@config
class PeopleConfig:
    """What is rendered."""

    clips: int = 20_000
    """In an epoch; no epoch shows one again."""
    frames: int = 12
    """1: pictures, each of a moment of a movement."""
    size: int = 96
    """Height and width in pixels (R). The camera's wider picture is squashed."""
    spacing: float = 0.125
    """Seconds from frame to frame."""
    jitter: float = 0.15
    """By what share the spacing varies from clip to clip, either way."""
    actions: tuple[str, ...] = ()
    """Which; none named: all."""
    without: tuple[str, ...] = ()
    """Which are left out, to ask for them later."""
    ease: float = 0.0
    """Epochs over which clips get harder: at first all people are near, well filmed, seen from the
    best side and in plain places, at the end as few as `easy` says. Without it, learning from
    nothing starts only after tens of thousands of clips."""
    easy: float = 0.0
    """The chance, after these epochs, that each of those is as it was at first."""
    cut: float = 0.0
    """The chance that an action that happens once and takes longer than the clip is seen in part,
    at its own pace, as a window of a longer video shows it; otherwise it is hurried."""
    captions: float = 0.5
    """Share of clips with a sentence that also tells manner, direction and view; the others have
    the bare name or another word for it."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if min(self.clips, self.frames, self.size) < 1 or not 0 < self.spacing < math.inf:
            raise ActionCLIPError(
                f"There are {self.clips} clips of {self.frames} frames of {self.size} pixels, "
                f"{self.spacing} s apart.",
                expected="Each number must be above zero.",
            )
        for name in ("easy", "cut", "captions"):
            if not 0 <= getattr(self, name) <= 1:
                raise ActionCLIPError(
                    f"{name} is {getattr(self, name)}.", expected="A share is from 0 to 1."
                )
        if not (0 <= self.jitter < 1 and self.ease >= 0):
            raise ActionCLIPError(
                f"jitter is {self.jitter} and ease is {self.ease}.",
                expected="A jitter from 0 to below 1, and an ease of 0 or more epochs.",
            )
        for action in (*self.actions, *self.without):
            if action not in ACTIONS:
                raise unknown("synthetic action", action, ACTIONS)


@dataclass(frozen=True)
class People:
    """A source of clips of people: a pure function of index and epoch."""

    config: PeopleConfig = field(default_factory=PeopleConfig)

    @property
    def labels(self) -> tuple[str, ...]:
        """The actions, in the order of their numbers."""
        chosen = self.config.actions or tuple(ACTIONS)
        return tuple(name for name in chosen if name not in self.config.without)

    def __len__(self) -> int:
        """How many clips an epoch has."""
        return self.config.clips

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """The clip of an index in an epoch. Every action comes up equally often."""
        index, epoch = key
        settings, labels = self.config, self.labels
        turn, place = divmod(index, len(labels))
        order = np.random.default_rng([settings.seed, epoch, turn, 1]).permutation(len(labels))
        label = int(order[place])
        rng = np.random.default_rng([settings.seed, epoch, index, 7])
        width = round(settings.size * float(rng.choice(_ASPECTS)))
        still, now = settings.frames == 1, epoch + index / settings.clips
        hard = min(1.0, now / settings.ease) if settings.ease else 1.0
        take = plan(
            labels[label],
            (settings.seed, epoch, index),
            frames=_STILL_FROM if still else settings.frames,
            size=(width, settings.size),
            clean=1 - hard * (1 - settings.easy),
            cut=settings.cut,
            fps=1 / (settings.spacing * rng.uniform(1 - settings.jitter, 1 + settings.jitter)),
        )
        if still:
            take = take.moment(int(rng.integers(_STILL_FROM)))
        clip = take.draw()
        return Example(squashed(clip, settings.size), label, self._said(clip, rng))

    def _said(self, clip: Clip, rng: np.random.Generator) -> str:
        if rng.random() < self.config.captions:
            return captions(clip.info, rng, count=2)[int(rng.integers(2))]
        phrases = PHRASES[clip.info.action]
        return phrases[0] if rng.random() < 0.5 else str(rng.choice(phrases))


def squashed(clip: Clip, size: int) -> UInt8[Tensor, "T 3 R R"]:
    """The whole picture in a square."""
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
    if frames.shape[-1] == size:
        return frames.contiguous()
    return F.interpolate(frames, (size, size), mode="bilinear", antialias=True).contiguous()
