"""What people do with things: pick up, put down, lift, throw, catch, push, pull."""

import numpy as np

from actionclip.data.synthetic.actions.movement import (
    AT_EASE,
    Action,
    Angles,
    Style,
    backwards,
    both,
    place,
    reach,
    root,
    standing,
    steps,
    thing_backwards,
)
from actionclip.data.synthetic.curves import Array, ankle, keys, swing
from actionclip.data.synthetic.draw.paint import Parts
from actionclip.data.synthetic.draw.props import UP, Stage, ball, bar, box
from actionclip.data.synthetic.figure import SIDES, Pose

GRASP = 0.5
"""When a thing is taken."""


def picking_up(phase: Array, style: Style) -> Pose:
    """Down to a box on the floor, and up with it in both hands."""
    down = keys(phase, (0.04, 0), (0.44, 1), (0.54, 1), (0.94, 0))
    carry = keys(phase, (GRASP, 0), (0.9, 1))
    knees = 0.16 + 0.2 * style.variant
    pitch, bend = (64 - 60 * knees) * down, 34 * down
    angles: Angles = {**AT_EASE, "pitch": pitch, "bend": bend, "nod": 8 * down, **both(aim=14.0)}
    # Straight down from the shoulders, whatever the trunk does; then bent in front of the chest.
    hang = (1 - carry) * down
    angles |= both(
        swing=2
        + (pitch + bend + 6) * down * (1 - carry)
        + 26 * carry * (1 - down)
        + 60 * carry * down
    )
    angles |= both(elbow=14 - 8 * hang + 66 * carry, spread=7.0)
    middle = root(phase, x=(-0.15 - 0.22 * knees) * down, z=0.985 - (0.08 + knees) * down)
    return Pose(angles, middle, standing(phase, 0.15))


def _box_on_the_floor(parts: Parts, stage: Stage) -> None:
    """Where the hands are lowest, until they take it along."""
    lowest = stage.hands[int(stage.hands[:, 2].argmin())]
    size = 0.34
    floor = lowest * (1, 1, 0) + UP * size / 2 + stage.ahead * 0.1
    taken = (stage.phase > GRASP)[:, None]
    offset = floor - lowest
    box(parts, stage, np.where(taken, stage.hands + offset, floor), size)


def lifting(phase: Array, style: Style) -> Pose:
    """A weight goes from the floor to the chest, and overhead."""
    down = keys(phase, (0.0, 1), (0.12, 1), (0.42, 0))
    chest = keys(phase, (0.34, 0), (0.52, 1))
    press = keys(phase, (0.6, 0), (0.86, 1))
    pitch = 48 * down
    angles: Angles = {"pitch": pitch, "bend": 16 * down, "nod": -18 * down, **both(aim=16.0)}
    hands = {}
    tilt = np.radians(pitch + 16 * down)
    for side in SIDES:
        out = 0.16 if side == "left" else -0.16
        x = np.sin(tilt) * 0.93 * (1 - chest) + 0.34 * chest * (1 - press) + 0.06
        z = -np.cos(tilt) * 0.93 * (1 - chest) + 0.02 * chest * (1 - press) + 0.9 * press
        hands[side] = place(phase, x, out, z)
    dip = 0.06 * keys(phase, (0.54, 0), (0.6, 1), (0.7, 0))
    middle = root(phase, x=-0.24 * down, z=0.98 - 0.36 * down - dip)
    return Pose(angles, middle, standing(phase, 0.19), hands)


def _weight(parts: Parts, stage: Stage) -> None:
    bar(parts, stage, stage.hands, 1.15)


RELEASE = 0.6
"""When a thrown ball leaves the hand."""


