"""Draw rounded limbs: all of them, in all frames, in a few passes.

A limb is a tapered capsule. The pixels around each are computed together with those of others of
about the same size, with soft edges and the shade of a round surface, and then laid over each
other from the farthest to the nearest. N frames, P parts, M parts of all frames, H and W the
picture, h and w the pixels around a part. Pictures are planes of float32 here, 0 to 255.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from actionclip.data.synthetic.draw.camera import Camera

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int = NDArray[np.int64]
Colour = tuple[int, int, int]

_SMALLEST = 0.4  # pixels: parts with less than this radius are not drawn
_POINT = np.float32(1e-3)  # pixels: shorter parts are points
_CHUNK = 1 << 17  # pixels computed together: more do not fit the cache


@dataclass(frozen=True)
class Light:
    """Where the light comes from. Directions: right, down, to the viewer in a picture."""

    direction: tuple[float, float, float] = (-0.42, -0.55, 0.72)
    ambient: float = 0.58
    diffuse: float = 0.52
    shadow: float = 0.4
    """How much darker the floor is where it is kept from it."""
    fall: tuple[float, float] = (0.45, 0.32)
    """Where a shadow falls per metre of height, X and Y."""


@dataclass
class Parts:
    """Tapered capsules, collected one by one."""

    ends: list[Array] = field(default_factory=list)
    """[N, 2, 3] each."""
    radii: list[Array] = field(default_factory=list)
    """[N, 2] each, metres."""
    colours: list[Colour] = field(default_factory=list)
    depths: list[Array] = field(default_factory=list)
    """[N] each: parts are drawn from the greatest to the smallest."""
    round: list[bool] = field(default_factory=list)
    """Whether it is lit as a ball; else as a limb that goes on beyond its ends, without seams."""
    caps: dict[int, tuple[Array, float, Colour]] = field(default_factory=dict)
    """By number of the part: another colour where its surface points within an angle of a direction
    ([N, 3]); the angle as its cosine. That is how hair sits on a head."""

    def at(self, frames: slice) -> "Parts":
        """The parts in some of the frames."""
        return Parts(
            [ends[frames] for ends in self.ends],
            [radii[frames] for radii in self.radii],
            self.colours,
            [depth[frames] for depth in self.depths],
            self.round,
            {n: (axis[frames], cosine, c) for n, (axis, cosine, c) in self.caps.items()},
        )

    def add(
        self,
        a: Array,
        b: Array,
        radius_a: Array | float,
        radius_b: Array | float,
        colour: Colour,
        *,
        nearer: float = 0.0,
        depth: Array | None = None,
        ball: bool = False,
    ) -> None:
        """One more, from `a` to `b` ([N, 3]), as deep as `depth` ([N]) or its middle."""
        ends = np.empty((len(a), 2, 3))
        ends[:, 0], ends[:, 1] = a, b
        radii = np.empty((len(a), 2))
        radii[:, 0], radii[:, 1] = radius_a, radius_b
        self.ends.append(ends)
        self.radii.append(radii)
        self.colours.append(colour)
        self.depths.append((ends[:, 0, 1] + ends[:, 1, 1]) / 2 - nearer if depth is None else depth)
        self.round.append(ball)


def paint(
    canvas: Float[np.ndarray, "N 3 H W"],
    parts: Parts,
    camera: Camera,
    light: Light,
    moved: Parts | None = None,
) -> None:
    """Draw the parts into the pictures, the farthest first.

    Args:
        canvas: the pictures, changed in place.
        parts: what to draw.
        camera: that sees it.
        light: that falls on it.
        moved: the same parts when the shutter closes; what moved far by then is smeared.
    """
    pixels, scale = camera.project(np.stack(parts.ends, axis=1))
    widths = (np.stack(parts.radii, axis=1) * scale).astype(np.float32)
    soft = np.full(widths.shape[:2], 0.5, dtype=np.float32)
    if moved is not None:
        later, _ = camera.project(np.stack(moved.ends, axis=1))
        soft += 0.5 * np.abs(later - pixels).max(axis=(2, 3)).astype(np.float32)
        pixels = (pixels + later) / 2
    order = np.argsort(-np.stack(parts.depths, axis=1), axis=1)
    tops, colours = np.empty(order.shape, dtype=object), np.array(parts.colours, np.float32)
    flat = _Items(pixels.astype(np.float32), widths, soft, canvas.shape[2:])
    for chosen, patch in flat.patches(np.array(parts.round), light):
        frame, number = np.divmod(chosen, order.shape[1])
        lit = patch.light[:, None] * colours[number][:, :, None, None]
        for part, (axis, cosine, other) in parts.caps.items():
            capped = np.flatnonzero(number == part)
            if len(capped):
                share = patch.facing(capped, axis[frame[capped]], cosine)[:, None]
                base = colours[part][:, None, None]
                blend = base + share * (np.array(other, np.float32)[:, None, None] - base)
                lit[capped] = patch.light[capped, None] * blend
        for item, (i, p) in enumerate(zip(frame.tolist(), number.tolist(), strict=True)):
            tops[i, p] = (patch.place(item), patch.alpha[item], lit[item])
    for picture, sequence, layers in zip(canvas, order.tolist(), tops, strict=True):
        for part in sequence:
            if (layer := layers[part]) is not None:
                (rows, columns), alpha, above = layer
                below = picture[:, rows, columns]
                above -= below
                above *= alpha
                below += above


class _Items:
    """The capsules of all frames in one list, and how large they are in pixels."""

    def __init__(
        self, ends: Float32, radii: Float32, soft: Float32, shape: tuple[int, ...]
    ) -> None:
        self.ends, self.radii = ends.reshape(-1, 2, 2), radii.reshape(-1, 2)
        self.soft = soft.reshape(-1)
        self.limits = np.array([shape[1], shape[0]])
        reach = self.radii[:, :, None] + self.soft[:, None, None]
        low = np.floor((self.ends - reach).min(axis=1))
        high = np.ceil((self.ends + reach).max(axis=1)) + 1
        self.low = np.clip(low, 0, self.limits).astype(np.int64)
        self.sizes = np.clip(high, 0, self.limits).astype(np.int64) - self.low
        seen = (self.sizes > 0).all(axis=1) & (self.radii.max(axis=1) >= _SMALLEST)
        self.seen = np.flatnonzero(seen)

    def patches(self, balls: NDArray[np.bool_], light: Light) -> "list[tuple[Int, _Patch]]":
        """Patches of pixels, those of about the same size together: which items, and the pixels."""
        sizes = self.sizes[self.seen]
        steps = np.ceil(np.log2(np.maximum(sizes, 8)) * 1.5).astype(np.int64)
        kinds = steps[:, 0] * 64 + steps[:, 1]
        found = []
        for kind in np.unique(kinds):
            chosen = self.seen[kinds == kind]
            width, height = self.sizes[chosen].max(axis=0).tolist()
            few = max(_CHUNK // (width * height), 1)
            for first in range(0, len(chosen), few):
                some = chosen[first : first + few]
                found.append((some, self._patch(some, (width, height), balls, light)))
        return found

    def _patch(
        self, chosen: Int, size: tuple[int, int], balls: NDArray[np.bool_], light: Light
    ) -> "_Patch":
        return _Patch(
            self.ends[chosen],
            self.radii[chosen],
            self.soft[chosen],
            np.minimum(self.low[chosen], self.limits - size),
            size,
            balls[chosen % len(balls)],
            light,
        )


class _Patch:
    """The pixels around M capsules: how much of each is covered, and how it is lit, [M, h, w]."""

    def __init__(
        self,
        ends: Float32,
        radii: Float32,
        soft: Float32,
        corner: Int,
        size: tuple[int, int],
        balls: NDArray[np.bool_],
        light: Light,
    ) -> None:
        self.corner, self.size = corner.tolist(), size
        self.ends, self.radii = ends, radii
        start = (corner - ends[:, 0]).astype(np.float32)
        self.x = (start[:, :1] + np.arange(size[0], dtype=np.float32))[:, None, :]
        self.y = (start[:, 1:] + np.arange(size[1], dtype=np.float32))[:, :, None]
        way = ends[:, 1] - ends[:, 0]
        length = np.sqrt((way * way).sum(axis=1))
        way[length < _POINT] = (_POINT, 0)  # seen from its end it has no direction: any will do
        length = np.maximum(length, _POINT)
        along_x, along_y = (way / length[:, None]).T[:, :, None, None]
        along = self.x * along_x + self.y * along_y
        aside = self.x * along_y - self.y * along_x
        inside = np.minimum(np.maximum(along, np.float32(0)), length[:, None, None])
        along -= inside
        square = along * along
        square += aside * aside
        inside *= ((radii[:, 1] - radii[:, 0]) / length)[:, None, None]
        inside += radii[:, :1, None]
        radius = np.maximum(inside, np.float32(0.05), out=inside)
        alpha = radius - np.sqrt(square)
        alpha *= (0.5 / soft)[:, None, None]
        alpha += np.float32(0.5)
        self.alpha = np.minimum(np.maximum(alpha, np.float32(0)), np.float32(1))
        self.light = self._lit(along_x, along_y, along, aside, square, radius, balls, light)

    @staticmethod
    def _lit(
        along_x: Float32,
        along_y: Float32,
        along: Float32,
        aside: Float32,
        square: Float32,
        radius: Float32,
        balls: NDArray[np.bool_],
        light: Light,
    ) -> Float32:
        """Brightness: a parabola stands in for the circle that faces the viewer."""
        right, down, viewer = (np.array(light.direction) * light.diffuse).astype(np.float32)
        np.divide(np.float32(1), radius, out=radius)
        aside *= radius
        ball = balls.astype(np.float32)[:, None, None]
        if balls.any():
            square *= radius
            square *= radius
            along *= radius
        else:
            square = aside * aside
        square *= np.float32(-0.75) * viewer
        square += np.float32(light.ambient) + viewer
        square += aside * (right * along_y - down * along_x)
        if balls.any():
            square += along * (ball * (right * along_x + down * along_y))
        return np.minimum(np.maximum(square, np.float32(light.ambient)), np.float32(1.25))

    def place(self, item: int) -> tuple[slice, slice]:
        """Rows and columns of the picture that the pixels of an item belong to."""
        left, top = self.corner[item]
        return slice(top, top + self.size[1]), slice(left, left + self.size[0])

    def facing(self, items: Int, axis: Array, cosine: float) -> Float32:
        """1 where the surface points within an angle of a direction, else 0, with a soft edge."""
        radius = self.radii[items, :1, None]
        right, down = self.x[items] / radius, self.y[items] / radius
        near = np.sqrt(np.maximum(1 - right**2 - down**2, 0))
        x, y, z = axis.astype(np.float32).T[:, :, None, None]
        towards = right * x - down * z - near * y
        return np.minimum(np.maximum((towards - cosine) * 4 + 0.5, 0), 1).astype(np.float32)


def paint_shadow(
    canvas: Float[np.ndarray, "N 3 H W"], parts: Parts, camera: Camera, light: Light
) -> None:
    """Darken the floor where the larger parts keep the light from it.

    Shadows have soft edges, so they are drawn in half the resolution.
    """
    if light.shadow <= 0:
        return
    large = [n for n, radii in enumerate(parts.radii) if radii.max() >= 0.036]
    ends = np.stack([parts.ends[n] for n in large], axis=1)
    ends[..., 0] += ends[..., 2] * light.fall[0]
    ends[..., 1] += ends[..., 2] * light.fall[1]
    ends[..., 2] = 0
    pixels, scale = camera.project(ends)
    radii = np.stack([parts.radii[n] for n in large], axis=1)
    widths = np.maximum(0.75 * (radii * scale).mean(axis=-1) + 0.5, 1).astype(int).tolist()
    height, width = canvas.shape[2:]
    half = ((width + 1) // 2, (height + 1) // 2)
    blur = max(height / 240, 0.3)
    edge = int(np.ceil(blur)) + 2
    for picture, lines, wide in zip(canvas, (pixels / 2).tolist(), widths, strict=True):
        mask = Image.new("L", half)
        pen = ImageDraw.Draw(mask)
        for (one, two), thick in zip(lines, wide, strict=True):
            pen.line([*one, *two], fill=255, width=thick)
            if thick > 3:  # round ends, where one would see them
                for x, y in (one, two):
                    pen.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], 255)
        box = mask.getbbox()
        if box is None:
            continue
        # The part with a shadow in it and what its edges fade into, in the mask and in the picture.
        left, top = max(box[0] - edge, 0), max(box[1] - edge, 0)
        right, bottom = min(box[2] + edge, half[0]), min(box[3] + edge, half[1])
        below = picture[:, 2 * top : 2 * bottom, 2 * left : 2 * right]
        soft = mask.crop((left, top, right, bottom)).filter(ImageFilter.BoxBlur(blur))
        soft = soft.resize((2 * soft.width, 2 * soft.height), Image.Resampling.BILINEAR)
        dark = np.asarray(soft, dtype=np.float32)[: below.shape[1], : below.shape[2]]
        below *= 1 - np.float32(light.shadow / 255) * dark
