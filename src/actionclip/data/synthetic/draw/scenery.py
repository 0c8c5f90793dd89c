"""What is behind a person: rooms, halls, walls, streets, parks and plain colours.

A backdrop is one picture, larger than what a camera sees of it: another part of it, turned to left
or right and in another light, is another place. A few of each kind are drawn and kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from actionclip.data.synthetic.draw.camera import Camera

Number = float | int
Random = np.random.Generator
Shade = tuple[int, int, int]

KINDS = 16
"""Different backdrops of each scene and scale that are kept for small pictures."""
_SMALL = 128 * 128  # pixels of a picture whose backdrops are kept
_SCALES = (0.16, 0.24, 0.36)  # a metre at the foot of the wall, as a share of the height
_OVER = 1.5  # a backdrop is so much wider than the picture
_ABOVE, _BELOW = 1.0, 0.75  # picture heights above and below the foot of the wall


def behind(
    camera: Camera, room: float, scene: str, rng: Random, *, frames: int
) -> Float[np.ndarray, "N 3 H W"]:
    """What the camera sees of a place.

    Args:
        camera: that sees it.
        room: how far back in Y people need floor, in metres.
        scene: one of `SCENES`.
        rng: where chance comes from.
        frames: how many pictures.
    """
    far = room + rng.uniform(0.3, 2.6) + (20.0 if scene in OPEN else 0.0)
    line, metre = camera.floor_line(far)
    scale = int(np.argmin([abs(np.log(metre / camera.height / s)) for s in _SCALES]))
    small = camera.width * camera.height <= _SMALL
    number = int(rng.integers(KINDS))
    draw = _kept if small else _drawn
    picture = draw(scene, number, camera.width, camera.height, scale)
    if rng.random() < 0.5:
        picture = picture[:, :, ::-1]
    foot = int(_ABOVE * camera.height)
    line = min(max(line, 0.02 * camera.height), camera.height * 0.98)
    top = foot - line + camera.rise[:frames]
    left = rng.uniform(0.1, 0.9) * (picture.shape[2] - camera.width) + camera.pan[:frames]
    if camera.moves:
        return _windows(picture, top, left, (camera.height, camera.width))
    row, column = round(float(top[0])), round(float(left[0]))
    row = min(max(row, 0), picture.shape[1] - camera.height)
    view = picture[:, row : row + camera.height, column : column + camera.width]
    return np.repeat(view[None].astype(np.float32), frames, axis=0)


def _windows(
    picture: NDArray[np.uint8],
    top: NDArray[np.float64],
    left: NDArray[np.float64],
    size: tuple[int, int],
) -> Float[np.ndarray, "N 3 H W"]:
    """Parts of a picture whose corners lie between pixels; beyond its sides it is mirrored."""
    rows, columns = picture.shape[1:]
    seen = np.empty((len(top), 3, *size), dtype=np.float32)
    for frame, (down, right) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        down = min(max(down, 0.0), rows - size[0] - 1.001)
        row, column = int(np.floor(down)), int(np.floor(right))
        across: slice | NDArray[np.int64] = slice(column, column + size[1] + 1)
        if column < 0 or column + size[1] >= columns:
            beyond = np.arange(column, column + size[1] + 1) % (2 * columns)
            across = np.minimum(beyond, 2 * columns - 1 - beyond)
        view = picture[:, row : row + size[0] + 1, across].astype(np.float32, order="C")
        between = view[:, 1:] - view[:, :-1]
        between *= np.float32(down - row)
        between += view[:, :-1]
        np.subtract(between[..., 1:], between[..., :-1], out=seen[frame])
        seen[frame] *= np.float32(right - column)
        seen[frame] += between[..., :-1]
    return seen


def _drawn(scene: str, number: int, width: int, height: int, scale: int) -> NDArray[np.uint8]:
    """A backdrop in planes, [3, rows, columns]; its wall meets its floor at row `_ABOVE` H."""
    rng = np.random.default_rng([number, width, height, scale, list(SCENES).index(scene)])
    wide, high = int(_OVER * width), int((_ABOVE + _BELOW) * height)
    image = Image.new("RGB", (2 * wide, 2 * high))
    line, metre = _ABOVE * height, _SCALES[scale] * height
    SCENES[scene](_Pen(ImageDraw.Draw(image), wide, high, line, metre, rng, image))
    soft = image.reduce(2).filter(ImageFilter.BoxBlur(height / 480))
    return np.ascontiguousarray(np.asarray(soft).transpose(2, 0, 1))


_kept = lru_cache(maxsize=1024)(_drawn)


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
    image: Image.Image
    """What `draw` draws into, at twice the size."""

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

    def mottle(self, top: Number, bottom: Number, strength: float, *, finest: int = 2) -> None:
        """Lay clouds with detail at every scale over some rows, as on plaster, stone or soil.

        Args:
            top: first row.
            bottom: last row.
            strength: standard deviation, of 255.
            finest: size of the smallest detail in pixels.
        """
        first, last = int(2 * max(top, 0)), int(2 * min(bottom, self.height))
        wide, high = 2 * self.width, last - first
        if high < 4:
            return
        cloud, cell, loud = np.zeros((high, wide), np.float32), max(high, 8), 1.0
        while cell >= finest:
            grid = self.rng.standard_normal((high // cell + 2, wide // cell + 2), np.float32)
            soft = Image.fromarray(grid).resize((wide, high), Image.Resampling.BILINEAR)
            cloud += loud * np.asarray(soft)
            cell, loud = cell // 2, loud * 0.72
        tint = 1 + self.rng.normal(0, 0.15, 3)
        box = (0, first, wide, last)
        below = np.asarray(self.image.crop(box), np.float32)
        cloud *= strength / max(float(cloud.std()), 1e-6)
        mixed = (below + cloud[..., None] * tint).clip(0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(mixed), box)

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


def _stone_wall(pen: _Pen) -> None:
    """A wall of plaster or blocks of stone out of doors, a pavement, a kerb and a road."""
    wall = pen.pick(
        (186, 178, 172), (164, 160, 158), (196, 186, 164), (150, 128, 114), (120, 116, 112)
    )
    pen.box(0, 0, pen.width, pen.line, wall)
    if pen.rng.random() < 0.7:
        _blocks(pen, wall)
    pen.mottle(0, pen.line, pen.rng.uniform(4, 12))
    for _ in range(pen.rng.integers(0, 3)):
        left, wide = pen.rng.uniform(0, pen.width), pen.rng.uniform(0.25, 1.0) * pen.metre
        dark = pen.pick((40, 52, 56), (70, 54, 44), (90, 92, 96), (34, 38, 36))
        if pen.rng.random() < 0.5:
            pen.box(left, pen.line - 2.1 * pen.metre, left + wide, pen.line, dark)
        else:
            pen.box(left, 0, left + wide, pen.line - pen.rng.uniform(1, 2) * pen.metre, dark)
    ground = pen.pick((112, 106, 112), (132, 124, 112), (96, 98, 104), (142, 118, 108))
    pen.shade(pen.line, pen.height, _mix(ground, (0, 0, 0), 0.12), ground)
    kerb = pen.line + pen.rng.uniform(0.1, 0.4) * pen.metre
    road = _mix(ground, (70, 74, 84), pen.rng.uniform(0.2, 0.8))
    pen.box(0, kerb, pen.width, pen.height, road)
    pen.box(0, kerb, pen.width, kerb + 0.06 * pen.metre, _mix(road, (255, 255, 255), 0.3))
    pen.mottle(pen.line, pen.height, pen.rng.uniform(2, 7))


def _blocks(pen: _Pen, wall: Shade) -> None:
    """Stones or bricks, each a little different; sometimes the lower rows are darker."""
    high = pen.rng.uniform(0.1, 0.45) * pen.metre
    wide = high * pen.rng.uniform(0.5, 2.6)
    uneven, damp = pen.rng.uniform(3, 13), pen.rng.uniform(0, 0.22)
    top, row = pen.line, 0
    while top > 0:
        top, left = top - high, -wide * (0.5 * (row % 2) + pen.rng.uniform(0, 0.2))
        share = damp * np.exp(-0.7 * (pen.line - top) / pen.metre)
        base = _mix(wall, (70, 62, 52), float(share))
        while left < pen.width:
            stone = _shade(np.array(base) + pen.rng.normal(0, uneven))
            pen.box(left, top, left + wide, top + high, stone)
            left += wide
        row += 1


def _street(pen: _Pen) -> None:
    """Houses with windows, a pavement."""
    left = -pen.rng.uniform(0, 3) * pen.metre
    while left < pen.width:
        wide = pen.rng.uniform(2.5, 6) * pen.metre
        house = pen.pick(
            (178, 120, 92), (196, 188, 172), (150, 152, 160), (206, 180, 120), (92, 88, 90)
        )
        pen.box(left, 0, left + wide, pen.line, house)
        glass = pen.pick((70, 84, 96), (120, 140, 156), (44, 50, 56))
        for x in np.arange(left + 0.5 * pen.metre, left + wide - 0.8 * pen.metre, 1.5 * pen.metre):
            for low in np.arange(0.9, 8, 2.4):
                bottom = pen.line - low * pen.metre
                pen.box(x, bottom - 1.2 * pen.metre, x + 0.8 * pen.metre, bottom, glass)
        left += wide
    pen.mottle(0, pen.line, pen.rng.uniform(2, 8))
    ground = pen.pick((128, 126, 126), (104, 104, 110), (150, 144, 134))
    pen.shade(pen.line, pen.height, _mix(ground, (0, 0, 0), 0.15), ground)
    pen.mottle(pen.line, pen.height, 5)
    _boards(pen, _mix(ground, (0, 0, 0), 0.12))


def _field(pen: _Pen) -> None:
    """Sky over grass, sand or snow, perhaps a dark hedge between them."""
    sky = pen.pick((130, 176, 220), (176, 190, 204), (206, 206, 208), (150, 170, 200))
    ground = pen.pick(
        (104, 140, 78), (190, 172, 130), (128, 118, 84), (222, 226, 232), (84, 112, 66)
    )
    pen.shade(0, pen.line, sky, _mix(sky, (255, 255, 255), 0.5))
    pen.mottle(0, pen.line, pen.rng.uniform(0, 8), finest=16)
    if pen.rng.random() < 0.6:
        hedge = pen.pick((58, 78, 52), (72, 88, 70), (96, 92, 76))
        top = pen.line - pen.rng.uniform(0.4, 2.4) * pen.metre
        pen.box(0, top, pen.width, pen.line, hedge)
        pen.mottle(top - 0.2 * pen.metre, pen.line, 14)
    pen.shade(pen.line, pen.height, _mix(ground, (0, 0, 0), 0.08), ground)
    pen.mottle(pen.line, pen.height, pen.rng.uniform(4, 14))


def _clouds(pen: _Pen) -> None:
    """Colours with the statistics of photographs, and nothing to recognise."""
    for top, bottom in ((0.0, pen.line), (pen.line, float(pen.height))):
        shade = _shade(pen.rng.uniform(40, 215, 3))
        pen.shade(top, bottom, shade, _mix(shade, _shade(pen.rng.uniform(0, 255, 3)), 0.4))
        pen.mottle(top, bottom, pen.rng.uniform(8, 34))


def _plain(pen: _Pen) -> None:
    """One colour, or two."""
    tone = _shade(pen.rng.uniform(15, 245, 3) * 0.5 + pen.rng.uniform(8, 122))
    pen.shade(0, pen.height, tone, _mix(tone, _shade(pen.rng.uniform(0, 255, 3)), 0.25))
    if pen.rng.random() < 0.7:
        floor = _shade(np.array(tone) * pen.rng.uniform(0.55, 1.3))
        pen.box(0, pen.line, pen.width, pen.height, floor)
    if pen.rng.random() < 0.5:
        pen.mottle(0, pen.height, pen.rng.uniform(1, 5))


SCENES: dict[str, Callable[[_Pen], None]] = {
    "room": _room,
    "hall": _hall,
    "park": _park,
    "studio": _studio,
    "stone wall": _stone_wall,
    "street": _street,
    "field": _field,
    "clouds": _clouds,
    "plain": _plain,
}
OPEN = frozenset({"park", "field"})
"""Scenes whose ground goes far back."""


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
