"""What movements are made of: a style, a pose as a function of phase, and how it is best seen.

An action takes the phase (in cycles, [N]) and a style, and gives a pose. Actions that repeat go
round with phase 1, 2, 3, …; the others happen once between phase 0 and 1. Lengths are in legs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actionclip.data.synthetic.curves import Array, ankle, keys, swing
from actionclip.data.synthetic.draw.paint import Parts
from actionclip.data.synthetic.draw.props import Stage
from actionclip.data.synthetic.figure import SIDES, Pose

Angles = dict[str, Array | float]


@dataclass(frozen=True)
class Style:
    """How somebody does it."""

    side: str = "right"
    """The hand or foot that does what only one does."""
    size: float = 1.0
    """How large the movement is; 1 is average."""
    variant: float = 0.0
    """From 0 to 1: which way of doing it, where there is more than one."""
    arms: float = 0.5
    """From 0 to 1: what the arms do where they are free, from little to much."""
    effort: float = 0.5
    """From 0 to 1: how much is put into it: a jog or a sprint, small jumps or wide ones."""

    def trait(self, number: int) -> float:
        """A number from 0 to 1 that says nothing about `variant`, another one for each prime."""
        return (self.variant * number) % 1

    @property
    def other(self) -> str:
        """The other hand or foot."""
        return "left" if self.side == "right" else "right"

    @property
    def sign(self) -> int:
        """Where Y of the side is: 1 for left, -1 for right."""
        return 1 if self.side == "left" else -1


SIDEWAYS, FRONTAL, ASLANT = (-42.0, 42.0), (-128.0, -52.0), (-75.0, 35.0)


@dataclass(frozen=True)
class Action:
    """A movement and how it is best seen."""

    pose: Callable[[Array, Style], Pose]
    seconds: float
    """Of a cycle, or of the whole action where it does not repeat."""
    repeats: bool = True
    views: tuple[float, float] = (-90.0, 90.0)
    """Directions in degrees the person mostly faces: 0 to the right of the picture, -90 to the
    viewer. Mirrored views are as good, and other directions happen."""
    things: Callable[[Parts, Stage], None] | None = None
    """Adds what the person uses."""
    near: bool = False
    """Whether it is too small a movement to be seen from far away."""


STANDING = 0.991
"""Height of the pelvis of somebody who stands, in legs: the knees are not quite straight."""

BONE = 0.4575
"""Length of a thigh and of a shin, in legs."""


def root(
    phase: Array, x: Array | float = 0.0, y: Array | float = 0.0, z: Array | float = STANDING
) -> Array:
    """Places of the pelvis, [N, 3]."""
    place = np.empty((len(phase), 3))
    place[:, 0], place[:, 1], place[:, 2] = x, y, z
    return place


def standing(phase: Array, apart: float = 0.11, *, stagger: float = 0.0) -> dict[str, Array]:
    """Both feet flat on the floor, the left one `stagger` ahead of the right one."""
    zero = np.zeros_like(phase)
    return {
        "left": ankle(zero + stagger / 2, apart, zero, zero),
        "right": ankle(zero - stagger / 2, -apart, zero, zero),
    }


def both(**angles: Array | float) -> Angles:
    """The same angles for the left and the right."""
    return {f"{side}_{name}": value for side in SIDES for name, value in angles.items()}


AT_EASE = both(spread=7.0, elbow=14.0, swing=2.0, aim=9.0)
"""Arms hang loosely, toes point a little outward."""


def breathing(phase: Array, *, cycles: float = 0.4) -> Angles:
    """Nobody stands quite still."""
    return {"lean": swing(phase * cycles, -1.2, 1.2), "turn": swing(phase * cycles, -6, 6)}


def place(phase: Array, x: Array | float, y: Array | float, z: Array | float) -> Array:
    """Places [N, 3] from their coordinates, of which some may stay the same."""
    return root(phase, x, y, z)


HANGING = (0.03, 0.12, -0.95)
"""Wrist of an arm that hangs, from its shoulder in arm lengths; Y is outward."""


def reach(
    phase: Array, side: str, share: Array, goal: tuple[float, float, float], *, out: float = 0.0
) -> Array:
    """Wrist on its way from hanging (share 0) to a place (share 1), [N, 3].

    Args:
        phase: of the action.
        side: whose shoulder counts.
        share: of the way, [N].
        goal: from the shoulder in arm lengths, Y outward.
        out: how far in front of the straight way the hand passes.
    """
    sign = 1 if side == "left" else -1
    x, y, z = (a + share * (b - a) for a, b in zip(HANGING, goal, strict=True))
    return place(phase, x + 4 * share * (1 - share) * out, sign * y, z)


Touch = tuple[float, float, float]


def steps(
    phase: Array, touches: Sequence[Touch], stride: float, lift: float
) -> tuple[Array, Array]:
    """How far along and how high a foot is that stands, flies and stands again.

    Args:
        phase: of the cycle.
        touches: when a foot meets the floor, when it leaves it, and where it stands meanwhile.
        stride: how far a cycle carries.
        lift: how high the foot is halfway between two touches.
    """
    along: list[tuple[float, float]] = []
    up: list[tuple[float, float]] = []
    for turn in (-1, 0, 1):
        for number, (down, off, where) in enumerate(touches):
            later = touches[number + 1][0] if number + 1 < len(touches) else touches[0][0] + 1
            along += [(down + turn, where + turn * stride), (off + turn, where + turn * stride)]
            up += [(down + turn, 0.0), (off + turn, 0.0), ((off + later) / 2 + turn, lift)]
    own = phase % 1.0
    return keys(own, *along) + stride * np.floor(phase), keys(own, *up)


def flight(phase: Array, start: float, end: float, height: float) -> Array:
    """How high the whole body flies between two phases of a cycle: a parabola."""
    share = np.clip((phase % 1.0 - start) / (end - start), 0, 1)
    return 4 * height * share * (1 - share)


def planted(angles: Angles, side: str = "left") -> Array:
    """Where the pelvis must be in X so that a leg led by angles has its ankle at X = 0."""
    pitch, hip, knee = (angles.get(name, 0.0) for name in ("pitch", f"{side}_hip", f"{side}_knee"))
    thigh = np.radians(np.asarray(hip) - pitch)
    return -BONE * (np.sin(thigh) + np.sin(thigh - np.radians(knee)))


def flat_feet(angles: Angles) -> None:
    """Turn the feet of legs led by angles so that the soles are level, as far as ankles go."""
    pitch = angles.get("pitch", 0.0)
    for side in SIDES:
        level = np.asarray(angles.get(f"{side}_knee", 0.0)) + pitch - angles.get(f"{side}_hip", 0.0)
        angles[f"{side}_foot"] = np.clip(level, -70, 45)


def backwards(pose: Callable[[Array, Style], Pose], *, once: bool) -> Callable[..., Pose]:
    """The same movement with time running backwards."""

    def reversed_pose(phase: Array, style: Style) -> Pose:
        return pose(1 - phase if once else -phase, style)

    return reversed_pose


def thing_backwards(things: Callable[[Parts, Stage], None]) -> Callable[[Parts, Stage], None]:
    """The things of a movement that happens once, with time running backwards."""

    def reversed_things(parts: Parts, stage: Stage) -> None:
        things(parts, replace(stage, phase=1 - stage.phase))

    return reversed_things
