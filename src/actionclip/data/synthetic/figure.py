"""The skeleton: from joint angles and targets to joint positions in space.

A person's own frame: x forward, y to their left, z up, the floor at z = 0. Angles are in degrees.
Lengths in a pose are in *legs* (floor to hip of the person standing), so that a movement fits
people of every size; joint positions are in metres. N frames, J joints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDES = ("left", "right")
JOINTS = (
    *("pelvis", "waist", "neck", "head", "nose", "crown"),
    *(
        f"{side}_{joint}"
        for side in SIDES
        for joint in (
            "shoulder",
            "elbow",
            "wrist",
            "hand",
            "hip",
            "knee",
            "ankle",
            "heel",
            "ball",
            "toe",
        )
    ),
)
INDEX = {name: number for number, name in enumerate(JOINTS)}

ANKLE = 0.085  # height of the ankle above the sole, in legs
FOOT_BALL, HEEL, TOES = 0.15, 0.06, 0.08  # from below the ankle to the ball and heel; the toes

LIMITS: dict[str, tuple[float, float]] = {
    **{"yaw": (-720, 720), "pitch": (-180, 180), "roll": (-360, 360)},
    **{"bend": (-30, 100), "lean": (-40, 40), "twist": (-70, 70), "nod": (-50, 60)},
    "turn": (-80, 80),
    **{
        f"{side}_{name}": limits
        for side in SIDES
        for name, limits in {
            **{"swing": (-60, 190), "spread": (-30, 185), "roll": (-90, 120), "elbow": (0, 150)},
            **{"hip": (-35, 130), "out": (-25, 85), "knee": (0, 155), "foot": (-75, 50)},
            "aim": (-40, 60),
        }.items()
    },
}
"""How far people can turn each joint. The pelvis: yaw (to the left), pitch (forward), roll (to the
right). The back: bend (forward), lean (to the right), twist (to the left). The head: nod, turn. An
arm: swing (forward and up), spread (sideways and up), roll (of the upper arm, outward), elbow. A
leg: hip (forward), out (sideways), knee, foot (toes up), aim (toes outward)."""


@dataclass(frozen=True)
class Body:
    """How a person is built. Lengths in metres."""

    height: float = 1.72
    build: float = 1.0
    """Thickness of everything; 1 is average."""
    shoulders: float = 1.0
    """Width of the shoulders; 1 is average."""
    leg_share: float = 0.5
    """Height of the hip joints as a share of the height."""

    @property
    def leg(self) -> float:
        """From the sole to the hip joint."""
        return self.height * self.leg_share

    @property
    def head(self) -> float:
        """Radius of the head."""
        return 0.062 * self.height

    @property
    def torso(self) -> float:
        """From the hip joints to the neck."""
        return self.height * (0.82 - self.leg_share)


@dataclass(frozen=True)
class Pose:
    """A movement of N frames.

    Feet and hands are either led by angles or, where targets are given, go to them with knees and
    elbows bending as they must. Raises ValueError for an angle that no joint has.
    """

    angles: Mapping[str, Array | float]
    """By the names in `LIMITS`; what is left out is 0. With `feet` given, `left_foot` and
    `right_foot` are against the floor, otherwise against the shin."""
    root: Array
    """Pelvis (middle of the hip joints), [N, 3] in legs."""
    feet: Mapping[str, Array] = field(default_factory=dict)
    """Ankle targets by side, [N, 3] in legs."""
    hands: Mapping[str, Array] = field(default_factory=dict)
    """Wrist targets by side, [N, 3] in arm lengths, from the shoulder in the chest's own frame."""
    lift: Array | float | None = None
    """When given, the height of the lowest part of the body above the floor in legs; the root's
    own height is then ignored."""

    def __post_init__(self) -> None:
        """Refuse an angle that no joint has."""
        if wrong := set(self.angles) - set(LIMITS):
            raise ValueError(f"no joint has the angles {sorted(wrong)}")

    def angle(self, name: str) -> Array:
        """The angle in degrees, [N]."""
        return np.broadcast_to(np.asarray(self.angles.get(name, 0.0), float), len(self.root))


def joint_positions(body: Body, pose: Pose) -> Float[np.ndarray, "N J 3"]:
    """Where the joints are, in metres; the order is that of `JOINTS`."""
    at = np.empty((len(pose.root), len(JOINTS), 3))
    pelvis = _turn(pose, ("z", "yaw"), ("y", "pitch"), ("x", "roll"))
    half = _turn(pose, ("z", "twist"), ("y", "bend"), ("x", "lean"), share=0.5)
    lower = pelvis @ half
    chest = lower @ half
    head = chest @ _turn(pose, ("z", "turn"), ("y", "nod"))

    at[:, INDEX["pelvis"]] = pose.root * body.leg
    at[:, INDEX["waist"]] = at[:, INDEX["pelvis"]] + lower @ (0, 0, 0.45 * body.torso)
    at[:, INDEX["neck"]] = at[:, INDEX["waist"]] + chest @ (0, 0, 0.55 * body.torso)
    at[:, INDEX["head"]] = at[:, INDEX["neck"]] + head @ (0.01, 0, 0.098 * body.height)
    at[:, INDEX["nose"]] = at[:, INDEX["head"]] + head @ (body.head, 0, 0)
    at[:, INDEX["crown"]] = at[:, INDEX["head"]] + head @ (0, 0, body.head)
    for side in SIDES:
        _place_arm(at, side, body, pose, chest)
        _place_leg(at, side, body, pose, pelvis)
    if pose.lift is not None:
        lowest = (at[..., 2] - _thickness(body)).min(axis=1)
        at[..., 2] += (np.asarray(pose.lift) * body.leg - lowest)[:, None]
    return at


