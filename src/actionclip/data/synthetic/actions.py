"""What synthetic people can do: for each action a function from phase to pose.

An action takes the phase (in cycles, [N]) and a style, and gives a pose. Actions that repeat go
round with phase 1, 2, 3, …; the others happen once between phase 0 and 1. Adding one is a function
and a line in `ACTIONS`; the tests take it from there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actionclip.data.synthetic.curves import Array, Gait, ankle, cycle, keys, swing
from actionclip.data.synthetic.figure import SIDES, Pose


@dataclass(frozen=True)
class Style:
    """How somebody does it."""

    side: str = "right"
    """The hand or foot that does what only one does."""
    size: float = 1.0
    """How large the movement is; 1 is average."""
    variant: float = 0.0
    """From 0 to 1: which way of doing it, where there is more than one."""

    @property
    def other(self) -> str:
        """The other hand or foot."""
        return "left" if self.side == "right" else "right"


@dataclass(frozen=True)
class Action:
    """A movement and how it is best seen."""

    pose: Callable[[Array, Style], Pose]
    seconds: float
    """Of a cycle, or of the whole action where it does not repeat."""
    repeats: bool = True
    views: tuple[float, float] = (-90.0, 90.0)
    """Directions in degrees the person may face: 0 to the right of the picture, -90 to the viewer.
    Mirrored views are as good."""
    seat: bool = False
    """Whether a stool stands behind the person."""


STANDING = 0.991
"""Height of the pelvis of somebody who stands, in legs: the knees are not quite straight."""


def _root(
    phase: Array, x: Array | float = 0.0, y: Array | float = 0.0, z: Array | float = STANDING
) -> Array:
    return np.stack(np.broadcast_arrays(x, y, z, phase)[:3], axis=-1).astype(float)


def _standing(phase: Array, apart: float = 0.11) -> dict[str, Array]:
    """Both feet flat on the floor."""
    zero = np.zeros_like(phase)
    return {side: ankle(zero, apart if side == "left" else -apart, zero, zero) for side in SIDES}


_AT_EASE = {
    **{f"{side}_spread": 7.0 for side in SIDES},
    **{f"{side}_elbow": 14.0 for side in SIDES},
    **{f"{side}_swing": 2.0 for side in SIDES},
    **{f"{side}_aim": 9.0 for side in SIDES},
}
"""Arms hang loosely, toes point a little outward."""


def _breathing(phase: Array, *, cycles: float = 0.4) -> dict[str, Array]:
    """Nobody stands quite still."""
    return {"lean": swing(phase * cycles, -1.2, 1.2), "turn": swing(phase * cycles, -6, 6)}


def walking(phase: Array, style: Style) -> Pose:
    """Arms opposite to legs, the pelvis highest over the standing leg."""
    gait = Gait(stride=1.2 * style.size, stance=0.62, lift=0.1)
    arm = 24 * style.size
    angles: dict[str, Array | float] = {
        **{"yaw": swing(phase, -5, 5, start=0.5), "twist": swing(phase, -12, 12)},
        **{"bend": 3.0, "roll": swing(phase, -2.5, 2.5, start=0.75)},
    }
    for side, start in (("left", 0.5), ("right", 0.0)):
        angles[f"{side}_swing"] = swing(phase, -arm, arm * 0.9, start=start)
        angles[f"{side}_elbow"] = swing(phase, 14, 34, start=start)
        angles[f"{side}_spread"] = 7.0
    return _on_the_move(phase, gait, angles, height=0.957, bob=0.024, top=0.31)


def running(phase: Array, style: Style) -> Pose:
    """Both feet leave the floor, heels swing up behind, elbows are bent."""
    gait = Gait(
        stride=2.25 * style.size, stance=0.32, lift=0.44, strike=8.0, push=-62.0, width=0.05
    )
    arm = 42 * style.size
    angles: dict[str, Array | float] = {
        **{"pitch": 7.0, "bend": 8.0, "yaw": swing(phase, -8, 8, start=0.5)},
        "twist": swing(phase, -20, 20),
    }
    for side, start in (("left", 0.5), ("right", 0.0)):
        angles[f"{side}_swing"] = swing(phase, -arm, arm * 0.75, start=start) + 3
        angles[f"{side}_elbow"] = swing(phase, 78, 106, start=start)
        angles[f"{side}_spread"] = 12.0
        angles[f"{side}_roll"] = -15.0
    return _on_the_move(phase, gait, angles, height=0.91, bob=0.04, top=0.42)


def _on_the_move(
    phase: Array,
    gait: Gait,
    angles: dict[str, Array | float],
    *,
    height: float,
    bob: float,
    top: float,
) -> Pose:
    """A pose that goes forward on the feet of a gait; the pelvis is highest at phase `top`."""
    feet = {}
    for side in SIDES:
        feet[side], angles[f"{side}_foot"] = gait.foot(phase, side=side)
    root = _root(
        phase, x=gait.stride * phase, z=swing(2 * phase, -bob, bob, start=2 * top) + height
    )
    return Pose(angles, root, feet)


def jumping_jacks(phase: Array, style: Style) -> Pose:
    """Hop the feet apart while the arms go up at the sides, and back."""
    apart = cycle(
        phase, (0.08, 0.09), (0.42, 0.42 * style.size), (0.58, 0.42 * style.size), (0.92, 0.09)
    )
    hop = cycle(phase, (0.06, 0), (0.25, 0.075), (0.44, 0), (0.56, 0), (0.75, 0.075), (0.94, 0))
    zero = np.zeros_like(phase)
    pitch = -420 * hop
    feet = {s: ankle(zero, apart if s == "left" else -apart, hop, pitch) for s in SIDES}
    crouch = cycle(phase, (0.0, 0.025), (0.25, 0.0), (0.5, 0.02), (0.75, 0.0))
    reach = np.sqrt(0.908**2 - (apart - 0.1) ** 2) + 0.085
    arms = cycle(phase, (0.03, 8), (0.45, 165), (0.55, 165), (0.97, 8))
    angles: dict[str, Array | float] = {}
    for side in SIDES:
        angles[f"{side}_spread"] = arms
        angles[f"{side}_elbow"] = swing(phase, 10, 22)
        angles[f"{side}_roll"] = 60.0
        angles[f"{side}_foot"] = pitch
        angles[f"{side}_aim"] = 14.0
    return Pose(angles, _root(phase, z=reach - crouch + hop), feet)


def _waving_arm(phase: Array, style: Style) -> dict[str, Array | float]:
    """Either the forearm waves, or the whole stretched arm goes from the side to overhead."""
    if style.variant < 0.6:
        return {
            **{"spread": 88 + swing(phase, -5, 8), "roll": 92.0, "swing": 10.0},
            "elbow": swing(phase, 78 - 34 * style.size, 78 + 34 * style.size),
        }
    arm = swing(phase * 0.5, 35, 168)
    return {"spread": arm, "roll": 60.0, "elbow": 12.0, "swing": 8.0}


def waving_one_hand(phase: Array, style: Style) -> Pose:
    """The other arm hangs."""
    angles: dict[str, Array | float] = {**_AT_EASE, **_breathing(phase)}
    for name, value in _waving_arm(phase, style).items():
        angles[f"{style.side}_{name}"] = value
    return Pose(angles, _root(phase), _standing(phase))


def waving_both_hands(phase: Array, style: Style) -> Pose:
    """Both arms do what one does in `waving_one_hand`."""
    angles: dict[str, Array | float] = {**_AT_EASE, **_breathing(phase)}
    for side in SIDES:
        for name, value in _waving_arm(phase, style).items():
            angles[f"{side}_{name}"] = value
    return Pose(angles, _root(phase), _standing(phase))


def bending_down(phase: Array, style: Style) -> Pose:
    """Fold at the hips until the hands reach the feet, and come up again."""
    down = keys(phase, (0.05, 0), (0.45, 1), (0.58, 1), (0.95, 0))
    pitch, bend = 57 * down * style.size, 55 * down
    angles: dict[str, Array | float] = {**_AT_EASE, "pitch": pitch, "bend": bend}
    angles["nod"] = 12 * down
    for side in SIDES:
        angles[f"{side}_swing"] = (pitch + bend) * 0.92
        angles[f"{side}_elbow"] = 14 - 6 * down
    return Pose(angles, _root(phase, x=-0.17 * down, z=STANDING - 0.07 * down), _standing(phase))


def squatting(phase: Array, style: Style) -> Pose:
    """Knees bend, the back stays straight, the arms balance in front."""
    down = swing(phase, 0, 1, start=0.5) ** 0.8
    depth = 0.36 + 0.1 * style.size
    pitch = 40 * down
    angles: dict[str, Array | float] = {"pitch": pitch, "bend": 6 * down, "nod": -22 * down}
    for side in SIDES:
        angles[f"{side}_swing"] = 4 + 118 * down
        angles[f"{side}_elbow"] = 16 - 8 * down
        angles[f"{side}_spread"] = 7.0
        angles[f"{side}_aim"] = 20.0
    root = _root(phase, x=-0.2 * down, z=STANDING - depth * down)
    return Pose(angles, root, _standing(phase, 0.17))


def jumping_in_place(phase: Array, style: Style) -> Pose:
    """Crouch with the arms back, fly with the arms up, land softly."""
    height = 0.26 * style.size
    u = np.clip((phase % 1.0 - 0.42) / 0.3, 0, 1)
    flight = 4 * u * (1 - u) * height
    tip = cycle(phase, (0.36, 0), (0.42, -38), (0.5, -48), (0.66, -30), (0.72, -12), (0.76, 0))
    body = cycle(
        phase, (0.0, 0.985), (0.26, 0.72), (0.42, 1.03), (0.57, 0.99), (0.72, 0.99), (0.84, 0.78)
    )
    lean = cycle(phase, (0.0, 6), (0.26, 38), (0.44, 2), (0.7, 4), (0.84, 30))
    arms = cycle(phase, (0.0, 5), (0.16, -40), (0.52, 122), (0.6, 118), (0.88, 20))
    zero = np.zeros_like(phase)
    feet = {s: ankle(zero, 0.1 if s == "left" else -0.1, flight, tip) for s in SIDES}
    angles: dict[str, Array | float] = {"pitch": lean, "bend": lean * 0.3, "nod": -lean * 0.5}
    for side in SIDES:
        angles[f"{side}_swing"] = arms
        angles[f"{side}_elbow"] = 24.0
        angles[f"{side}_spread"] = 9.0
        angles[f"{side}_foot"] = tip
    return Pose(angles, _root(phase, x=-lean * 0.0035, z=body + flight), feet)


def clapping(phase: Array, style: Style) -> Pose:
    """The hands meet in front of the chest."""
    gap = 0.1 + swing(phase, 0, 0.3 * style.size)
    height = -0.4 + 0.2 * style.variant
    hands = {}
    for side in SIDES:
        sign = 1 if side == "left" else -1
        middle = -0.35  # from the shoulder to the middle of the chest, in arm lengths
        hands[side] = np.stack(
            np.broadcast_arrays(0.66 - 0.3 * gap, sign * (middle + gap), height), axis=-1
        )
    angles = {**_AT_EASE, **_breathing(phase, cycles=0.2), "bend": swing(phase, 1, 4)}
    return Pose(angles, _root(phase), _standing(phase), hands)


def kicking(phase: Array, style: Style) -> Pose:
    """A high kick forward with one foot; the arms swing against it."""
    hip = cycle(
        phase, (0.0, 0), (0.22, -28), (0.45, 84 * style.size), (0.52, 84 * style.size), (0.8, 5)
    )
    length = cycle(
        phase,
        (0.0, 0.885),
        (0.2, 0.72),
        (0.34, 0.66),
        (0.46, 0.9),
        (0.54, 0.88),
        (0.72, 0.74),
        (0.92, 0.88),
    )
    lean = cycle(phase, (0.0, 2), (0.22, 12), (0.48, -16), (0.85, 2))
    side = 0.1 if style.side == "left" else -0.1
    root = _root(phase, y=-0.5 * side, z=0.985 - 0.02 * np.clip(hip / 90, 0, 1))
    angle = np.radians(hip)
    rest = np.clip(np.abs(hip) / 15, 0, 1)
    target = np.stack(
        np.broadcast_arrays(length * np.sin(angle), side, root[:, 2] - length * np.cos(angle)),
        axis=-1,
    )
    target[:, 2] = np.maximum(target[:, 2], 0.085 + 0.05 * rest)
    feet = _standing(phase, 0.1)
    feet[style.side] = target
    angles: dict[str, Array | float] = {
        **{"pitch": lean, "twist": (1 if style.side == "left" else -1) * hip * -0.18},
        f"{style.side}_foot": hip * 0.75 - 40 * np.clip(hip / 60, -1, 1),
        f"{style.side}_swing": -hip * 0.45,
        f"{style.other}_swing": hip * 0.6,
    }
    for arm in SIDES:
        angles[f"{arm}_spread"] = 22.0
        angles[f"{arm}_elbow"] = 32.0
    return Pose(angles, root, feet)


def boxing(phase: Array, style: Style) -> Pose:
    """Fists up, straight punches in turn, light on the feet."""
    hands, strength = {}, {}
    for side, start in ((style.other, 0.0), (style.side, 0.5)):
        sign = 1 if side == "left" else -1
        own = cycle(phase - start, (0.0, 0), (0.16, 1), (0.22, 1), (0.42, 0), (0.7, 0))
        strength[side] = own
        hands[side] = np.stack(
            np.broadcast_arrays(0.36 + 0.6 * own, sign * (-0.2 - 0.1 * own), 0.12 - 0.04 * own),
            axis=-1,
        )
    turned = strength["right"] - strength["left"]
    front = 0.2 if style.other == "left" else -0.2
    bounce = np.abs(swing(phase, -0.018, 0.018))
    zero = np.zeros_like(phase)
    lifted = -14 - 12 * strength[style.side]
    feet = {
        style.other: ankle(zero + 0.24, front * 0.6, zero, zero),
        style.side: ankle(zero - 0.24, -front * 0.6, zero, lifted),
    }
    angles: dict[str, Array | float] = {
        **{"yaw": 10 * turned - 40 * front, "twist": 26 * turned, "bend": 10.0, "nod": 4.0},
        **{"turn": 40 * front - 18 * turned, f"{style.side}_foot": lifted},
    }
    return Pose(angles, _root(phase, x=0.05 * strength[style.side], z=0.9 + bounce), feet, hands)


SEAT = 0.52
"""Height of the pelvis on the stool, in legs."""


def sitting_down(phase: Array, style: Style) -> Pose:
    """Lean forward, go down onto the stool behind, sit up."""
    down = keys(phase, (0.1, 0), (0.68, 1))
    lean = keys(phase, (0.06, 2), (0.42, 40 * style.size), (0.62, 34 * style.size), (0.9, -2))
    angles: dict[str, Array | float] = {"pitch": lean, "bend": lean * 0.35, "nod": -lean * 0.4}
    on_lap = keys(phase, (0.45, 0), (0.9, 1))
    for side in SIDES:
        angles[f"{side}_swing"] = 3 + lean * 0.95 + 22 * on_lap
        angles[f"{side}_elbow"] = 16 + 20 * on_lap
        angles[f"{side}_spread"] = 7.0
        angles[f"{side}_roll"] = -18 * on_lap
        angles[f"{side}_aim"] = 8.0
    height = STANDING + (SEAT - STANDING) * down
    away = keys(phase, (0.08, 0), (0.64, 1))
    return Pose(angles, _root(phase, x=-0.44 * away, z=height), _standing(phase, 0.12))


def standing_up(phase: Array, style: Style) -> Pose:
    """Sitting down, with time running backwards."""
    return sitting_down(1 - phase, style)


SIDEWAYS, FRONTAL = (-42.0, 42.0), (-128.0, -52.0)

ACTIONS: dict[str, Action] = {
    "walking": Action(walking, 1.05, views=(-25.0, 25.0)),
    "running": Action(running, 0.72, views=(-12.0, 12.0)),
    "jumping jacks": Action(jumping_jacks, 1.1, views=FRONTAL),
    "waving one hand": Action(waving_one_hand, 0.75, views=FRONTAL),
    "waving both hands": Action(waving_both_hands, 0.75, views=FRONTAL),
    "bending down": Action(bending_down, 2.3, repeats=False, views=SIDEWAYS),
    "jumping in place": Action(jumping_in_place, 1.15, views=(-100.0, 40.0)),
    "squatting": Action(squatting, 1.6, views=(-60.0, 30.0)),
    "clapping": Action(clapping, 0.5, views=FRONTAL),
    "kicking": Action(kicking, 1.35, views=(-45.0, 35.0)),
    "boxing": Action(boxing, 0.95, views=(-50.0, 35.0)),
    "sitting down": Action(sitting_down, 2.0, repeats=False, views=(-50.0, 30.0), seat=True),
    "standing up": Action(standing_up, 1.9, repeats=False, views=(-50.0, 30.0), seat=True),
}
