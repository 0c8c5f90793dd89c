"""Chance for training: a clip is cut, mirrored and coloured anew in every epoch.

The authors' steps in their order, with two differences: every draw is made once for all frames of
a clip (they draw colours and RandAugment anew for each frame, so that a still video flickers), and
the arithmetic is torchvision's on tensors instead of Pillow's on images. What is drawn depends on
nothing but the seed. T frames, R input size.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from actionclip.config import config
from actionclip.errors import ActionCLIPError
from actionclip.video.settings import Preprocess, Resize
from actionclip.video.transforms import crop_and_flip, cut

STRENGTH = 30
"""The largest magnitude of RandAugment."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
"""How far colours are moved, the authors' numbers."""

_GREY = torch.tensor([125, 123, 114], dtype=torch.uint8)[:, None, None]

Frames = UInt8[Tensor, "T 3 H W"]


@config
class Augment:
    """What chance does to the pixels of a clip. The defaults are the authors' for UCF101."""

    crop: Literal["multi_scale", "centre"] = "multi_scale"
    """`multi_scale`: 1, 0.875, 0.75 or 0.66 of the shorter side, at one of 13 places. `centre`: as
    in a test."""
    flip: bool = True
    """Mirror half of the clips. Not where labels tell left from right (Something-Something)."""
    jitter: float = 0.8
    """Share of clips whose brightness, contrast, saturation and hue are moved."""
    grey: float = 0.2
    """Share of clips that lose their colours."""
    operations: int = 0
    """Operations of RandAugment on each clip; the authors' for Kinetics-400: 2."""
    magnitude: float = 9
    """Strength of RandAugment, 0 to 30."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        for name in ("jitter", "grey"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ActionCLIPError(f"{name} is {value}.", expected="A share from 0 to 1.")
        if self.operations < 0 or not 0 <= self.magnitude <= STRENGTH:
            raise ActionCLIPError(
                f"RandAugment has {self.operations} operations of magnitude {self.magnitude}.",
                expected=f"None or more, of a magnitude from 0 to {STRENGTH}.",
            )


def resize_before(preprocess: Preprocess, settings: Augment) -> Resize:
    """How frames are made smaller before they are cut: the authors' 256 for an input of 224.

    With `centre` it is what a test does.
    """
    if settings.crop == "centre":
        return preprocess.resize
    size = preprocess.size * 256 // 224
    return Resize(size=size, interpolation=preprocess.resize.interpolation)


def augment(
    frames: UInt8[np.ndarray, "T H W 3"],
    preprocess: Preprocess,
    settings: Augment,
    seed: Sequence[int],
) -> UInt8[Tensor, "T 3 R R"]:
    """A clip as it is seen in one epoch.

    Args:
        frames: RGB, as `resize_before` has them read.
        preprocess: what the model's frames are like; its size is that of the result (R).
        settings: what may happen.
        seed: decides what does.
    """
    rng = np.random.default_rng(seed)
    places = random.Random(int(rng.integers(2**63)))
    if settings.operations:
        pixels = rand_augment(_channels_first(frames), settings, rng)
        frames = pixels.permute(0, 2, 3, 1).numpy()
    if settings.crop == "multi_scale":
        found = crop_and_flip(frames, preprocess.size, places, flip=settings.flip)
        pixels = _channels_first(found)
    else:
        pixels = cut(frames[None], replace(preprocess, crops=1))[0][0, 0]
        if settings.flip and places.random() < 0.5:
            pixels = F.horizontal_flip(pixels)
    if rng.random() < settings.jitter:
        pixels = jitter_colours(pixels, rng)
    if rng.random() < settings.grey:
        pixels = F.rgb_to_grayscale(pixels, num_output_channels=3)
    return pixels.contiguous()


def jitter_colours(pixels: Frames, rng: np.random.Generator) -> Frames:
    """Brightness, contrast, saturation and hue, in an order that is drawn too."""
    steps: list[tuple[Callable[[Tensor, float], Tensor], float]] = [
        (F.adjust_brightness, rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)),
        (F.adjust_contrast, rng.uniform(1 - CONTRAST, 1 + CONTRAST)),
        (F.adjust_saturation, rng.uniform(1 - SATURATION, 1 + SATURATION)),
        (F.adjust_hue, rng.uniform(-HUE, HUE)),
    ]
    for place in rng.permutation(len(steps)):
        change, by = steps[place]
        pixels = change(pixels, float(by))
    return pixels


class Operation(NamedTuple):
    """One of RandAugment's: what it does, and its number at the magnitudes 0 and 30."""

    change: Callable[[Tensor, float], Tensor]
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    """Whether the number is negative half of the time."""


