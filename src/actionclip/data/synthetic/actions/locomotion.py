"""How people get from place to place: on two feet, on one, on all fours, up a ladder."""

import numpy as np

from actionclip.data.synthetic.actions.movement import (
    AT_EASE,
    Action,
    Angles,
    Style,
    backwards,
    both,
    flight,
    place,
    root,
    steps,
)
from actionclip.data.synthetic.curves import Array, Gait, ankle, cycle, swing
from actionclip.data.synthetic.draw.paint import Parts
from actionclip.data.synthetic.draw.props import Stage, ladder
from actionclip.data.synthetic.figure import SIDES, Pose


def walking(phase: Array, style: Style) -> Pose:
    """Arms opposite to legs, the pelvis highest over the standing leg."""
    far = style.effort
    gait = Gait(stride=(1.1 + 0.5 * far) * style.size, stance=0.62, lift=0.1)
    arm = (6 + 26 * style.arms + 10 * far) * style.size
    angles: Angles = {
        **{"yaw": swing(phase, -5, 5, start=0.5), "twist": swing(phase, -12, 12)},
        **{"bend": 3.0, "roll": swing(phase, -2.5, 2.5, start=0.75)},
    }
    for side, start in (("left", 0.5), ("right", 0.0)):
        angles[f"{side}_swing"] = swing(phase, -arm, arm * 0.9, start=start)
        angles[f"{side}_elbow"] = swing(phase, 14, 34, start=start)
        angles[f"{side}_spread"] = 7.0
    height, bob = 0.957 - 0.015 * far, 0.018 + 0.02 * far
    return _on_the_move(phase, gait, angles, height=height, bob=bob, top=0.31)


def running(phase: Array, style: Style) -> Pose:
    """From a jog, upright and with short steps, to a sprint; the heels swing up behind."""
    quick, bounce = style.effort, style.trait(7)
    gait = Gait(
        stride=(1.45 + 0.95 * quick) * style.size, stance=0.4 - 0.06 * quick - 0.04 * bounce,
        lift=0.28 + 0.16 * style.variant, peak=0.4, lag=0.2 - 0.08 * quick,
        fly=0.03 + 0.04 * bounce, strike=8.0, push=-62.0, width=0.05,
    )  # fmt: skip
    angles: Angles = {
        **{"pitch": 2 + 7 * quick, "bend": 4 + 6 * quick, "yaw": swing(phase, -8, 8, start=0.5)},
        "twist": swing(phase, -20, 20),
    }
    _running_arms(phase, angles, 16 + 20 * style.arms + 22 * quick)
    top = 0.25 + gait.stance / 2  # in the middle of the flight
    height, bob = 0.955 - 0.04 * quick, 0.035 + 0.045 * bounce
    return _on_the_move(phase, gait, angles, height=height, bob=bob, top=top, ahead=0.07)


def running_on_the_spot(phase: Array, style: Style) -> Pose:
    """Running that gets nowhere, with the knees up."""
    angles: Angles = {"pitch": 3.0, "bend": 5.0, "twist": swing(phase, -14, 14)}
    _running_arms(phase, angles, 20 + 25 * style.arms)
    hop = flight(2 * phase, 0.76, 1.0, 0.05)
    feet = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        _, up = steps(phase - start, [(0.0, 0.38, 0.0)], 0.0, 0.36 * style.size)
        up = up + hop
        pitch = -70 * np.clip(up / 0.3, 0, 1)
        ahead = -0.12 * up if style.variant < 0.5 else 0.6 * up
        feet[side] = ankle(ahead, 0.07 if side == "left" else -0.07, up, pitch)
        angles[f"{side}_foot"] = pitch
    body = 0.93 + swing(2 * phase, -0.02, 0.02, start=0.9) + hop
    return Pose(angles, root(phase, z=body), feet)


def _running_arms(phase: Array, angles: Angles, arm: float) -> None:
    for side, start in (("left", 0.5), ("right", 0.0)):
        angles[f"{side}_swing"] = swing(phase, -arm, arm * 0.75, start=start) + 3
        angles[f"{side}_elbow"] = swing(phase, 78, 106, start=start)
        angles[f"{side}_spread"] = 12.0
        angles[f"{side}_roll"] = -15.0


def _on_the_move(
    phase: Array,
    gait: Gait,
    angles: Angles,
    *,
    height: float,
    bob: float,
    top: float,
    ahead: float = 0.0,
) -> Pose:
    """A pose that goes forward on the feet of a gait.

    The pelvis is highest at phase `top`, and `ahead` of the middle of where a foot stands.
    """
    feet = {}
    for side in SIDES:
        feet[side], angles[f"{side}_foot"] = gait.foot(phase, side=side)
    up = swing(2 * phase, -bob, bob, start=2 * top) + height
    return Pose(angles, root(phase, x=gait.stride * phase + ahead, z=up), feet)


