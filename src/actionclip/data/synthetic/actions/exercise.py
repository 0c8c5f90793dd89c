"""What people do to get warm or strong: jumps, kicks, punches, push-ups, cartwheels."""

import numpy as np

from actionclip.data.synthetic.actions.movement import (
    ASLANT,
    FRONTAL,
    STANDING,
    Action,
    Angles,
    Style,
    both,
    flat_feet,
    place,
    planted,
    root,
    standing,
    steps,
)
from actionclip.data.synthetic.curves import Array, ankle, cycle, keys, swing
from actionclip.data.synthetic.figure import SIDES, Pose


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
    angles: Angles = {}
    for side in SIDES:
        angles[f"{side}_spread"] = arms
        angles[f"{side}_elbow"] = swing(phase, 10, 22)
        angles[f"{side}_roll"] = 60.0
        angles[f"{side}_foot"] = pitch
        angles[f"{side}_aim"] = 14.0
    return Pose(angles, root(phase, z=reach - crouch + hop), feet)


def _high_jump(phase: Array, style: Style) -> Pose:
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
    angles: Angles = {"pitch": lean, "bend": lean * 0.3, "nod": -lean * 0.5}
    for side in SIDES:
        angles[f"{side}_swing"] = arms
        angles[f"{side}_elbow"] = 24.0
        angles[f"{side}_spread"] = 9.0
        angles[f"{side}_foot"] = tip
    return Pose(angles, root(phase, x=-lean * 0.0035, z=body + flight), feet)


def jumping_in_place(phase: Array, style: Style) -> Pose:
    """Hop after hop with the arms at the sides, or high jumps with the arms thrown up."""
    if style.variant > 0.7:
        return _high_jump(phase * 0.7, style)
    high = (0.13 + 0.14 * style.variant) * style.size
    _, up = steps(phase, [(0.0, 0.5, 0.0)], 0.0, high)
    pitch = cycle(phase, (0.0, -18), (0.12, 0), (0.34, 0), (0.5, -44), (0.75, -46))
    deep = 0.09 + 0.1 * style.variant
    body = cycle(phase, (0.0, 0.98), (0.24, 0.99 - deep), (0.5, 1.02), (0.75, 0.99))
    lean = cycle(phase, (0.24, 90 * deep), (0.55, 1), (0.9, 2))
    arm = 20 * max(style.arms - 0.3, 0.0)
    angles: Angles = {"pitch": lean, "bend": 0.3 * lean, "nod": -0.4 * lean}
    angles |= both(
        swing=lean + swing(phase, -arm, arm, start=0.6), foot=pitch, aim=10.0,
        elbow=14 + 60 * max(style.arms - 0.5, 0.0), spread=7 + swing(phase, 0, arm, start=0.7),
    )  # fmt: skip
    feet = {side: ankle(0 * up, y, up, pitch) for side, y in (("left", 0.09), ("right", -0.09))}
    return Pose(angles, root(phase, x=-0.0025 * lean, z=body + 0.95 * up), feet)


def squatting(phase: Array, style: Style) -> Pose:
    """Knees bend, the back stays straight, the arms balance in front."""
    down = swing(phase, 0, 1, start=0.5) ** 0.8
    depth = 0.36 + 0.1 * style.size
    pitch = 40 * down
    angles: Angles = {"pitch": pitch, "bend": 6 * down, "nod": -22 * down}
    for side in SIDES:
        angles[f"{side}_swing"] = 4 + 118 * down
        angles[f"{side}_elbow"] = 16 - 8 * down
        angles[f"{side}_spread"] = 7.0
        angles[f"{side}_aim"] = 20.0
    pelvis = root(phase, x=-0.2 * down, z=STANDING - depth * down)
    return Pose(angles, pelvis, standing(phase, 0.17))


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
    pelvis = root(phase, y=-0.5 * side, z=0.985 - 0.02 * np.clip(hip / 90, 0, 1))
    angle = np.radians(hip)
    rest = np.clip(np.abs(hip) / 15, 0, 1)
    target = np.stack(
        np.broadcast_arrays(length * np.sin(angle), side, pelvis[:, 2] - length * np.cos(angle)),
        axis=-1,
    )
    target[:, 2] = np.maximum(target[:, 2], 0.085 + 0.05 * rest)
    feet = standing(phase, 0.1)
    feet[style.side] = target
    angles: Angles = {
        **{"pitch": lean, "twist": (1 if style.side == "left" else -1) * hip * -0.18},
        f"{style.side}_foot": hip * 0.75 - 40 * np.clip(hip / 60, -1, 1),
        f"{style.side}_swing": -hip * 0.45,
        f"{style.other}_swing": hip * 0.6,
    }
    for arm in SIDES:
        angles[f"{arm}_spread"] = 22.0
        angles[f"{arm}_elbow"] = 32.0
    return Pose(angles, pelvis, feet)


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
    angles: Angles = {
        **{"yaw": 10 * turned - 40 * front, "twist": 26 * turned, "bend": 10.0, "nod": 4.0},
        **{"turn": 40 * front - 18 * turned, f"{style.side}_foot": lifted},
    }
    return Pose(angles, root(phase, x=0.05 * strength[style.side], z=0.9 + bounce), feet, hands)


