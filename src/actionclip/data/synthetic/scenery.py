"""What is behind a person: rooms, halls and parks, drawn once for a clip.

A scene is one wide picture. A camera that moves sideways sees another part of it, near rows more
than far ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from actionclip.data.synthetic.render import Camera

Number = float | int
Random = np.random.Generator
Shade = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """A background."""

    picture: NDArray[np.float32]
    """[H, wide, 3], 0 to 255."""
    pixels_per_metre: NDArray[np.float64]
    """How far each row moves for a metre of the camera, [H]."""

    def seen_by(self, camera: Camera) -> NDArray[np.float32]:
        """The part of it in each frame, [N, H, W, 3]."""
        rows, wide = self.picture.shape[:2]
        middle = (wide - camera.width) / 2
        if np.ptp(camera.x) == 0:
            start = int(middle)
            still = self.picture[:, start : start + camera.width]
            return np.repeat(still[None], len(camera.x), axis=0)
        left = middle + (camera.x - camera.x.mean())[:, None] * self.pixels_per_metre
        left = left.clip(0, wide - camera.width - 1)
        whole = left.astype(np.int64)
        part = (left - whole).astype(np.float32)[:, :, None, None]
        columns = whole[:, :, None] + np.arange(camera.width + 1)
        strip = self.picture[np.arange(rows)[None, :, None], columns]
        return strip[:, :, :-1] * (1 - part) + strip[:, :, 1:] * part


def draw_scene(name: str, camera: Camera, room: float, rng: Random) -> Scene:
    """One of `SCENES`, with colours and furniture by chance.

    Args:
        name: of the scene.
        camera: that sees it.
        room: how far back in Y people need floor, in metres.
        rng: where chance comes from.
    """
    rows = np.arange(camera.height)
    travel = float(np.ptp(camera.x))
    far = camera.distance + room + (rng.uniform(1.2, 2.6) if name != "park" else 25.0)
    line = camera.horizon + camera.focal * camera.above / far
    below = np.maximum(rows - camera.horizon, 1e-3)
    per_metre = np.where(rows > line, below / camera.above, camera.focal / far)
    wide = camera.width + 2 * (int(per_metre.max() * travel / 2) + 2)
    image = Image.new("RGB", (2 * wide, 2 * camera.height))
    pen = _Pen(ImageDraw.Draw(image), wide, camera.height, float(line), camera.focal / far, rng)
    SCENES[name](pen)
    soft = image.reduce(2).filter(ImageFilter.BoxBlur(camera.height / 480))
    picture = np.asarray(soft, dtype=np.float32)
    grain = rng.standard_normal((camera.height, wide, 1), dtype=np.float32)
    return Scene(picture + 2 * grain, per_metre)


@dataclass(frozen=True)
class _Pen:
    """What a scene is drawn with. Coordinates in pixels of the final picture."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int
    line: float
    """Row where the floor ends."""
    metre: float
    """Pixels of a metre there."""
    rng: Random

    def box(self, left: Number, top: Number, right: Number, bottom: Number, colour: Shade) -> None:
        """A filled rectangle."""
        self.draw.rectangle([2 * left, 2 * top, 2 * right, 2 * bottom], fill=colour)

    def disc(self, x: Number, y: Number, radius: Number, colour: Shade) -> None:
        """A filled circle."""
        self.draw.ellipse(
            [2 * (x - radius), 2 * (y - radius), 2 * (x + radius), 2 * (y + radius)], colour
        )

    def shade(self, top: Number, bottom: Number, upper: Shade, lower: Shade) -> None:
        """Rows that go from one colour to another."""
        first, last = int(2 * max(top, 0)), int(2 * min(bottom, self.height))
        for row in range(first, last):
            share = (row / 2 - top) / max(bottom - top, 1)
            colour = _mix(upper, lower, share)
            self.draw.line([0, row, 2 * self.width, row], fill=colour)

    def pick(self, *colours: Shade) -> Shade:
        """One of the colours, a little changed."""
        chosen = np.array(colours[self.rng.integers(len(colours))])
        return _shade(chosen + self.rng.normal(0, 7, 3))


def _room(pen: _Pen) -> None:
    """A wall with a picture or a window, a skirting board, a floor of boards."""
    wall = pen.pick(
        (205, 196, 180), (184, 199, 205), (214, 205, 206), (190, 200, 178), (222, 214, 190)
    )
    floor = pen.pick((158, 122, 88), (132, 104, 80), (150, 140, 128), (116, 96, 84))
    pen.shade(0, pen.line, _mix(wall, (255, 255, 255), 0.15), _mix(wall, (0, 0, 0), 0.08))
    pen.shade(
        pen.line, pen.height, _mix(floor, (0, 0, 0), 0.16), _mix(floor, (255, 255, 255), 0.08)
    )
    for x in np.arange(pen.rng.uniform(0, 2), pen.width / pen.metre, pen.rng.uniform(1.7, 2.6)):
        width, height = pen.rng.uniform(0.5, 0.95, 2)
        left, top = x * pen.metre, pen.line - (1.75 + height / 2) * pen.metre
        right, bottom = left + width * pen.metre, top + height * pen.metre
        frame = pen.pick((90, 66, 48), (236, 234, 228), (60, 60, 64))
        pen.box(left, top, right, bottom, frame)
        rim = 0.05 * pen.metre
        inside = pen.pick((150, 180, 196), (196, 170, 120), (120, 150, 120), (214, 224, 232))
        pen.box(left + rim, top + rim, right - rim, bottom - rim, inside)
        pen.box(
            left + rim,
            (top + bottom) / 2,
            right - rim,
            bottom - rim,
            _mix(inside, (60, 80, 60), 0.35),
        )
    pen.box(0, pen.line - 0.11 * pen.metre, pen.width, pen.line, _mix(wall, (255, 255, 255), 0.5))
    _boards(pen, _mix(floor, (0, 0, 0), 0.2))