def _shear(pixels: Frames, x: float, y: float) -> Frames:
    angles = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return F.affine(pixels, angle=0, translate=[0, 0], scale=1, shear=angles, center=[0, 0])


def _move(pixels: Frames, x: float, y: float) -> Frames:
    return F.affine(pixels, angle=0, translate=[round(x), round(y)], scale=1, shear=[0, 0])


def _solarise_add(pixels: Frames, by: float) -> Frames:
    brighter = (pixels.int() + int(by)).clamp(0, 255).to(torch.uint8)
    return torch.where(pixels < 128, brighter, pixels)


OPERATIONS: dict[str, Operation] = {
    "autocontrast": Operation(lambda x, _: F.autocontrast(x)),
    "equalize": Operation(lambda x, _: F.equalize(x)),
    "invert": Operation(lambda x, _: F.invert(x)),
    "rotate": Operation(lambda x, by: F.rotate(x, by), 0, 30, True),
    "posterize": Operation(lambda x, by: F.posterize(x, max(1, int(by))), 0, 4),
    "solarize": Operation(lambda x, by: F.solarize(x, min(by, 255)), 0, 256),
    "solarize_add": Operation(_solarise_add, 0, 110),
    "colour": Operation(F.adjust_saturation, 0.1, 1.9),
    "contrast": Operation(F.adjust_contrast, 0.1, 1.9),
    "brightness": Operation(F.adjust_brightness, 0.1, 1.9),
    "sharpness": Operation(F.adjust_sharpness, 0.1, 1.9),
    "shear_x": Operation(lambda x, by: _shear(x, by, 0), 0, 0.3, True),
    "shear_y": Operation(lambda x, by: _shear(x, 0, by), 0, 0.3, True),
    "translate_x": Operation(lambda x, by: _move(x, by, 0), 0, 100, True),
    "translate_y": Operation(lambda x, by: _move(x, 0, by), 0, 100, True),
    "cutout": Operation(lambda x, _: x, 0, 40),
}
"""The sixteen of the package that the authors use, with its ranges."""


def rand_augment(pixels: Frames, settings: Augment, rng: np.random.Generator) -> Frames:
    """Some operations in a row, the same on every frame."""
    for name in rng.choice(list(OPERATIONS), settings.operations):
        operation = OPERATIONS[name]
        number = operation.low + (operation.high - operation.low) * settings.magnitude / STRENGTH
        if operation.signed and rng.random() < 0.5:
            number = -number
        if name == "cutout":
            pixels = _cut_out(pixels, number, rng)
        else:
            pixels = operation.change(pixels, float(number))
    return pixels


def _cut_out(pixels: Frames, side: float, rng: np.random.Generator) -> Frames:
    """A grey square somewhere."""
    height, width = pixels.shape[-2:]
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    left, top = int(max(0, x - side / 2)), int(max(0, y - side / 2))
    pixels = pixels.clone()
    part = pixels[..., top : int(min(height, top + side)), left : int(min(width, left + side))]
    part.copy_(_GREY.expand_as(part))
    return pixels


def _channels_first(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.require(frames, np.uint8, ["C", "W"])).permute(0, 3, 1, 2)
