"""Down and up again: bending, sitting, kneeling, lying, falling."""

import numpy as np

from actionclip.data.synthetic.actions.movement import (
    ASLANT,
    AT_EASE,
    SIDEWAYS,
    STANDING,
    Action,
    Angles,
    Style,
    backwards,
    both,
    flat_feet,
    planted,
    root,
    standing,
)
from actionclip.data.synthetic.curves import Array, keys
from actionclip.data.synthetic.draw.paint import Parts
from actionclip.data.synthetic.draw.props import Stage, stool
from actionclip.data.synthetic.figure import SIDES, Pose


def bending_down(phase: Array, style: Style) -> Pose:
    """Fold at the hips until the hands reach the feet, and come up again."""
    knees = 0.16 * max(style.variant - 0.3, 0.0)
    down = keys(phase, (0.05, 0), (0.45, 1), (0.58, 1), (0.95, 0))
    pitch, bend = (57 - 40 * knees) * down * min(style.size, 1.0), (55 - 60 * knees) * down
    angles: Angles = {**AT_EASE, "pitch": pitch, "bend": bend}
    angles["nod"] = 12 * down
    for side in SIDES:
        angles[f"{side}_swing"] = (pitch + bend) * 0.92
        angles[f"{side}_elbow"] = 14 - 6 * down
    return Pose(
        angles, root(phase, x=-0.17 * down, z=STANDING - (0.07 + knees) * down), standing(phase)
    )


SEAT = 0.52
"""Height of the pelvis on the stool, in legs."""


def sitting_down(phase: Array, style: Style) -> Pose:
    """Lean forward, go down onto the stool behind, sit up."""
    down = keys(phase, (0.1, 0), (0.68, 1))
    lean = keys(phase, (0.06, 2), (0.42, 40 * style.size), (0.62, 34 * style.size), (0.9, -2))
    angles: Angles = {"pitch": lean, "bend": lean * 0.35, "nod": -lean * 0.4}
    on_lap = keys(phase, (0.45, 0), (0.9, 1))
    for side in SIDES:
        angles[f"{side}_swing"] = 3 + lean * 0.95 + 22 * on_lap
        angles[f"{side}_elbow"] = 16 + 20 * on_lap
        angles[f"{side}_spread"] = 7.0
        angles[f"{side}_roll"] = -18 * on_lap
        angles[f"{side}_aim"] = 8.0
    height = STANDING + (SEAT - STANDING) * down
    away = keys(phase, (0.08, 0), (0.64, 1))
    return Pose(angles, root(phase, x=-0.44 * away, z=height), standing(phase, 0.12))


def kneeling_down(phase: Array, style: Style) -> Pose:
    """One knee to the floor, then the other; the body stays upright."""
    first = keys(phase, (0.05, 0), (0.5, 1))
    second = keys(phase, (0.45, 0), (0.92, 1))
    ahead = 14 * first * (1 - second)
    angles: Angles = {**AT_EASE, "pitch": ahead, "bend": 4.0}
    low, other = style.side, style.other
    # The first knee goes down behind while the other foot stands in front.
    angles[f"{low}_hip"] = ahead - 6 * first * (1 - second)
    angles[f"{low}_knee"] = 4 + 90 * first
    angles[f"{low}_foot"] = -45 * first
    angles[f"{other}_hip"] = ahead + 92 * first * (1 - second)
    angles[f"{other}_knee"] = 4 + 90 * first + 170 * second * (1 - second)
    angles[f"{other}_foot"] = -45 * second
    return Pose(angles, root(phase, x=0.12 * first), lift=0.0)


def lying_down(phase: Array, style: Style) -> Pose:
    """Squat, sit on the floor, lie back."""
    squat = keys(phase, (0.03, 0), (0.36, 1), (0.6, 1), (0.9, 0))
    back = keys(phase, (0.34, 0), (0.5, 0.14), (0.92, 1))
    pitch = 34 * keys(phase, (0.05, 0), (0.28, 1), (0.44, 0)) - 90 * back
    seated = keys(phase, (0.32, 0), (0.48, 1), (0.62, 1), (0.92, 0))
    hip = 122 * squat - 20 * seated * squat
    angles: Angles = {"pitch": pitch, "bend": 20 * squat, "nod": 14 * squat}
    angles |= both(hip=hip, knee=4 + 138 * squat - 34 * seated * squat)
    angles |= both(swing=6 + 40 * squat - 62 * seated, elbow=20.0, spread=14 + 12 * seated)
    flat_feet(angles)
    for side in SIDES:
        angles[f"{side}_foot"] = angles[f"{side}_foot"] * keys(phase, (0.6, 1), (0.9, 0))
    return Pose(angles, root(phase, x=planted(angles)), lift=0.0)


def falling_down(phase: Array, style: Style) -> Pose:
    """Forward onto the hands, or backward; fast, and then nothing moves."""
    drop = np.clip((phase - 0.12) / 0.5, 0, 1) ** 1.7
    drop = np.where(drop > 0.93, 1 - (1 - drop) * 1.0, drop)
    give = keys(phase, (0.05, 0), (0.36, 1), (0.62, 0.2), (0.8, 0.1))
    ahead = style.variant < 0.6
    pitch = (84 if ahead else -88) * drop
    angles: Angles = {
        "pitch": pitch,
        "bend": (10 if ahead else 26) * give,
        "nod": -20 * drop if ahead else 18 * give,
    }
    angles |= both(hip=(18 if ahead else 66) * give, knee=4 + (52 if ahead else 70) * give)
    flail = keys(phase, (0.06, 0), (0.34, 1))
    if ahead:
        angles |= both(swing=8 + 118 * flail, elbow=22.0, spread=12.0)
    else:
        angles |= both(swing=6 - 36 * flail, elbow=20.0, spread=12 + 34 * flail)
    angles["lean"] = 8 * give * style.sign
    flat_feet(angles)
    for side in SIDES:
        angles[f"{side}_foot"] = angles[f"{side}_foot"] * (1 - drop) - (50 * drop if ahead else 0)
    return Pose(angles, root(phase, x=planted(angles)), lift=0.0)


def _stool(parts: Parts, stage: Stage) -> None:
    stool(parts, stage, height=SEAT)


FLOOR: dict[str, Action] = {
    "bending down": Action(bending_down, 2.6, repeats=False, views=SIDEWAYS),
    "sitting down": Action(sitting_down, 2.0, repeats=False, views=(-50.0, 30.0), things=_stool),
    "standing up": Action(
        backwards(sitting_down, once=True), 2.0, repeats=False, views=(-50.0, 30.0), things=_stool
    ),
    "kneeling down": Action(kneeling_down, 1.9, repeats=False, views=ASLANT),
    "rising from the knees": Action(
        backwards(kneeling_down, once=True), 1.9, repeats=False, views=ASLANT
    ),
    "lying down": Action(lying_down, 2.8, repeats=False, views=SIDEWAYS),
    "getting up from the floor": Action(
        backwards(lying_down, once=True), 2.8, repeats=False, views=SIDEWAYS
    ),
    "falling down": Action(falling_down, 1.5, repeats=False, views=SIDEWAYS),
}