def throwing(phase: Array, style: Style) -> Pose:
    """The arm goes back, the body turns, the arm comes over and lets go."""
    wind = keys(phase, (0.04, 0), (0.36, 1), (0.44, 1), (RELEASE + 0.04, 0))
    through = keys(phase, (0.42, 0), (RELEASE, 0.8), (0.74, 1), (0.95, 0.6))
    sign, side = style.sign, style.side
    angles: Angles = {
        **AT_EASE,
        "twist": sign * (30 * wind - 28 * through),
        "lean": 6 * wind * sign,
    }
    angles |= {"pitch": -7 * wind + 16 * through, "bend": 14 * through, "yaw": sign * 18 * wind}
    angles[f"{side}_spread"] = 7 + 80 * wind + 26 * through
    angles[f"{side}_swing"] = -25 * wind + 100 * through * keys(phase, (0.72, 1), (0.95, 0.35))
    angles[f"{side}_roll"] = 95 * wind - 20 * through
    angles[f"{side}_elbow"] = 20 + 72 * wind
    angles[f"{style.other}_swing"] = 2 + 66 * wind - 20 * through
    angles[f"{style.other}_elbow"] = 30.0
    step = keys(phase, (0.3, 0), (0.5, 1))
    up = 0.14 * np.sin(np.pi * step)
    zero = np.zeros_like(phase)
    heel = -36 * through
    feet = {
        style.other: ankle(0.42 * step, -0.1 * sign, up, zero),
        side: ankle(zero - 0.05, 0.1 * sign, zero, heel),
    }
    angles[f"{side}_foot"] = heel
    return Pose(angles, root(phase, x=0.2 * step - 0.05 * wind, z=0.965 - 0.05 * step), feet)


def _thrown_ball(parts: Parts, stage: Stage) -> None:
    """In the hand, then on its way: a parabola."""
    leg, late = stage.body.leg, np.maximum(stage.phase - RELEASE, 0)[:, None]
    gone = stage.phase > RELEASE
    start = stage.hand[int(np.abs(stage.phase - RELEASE).argmin())]
    way = start + stage.ahead * 9 * leg * late + UP * leg * (1.2 * late - 5 * late**2)
    way[:, 2] = np.maximum(way[:, 2], 0.08)
    ball(parts, stage, np.where(gone[:, None], way, stage.hand), 0.075)


CATCH = 0.5
"""When a ball meets the hands."""


def catching(phase: Array, style: Style) -> Pose:
    """The hands go out to meet a ball and bring it to the chest."""
    out = keys(phase, (0.08, 0), (0.4, 1), (CATCH, 1), (0.72, 0.35))
    ready = keys(phase, (0.04, 0), (0.3, 1))
    angles: Angles = {**AT_EASE, "bend": 5 + 5 * ready - 6 * out, "nod": -4 * out, **both(aim=14.0)}
    hands = {}
    high = 0.24 * (style.variant - 0.4)
    for side in SIDES:
        sign = 1 if side == "left" else -1
        x = 0.03 + 0.3 * ready + 0.45 * out
        hands[side] = place(
            phase, x, sign * (0.1 - 0.32 * ready), -0.93 + 0.62 * ready + (0.32 + high) * out
        )
    give = keys(phase, (0.3, 0), (0.46, 1), (0.7, 0.4))
    return Pose(angles, root(phase, z=0.97 - 0.05 * give), standing(phase, 0.16), hands)


def _caught_ball(parts: Parts, stage: Stage) -> None:
    leg, early = stage.body.leg, np.maximum(CATCH - stage.phase, 0)[:, None]
    end = stage.hands[int(np.abs(stage.phase - CATCH).argmin())]
    way = end + stage.ahead * 8 * leg * early + UP * leg * (1.6 * early - 3 * early**2)
    way[:, 2] = np.maximum(way[:, 2], 0.12)
    near = stage.hands + 0.03 * stage.ahead
    ball(parts, stage, np.where((stage.phase < CATCH)[:, None], way, near), 0.11)