def skipping(phase: Array, style: Style) -> Pose:
    """A hop at every step: on the same foot all the time, or on each in turn."""
    return _hop_ahead(phase, style) if style.variant < 0.6 else _step_and_hop(phase * 0.5, style)


def _hop_ahead(phase: Array, style: Style) -> Pose:
    """Hop ahead on one foot, with the other held up behind."""
    stride, height = (0.8 + 0.5 * style.effort) * style.size, 0.08 + 0.12 * style.effort
    return _one_foot(phase, style, stride=stride, height=height)


def hopping(phase: Array, style: Style) -> Pose:
    """Hop on one foot and land on the same spot."""
    return _one_foot(phase, style, stride=0.0, height=0.17 * style.size)


def _one_foot(phase: Array, style: Style, *, stride: float, height: float) -> Pose:
    along, up = steps(phase, [(0.0, 0.46, 0.23 * stride)], stride, height)
    pitch = cycle(phase, (0.0, 4), (0.28, -4), (0.46, -44), (0.62, -30), (0.9, 4))
    deep = 0.05 + 0.09 * style.trait(7)
    low = cycle(phase, (0.0, 0.4), (0.2, 1.0), (0.46, 0.0), (0.73, 0.2))
    body = 0.985 - deep * low + 0.03 * _stretched(phase)
    busy = 6 + 20 * style.arms
    angles: Angles = {"pitch": 6.0 if stride else 2.0, "bend": 7.0, "nod": -4.0}
    angles |= both(spread=14.0, roll=-10.0, elbow=40 + 60 * style.arms)
    for side in SIDES:
        start = 0.6 if side == style.side else 0.75
        angles[f"{side}_swing"] = swing(phase, -busy, busy, start=start)
    held = style.other
    swung = 8 + 20 * style.trait(11)
    angles[f"{held}_hip"] = 40 * style.trait(5) + swing(phase, -swung, swung, start=0.6)
    angles[f"{held}_knee"] = swing(phase, 75, 102, start=0.25)
    angles[f"{held}_foot"] = -25.0
    angles[f"{style.side}_foot"] = pitch
    feet = {style.side: ankle(along, 0.03 * style.sign, up, pitch)}
    middle = root(phase, stride * phase, -0.02 * style.sign, body + 0.9 * up)
    return Pose(angles, middle, feet)


def _stretched(phase: Array) -> Array:
    """From 0 to 1: how far legs are stretched that push off, and then fly."""
    return cycle(phase, (0.0, 0), (0.3, 0), (0.46, 1), (0.64, 1), (0.9, 0))


def _step_and_hop(phase: Array, style: Style) -> Pose:
    """Step, hop on that foot with the other knee up, then the same on the other side."""
    stride, high = 2.0 * style.size, 0.15
    angles: Angles = {"bend": 4.0, "twist": swing(phase, -12, 12, start=0.25)}
    feet, flight = {}, np.zeros_like(phase)
    for side, start in (("left", 0.0), ("right", 0.5)):
        own = phase - start
        touches = [(0.0, 0.17, 0.11 * stride), (0.33, 0.5, 0.39 * stride)]
        along, up = steps(own, touches, stride, high)
        # Between the second touch and the next first one the knee swings up in front.
        knee = cycle(own, (0.5, 0), (0.7, 0.3), (0.78, 0.3), (1.0, 0))
        pitch = cycle(
            own, (0, 5), (0.08, 0), (0.17, -38), (0.26, -42), (0.33, 0), (0.5, -45), (0.75, -15)
        )
        flight += np.where((own % 1 > 0.17) & (own % 1 < 0.33), up, 0)
        swung = np.where(own % 1 > 0.5, knee, 0)
        y = 0.06 if side == "left" else -0.06
        feet[side] = ankle(along + stride * start, y, np.where(own % 1 > 0.5, swung, up), pitch)
        angles[f"{side}_foot"] = pitch
        arm = 30 + 25 * style.arms
        angles[f"{side}_swing"] = swing(own, -arm, arm, start=0.3)
        angles[f"{side}_elbow"] = 45.0
        angles[f"{side}_spread"] = 12.0
    bob = cycle(2 * phase, (0.0, 0.94), (0.16, 0.92), (0.34, 0.96), (0.5, 0.98), (0.8, 0.92))
    return Pose(angles, root(phase, stride * phase, 0.0, bob + 0.85 * flight), feet)


