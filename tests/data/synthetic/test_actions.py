import itertools

import numpy as np
import pytest

from actionclip.data.synthetic.actions import ACTIONS, Style
from actionclip.data.synthetic.figure import INDEX, LIMITS, SIDES, Body, joint_positions

PHASE = np.linspace(0, 1, 101)
STYLES = [
    Style(side=side, size=size, variant=variant)
    for side in SIDES
    for size, variant in [(0.9, 0.0), (1.0, 0.5), (1.1, 0.99)]
]
LEAVE_THE_FLOOR = {"running", "jumping jacks", "jumping in place"}


def joints(name, style, phase=PHASE):
    return joint_positions(Body(), ACTIONS[name].pose(phase, style))


def heights(at, *parts):
    return np.stack(
        [at[:, INDEX[f"{side}_{part}"], 2] for side in SIDES for part in parts], axis=-1
    )


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("name", ACTIONS)
def test_joints_turn_no_farther_than_peoples_do(name, style):
    pose = ACTIONS[name].pose(PHASE, style)

    for angle, (low, high) in LIMITS.items():
        assert pose.angle(angle).min() >= low, angle
        assert pose.angle(angle).max() <= high, angle


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("name", ACTIONS)
def test_nobody_sinks_into_the_floor_or_floats(name, style):
    at = joints(name, style)
    lowest = heights(at, "heel", "ball", "toe").min(axis=1)

    assert at[..., 2].min() > -0.012
    assert (lowest.max() > 0.03) == (name in LEAVE_THE_FLOOR)
    assert lowest.min() < 0.01


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("name", ACTIONS)
def test_legs_are_long_enough_for_where_the_feet_should_be(name, style):
    pose = ACTIONS[name].pose(PHASE, style)
    at = joints(name, style)

    for side, target in pose.feet.items():
        missed = np.abs(at[:, INDEX[f"{side}_ankle"]] - target * Body().leg).max()
        assert missed < 0.04, side


@pytest.mark.parametrize("name", ACTIONS)
def test_movements_are_smooth_and_there_is_one(name):
    at = joints(name, Style())
    step = np.linalg.norm(np.diff(at, axis=0), axis=-1)

    assert step.max() / (ACTIONS[name].seconds / 100) < 12  # m/s: a boxer's fist does 10
    assert step.sum(axis=0).max() > 0.25


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.repeats])
def test_cycles_end_as_they_begin(name):
    at = joints(name, Style(), np.array([0.3, 2.3, 4.3]))
    shape = at - at[:, :1]

    # Breathing and overhead waving have longer cycles; all others are back after one.
    if name not in {"waving one hand", "waving both hands", "clapping"}:
        np.testing.assert_allclose(shape[0], shape[1], atol=1e-9)
    assert np.abs(shape[0] - shape[2]).max() < 0.2


def test_all_actions_differ():
    shapes = {}
    for name in ACTIONS:
        at = joints(name, Style())
        shapes[name] = at - at[:, :1] * (1, 1, 0)
    for one, two in itertools.combinations(ACTIONS, 2):
        assert np.abs(shapes[one] - shapes[two]).max() > 0.2, (one, two)


@pytest.mark.parametrize("name", ["walking", "running"])
def test_a_foot_on_the_floor_does_not_slide(name):
    at = joints(name, Style(), np.linspace(0, 2, 401))
    for side in SIDES:
        ball = at[:, INDEX[f"{side}_ball"]]
        down = (ball[1:, 2] < 1e-3) & (ball[:-1, 2] < 1e-3)
        assert down.sum() > 40
        assert np.abs(np.diff(ball[:, 0])[down]).max() < 2e-3


def test_arms_swing_against_the_legs_and_the_body_bobs_twice_a_cycle():
    at = joints("walking", Style(), np.linspace(0, 2, 201))
    pelvis = at[:, INDEX["pelvis"]]
    hand, foot = (at[:, INDEX[name], 0] - pelvis[:, 0] for name in ("left_hand", "left_ankle"))

    assert np.corrcoef(hand, foot)[0, 1] < -0.8
    rising = np.diff(np.sign(np.diff(pelvis[:, 2]))) < 0
    assert rising.sum() == 4


def test_standing_up_is_sitting_down_backwards():
    np.testing.assert_allclose(
        joints("standing up", Style())[::-1], joints("sitting down", Style()), atol=1e-9
    )
    assert joints("sitting down", Style())[-1, INDEX["pelvis"], 2] < 0.5


def test_the_side_decides_which_hand_waves():
    for side, other in (("left", "right"), ("right", "left")):
        at = joints("waving one hand", Style(side=side))
        assert at[:, INDEX[f"{side}_hand"], 2].max() > at[:, INDEX["neck"], 2].max()
        assert at[:, INDEX[f"{other}_hand"], 2].max() < at[:, INDEX["waist"], 2].min()