def _hall(pen: _Pen) -> None:
    """A sports hall: a wall with a coloured band, a shining floor."""
    wall = pen.pick((214, 216, 212), (196, 206, 214), (220, 212, 196))
    band = pen.pick((52, 110, 160), (176, 74, 60), (64, 130, 92), (206, 156, 60))
    floor = pen.pick((196, 152, 100), (176, 132, 92), (112, 146, 152))
    pen.shade(0, pen.line, _mix(wall, (255, 255, 255), 0.3), _mix(wall, (0, 0, 0), 0.06))
    pen.box(0, pen.line - 1.25 * pen.metre, pen.width, pen.line - 0.95 * pen.metre, band)
    pen.shade(pen.line, pen.height, _mix(floor, (255, 255, 255), 0.22), floor)
    pen.box(0, pen.line - 0.06 * pen.metre, pen.width, pen.line, _mix(wall, (0, 0, 0), 0.35))
    below = pen.height - pen.line
    for share in (0.12, 0.3):
        row = pen.line + share * below
        pen.box(0, row, pen.width, row + 0.02 * below, _mix(floor, (255, 255, 255), 0.55))


def _park(pen: _Pen) -> None:
    """Sky, hills, trees and grass."""
    sky = pen.pick((120, 170, 220), (150, 190, 224), (172, 186, 198))
    grass = pen.pick((104, 146, 74), (122, 150, 84), (92, 134, 80))
    pen.shade(0, pen.line, sky, _mix(sky, (255, 255, 255), 0.65))
    hill = _mix(grass, sky, 0.55)
    for _ in range(5):
        size = pen.rng.uniform(0.5, 1.0) * pen.width
        x = pen.rng.uniform(0, pen.width)
        pen.disc(x, pen.line + 0.93 * size, size, _shade(np.array(hill) + pen.rng.normal(0, 5)))
    for _ in range(max(int(pen.width / 24), 4)):
        x, size = pen.rng.uniform(0, pen.width), pen.rng.uniform(0.045, 0.1) * pen.height
        leaf = pen.pick((64, 108, 60), (82, 122, 62), (56, 94, 66))
        trunk = 0.14 * size
        pen.box(x - trunk, pen.line - 1.5 * size, x + trunk, pen.line + 1, (92, 72, 56))
        for dx, dy, share in ((0, 2.3, 1.0), (-0.7, 1.8, 0.75), (0.7, 1.9, 0.7)):
            pen.disc(x + dx * size, pen.line - dy * size, share * size, leaf)
    pen.shade(pen.line, pen.height, _mix(grass, (220, 230, 190), 0.25), _mix(grass, (0, 0, 0), 0.1))
    for _ in range(int(pen.width * 0.8)):
        depth = pen.rng.uniform(0.03, 1) ** 1.3
        x, y = pen.rng.uniform(0, pen.width), pen.line + depth * (pen.height - pen.line)
        tuft = _mix(grass, (0, 0, 0) if pen.rng.random() < 0.6 else (230, 235, 150), 0.16)
        pen.box(x, y, x + 1 + 3 * depth, y + 0.4 + 0.7 * depth, tuft)


def _studio(pen: _Pen) -> None:
    """A plain backdrop that runs into the floor."""
    tone = pen.pick(
        (176, 182, 190), (196, 186, 172), (140, 156, 164), (206, 204, 200), (150, 140, 156)
    )
    pen.shade(0, pen.line, _mix(tone, (255, 255, 255), 0.18), _mix(tone, (0, 0, 0), 0.1))
    pen.shade(pen.line, pen.height, _mix(tone, (0, 0, 0), 0.1), _mix(tone, (255, 255, 255), 0.2))


SCENES: dict[str, Callable[[_Pen], None]] = {
    "room": _room,
    "hall": _hall,
    "park": _park,
    "studio": _studio,
}


def _boards(pen: _Pen, colour: Shade) -> None:
    """Joints between boards that run to the vanishing point."""
    below = pen.height - pen.line
    for x in np.arange(-1.5 * pen.width, 2.5 * pen.width, 0.3 * pen.metre):
        nearer = pen.width / 2 + (x - pen.width / 2) * (1 + 1.6 * below / max(pen.line, 1))
        ends = [2 * x, 2 * pen.line, 2 * nearer, 2 * pen.height]
        pen.draw.line(ends, fill=colour, width=1)


def _mix(one: Shade, two: Shade, share: float) -> Shade:
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(one, two, strict=True))
    return red, green, blue


def _shade(values: NDArray[np.float64]) -> Shade:
    red, green, blue = values.clip(0, 255).astype(int).tolist()
    return red, green, blue