def pushing(phase: Array, style: Style) -> Pose:
    """Step by step behind something heavy, with straight arms."""
    stride = 0.75 * style.size
    angles: Angles = {"pitch": 26.0, "bend": 6.0, "nod": -20.0}
    feet, hands = {}, {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        sign = 1 if side == "left" else -1
        own = phase - start
        along, up = steps(own, [(0.0, 0.62, 0.31 * stride)], stride, 0.07)
        pitch = keys(own % 1.0, (0.3, 0), (0.62, -44), (0.9, 0))
        feet[side] = ankle(along + stride * start - 0.3, sign * 0.09, up, pitch)
        angles[f"{side}_foot"] = pitch
        tilt = np.radians(32)
        ahead, down = 0.9, -0.12
        x, z = (
            np.cos(tilt) * ahead - np.sin(tilt) * down,
            np.sin(tilt) * ahead + np.cos(tilt) * down,
        )
        hands[side] = place(phase, x, -sign * 0.02, z)
    up = swing(2 * phase, -0.012, 0.012, start=0.6)
    return Pose(angles, root(phase, x=stride * phase, z=0.86 + up), feet, hands)


def _crate(parts: Parts, stage: Stage) -> None:
    """As wide as somebody who pushes it."""
    size = 0.72 * stage.body.height
    hands = stage.hands * (1, 1, 0)
    box(
        parts, stage, hands + stage.ahead * (0.5 * size + 0.05) + UP * size * 0.52, size, nearer=0.0
    )


def sweeping_aside(phase: Array, style: Style) -> Pose:
    """Both hands on a broom that goes to and fro in front."""
    sweep = swing(phase, -1, 1) * style.size
    angles: Angles = {
        "pitch": 14.0,
        "bend": 14.0,
        "nod": 8.0,
        "twist": 22 * sweep,
        "yaw": 6 * sweep,
    }
    angles |= both(aim=12.0)
    hands = {
        style.side: reach(phase, style.side, np.ones_like(phase), (0.5, -0.32, -0.62)),
        style.other: reach(phase, style.other, np.ones_like(phase), (0.46, -0.2, -0.25)),
    }
    return Pose(angles, root(phase, x=-0.06, z=0.965), standing(phase, 0.15, stagger=0.2), hands)


def _broom(parts: Parts, stage: Stage) -> None:
    other = "right" if stage.side == "left" else "left"
    upper, lower = stage.joint(f"{other}_hand"), stage.hand
    way = (lower - upper) / np.maximum(np.linalg.norm(lower - upper, axis=-1, keepdims=True), 1e-6)
    far = np.maximum(upper[:, 2:] - 0.05, 0.1) / np.maximum(-way[:, 2:], 0.3)
    foot = upper + way * np.minimum(far, 1.7)
    parts.add(upper - 0.2 * way, foot, 0.016, 0.016, (170, 130, 80), nearer=0.06)
    brush = stage.across * 0.17
    parts.add(foot - brush, foot + brush, 0.05, 0.05, stage.colour, nearer=0.06)


def carrying(phase: Array, style: Style) -> Pose:
    """Walk with a box in front of the belly."""
    stride = 1.0 * style.size
    angles: Angles = {"pitch": -4.0, "bend": -2.0}
    feet = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        sign = 1 if side == "left" else -1
        along, up = steps(phase - start, [(0.0, 0.6, 0.3 * stride)], stride, 0.09)
        pitch = -200 * up * keys((phase - start) % 1.0, (0.6, 1), (0.85, 0))
        feet[side] = ankle(along + stride * start, sign * 0.09, up, pitch)
        angles[f"{side}_foot"] = pitch
    angles |= both(swing=12.0, elbow=82.0, spread=6.0)
    up = swing(2 * phase, -0.02, 0.02, start=0.6)
    return Pose(angles, root(phase, x=stride * phase, z=0.94 + up), feet)


def _carried_box(parts: Parts, stage: Stage) -> None:
    box(parts, stage, stage.hands + stage.ahead * 0.06 + UP * 0.08, 0.36)


FROM_ASIDE = (-38.0, 38.0)

OBJECTS: dict[str, Action] = {
    "picking up a box": Action(picking_up, 2.4, False, FROM_ASIDE, _box_on_the_floor),
    "putting down a box": Action(
        backwards(picking_up, once=True), 2.4, False, FROM_ASIDE, thing_backwards(_box_on_the_floor)
    ),
    "carrying a box": Action(carrying, 1.1, True, (-22.0, 22.0), _carried_box),
    "lifting a weight": Action(lifting, 2.6, False, (-100.0, 10.0), _weight),
    "throwing a ball": Action(throwing, 1.5, False, FROM_ASIDE, _thrown_ball),
    "catching a ball": Action(catching, 1.5, False, FROM_ASIDE, _caught_ball),
    "pushing": Action(pushing, 1.5, True, (-22.0, 22.0), _crate),
    "pulling": Action(backwards(pushing, once=False), 1.5, True, (-22.0, 22.0), _crate),
    "sweeping the floor": Action(sweeping_aside, 1.2, True, (-90.0, 20.0), _broom),
}