def galloping(phase: Array, style: Style) -> Pose:
    """Sideways: one foot steps out, the other follows and takes its place in the air."""
    stride = (0.7 + 0.22 * style.effort) * style.size
    lead = [(0.0, 0.36, 0.46 * stride)]
    trail = [(0.5, 1.0, 0.48 * stride - 0.15)]
    hop = flight(phase, 0.36, 0.5, 0.06)
    angles: Angles = {**AT_EASE, "lean": swing(phase, -3, 3) * style.sign}
    feet = {}
    for side, touches in ((style.side, lead), (style.other, trail)):
        along, up = steps(phase, touches, stride, 0.1)
        up = up + hop
        pitch = -150 * up
        feet[side] = ankle(np.zeros_like(phase), style.sign * along, up, pitch)
        angles[f"{side}_foot"] = pitch
        angles[f"{side}_spread"] = 8 + 14 * style.arms + swing(phase, 0, 14 * style.arms, start=0.5)
        angles[f"{side}_elbow"] = 16 + 20 * style.arms
    body = cycle(phase, (0.0, 0.87), (0.15, 0.86), (0.43, 1.02), (0.6, 0.95), (0.85, 0.9))
    return Pose(angles, root(phase, 0.0, style.sign * stride * phase, body + hop), feet)


def jumping_forward(phase: Array, style: Style) -> Pose:
    """Hops ahead with the feet together."""
    stride, high = (0.75 + 0.5 * style.effort) * style.size, 0.09 + 0.15 * style.effort
    along, up = steps(phase, [(0.0, 0.46, 0.23 * stride)], stride, high)
    deep = 0.03 + 0.19 * style.variant**1.5
    pitch = cycle(phase, (0.0, 6), (0.24, 0), (0.46, -46), (0.62, -32), (0.9, 5))
    low = cycle(phase, (0.0, 0.25), (0.2, 1.0), (0.46, 0.0), (0.6, 0.12), (0.75, 0.2))
    body = 0.985 - (deep + 0.02) * low + 0.03 * _stretched(phase)
    lean = cycle(phase, (0.0, 4), (0.22, 4 + 90 * deep), (0.5, 3), (0.7, 3))
    arm = 4 + 55 * max(style.arms - 0.3, 0.0)
    angles: Angles = {"pitch": lean, "bend": 0.4 * lean, "nod": -0.5 * lean}
    angles |= both(
        swing=swing(phase, -arm, 1.4 * arm, start=0.62), elbow=16 + 50 * style.arms,
        spread=8.0, foot=pitch,
    )  # fmt: skip
    feet = {side: ankle(along, y, up, pitch) for side, y in (("left", 0.075), ("right", -0.075))}
    return Pose(angles, root(phase, stride * phase - 0.02, 0.0, body + 0.9 * up), feet)


def marching(phase: Array, style: Style) -> Pose:
    """Knees up to the hip, arms straight."""
    stride = 0.95 * style.size
    angles: Angles = {"twist": swing(phase, -8, 8)}
    feet = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        own = phase - start
        along, _ = steps(own, [(0.0, 0.56, 0.28 * stride)], stride, 0.0)
        up = cycle(own, (0.56, 0), (0.78, 0.42 * style.size), (1.0, 0))
        up = np.where(own % 1 < 0.56, 0, up)
        pitch = cycle(own, (0.0, 4), (0.1, 0), (0.42, 0), (0.56, -40), (0.75, -28))
        feet[side] = ankle(along + stride * start, 0.07 if side == "left" else -0.07, up, pitch)
        angles[f"{side}_foot"] = pitch
        angles[f"{side}_swing"] = swing(own, -34, 52, start=0.3)
        angles[f"{side}_elbow"] = 12.0
        angles[f"{side}_spread"] = 7.0
    return Pose(angles, root(phase, x=stride * phase, z=0.955), feet)


def limping(phase: Array, style: Style) -> Pose:
    """One leg is spared: a short stand on it, and the body dips and leans over it."""
    stride = 0.85 * style.size
    touches = {style.other: (0.0, 0.7, 0.36), style.side: (0.6, 0.96, 0.75)}
    dip = cycle(phase, (0.4, 0), (0.66, 0), (0.8, 1), (0.98, 0))
    angles: Angles = {**AT_EASE, "lean": 15 * dip * -style.sign, "bend": 8 + 10 * dip, "pitch": 4.0}
    feet = {}
    for side, (down, off, where) in touches.items():
        along, up = steps(phase, [(down, off, where * stride)], stride, 0.09)
        pitch = -140 * up
        feet[side] = ankle(along, 0.09 if side == "left" else -0.09, up, pitch)
        angles[f"{side}_foot"] = pitch
        angles[f"{side}_swing"] = swing(phase, -10, 16, start=0.8 if side == style.side else 0.3)
    ahead = stride * (phase + 0.03 * np.sin(2 * np.pi * phase))
    return Pose(angles, root(phase, x=ahead, z=0.955 - 0.09 * dip), feet)


