"""What people say with their hands and heads while they stand."""

import numpy as np

from actionclip.data.synthetic.actions.movement import (
    AT_EASE,
    FRONTAL,
    Action,
    Angles,
    Style,
    backwards,
    both,
    breathing,
    reach,
    root,
    standing,
)
from actionclip.data.synthetic.curves import Array, keys, swing
from actionclip.data.synthetic.draw.paint import Parts
from actionclip.data.synthetic.draw.props import BLACK, Stage, held
from actionclip.data.synthetic.figure import SIDES, Pose


def standing_still(phase: Array, style: Style) -> Pose:
    """Weight a little on one leg; only breathing moves."""
    angles: Angles = {**AT_EASE, **breathing(phase)}
    angles["roll"] = 1.5 * style.sign * style.size
    if style.variant > 0.7:
        angles |= both(spread=30.0, roll=60.0, elbow=95.0, swing=-28.0)  # hands on the hips
    return Pose(angles, root(phase, y=0.015 * style.sign, z=0.985), standing(phase, 0.12))


def _waving_arm(phase: Array, style: Style) -> Angles:
    """The forearm waves, or the whole arm: up and down at the side, or to and fro overhead."""
    if style.variant < 0.35:
        return {
            **{"spread": 88 + swing(phase, -5, 8), "roll": 92.0, "swing": 10.0},
            "elbow": swing(phase, 78 - 34 * style.size, 78 + 34 * style.size),
        }
    if style.variant < 0.8:
        low = 30 + 60 * style.trait(7)
        arm = swing(phase * 0.75, low, 150 + 20 * style.size)
        return {"spread": arm, "roll": 60.0, "elbow": 8 + 45 * style.arms, "swing": 6.0}
    arm = swing(phase, 118, 118 + 56 * style.size)
    return {"spread": arm, "roll": 60.0, "elbow": swing(phase, 8, 34), "swing": 8.0}


def waving_one_hand(phase: Array, style: Style) -> Pose:
    """The other arm hangs."""
    angles: Angles = {**AT_EASE, **breathing(phase)}
    for name, value in _waving_arm(phase, style).items():
        angles[f"{style.side}_{name}"] = value
    return Pose(angles, root(phase), standing(phase))


def waving_both_hands(phase: Array, style: Style) -> Pose:
    """Both arms do what one does in `waving_one_hand`."""
    angles: Angles = {**AT_EASE, **breathing(phase)}
    for side in SIDES:
        for name, value in _waving_arm(phase, style).items():
            angles[f"{side}_{name}"] = value
    return Pose(angles, root(phase), standing(phase))


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
    angles = {**AT_EASE, **breathing(phase, cycles=0.2), "bend": swing(phase, 1, 4)}
    return Pose(angles, root(phase), standing(phase), hands)


def pointing(phase: Array, style: Style) -> Pose:
    """An arm goes up and stays out straight, forward or to the side."""
    up = keys(phase, (0.06, 0), (0.32, 1), (0.85, 1), (1.0, 0.86))
    angles: Angles = {**AT_EASE, **breathing(phase, cycles=0.7)}
    high = 78 + 26 * style.size * style.arms
    if style.variant < 0.5:
        angles[f"{style.side}_swing"] = 2 + high * up
    else:
        angles[f"{style.side}_spread"] = 7 + high * up
    angles[f"{style.side}_elbow"] = 14 + 60 * up * (1 - up) - 10 * up
    angles["turn"] = (0 if style.variant < 0.5 else 50) * up * style.sign
    return Pose(angles, root(phase), standing(phase))


def drinking(phase: Array, style: Style) -> Pose:
    """A cup goes to the mouth, the head goes back, and down again."""
    up = keys(phase, (0.04, 0), (0.34, 1), (0.7, 1), (0.98, 0))
    sip = keys(phase, (0.3, 0), (0.45, 1), (0.6, 1), (0.72, 0))
    angles: Angles = {**AT_EASE, **breathing(phase, cycles=0.5), "nod": -26 * sip}
    hand = reach(phase, style.side, 0.35 + 0.65 * up, (0.36, -0.24, 0.27), out=0.16)
    return Pose(angles, root(phase), standing(phase), {style.side: hand})


def phoning(phase: Array, style: Style) -> Pose:
    """A phone at the ear; weight shifts from leg to leg, the head nods now and then."""
    sway = swing(phase, -1, 1)
    angles: Angles = {
        **AT_EASE,
        "turn": 9 * sway,
        "nod": swing(phase * 2, 2, 10),
        "lean": 2.5 * sway,
    }
    angles["roll"] = 2 * sway
    if style.variant > 0.5:
        angles[f"{style.other}_swing"] = 28 + swing(phase * 3, -16, 16)
        angles[f"{style.other}_elbow"] = 70 + swing(phase * 3, -18, 18)
    ear = reach(phase, style.side, np.ones_like(phase), (0.18, -0.02, 0.27))
    return Pose(
        angles, root(phase, y=0.02 * sway, z=0.98), standing(phase, 0.12), {style.side: ear}
    )


