"""Frames become what the network reads: cropped, scaled to numbers around zero, channels first.

The letters: W windows, C crops, T frames, R height and width of the network's input.

For a test: `to_input`, which gives the bits of torchvision's CenterCrop, ToTensor and Normalize on
frames that `resize` made smaller. For training: `multi_scale_crop` and a flip, one draw for all
frames of a window, as in the authors' code (who also colour-jitter).
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from actionclip.video.settings import Preprocess

SCALES = (1.0, 0.875, 0.75, 0.66)


def to_input(
    frames: UInt8[np.ndarray, "W T H Wd 3"] | UInt8[Tensor, "W T H Wd 3"], settings: Preprocess
) -> Float[Tensor, "WC T 3 R R"]:
    """Crop and normalise resized frames. All crops of a window stand together.

    With one crop that is the centre; with three the two ends and the centre along the longer side
    (left, centre, right, or top, centre, bottom). Frames smaller than R get black borders.
    """
    pixels, places = cut(frames, settings)
    return normalise(pixels[:, places].flatten(0, 1), settings)


def cut(
    frames: UInt8[np.ndarray, "W T H Wd 3"] | UInt8[Tensor, "W T H Wd 3"], settings: Preprocess
) -> tuple[UInt8[Tensor, "W Cd T 3 R R"], list[int]]:
    """The different crops of resized frames, and which of them is each crop of `to_input`.

    Crops coincide where the longer side is no longer than R: of a square frame there is one.
    """
    if isinstance(frames, np.ndarray):  # torch warns of arrays that may not be written to
        frames = np.require(frames, np.uint8, "W")
    pixels = torch.as_tensor(frames).permute(0, 1, 4, 2, 3)
    pixels = _pad(pixels, settings.size)
    height, width = pixels.shape[-2:]
    corners = _corners(height, width, settings)
    different = list(dict.fromkeys(corners))
    crops = [
        pixels[..., top : top + settings.size, left : left + settings.size]
        for top, left in different
    ]
    return torch.stack(crops, dim=1), [different.index(corner) for corner in corners]


def normalise(
    pixels: UInt8[Tensor, "*N 3 R R2"], settings: Preprocess
) -> Float[Tensor, "*N 3 R R2"]:
    """Pixel values 0 to 255 become numbers around zero: (value / 255 - mean) / std."""
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
        for values in (settings.mean, settings.std)
    )
    scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return scaled.sub_(mean).div_(std)


def as_input(
    frames: UInt8[Tensor, "*N 3 R R2"] | Float[Tensor, "*N 3 R R2"],
    settings: Preprocess,
    device: torch.device,
) -> Float[Tensor, "*N 3 R R2"]:
    """Frames of a batch on the device; pixels travel as bytes and are normalised there."""
    frames = frames.to(device, non_blocking=True)
    return frames if frames.is_floating_point() else normalise(frames, settings)


def _pad(pixels: Tensor, size: int) -> Tensor:
    """Black borders, so that both sides have at least `size` pixels."""
    rows, columns = (max(size - side, 0) for side in pixels.shape[-2:])
    borders = (columns // 2, (columns + 1) // 2, rows // 2, (rows + 1) // 2)
    return torch.nn.functional.pad(pixels, borders) if any(borders) else pixels


def _corners(height: int, width: int, settings: Preprocess) -> list[tuple[int, int]]:
    """Top and left of each crop. Halves are rounded to even, as torchvision does."""
    spare_rows, spare_columns = height - settings.size, width - settings.size
    top, left = round(spare_rows / 2), round(spare_columns / 2)
    if settings.crops == 1:
        return [(top, left)]
    if width >= height:
        return [(top, 0), (top, left), (top, spare_columns)]
    return [(0, left), (top, left), (spare_rows, left)]


@dataclass(frozen=True)
class Box:
    """A part of a frame, in pixels."""

    left: int
    top: int
    width: int
    height: int


def multi_scale_crop(width: int, height: int, size: int, rng: random.Random) -> Box:
    """Draw a crop as the authors' training does (their GroupMultiScaleCrop).

    Width and height of the crop are two neighbours (or the same) of the shorter side's length times
    `SCALES`; it stands at one of 13 places: corners, middles of the sides, centre, and between.

    Args:
        width: of the frames, pixels.
        height: of the frames, pixels.
        size: what the crop will be resized to (R); lengths within 2 pixels of it become it, where
            the frame has that many (theirs reaches over a frame that has not).
        rng: where chance comes from; `random.Random(s)` draws what theirs does after
            `random.seed(s)`.
    """
    shorter = min(width, height)
    lengths = [max(int(shorter * scale), 1) for scale in SCALES]
    lengths = [size if abs(n - size) < 3 and size <= shorter else n for n in lengths]
    shapes = [
        (lengths[column], lengths[row])
        for row in range(len(lengths))
        for column in range(len(lengths))
        if abs(row - column) <= 1
    ]
    crop_width, crop_height = rng.choice(shapes)
    step_x, step_y = (width - crop_width) // 4, (height - crop_height) // 4
    column, row = rng.choice(_PLACES)
    return Box(column * step_x, row * step_y, crop_width, crop_height)


_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)
"""Columns and rows of a 5 x 5 grid, in the order in which the authors' code lists them."""


def crop_and_flip(
    frames: NDArray[np.uint8], size: int, rng: random.Random, *, flip: bool = True
) -> NDArray[np.uint8]:
    """Crop frames [T, H, W, 3] for training: one draw for all of them, to [T, size, size, 3].

    Args:
        frames: RGB.
        size: height and width of the result (R).
        rng: where chance comes from.
        flip: mirror half of the windows; not for labels that tell left from right.
    """
    height, width = frames.shape[1:3]
    box = multi_scale_crop(width, height, size, rng)
    cut = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    cropped = np.stack(
        [
            np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
            for frame in np.ascontiguousarray(cut)
        ]
    )
    mirrored = flip and rng.random() < 0.5
    return np.ascontiguousarray(cropped[:, :, ::-1]) if mirrored else cropped