def tiptoeing(phase: Array, style: Style) -> Pose:
    """On the balls of the feet, bent, with care."""
    stride = 0.9 * style.size
    angles: Angles = {"pitch": 14.0, "bend": 12.0, "nod": -14.0}
    feet = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        own = phase - start
        along, up = steps(own, [(0.0, 0.6, 0.3 * stride)], stride, 0.22)
        feet[side] = ankle(
            along + stride * start, 0.07 if side == "left" else -0.07, up, -42 + 0 * up
        )
        angles[f"{side}_foot"] = -42.0
        angles[f"{side}_swing"] = 25 + swing(own, -8, 8)
        angles[f"{side}_elbow"] = 105.0
        angles[f"{side}_spread"] = 14.0
        angles[f"{side}_roll"] = -20.0
    return Pose(angles, root(phase, x=stride * phase, z=0.92 + swing(2 * phase, -0.02, 0.02)), feet)


def crawling(phase: Array, style: Style) -> Pose:
    """On hands and knees; an arm goes with the opposite leg."""
    stride = 0.62 * style.size
    angles: Angles = {"pitch": 74.0, "bend": 6.0, "nod": -38.0, "roll": swing(phase, -3, 3)}
    hands = {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        own = (phase - start) % 1.0
        way = cycle(own, (0.0, 0.5), (0.6, -0.5), (1.0, 0.5)) * stride
        angles[f"{side}_hip"] = 74 - np.degrees(way / 0.46) * -1
        angles[f"{side}_knee"] = (
            84 + np.degrees(way / 0.46) * 0.9 + cycle(own, (0.6, 0), (0.8, 22), (1, 0))
        )
        angles[f"{side}_foot"] = -70.0
        own = (phase - start - 0.5) % 1.0
        way = cycle(own, (0.0, 0.5), (0.6, -0.5), (1.0, 0.5)) * stride
        up = cycle(own, (0.6, 0), (0.8, 0.14), (1.0, 0))
        ahead, down = way / 0.64, -0.95 + np.where(own > 0.6, up, 0)
        pitch = np.radians(80)
        y = 0.06 if side == "left" else -0.06
        x, z = (
            np.cos(pitch) * ahead - np.sin(pitch) * down,
            np.sin(pitch) * ahead + np.cos(pitch) * down,
        )
        hands[side] = place(phase, x, y, z)
    return Pose(angles, root(phase, x=stride / 0.6 * phase), hands=hands, lift=0.0)


RUNG = 0.38
"""What an arm or a leg climbs in a cycle, in legs; a ladder has a rung for each."""


def climbing(phase: Array, style: Style) -> Pose:
    """Up a ladder: the left hand with the right foot, then the others."""
    rise = 2 * RUNG * style.size
    angles: Angles = {"pitch": 6.0, "nod": -12.0, "roll": swing(phase, -4, 4)}
    feet, hands = {}, {}
    for side, start in (("left", 0.0), ("right", 0.5)):
        sign = 1 if side == "left" else -1
        up, _ = steps(phase - start, [(0.0, 0.62, 0.44 * rise)], rise, 0.0)
        feet[side] = place(phase, 0.22, sign * 0.1, up + rise * start + 0.35)
        angles[f"{side}_foot"] = 0.0
        up, away = steps(phase - start - 0.5, [(0.0, 0.62, 0.31 * rise)], rise, 0.1)
        hand = (up + rise * (start + 0.5) - rise * phase) / 0.64
        hands[side] = place(phase, 0.55 - away, -sign * 0.05, 0.28 + 0.9 * hand)
    return Pose(
        angles, root(phase, 0.0, swing(phase, -0.03, 0.03), 1.06 + rise * phase), feet, hands
    )


def _ladder(parts: Parts, stage: Stage) -> None:
    ladder(parts, stage, ahead=0.34 * stage.body.leg)


ALONG = (-14.0, 14.0)

LOCOMOTION: dict[str, Action] = {
    "walking": Action(walking, 1.05, views=(-22.0, 22.0)),
    "running": Action(running, 0.72, views=ALONG),
    "running on the spot": Action(running_on_the_spot, 0.66, views=(-90.0, 25.0)),
    "skipping": Action(skipping, 0.56, views=ALONG),
    "galloping sideways": Action(galloping, 0.58, views=(-112.0, -68.0)),
    "hopping on one foot": Action(hopping, 0.6, views=(-100.0, 30.0)),
    "jumping forward on two legs": Action(jumping_forward, 0.66, views=ALONG),
    "marching": Action(marching, 1.05, views=(-30.0, 30.0)),
    "limping": Action(limping, 1.25, views=(-22.0, 22.0)),
    "tiptoeing": Action(tiptoeing, 1.5, views=(-22.0, 22.0)),
    "walking backwards": Action(backwards(walking, once=False), 1.15, views=(-22.0, 22.0)),
    "crawling": Action(crawling, 1.3, views=(-25.0, 25.0)),
    "climbing a ladder": Action(climbing, 1.7, views=(-25.0, 70.0), things=_ladder),
}
