"""Draw a figure: a camera, a body of rounded limbs with clothes on, light and shadow.

Each limb is a tapered capsule whose pixels are computed for all frames at once, with soft edges and
the shade of a round surface; limbs are drawn from the farthest to the nearest. N frames, P parts,
H and W the picture. Space: X to the right, Y away from the camera, Z up, in metres.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from actionclip.data.synthetic.figure import INDEX, SIDES, Body

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Colour = tuple[int, int, int]

LIGHT = np.array([-0.42, -0.55, 0.72])  # towards the light: right, down, to the viewer in a picture
AMBIENT, DIFFUSE = 0.58, 0.52
SHADOW_FALL = np.array([0.45, 0.32])  # where a shadow falls per metre of height, X and Y


@dataclass(frozen=True)
class Camera:
    """A camera that stands upright and looks along Y, with the picture shifted, not tilted."""

    width: int
    height: int
    focal: float
    """Pixels per metre at one metre."""
    distance: float
    """From Y = 0."""
    above: float
    """Of the floor."""
    horizon: float
    """Row of the horizon."""
    x: Array
    """Where the camera stands in each frame, [N]."""

    def at(self, frames: slice) -> "Camera":
        """The camera in some of the frames."""
        return replace(self, x=self.x[frames])

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels [N, ..., 2] (column, row) and pixels per metre [N, ...] of points [N, ..., 3]."""
        scale = self.focal / np.maximum(points[..., 1] + self.distance, 0.3)
        x = self.x.reshape(-1, *[1] * (points.ndim - 2))
        column = self.width / 2 + scale * (points[..., 0] - x)
        row = self.horizon + scale * (self.above - points[..., 2])
        return np.stack([column, row], axis=-1), scale


@dataclass(frozen=True)
class Look:
    """Colours and clothes."""

    skin: Colour = (224, 172, 138)
    hair: Colour = (70, 45, 30)
    shirt: Colour = (60, 110, 180)
    trousers: Colour = (60, 62, 80)
    shoes: Colour = (40, 36, 36)
    long_sleeves: bool = False
    shorts: bool = False
    long_hair: bool = False


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
    caps: dict[int, tuple[Array, float, Colour]] = field(default_factory=dict)
    """By number of the part: another colour where its surface points within an angle of a direction
    ([N, 3]); the angle as its cosine. That is how hair sits on a head."""

    def at(self, frames: slice) -> "Parts":
        """The parts in some of the frames."""
        caps = {n: (axis[frames], cosine, c) for n, (axis, cosine, c) in self.caps.items()}
        return Parts(
            [ends[frames] for ends in self.ends],
            [radii[frames] for radii in self.radii],
            self.colours,
            [depth[frames] for depth in self.depths],
            caps,
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
    ) -> None:
        """One more, from `a` to `b` ([N, 3]), as deep as `depth` ([N]) or its middle."""
        self.ends.append(np.stack([a, b], axis=1))
        self.radii.append(
            np.stack(np.broadcast_arrays(radius_a, radius_b, a[:, 0])[:2], axis=-1).astype(float)
        )
        self.colours.append(colour)
        self.depths.append(((a + b)[:, 1] / 2 if depth is None else depth) - nearer)


def body_parts(at: Float[np.ndarray, "N J 3"], body: Body, look: Look) -> Parts:
    """A dressed body around the joints."""
    parts = Parts()
    joint = {name: at[:, number] for name, number in INDEX.items()}
    thick = body.height * body.build
    for side in SIDES:
        _leg(parts, joint, side, thick, look)
        _arm(parts, joint, side, thick, look)
    _torso(parts, joint, body, look)
    _head(parts, joint, body, look)
    return parts


def _leg(parts: Parts, joint: dict[str, Array], side: str, thick: float, look: Look) -> None:
    hip, knee, ankle, heel, ball, toe = (
        joint[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "heel", "ball", "toe")
    )
    shin = look.skin if look.shorts else look.trousers
    parts.add(knee, ankle, 0.031 * thick, 0.021 * thick, shin)
    parts.add(hip, knee, 0.049 * thick, 0.033 * thick, look.trousers, nearer=0.01)
    along = _unit(ball - heel)
    up = _unit(ankle - heel - ((ankle - heel) * along).sum(-1, keepdims=True) * along)
    back, front, tip = 0.021 * thick, 0.018 * thick, 0.014 * thick
    middle = ball + front * up
    parts.add(heel + back * up + 0.8 * back * along, middle, back, front, look.shoes, nearer=0.005)
    parts.add(middle, toe + np.array([0, 0, tip]), front, tip, look.shoes, nearer=0.006)


