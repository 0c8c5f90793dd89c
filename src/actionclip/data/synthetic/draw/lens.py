"""What a real camera does to a picture: shade, blur, noise, and the blocks of low bit rates.

Everything is drawn by chance in `Lens.draw`. N frames, H and W the picture.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from actionclip.data.synthetic.draw.paint import Light

Random = np.random.Generator

_GRAIN = 256  # rows and columns of the noise that all pictures are cut from


@dataclass(frozen=True)
class Lens:
    """A camera and its recorder. What is not mentioned does nothing."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Exposure and white balance: a factor for each colour."""
    contrast: float = 1.0
    saturation: float = 1.0
    flicker: float = 0.0
    """How much the exposure changes from frame to frame (standard deviation)."""
    grain: float = 2.0
    """Standard deviation of the noise, of 255."""
    defocus: float = 0.0
    """Radius of the blur, pixels."""
    quality: int | None = None
    """Of a JPEG picture (1 to 95), which stands in for a low bit rate."""
    shutter: float = 0.0
    """How long the shutter is open, seconds."""

    @staticmethod
    def draw(rng: Random, height: int) -> "Lens":
        """Cameras from good to bad."""
        chance = rng.random(6)
        exposure, tint = rng.uniform(0.6, 1.15), rng.normal(0, 0.05, 3)
        red, green, blue = (exposure * (1 + tint)).tolist()
        return Lens(
            gain=(red, green, blue),
            contrast=float(rng.uniform(0.6, 1.1)),
            saturation=float(rng.uniform(0.2, 1.1)) if chance[0] < 0.6 else 1.0,
            flicker=0.015 if chance[1] < 0.15 else 0.0,
            grain=float(rng.uniform(0.5, 7) if chance[2] < 0.6 else 0.0),
            defocus=float(rng.uniform(0.3, 1.0)) * height / 96 if chance[3] < 0.3 else 0.0,
            quality=int(rng.integers(18, 70)) if chance[4] < 0.35 else None,
            shutter=float(rng.uniform(0.008, 0.04)) if chance[5] < 0.6 else 0.0,
        )


def light_by_chance(rng: Random) -> Light:
    """Sun from somewhere above, or a grey sky without shadows."""
    across, strength, shadow = rng.uniform(-0.6, 0.6), rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.45)
    direction = (float(across), -0.55, 0.7)
    fall = (-float(across) * 1.1, float(rng.uniform(0.05, 0.5)))
    cloudy = rng.random() < 0.35
    return Light(
        direction=direction,
        ambient=float(1.06 - strength),
        diffuse=float(strength),
        shadow=0.0 if cloudy else float(shadow),
        fall=fall,
    )


def expose(
    canvas: Float[np.ndarray, "N 3 H W"], lens: Lens, rng: Random
) -> UInt8[np.ndarray, "N H W 3"]:
    """What the camera stores of what it saw; changes `canvas`."""
    frames, _, height, width = canvas.shape
    if lens.saturation != 1:
        gray = canvas[:, :1] + canvas[:, 1:2]
        gray += canvas[:, 2:]
        gray /= 3
        canvas -= gray
        canvas *= np.float32(lens.saturation)
        canvas += gray
    gain = (np.array(lens.gain) * lens.contrast).astype(np.float32)[:, None, None]
    if lens.flicker:
        gain = gain * rng.normal(1, lens.flicker, (frames, 1, 1, 1)).astype(np.float32)
    canvas *= gain
    canvas += np.float32(118 * (1 - lens.contrast))
    if lens.grain > 0:
        _add_grain(canvas, lens.grain, rng)
    np.clip(canvas, 0, 255, out=canvas)
    planes = canvas.astype(np.uint8)
    if lens.defocus or lens.quality is not None:
        return _recorded(planes, lens)
    taken = np.empty((frames, height, width, 3), dtype=np.uint8)
    for colour in range(3):  # one by one: numpy is slow where the innermost axis is three long
        taken[..., colour] = planes[:, colour]
    return taken


def _add_grain(canvas: NDArray[np.float32], strength: float, rng: Random) -> None:
    """Another piece of the same noise for each frame."""
    height, width = canvas.shape[2:]
    noise = _grain(_GRAIN + height, _GRAIN + width)
    corners = rng.integers(0, _GRAIN, (len(canvas), 2)).tolist()
    for picture, (top, left) in zip(canvas, corners, strict=True):
        picture += noise[top : top + height, left : left + width] * np.float32(strength)


@lru_cache(maxsize=8)
def _grain(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((height, width), dtype=np.float32)


def _recorded(planes: UInt8[np.ndarray, "N 3 H W"], lens: Lens) -> UInt8[np.ndarray, "N H W 3"]:
    """Blurred and compressed, all frames one below the other to save calls."""
    frames, _, height, width = planes.shape
    # JPEG refuses sides above 65,535, and blocks should not reach into the next frame.
    many = max(60_000 // height, 1)
    pieces = []
    for first in range(0, frames, many):
        piece = planes[first : first + many]
        colours = (Image.fromarray(piece[:, colour].reshape(-1, width)) for colour in range(3))
        image = Image.merge("RGB", tuple(colours))
        if lens.defocus:
            image = image.filter(ImageFilter.BoxBlur(lens.defocus))
        if lens.quality is not None:
            file = io.BytesIO()
            image.save(file, "jpeg", quality=lens.quality, subsampling=2)
            image = Image.open(file)
        pieces.append(np.asarray(image).reshape(-1, height, width, 3))
    return pieces[0].copy() if len(pieces) == 1 else np.concatenate(pieces)
