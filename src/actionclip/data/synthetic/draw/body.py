"""A dressed body around the joints: who somebody is and what they wear.

N frames, J joints.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from actionclip.data.synthetic.draw.paint import Colour, Parts
from actionclip.data.synthetic.figure import INDEX, SIDES, Body

Array = NDArray[np.float64]
Random = np.random.Generator

SKINS = ((238, 196, 166), (224, 172, 138), (198, 144, 108), (150, 102, 74), (104, 70, 52))
HAIRS = (
    *((38, 30, 28), (72, 48, 32), (124, 84, 46), (196, 160, 96), (150, 150, 148), (140, 62, 36)),
    (22, 20, 22),
)
SHIRTS = (
    *((196, 62, 54), (44, 104, 176), (58, 140, 90), (226, 176, 50), (120, 76, 150)),
    *((235, 232, 224), (230, 120, 60), (36, 140, 150), (70, 74, 84), (214, 110, 140)),
    *((30, 32, 38), (52, 58, 92), (110, 82, 88), (132, 128, 120), (44, 62, 48)),
)
TROUSERS = (
    *((46, 58, 92), (54, 54, 58), (112, 96, 74), (84, 92, 70), (38, 40, 52), (130, 132, 136)),
    *((24, 24, 28), (74, 92, 110), (186, 178, 162)),
)
SHOES = ((44, 40, 40), (228, 226, 220), (120, 70, 44), (170, 50, 46))


@dataclass(frozen=True)
class Look:
    """Colours and clothes."""

    skin: Colour = (224, 172, 138)
    hair: Colour = (70, 45, 30)
    shirt: Colour = (60, 110, 180)
    trousers: Colour = (60, 62, 80)
    shoes: Colour = (40, 36, 36)
    long_sleeves: bool = False
    shorts: bool = False
    skirt: bool = False
    long_hair: bool = False
    hat: bool = False
    jacket: float = 1.0
    """Thickness of what the upper body wears; 1 is a shirt."""


def somebody(rng: Random) -> tuple[Body, Look]:
    """A person with clothes, by chance."""
    body = Body(
        height=rng.uniform(1.5, 1.94),
        build=rng.uniform(0.86, 1.28),
        shoulders=rng.uniform(0.88, 1.12),
        leg_share=rng.uniform(0.48, 0.52),
    )

    def pick(colours: tuple[Colour, ...]) -> Colour:
        red, green, blue = colours[rng.integers(len(colours))]
        shift = rng.normal(0, 9, 3).astype(int).tolist()
        return _in_range(red + shift[0]), _in_range(green + shift[1]), _in_range(blue + shift[2])

    shirt = pick(SHIRTS)
    chance = rng.random(6)
    look = Look(
        skin=pick(SKINS),
        hair=pick(HAIRS),
        shirt=shirt,
        # A dress, a suit or an overall: one colour from the neck to the feet.
        trousers=shirt if chance[0] < 0.12 else pick(TROUSERS),
        shoes=pick(SHOES),
        long_sleeves=bool(chance[1] < 0.6),
        shorts=bool(chance[2] < 0.2),
        skirt=bool(chance[3] < 0.08),
        long_hair=bool(chance[4] < 0.35),
        hat=bool(chance[5] < 0.1),
        jacket=float(rng.uniform(1.0, 1.18)),
    )
    return body, look


def _in_range(value: int) -> int:
    return min(max(value, 12), 245)


def body_parts(at: Float[np.ndarray, "N J 3"], body: Body, look: Look) -> Parts:
    """A dressed body around the joints."""
    parts = Parts()
    joint = {name: at[:, number] for name, number in INDEX.items()}
    thick = body.height * body.build
    for side in SIDES:
        _leg(parts, joint, side, thick, look)
        _arm(parts, joint, side, thick, look)
    _torso(parts, joint, body, look)
    _head(parts, joint, body, look)
    return parts


def _leg(parts: Parts, joint: dict[str, Array], side: str, thick: float, look: Look) -> None:
    hip, knee, ankle, heel, ball, toe = (
        joint[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "heel", "ball", "toe")
    )
    shin = look.skin if look.shorts or look.skirt else look.trousers
    parts.add(knee, ankle, 0.031 * thick, 0.021 * thick, shin)
    parts.add(hip, knee, 0.049 * thick, 0.033 * thick, look.trousers, nearer=0.01)
    along = _unit(ball - heel)
    up = _unit(ankle - heel - ((ankle - heel) * along).sum(-1, keepdims=True) * along)
    back, front, tip = 0.021 * thick, 0.018 * thick, 0.014 * thick
    middle = ball + front * up
    parts.add(heel + back * up + 0.8 * back * along, middle, back, front, look.shoes, nearer=0.005)
    parts.add(middle, toe + np.array([0, 0, tip]), front, tip, look.shoes, nearer=0.006)


def _arm(parts: Parts, joint: dict[str, Array], side: str, thick: float, look: Look) -> None:
    shoulder, elbow, wrist, hand = (
        joint[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")
    )
    sleeve = look.shirt if look.long_sleeves else look.skin
    parts.add(wrist, hand, 0.0185 * thick, 0.0195 * thick, look.skin, nearer=0.012)
    wear = thick * (look.jacket if look.long_sleeves else 1.0)
    parts.add(elbow, wrist, 0.0235 * wear, 0.018 * wear, sleeve, nearer=0.01)
    parts.add(shoulder, elbow, 0.033 * wear, 0.0255 * wear, look.shirt)


def _torso(parts: Parts, joint: dict[str, Array], body: Body, look: Look) -> None:
    """Two capsules, wide seen from the front and flat seen from the side."""
    thick = body.height * body.build * look.jacket
    across = _unit(joint["left_shoulder"] - joint["right_shoulder"])
    across_hips = _unit(joint["left_hip"] - joint["right_hip"])
    pelvis, waist, neck = joint["pelvis"], joint["waist"], joint["neck"]
    spine, loins = neck - waist, waist - pelvis
    wide = 0.5 * (1 + body.shoulders)
    top = _seen_radius(spine, across, 0.096 * thick * wide, 0.06 * thick)
    middle = _seen_radius(loins, across_hips, 0.074 * thick, 0.058 * thick)
    hips = _seen_radius(loins, across_hips, 0.082 * thick, 0.062 * thick)

    def add(
        a: Array,
        b: Array,
        radius_a: Array | float,
        radius_b: Array | float,
        colour: Colour,
        layer: int,
    ) -> None:
        """Layers keep their order, unless the person bends far towards or away from the camera."""
        off = (a + b)[:, 1] / 2 - waist[:, 1]
        off = np.sign(off) * np.maximum(np.abs(off) - 0.12, 0)
        depth = waist[:, 1] + off + 0.08 - 0.005 * layer
        parts.add(a, b, radius_a, radius_b, colour, depth=depth)

    add(joint["left_hip"], joint["right_hip"], 0.05 * thick, 0.05 * thick, look.trousers, 0)
    bar = 0.034 * thick
    add(joint["left_shoulder"], joint["right_shoulder"], bar, bar, look.shirt, 1)
    add(neck - 0.2 * spine, neck + 0.2 * spine, 0.032 * thick, 0.028 * thick, look.skin, 2)
    add(waist, pelvis + 0.3 * loins, middle, hips, look.shirt, 3)
    add(waist + 0.45 * spine, waist, top, middle, look.shirt, 4)
    if look.skirt:
        knees = (joint["left_knee"] + joint["right_knee"]) / 2
        spread = np.abs(joint["left_knee"] - joint["right_knee"]).max(axis=-1) / 2
        hem = pelvis + 0.8 * (knees - pelvis)
        parts.add(pelvis, hem, hips, np.maximum(spread, hips), look.trousers, nearer=0.06)


def _head(parts: Parts, joint: dict[str, Array], body: Body, look: Look) -> None:
    head, radius = joint["head"], body.head
    front, up = _unit(joint["nose"] - head), _unit(joint["crown"] - head)
    left = _cross(up, front)
    chin = head + (0.12 * front - 0.4 * up) * radius
    parts.caps[len(parts.ends)] = (_unit(0.75 * up - 0.66 * front), -0.27, look.hair)
    top = head + 0.15 * up * radius
    parts.add(top, chin, 1.02 * radius, 0.82 * radius, look.skin, nearer=0.03, ball=True)
    if look.hat:
        brim = top + (0.5 * up + 0.1 * front) * radius
        parts.add(brim, brim + 0.75 * front * radius, 0.8 * radius, 0.4 * radius, look.shoes)
        parts.add(brim, brim + 0.3 * up * radius, 0.98 * radius, 0.8 * radius, look.shoes)
        parts.depths[-2:] = [parts.depths[-3] - 0.01, parts.depths[-3] - 0.011]
    if look.long_hair:
        back = head - 0.25 * front * radius
        tip = joint["neck"] - 0.25 * (head - joint["neck"]) - 0.8 * front * radius
        # Behind the neck and the shoulders of somebody who faces the viewer.
        hidden = (back + tip)[:, 1] / 2 - 0.01 + 0.14 * np.clip(-2 * front[:, 1], 0, 1)
        parts.add(back, tip, 0.95 * radius, 0.6 * radius, look.hair, depth=hidden)
    for sign in (1, -1):
        eye = head + (0.8 * front + sign * 0.38 * left + 0.02 * up) * radius
        parts.add(
            eye, eye - 0.12 * up * radius, 0.1 * radius, 0.1 * radius, (40, 32, 32), nearer=0.03
        )


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)


def _cross(one: Array, two: Array) -> Array:
    """`np.cross`, without its ado for small arrays."""
    a, b = one[..., (1, 2, 0)], two[..., (2, 0, 1)]
    return a * b - one[..., (2, 0, 1)] * two[..., (1, 2, 0)]


def _seen_radius(axis: Array, across: Array, wide: float, deep: float) -> Array:
    """Half the width, as the camera sees it, of a limb with an elliptic cross-section, [N].

    Args:
        axis: along the limb, [N, 3].
        across: unit vector along the ellipse's longer half-axis, [N, 3].
        wide: that half-axis in metres.
        deep: the other one.
    """
    through = _cross(_unit(axis), across)
    sideways = np.stack([axis[:, 2], np.zeros(len(axis)), -axis[:, 0]], axis=-1)
    sideways = _unit(sideways + np.array([1e-6, 0, 0]))
    return np.hypot(wide * (across * sideways).sum(-1), deep * (through * sideways).sum(-1))