def _arm(parts: Parts, joint: dict[str, Array], side: str, thick: float, look: Look) -> None:
    shoulder, elbow, wrist, hand = (
        joint[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")
    )
    sleeve = look.shirt if look.long_sleeves else look.skin
    parts.add(wrist, hand, 0.0185 * thick, 0.0195 * thick, look.skin, nearer=0.012)
    parts.add(elbow, wrist, 0.0235 * thick, 0.017 * thick, sleeve, nearer=0.01)
    parts.add(shoulder, elbow, 0.033 * thick, 0.0255 * thick, look.shirt)


def _torso(parts: Parts, joint: dict[str, Array], body: Body, look: Look) -> None:
    """Two capsules, wide seen from the front and flat seen from the side."""
    thick = body.height * body.build
    across = _unit(joint["left_shoulder"] - joint["right_shoulder"])
    across_hips = _unit(joint["left_hip"] - joint["right_hip"])
    pelvis, waist, neck = joint["pelvis"], joint["waist"], joint["neck"]
    spine, loins = neck - waist, waist - pelvis
    wide = 0.5 * (1 + body.shoulders)
    top = _seen_radius(spine, across, 0.096 * thick * wide, 0.06 * thick)
    middle = _seen_radius(loins, across_hips, 0.074 * thick, 0.058 * thick)
    hips = _seen_radius(loins, across_hips, 0.082 * thick, 0.062 * thick)

    def add(
        a: Array,
        b: Array,
        radius_a: Array | float,
        radius_b: Array | float,
        colour: Colour,
        layer: int,
    ) -> None:
        """Layers keep their order, unless the person bends far towards or away from the camera."""
        off = (a + b)[:, 1] / 2 - waist[:, 1]
        off = np.sign(off) * np.maximum(np.abs(off) - 0.12, 0)
        depth = waist[:, 1] + off + 0.08 - 0.005 * layer
        parts.add(a, b, radius_a, radius_b, colour, depth=depth)

    add(joint["left_hip"], joint["right_hip"], 0.05 * thick, 0.05 * thick, look.trousers, 0)
    bar = 0.034 * thick
    add(joint["left_shoulder"], joint["right_shoulder"], bar, bar, look.shirt, 1)
    add(neck - 0.2 * spine, neck + 0.2 * spine, 0.032 * thick, 0.028 * thick, look.skin, 2)
    add(waist, pelvis + 0.3 * loins, middle, hips, look.shirt, 3)
    add(waist + 0.45 * spine, waist, top, middle, look.shirt, 4)


def _head(parts: Parts, joint: dict[str, Array], body: Body, look: Look) -> None:
    head, radius = joint["head"], body.head
    front, up = _unit(joint["nose"] - head), _unit(joint["crown"] - head)
    left = np.cross(up, front)
    chin = head + (0.12 * front - 0.4 * up) * radius
    parts.caps[len(parts.ends)] = (_unit(0.75 * up - 0.66 * front), -0.27, look.hair)
    parts.add(head + 0.15 * up * radius, chin, 1.02 * radius, 0.82 * radius, look.skin, nearer=0.03)
    if look.long_hair:
        back = head - 0.25 * front * radius
        tip = joint["neck"] - 0.25 * (head - joint["neck"]) - 0.8 * front * radius
        parts.add(back, tip, 0.95 * radius, 0.6 * radius, look.hair, nearer=0.01)
    for sign in (1, -1):
        eye = head + (0.8 * front + sign * 0.38 * left + 0.02 * up) * radius
        parts.add(
            eye, eye - 0.12 * up * radius, 0.1 * radius, 0.1 * radius, (40, 32, 32), nearer=0.03
        )


def paint(canvas: Float[np.ndarray, "N H W 3"], parts: Parts, camera: Camera) -> None:
    """Draw the parts into the pictures, the farthest first."""
    ends, radii = np.stack(parts.ends, axis=1), np.stack(parts.radii, axis=1)
    order = np.argsort(-np.stack(parts.depths, axis=1), axis=1)[..., None]
    pixels, scale = camera.project(ends)
    pixels = np.take_along_axis(pixels, order[..., None], axis=1).astype(np.float32)
    widths = np.take_along_axis(radii * scale, order, axis=1).astype(np.float32)
    colours = np.array(parts.colours, dtype=np.float32)[order[..., 0]]
    number = order[..., 0]
    for step in range(pixels.shape[1]):
        if widths[:, step].max() < 0.5:
            continue  # too small to be seen
        capsule = _Capsule(pixels[:, step], widths[:, step], canvas.shape[1:3], soft=0.5)
        colour = colours[:, step, None, None]
        for part, (axis, cosine, other) in parts.caps.items():
            if (here := number[:, step] == part).any():
                share = capsule.facing(axis, cosine) * here[:, None, None, None]
                colour = colour + share * (np.array(other, dtype=np.float32) - colour)
        capsule.blend(canvas, colour)


def paint_shadow(
    canvas: Float[np.ndarray, "N H W 3"], parts: Parts, camera: Camera, *, strength: float = 0.4
) -> None:
    """Darken the floor where the parts keep the light from it."""
    dark = np.zeros((*canvas.shape[:3], 1), dtype=np.float32)
    for ends, radii in zip(parts.ends, parts.radii, strict=True):
        if radii.max() < 0.036:
            continue  # hands, toes and eyes
        flat = ends.copy()
        flat[..., :2] += ends[..., 2:] * SHADOW_FALL
        flat[..., 2] = 0
        pixels, scale = camera.project(flat)
        capsule = _Capsule(
            pixels.astype(np.float32),
            (0.75 * radii * scale).astype(np.float32),
            canvas.shape[1:3],
            soft=1.5,
        )
        capsule.cover(dark)
    canvas *= 1 - strength * dark


class _Capsule:
    """The pixels around one capsule in each of N pictures.

    Args:
        ends: column and row of both ends, [N, 2, 2].
        radii: in pixels, [N, 2].
        shape: rows and columns of the pictures.
        soft: half the width of the edge, in pixels.
    """

    def __init__(
        self,
        ends: Float32,
        radii: Float32,
        shape: tuple[int, int],
        soft: float,
    ) -> None:
        grid = []
        for axis, limit in ((0, shape[1]), (1, shape[0])):
            low = np.floor((ends[..., axis] - radii).min(axis=1) - 1).astype(np.int64)
            high = np.ceil((ends[..., axis] + radii).max(axis=1) + 2).astype(np.int64)
            low, high = low.clip(0, limit), high.clip(0, limit)
            size = max(int((high - low).max()), 1)
            start = np.minimum(low, limit - size)
            grid.append(start[:, None] + np.arange(size))
        columns, rows = grid
        self.places = [
            (frame, slice(top, top + rows.shape[1]), slice(left, left + columns.shape[1]))
            for frame, (top, left) in enumerate(zip(rows[:, 0], columns[:, 0], strict=True))
        ]

        x = (columns - ends[:, :1, 0]).astype(np.float32)[:, None, :]
        y = (rows - ends[:, :1, 1]).astype(np.float32)[:, :, None]
        along_x, along_y = (ends[:, 1] - ends[:, 0]).T[:, :, None, None]
        length = along_x * along_x + along_y * along_y + np.float32(1e-6)
        share = (x * along_x + y * along_y) / length
        inside = _clip(share, 0.0, 1.0)
        radius = radii[:, :1, None] + inside * (radii[:, 1:] - radii[:, :1])[..., None]
        radius = np.maximum(radius, np.float32(0.05))
        away_x, away_y = x - inside * along_x, y - inside * along_y
        distance = np.sqrt(away_x * away_x + away_y * away_y)
        self.alpha = _clip((radius - distance) * (0.5 / soft) + 0.5, 0.0, 1.0)[..., None]
        # Long limbs are lit as if they went on beyond their ends: no seams at the joints.
        wide = radii[:, :, None, None]
        beyond = wide / (np.sqrt(length)[:, None] + wide)
        share = _clip(share, -beyond[:, 0], 1 + beyond[:, 1])
        self.right, self.down = (x - share * along_x) / radius, (y - share * along_y) / radius

    @property
    def near(self) -> Float32:
        """How far the surface faces the viewer, 0 to 1, [N, rows, columns]."""
        return np.sqrt(np.maximum(1 - self.right**2 - self.down**2, 0))

    def facing(self, axis: Array, cosine: float) -> Float32:
        """1 where the surface points within an angle of a direction, else 0, with a soft edge."""
        x, y, z = axis.astype(np.float32).T[:, :, None, None]
        towards = self.right * x - self.down * z - self.near * y
        return _clip((towards - cosine) * 4 + 0.5, 0.0, 1.0)[..., None]

    def blend(self, canvas: Float32, colour: Float32) -> None:
        """Lay a colour [N, rows, columns, 3] over the pictures, lit as a round surface is."""
        right, down, viewer = (LIGHT * DIFFUSE).astype(np.float32)
        light = AMBIENT + np.maximum(self.right * right + self.down * down + self.near * viewer, 0)
        lit = light[..., None] * colour
        for place, alpha, above in zip(self.places, self.alpha, lit, strict=True):
            below = canvas[place]
            below += alpha * (above - below)

    def cover(self, mask: Float32) -> None:
        """Mark the capsule in masks [N, H, W, 1]."""
        for place, alpha in zip(self.places, self.alpha, strict=True):
            below = mask[place]
            np.maximum(below, alpha, out=below)


def _clip(values: Float32, low: Float32 | float, high: Float32 | float) -> Float32:
    """`values.clip`, with less ado for small arrays."""
    return np.minimum(np.maximum(values, low), high)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _seen_radius(axis: Array, across: Array, wide: float, deep: float) -> Array:
    """Half the width, as the camera sees it, of a limb with an elliptic cross-section, [N].

    Args:
        axis: along the limb, [N, 3].
        across: unit vector along the ellipse's longer half-axis, [N, 3].
        wide: that half-axis in metres.
        deep: the other one.
    """
    through = np.cross(_unit(axis), across)
    sideways = np.stack([axis[:, 2], np.zeros(len(axis)), -axis[:, 0]], axis=-1)
    sideways = _unit(sideways + np.array([1e-6, 0, 0]))
    return np.hypot(wide * (across * sideways).sum(-1), deep * (through * sideways).sum(-1))