def lunging(phase: Array, style: Style) -> Pose:
    """A long step forward, the knees bend, and back again."""
    out = cycle(phase, (0.0, 0), (0.28, 1), (0.62, 1), (0.92, 0))
    down = cycle(phase, (0.16, 0), (0.42, 1), (0.5, 1), (0.74, 0))
    up = 0.1 * np.sin(np.pi * out) * (out < 0.99)
    back = -48 * np.clip(out, 0, 1)
    angles: Angles = {"pitch": 6 * down, f"{style.side}_foot": 0.0, f"{style.other}_foot": back}
    hip = style.variant < 0.5
    angles |= both(
        spread=24.0 if hip else 7.0, elbow=75.0 if hip else 16.0, swing=-18.0 if hip else 4.0
    )
    zero = np.zeros_like(phase)
    feet = {
        style.side: ankle(0.95 * style.size * out, 0.09 * style.sign, up, zero),
        style.other: ankle(zero, -0.09 * style.sign, zero, back),
    }
    z = 0.985 - 0.09 * out - 0.34 * down
    return Pose(angles, root(phase, x=0.5 * style.size * out, z=z), feet)


def push_ups(phase: Array, style: Style) -> Pose:
    """Straight as a board on hands and toes; the elbows bend."""
    high = swing(phase, 0.2, 0.56)  # of the shoulders over the wrists, in legs
    pitch = 90 - np.degrees(np.arcsin((high + 0.02) / 1.62))
    tilt = np.radians(pitch)
    down = -high / 0.644
    angles: Angles = {"pitch": pitch, "nod": -24.0, **both(hip=0.0, knee=0.0, foot=28.0)}
    hands = {}
    for side in SIDES:
        out = 0.06 if side == "left" else -0.06
        hands[side] = place(phase, -np.sin(tilt) * down, out, np.cos(tilt) * down)
    x = 0.94 * (1 - np.sin(tilt))
    return Pose(angles, root(phase, x=-x), hands=hands, lift=0.0)


def sit_ups(phase: Array, style: Style) -> Pose:
    """From lying on the back with bent knees to sitting, and back."""
    up = swing(phase, 0, 1, start=0.5) ** 1.3
    pitch = -90 + 58 * up
    angles: Angles = {"pitch": pitch, "bend": 4 + 56 * up * style.size, "nod": 10 + 8 * up}
    angles |= both(hip=pitch + 132, knee=92.0, foot=-4.0)
    if style.variant < 0.5:
        angles |= both(spread=62.0, roll=40.0, elbow=142.0, swing=112.0)
    else:
        angles |= both(swing=70.0, elbow=20.0, spread=8.0)
    return Pose(angles, root(phase), lift=0.0)


def cartwheel(phase: Array, style: Style) -> Pose:
    """Sideways over the hands."""
    over = keys(phase, (0.16, 0), (0.86, 1))
    open_ = keys(phase, (0.02, 0), (0.2, 1), (0.84, 1), (0.99, 0))
    angles: Angles = {"roll": -360 * over * style.sign}
    angles |= both(spread=8 + 158 * open_, roll=60 * open_, elbow=14 - 8 * open_)
    angles |= both(out=2 + 38 * open_, hip=0.0, knee=4.0)
    travel = style.sign * 2.3 * over
    return Pose(angles, root(phase, y=travel), lift=0.0)


def stretching(phase: Array, style: Style) -> Pose:
    """Arms overhead, the body leans from side to side."""
    lean = swing(phase, -30 * style.size, 30 * style.size)
    angles: Angles = {"lean": lean, "roll": 0.12 * lean, **both(aim=12.0)}
    angles |= both(spread=168.0, roll=60.0, elbow=26.0)
    return Pose(angles, root(phase, y=0.0016 * lean, z=0.965), standing(phase, 0.2))


def circling_arms(phase: Array, style: Style) -> Pose:
    """Both straight arms go round beside the body."""
    angle = 2 * np.pi * phase
    angles: Angles = {"twist": 0.0, "bend": swing(phase, -3, 5)}
    hands = {}
    for side in SIDES:
        out = 0.25 if side == "left" else -0.25
        hands[side] = place(phase, 0.92 * np.sin(angle), out, -0.92 * np.cos(angle))
    return Pose(angles, root(phase), standing(phase, 0.13), hands)