def _place_arm(at: Array, side: str, body: Body, pose: Pose, chest: Array) -> None:
    """Shoulder, elbow, wrist and hand of one side, written into `at`."""
    sign = 1 if side == "left" else -1
    upper, fore, hand = (share * body.height for share in (0.172, 0.15, 0.05))
    offset = (0, sign * 0.112 * body.height * body.shoulders, -0.022 * body.height)
    shoulder = at[:, INDEX["neck"]] + chest @ offset
    if side in pose.hands:
        target = pose.hands[side] * (upper + fore)
        wrist = shoulder + np.einsum("nij,nj->ni", chest, target)
        pole = chest @ (-0.35, sign * 0.55, -1.0)
        elbow, wrist = two_bones(shoulder, wrist, upper, fore, pole)
    else:
        swing, spread, roll = (pose.angle(f"{side}_{name}") for name in ("swing", "spread", "roll"))
        arm = chest @ turn("y", -swing) @ turn("x", sign * spread) @ turn("z", sign * roll)
        elbow = shoulder - upper * arm[..., 2]
        wrist = elbow - fore * (arm @ turn("y", -pose.angle(f"{side}_elbow")))[..., 2]
    along = wrist - elbow
    tip = wrist + hand * along / np.linalg.norm(along, axis=-1, keepdims=True)
    places = {"shoulder": shoulder, "elbow": elbow, "wrist": wrist, "hand": tip}
    for name, place in places.items():
        at[:, INDEX[f"{side}_{name}"]] = place


def _place_leg(at: Array, side: str, body: Body, pose: Pose, pelvis: Array) -> None:
    """Hip, knee, ankle, heel and toe of one side, written into `at`."""
    sign = 1 if side == "left" else -1
    bone = (1 - ANKLE) / 2 * body.leg
    hip = at[:, INDEX["pelvis"]] + pelvis @ (0, sign * 0.052 * body.height, 0)
    pitch = pose.angle(f"{side}_foot")
    if side in pose.feet:
        knee, ankle = two_bones(
            hip, pose.feet[side] * body.leg, bone, bone, pelvis @ (1.0, sign * 0.12, 0.15)
        )
        foot = turn("z", sign * pose.angle(f"{side}_aim")) @ turn("y", -pitch)
    else:
        swing, out = pose.angle(f"{side}_hip"), pose.angle(f"{side}_out")
        leg = pelvis @ turn("y", -swing) @ turn("x", sign * out)
        shin = leg @ turn("y", pose.angle(f"{side}_knee"))
        knee = hip - bone * leg[..., 2]
        ankle = knee - bone * shin[..., 2]
        foot = shin @ turn("y", -pitch)
    sole = -ANKLE * body.leg
    heel = ankle + foot @ (-HEEL * body.leg, 0, sole)
    ball = ankle + foot @ (FOOT_BALL * body.leg, 0, sole)
    bent = foot @ turn("y", 0.92 * np.minimum(pitch, 0)) if side in pose.feet else foot
    toe = ball + bent @ (TOES * body.leg, 0, 0)
    places = {"hip": hip, "knee": knee, "ankle": ankle, "heel": heel, "ball": ball, "toe": toe}
    for name, place in places.items():
        at[:, INDEX[f"{side}_{name}"]] = place


def two_bones(
    start: Array, target: Array, first: float, second: float, pole: Array
) -> tuple[Array, Array]:
    """Middle joint and end of two bones that reach from `start` for `target`, bent towards `pole`.

    All arrays [N, 3]. A target out of reach is approached on a straight limb.
    """
    way = target - start
    distance = np.linalg.norm(way, axis=-1, keepdims=True)
    direction = np.where(distance > 1e-9, way / np.maximum(distance, 1e-9), (0.0, 0.0, -1.0))
    reach = np.clip(distance, abs(first - second) + 1e-6, (first + second) * 0.9999)
    along = (first**2 - second**2 + reach**2) / (2 * reach)
    aside = pole - (pole * direction).sum(-1, keepdims=True) * direction
    aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
    middle = start + along * direction + np.sqrt(np.maximum(first**2 - along**2, 0)) * aside
    return middle, start + reach * direction


def turn(axis: str, degrees: Array) -> Float[np.ndarray, "N 3 3"]:
    """Rotation matrices about an axis, counter-clockwise seen from its tip."""
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    fixed = "xyz".index(axis)
    one, two = (fixed + 1) % 3, (fixed + 2) % 3
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, fixed, fixed] = 1
    matrix[:, one, one] = matrix[:, two, two] = cosine
    matrix[:, one, two], matrix[:, two, one] = -sine, sine
    return matrix


def _turn(pose: Pose, *steps: tuple[str, str], share: float = 1.0) -> Float[np.ndarray, "N 3 3"]:
    """Several rotations by a share of the pose's angles, the first one outermost."""
    matrix = turn(steps[0][0], share * pose.angle(steps[0][1]))
    for axis, name in steps[1:]:
        if name in pose.angles:
            matrix = matrix @ turn(axis, share * pose.angle(name))
    return matrix


def _thickness(body: Body) -> Array:
    """How far the body reaches below each joint when it lies on it, in metres, [J]."""
    below = {"pelvis": 0.06, "waist": 0.055, "neck": 0.04, "head": 0.062, "knee": 0.03}
    below |= {"shoulder": 0.035, "elbow": 0.022, "hip": 0.05, "ankle": 0.025, "hand": 0.012}
    return body.height * np.array([below.get(name.split("_")[-1], 0.0) for name in JOINTS])