def bowing(phase: Array, style: Style) -> Pose:
    """The upper body goes forward with a straight back, waits, and comes up."""
    down = keys(phase, (0.06, 0), (0.38, 1), (0.62, 1), (0.95, 0))
    deep = 26 + 20 * style.size
    angles: Angles = {**AT_EASE, "pitch": deep * down, "bend": 14 * down, "nod": 14 * down}
    if style.variant < 0.6:
        angles |= both(swing=2 + 4 * down, elbow=10.0)  # along the body
    else:
        angles[f"{style.side}_elbow"] = 14 + 76 * down
        angles[f"{style.side}_roll"] = -70 * down
        angles[f"{style.side}_swing"] = 2 + 24 * down
    return Pose(angles, root(phase, x=-0.13 * down, z=0.99 - 0.012 * down), standing(phase))


def nodding(phase: Array, style: Style) -> Pose:
    """The head says yes."""
    nod = swing(phase, -14 * style.size, 24 * style.size)
    angles: Angles = {**AT_EASE, **breathing(phase), "nod": nod, "bend": 0.16 * nod}
    return Pose(angles, root(phase), standing(phase))


def shaking_the_head(phase: Array, style: Style) -> Pose:
    """The head says no."""
    turn = swing(phase, -42 * style.size, 42 * style.size)
    angles: Angles = {**AT_EASE, "turn": turn, "twist": 0.14 * turn, "lean": 1.0}
    return Pose(angles, root(phase), standing(phase))


def raising_the_arms(phase: Array, style: Style) -> Pose:
    """Both arms go up, in front or at the sides, and stay there."""
    up = keys(phase, (0.12, 0), (0.85, 1))
    way = "swing" if style.variant < 0.5 else "spread"
    angles: Angles = {**AT_EASE, **both(elbow=14 - 8 * up), "nod": -8 * up}
    angles |= both(**{way: 5 + (148 + 16 * style.size) * up})
    return Pose(angles, root(phase), standing(phase))


def shrugging(phase: Array, style: Style) -> Pose:
    """Forearms out with open hands, the head to one side."""
    up = keys(phase, (0.08, 0), (0.35, 1), (0.62, 1), (0.92, 0))
    angles: Angles = {**AT_EASE, "lean": 4 * up * style.sign, "turn": 8 * up, "nod": -6 * up}
    angles |= both(
        spread=7 + 24 * up, roll=64 * up, elbow=14 + 88 * up * style.size, swing=2 + 8 * up
    )
    return Pose(angles, root(phase), standing(phase))


def beckoning(phase: Array, style: Style) -> Pose:
    """A hand in front calls somebody over, again and again."""
    angles: Angles = {**AT_EASE, **breathing(phase), "nod": swing(phase, 0, 6)}
    angles[f"{style.side}_swing"] = 62 + swing(phase, -8, 8)
    angles[f"{style.side}_elbow"] = swing(phase, 22, 22 + 88 * style.size, start=0.5)
    angles[f"{style.side}_spread"] = 10.0
    return Pose(angles, root(phase), standing(phase, 0.12))


def _cup(parts: Parts, stage: Stage) -> None:
    held(parts, stage, 0.13, 0.04, stage.colour)


def _phone(parts: Parts, stage: Stage) -> None:
    held(parts, stage, 0.15, 0.028, BLACK)


GESTURES: dict[str, Action] = {
    "standing still": Action(standing_still, 2.4, views=(-150.0, 40.0)),
    "waving one hand": Action(waving_one_hand, 0.8, views=FRONTAL),
    "waving both hands": Action(waving_both_hands, 0.8, views=FRONTAL),
    "clapping": Action(clapping, 0.5, views=FRONTAL),
    "pointing": Action(pointing, 2.2, repeats=False, views=(-100.0, 30.0)),
    "drinking": Action(drinking, 2.6, repeats=False, views=(-100.0, 20.0), things=_cup, near=True),
    "talking on the phone": Action(phoning, 2.0, views=(-110.0, 20.0), things=_phone, near=True),
    "bowing": Action(bowing, 2.2, repeats=False, views=(-60.0, 35.0)),
    "nodding": Action(nodding, 0.75, views=(-100.0, 10.0), near=True),
    "shaking the head": Action(shaking_the_head, 0.8, views=FRONTAL, near=True),
    "raising both arms": Action(raising_the_arms, 1.6, repeats=False, views=(-110.0, 20.0)),
    "lowering both arms": Action(
        backwards(raising_the_arms, once=True), 1.6, repeats=False, views=(-110.0, 20.0)
    ),
    "shrugging": Action(shrugging, 1.6, repeats=False, views=FRONTAL),
    "beckoning": Action(beckoning, 0.85, views=(-70.0, 20.0)),
}
