"""Things that people use: seats, boxes, balls, phones, ladders; all of rounded bars.

N frames. Everything is in the space of the camera, in metres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionclip.data.synthetic.draw.paint import Colour, Parts
from actionclip.data.synthetic.figure import INDEX, Body

Array = NDArray[np.float64]

WOOD, STEEL, BLACK = (150, 104, 66), (150, 154, 160), (34, 34, 38)
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Stage:
    """What somebody does, as the things they use need to know it."""

    at: Array
    """Joints, [N, J, 3]."""
    phase: Array
    """[N]."""
    body: Body
    facing: float
    """Radians."""
    side: str
    """The hand or foot that does what only one does."""
    colour: Colour
    """Of a thing that may have any."""

    def joint(self, name: str) -> Array:
        """Where a joint is, [N, 3]."""
        return self.at[:, INDEX[name]]

    @property
    def hand(self) -> Array:
        """The hand that holds something."""
        return self.joint(f"{self.side}_hand")

    @property
    def hands(self) -> Array:
        """The middle between both."""
        return (self.joint("left_hand") + self.joint("right_hand")) / 2

    @property
    def ahead(self) -> Array:
        """Where the person faced at first, [3]."""
        return np.array([np.cos(self.facing), np.sin(self.facing), 0.0])

    @property
    def across(self) -> Array:
        """To the left of the person."""
        return np.array([-np.sin(self.facing), np.cos(self.facing), 0.0])


def stool(parts: Parts, stage: Stage, *, height: float) -> None:
    """A stool under where the person's pelvis is lowest.

    Args:
        parts: where it is added.
        stage: who uses it.
        height: of the pelvis of who sits on it, in legs.
    """
    at, body = stage.at, stage.body
    middle = at[int(at[:, 0, 2].argmin()), 0] * (1, 1, 0)
    top = height * body.leg - 0.062 * body.height * body.build

    def add(a: Array, b: Array, radius: float) -> None:
        ends = np.broadcast_to(middle + a, (len(at), 3)), np.broadcast_to(middle + b, (len(at), 3))
        parts.add(*ends, radius, radius, WOOD, nearer=-0.16)

    for forward in (-0.16, 0.16):
        for aside in (-0.15, 0.15):
            foot = stage.ahead * forward + stage.across * aside
            add(foot * 1.1, foot * 0.9 + UP * top, 0.02)
    for aside in (-0.14, -0.07, 0.0, 0.07, 0.14):
        plank = stage.across * aside + UP * (top - 0.03)
        add(plank - stage.ahead * 0.17, plank + stage.ahead * 0.17, 0.035)


def box(parts: Parts, stage: Stage, middle: Array, size: float, *, nearer: float = 0.05) -> None:
    """A box with rounded edges around `middle` [N, 3]."""
    bar, places = 0.19 * size, np.array([-1, 0, 1]) * 0.33 * size
    for up in places:
        for forward in places:
            centre = middle + stage.ahead * forward + UP * up
            ends = centre - stage.across * 0.33 * size, centre + stage.across * 0.33 * size
            parts.add(*ends, bar, bar, stage.colour, nearer=nearer)


def ball(parts: Parts, stage: Stage, middle: Array, radius: float) -> None:
    """A ball around `middle` [N, 3]."""
    parts.add(middle, middle + 1e-4, radius, radius, stage.colour, nearer=0.06, ball=True)


def bar(parts: Parts, stage: Stage, middle: Array, length: float) -> None:
    """A bar with weights at its ends, held across."""
    reach = stage.across * length / 2
    parts.add(middle - reach, middle + reach, 0.018, 0.018, STEEL, nearer=0.06)
    for sign in (-1, 1):
        end = middle + sign * reach
        parts.add(end, end - sign * 0.09 * stage.across, 0.15, 0.15, BLACK, nearer=0.06)


def held(parts: Parts, stage: Stage, length: float, radius: float, colour: Colour) -> None:
    """A small upright thing in the hand: a phone, a cup, a bottle."""
    parts.add(
        stage.hand - UP * length / 3, stage.hand + UP * length * 2 / 3, radius, radius, colour,
        nearer=0.05,
    )  # fmt: skip


def ladder(parts: Parts, stage: Stage, *, ahead: float) -> None:
    """A ladder that stands `ahead` (in metres) of where the person is."""
    count = len(stage.at)
    foot = stage.at[:, 0].mean(axis=0) * (1, 1, 0) + stage.ahead * ahead
    low = float(stage.at[..., 2].min())
    high = float(stage.at[..., 2].max()) + 0.5
    for sign in (-1, 1):
        rail = foot + sign * 0.24 * stage.across
        foot_of_it, top = (np.tile(rail + UP * z, (count, 1)) for z in (low, high))
        parts.add(foot_of_it, top, 0.025, 0.025, STEEL, nearer=-0.1)
    for z in np.arange(0.1, high, 0.3):
        one, two = (np.tile(foot + 0.24 * s * stage.across + UP * z, (count, 1)) for s in (-1, 1))
        parts.add(one, two, 0.02, 0.02, STEEL, nearer=-0.1)