def high_knees_twist(phase: Array, style: Style) -> Pose:
    """Elbow to the opposite knee, in turn."""
    angles: Angles = {"twist": swing(phase, -38, 38, start=0.25), "bend": 16.0}
    feet = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        lift = cycle(phase - start, (0.02, 0), (0.25, 0.5 * style.size), (0.48, 0), (0.9, 0))
        y = 0.07 if side == "left" else -0.07
        feet[side] = ankle(0.42 * lift, y, lift, -40 * lift)
        angles[f"{side}_foot"] = -40 * lift
    angles |= both(spread=60.0, roll=70.0, elbow=140.0, swing=30.0)
    return Pose(angles, root(phase, z=0.98), feet)


def spinning(phase: Array, style: Style) -> Pose:
    """Round and round on the spot."""
    angles: Angles = {"yaw": -360 * phase * style.sign, **_little_steps(4 * phase)}
    angles |= both(spread=20 + 68 * style.arms, elbow=12.0)
    flat_feet(angles)
    return Pose(angles, root(phase, x=planted(angles)), lift=0.0)


def turning_round(phase: Array, style: Style) -> Pose:
    """Half a turn in a few steps; the head goes first."""
    yaw = 180 * style.sign * keys(phase, (0.12, 0), (0.85, 1))
    head = 45 * style.sign * keys(phase, (0.0, 0), (0.25, 1), (0.6, 1), (0.95, 0))
    busy = keys(phase, (0.08, 0), (0.2, 1), (0.8, 1), (0.92, 0))
    angles: Angles = {"yaw": yaw, "turn": head, **_little_steps(2.5 * phase, busy)}
    angles |= both(spread=8.0, elbow=18.0)
    flat_feet(angles)
    return Pose(angles, root(phase), lift=0.0)


def _little_steps(turns: Array, share: Array | float = 1.0) -> Angles:
    """Feet lifted in turn, legs led by angles."""
    angles: Angles = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        lift = np.maximum(np.sin(2 * np.pi * (turns - start)), 0) ** 2 * share
        angles[f"{side}_hip"], angles[f"{side}_knee"] = 26 * lift, 50 * lift
    return angles


def dancing(phase: Array, style: Style) -> Pose:
    """Hips and knees go to the beat, the arms do what they like."""
    sway = swing(phase * 0.5, -1, 1)
    beat = swing(phase, 0, 1)
    angles: Angles = {
        "roll": 7 * sway,
        "lean": -12 * sway,
        "twist": 16 * swing(phase * 0.5, -1, 1, start=0.3),
    }
    angles["nod"] = 8 * beat
    lift = 0.5 + 0.5 * sway
    for side, share in (("left", lift), ("right", 1 - lift)):
        if style.variant < 0.5:
            angles[f"{side}_spread"], angles[f"{side}_elbow"] = 22 + 110 * share, 70.0
            angles[f"{side}_roll"] = 70.0
        else:
            angles[f"{side}_swing"], angles[f"{side}_elbow"] = 10 + 70 * share, 80 - 40 * share
            angles[f"{side}_spread"], angles[f"{side}_roll"] = 24.0, 10.0
        angles[f"{side}_foot"] = 0.0
        angles[f"{side}_aim"] = 14.0
    zero = np.zeros_like(phase)
    raised = {"left": np.maximum(-sway, 0), "right": np.maximum(sway, 0)}
    feet = {
        side: ankle(zero, 0.17 if side == "left" else -0.17, 0.08 * raised[side], zero)
        for side in SIDES
    }
    return Pose(angles, root(phase, y=0.09 * sway * style.size, z=0.95 - 0.05 * beat), feet)


EXERCISE: dict[str, Action] = {
    "jumping jacks": Action(jumping_jacks, 1.06, views=FRONTAL),
    "jumping in place on two legs": Action(jumping_in_place, 0.72, views=(-125.0, -5.0)),
    "squatting": Action(squatting, 1.6, views=(-70.0, 30.0)),
    "lunging": Action(lunging, 2.2, views=(-40.0, 30.0)),
    "kicking": Action(kicking, 1.35, views=(-45.0, 35.0)),
    "boxing": Action(boxing, 0.95, views=(-50.0, 35.0)),
    "doing push-ups": Action(push_ups, 1.5, views=(-30.0, 30.0)),
    "doing sit-ups": Action(sit_ups, 2.0, views=(-30.0, 30.0)),
    "doing a cartwheel": Action(cartwheel, 1.9, repeats=False, views=(-108.0, -72.0)),
    "stretching to the sides": Action(stretching, 2.4, views=FRONTAL),
    "circling the arms": Action(circling_arms, 1.1, views=(-70.0, 25.0)),
    "bringing elbows to knees": Action(high_knees_twist, 1.6, views=FRONTAL),
    "spinning": Action(spinning, 1.5, views=(-180.0, 180.0)),
    "turning round": Action(turning_round, 1.7, repeats=False, views=(-180.0, 180.0)),
    "dancing": Action(dancing, 0.62, views=ASLANT),
}
