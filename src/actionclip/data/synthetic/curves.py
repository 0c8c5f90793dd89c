"""The shapes of movements over time: swings, key frames, and feet that walk without sliding."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from actionclip.data.synthetic.figure import ANKLE, FOOT_BALL, HEEL

Array = NDArray[np.float64]
Key = tuple[float | int, float | int]  # phase, value


def swing(phase: Array, low: float | int, high: float | int, *, start: float = 0.0) -> Array:
    """A sinusoid between two values; at phase `start` (in cycles) it is at `high`."""
    return (low + high) / 2 + (high - low) / 2 * np.cos(2 * np.pi * (phase - start))


def keys(phase: Array, *points: Key) -> Array:
    """Move smoothly from key frame to key frame: (phase, value), with rest at both ends.

    Between keys it never overshoots them, and it keeps its speed through a key that lies on the way
    from one value to another.

        >>> keys(np.array([0.0, 0.25, 0.5, 1.0]), (0, 0.0), (0.5, 10.0), (1, 10.0)).tolist()
        [0.0, 5.0, 10.0, 10.0]
    """
    at, value, width, slope, speed = _between(points)
    part = np.clip(np.searchsorted(at, phase, side="right") - 1, 0, len(width) - 1)
    u = np.clip((phase - at[part]) / width[part], 0, 1)
    rise = slope[part] * width[part]
    enter, leave = speed[part] * width[part], speed[part + 1] * width[part]
    return (
        value[part]
        + u * (enter + u * (3 * rise - 2 * enter - leave))
        + u**3 * (enter + leave - 2 * rise)
    )


@lru_cache(maxsize=256)
def _between(points: tuple[Key, ...]) -> tuple[Array, Array, Array, Array, Array]:
    """Phases and values of the keys; widths and slopes of what is between; speeds at the keys."""
    at, value = np.array(points, dtype=float).T
    width = np.diff(at)
    slope = np.diff(value) / width
    speed = np.zeros_like(value)  # the mean slope of both sides, 0 where it turns
    before, after = slope[:-1], slope[1:]
    same_way = before * after > 0
    speed[1:-1][same_way] = (2 * before * after / (before + after + 1e-12))[same_way]
    return at, value, width, slope, speed


def cycle(phase: Array, *points: Key) -> Array:
    """Like `keys`, repeated for ever: the phase goes round from 1 to 0.

    A key at 1 may repeat the one at 0.
    """
    if points[0][0] == 0 and points[-1][0] == 1:
        points = points[:-1]
    rounds = [(at + turn, value) for turn in (-1, 0, 1) for at, value in points]
    return keys(phase % 1.0, *rounds)


def ankle(x: Array, y: Array | float, z: Array, pitch: Array) -> Array:
    """Ankle of a foot that stands over (x, y), z above the floor, [N, 3] in legs.

    A foot with its toes up stands on its heel, one with its toes down on its ball.
    """
    angle = np.radians(pitch)
    pivot = np.where(pitch > 0, -HEEL, FOOT_BALL)
    forward = pivot - pivot * np.cos(angle) - ANKLE * np.sin(angle)
    up = ANKLE * np.cos(angle) - pivot * np.sin(angle)
    return np.stack(np.broadcast_arrays(x + forward, y, z + up), axis=-1)


@dataclass(frozen=True)
class Gait:
    """How feet take turns. Lengths in legs, times as shares of a cycle (two steps)."""

    stride: float
    """How far a cycle carries."""
    stance: float
    """How long a foot stays on the floor; below 0.5 there is flight, and that is running."""
    lift: float
    """How high the foot is lifted behind the body."""
    peak: float = 0.38
    """When it is highest, as a share of the time it is in the air."""
    lag: float = 0.0
    """How long it stays behind the body, as a share of that time: walkers' 0, joggers' 0.2."""
    fly: float = 0.0
    """How far both feet leave the floor in the middle of a flight."""
    strike: float = 20.0
    """Toes up at touchdown, degrees."""
    push: float = -50.0
    """Toes down at take-off, degrees."""
    width: float = 0.09
    """Of each foot from the middle."""

    def foot(self, phase: Array, *, side: str) -> tuple[Array, Array]:
        """Ankle target [N, 3] and pitch [N] of a foot; the left one lands at phase 0."""
        own = (phase if side == "left" else phase + 0.5) % 1.0
        reach = self.stride * self.stance / 2
        flight = 1 - self.stance
        u = np.clip((own - self.stance) / flight, 0, 1)
        way = u - 4 * self.lag * u * (1 - u)
        slope = -self.stride * flight  # leave and meet the floor at the floor's speed
        swung = -reach + way * (
            slope + way * (6 * reach - 3 * slope) + way * way * (2 * slope - 4 * reach)
        )
        x = np.where(own < self.stance, reach - self.stride * own, swung)
        z = self.lift * keys(u, (0, 0.0), (self.peak, 1.0), (0.72, 0.35), (1, 0.0))
        if self.fly:
            share = np.clip((own % 0.5 - self.stance) / (0.5 - self.stance), 0, 1)
            z = z + 4 * self.fly * share * (1 - share)
        pitch = cycle(
            own,
            (0.0, self.strike),
            (0.18 * self.stance, 0.0),
            (0.6 * self.stance, 0.0),
            (self.stance, self.push),
            (self.stance + 0.3 * flight, self.push * 0.85),
            (self.stance + 0.75 * flight, self.strike * 0.8),
        )
        sign = 1 if side == "left" else -1
        return ankle(x + self.stride * phase, sign * self.width, z, pitch), pitch
