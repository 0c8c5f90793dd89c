"""Where the camera stands, what it looks at, and how its picture moves.

N frames, H and W the picture. Space: X to the right, Y away from the camera, Z up, in metres.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]
Random = np.random.Generator

PIVOT = 0.9
"""Height of the point that a raised camera looks at, in metres."""


@dataclass(frozen=True)
class Camera:
    """A camera that looks along Y, from straight ahead or from higher up."""

    width: int
    height: int
    focal: float
    """Pixels per metre at one metre."""
    distance: float
    """From the origin."""
    above: float
    """Of the floor, before it is raised by the elevation."""
    horizon: float
    """Row of what is as high as the camera, in a picture that does not move."""
    middle: float
    """Column of X = 0 there."""
    pan: Array
    """By how many pixels each picture is turned to the right, [N]."""
    rise: Array
    """By how many pixels it is turned down, [N]."""
    elevation: float = 0.0
    """From how far up it looks down on the person, in degrees."""

    def at(self, frames: NDArray[np.int64]) -> "Camera":
        """The camera in some of the frames."""
        return replace(self, pan=self.pan[frames], rise=self.rise[frames])

    def project(self, points: Float[np.ndarray, "N *P 3"]) -> tuple[Array, Array]:
        """Pixels [N, ..., 2] (column, row) and pixels per metre [N, ...] of points [N, ..., 3]."""
        tilt = np.radians(self.elevation)
        cosine, sine = np.cos(tilt), np.sin(tilt)
        y, z = points[..., 1], points[..., 2] - PIVOT
        scale = self.focal / np.maximum(y * cosine - z * sine + self.distance, 0.3)
        still = [1] * (points.ndim - 2)
        column = self.middle + scale * points[..., 0] - self.pan.reshape(-1, *still)
        height = PIVOT + z * cosine + y * sine
        row = self.horizon + scale * (self.above - height) - self.rise.reshape(-1, *still)
        return np.stack([column, row], axis=-1), scale

    def floor_line(self, far: float) -> tuple[float, float]:
        """Row of the floor, and pixels per metre, so far behind the origin (picture at rest)."""
        still = replace(self, pan=np.zeros(1), rise=np.zeros(1))
        pixels, scale = still.project(np.array([[0.0, far, 0.0]]))
        return float(pixels[0, 1]), float(scale[0])

    @property
    def moves(self) -> bool:
        """Whether the picture does, or did before."""
        return bool(self.pan.any() or self.rise.any())


@dataclass(frozen=True)
class Framing:
    """How somebody is filmed. Drawn by chance in `Framing.draw`."""

    share: float
    """Height of the standing person as a share of the picture."""
    distance: float
    above: float
    elevation: float
    follow: float
    """Share of the person's way across the picture that the camera goes along with."""
    crossing: float
    """How far a person may go across a picture at rest, in widths: above 1 and out of it."""
    shake: float
    """How far a hand-held camera strays, as a share of the height."""
    column: float
    """From 0 to 1: how far right in the room that is left."""
    row: float
    """From 0 to 1: how far down."""

    @staticmethod
    def draw(rng: Random) -> "Framing":
        """Half the people far away and half near, most cameras at rest and at eye level."""
        far, follows, raised, shaky = rng.random(4) < (0.55, 0.35, 0.2, 0.25)
        return Framing(
            share=float(rng.uniform(0.34, 0.58) if far else rng.uniform(0.55, 0.85)),
            distance=float(rng.uniform(4.5, 9.0)),
            above=float(rng.uniform(0.8, 1.7)),
            elevation=float(rng.uniform(6, 32) if raised else rng.uniform(-2, 5)),
            follow=float(rng.uniform(0.6, 1.0) if follows else 0.0),
            crossing=float(rng.uniform(0.7, 1.12)),
            shake=float(rng.uniform(0.004, 0.02) if shaky else 0.0),
            column=float(rng.random()),
            row=float(rng.random() ** 0.7),
        )


def aim(
    at: Float[np.ndarray, "N J 3"],
    height: float,
    size: tuple[int, int],
    framing: Framing,
    shake: Float[np.ndarray, "2 N"],
) -> Camera:
    """A camera that has the whole person in the picture for most of the time.

    Args:
        at: the joints.
        height: of the person, metres.
        size: width and height of the picture.
        framing: how large, from where.
        shake: where a hand-held camera strays, in shares of `framing.shake`.
    """
    width, tall = size
    zero = np.zeros(len(at))
    camera = Camera(
        width, tall, 1.0, framing.distance, framing.above, 0, 0, zero, zero, framing.elevation
    )
    pixels, _ = camera.project(at)
    columns, rows = pixels[..., 0], pixels[..., 1]
    edge = 0.14 / framing.distance  # hair and hands reach beyond the joints
    wide = float(np.ptp(columns, axis=1).max()) + edge
    high = float(np.ptp(rows)) + edge
    path = (columns.min(axis=1) + columns.max(axis=1)) / 2
    focal = framing.share * tall * framing.distance / height
    focal = min(focal, 0.95 * tall / high, 0.97 * width / wide)
    way = float(np.ptp(path))
    if way > 0:
        # Rather farther away than cut off, but nobody gets smaller than a third of the picture.
        smallest = min(focal, 0.33 * tall * framing.distance / height)
        alone = way * (1 - framing.follow)  # the camera does not go along with that part
        focal = float(np.clip(framing.crossing * width / (alone + wide), smallest, focal))
        room = max(framing.crossing * width - focal * wide, 0.1 * width)
        follow = max(framing.follow, 1 - room / max(way * focal, 1e-6))
    else:
        follow = 0.0
    pan = focal * follow * (path - path.mean()) + shake[0] * framing.shake * tall
    seen = focal * columns - pan[:, None]
    left, right = float(seen.min()), float(seen.max())
    slack = width - (right - left) - focal * edge
    middle = width / 2 - (left + right) / 2 + max(slack, 0) * (framing.column - 0.5)
    top, bottom = focal * float(rows.min()), focal * float(rows.max())
    slack = max(0.96 * tall - (bottom - top) - focal * edge, 0)
    horizon = 0.02 * tall + focal * edge * 0.75 - top + slack * framing.row
    return replace(
        camera,
        focal=focal,
        middle=middle,
        horizon=horizon,
        pan=pan,
        rise=shake[1] * framing.shake * tall,
    )
