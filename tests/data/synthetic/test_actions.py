import itertools

import numpy as np
import pytest

from actionclip.data.synthetic.actions import ACTIONS, REVERSED, Style
from actionclip.data.synthetic.figure import INDEX, LIMITS, SIDES, Body, joint_positions

PHASE = np.linspace(0, 1, 61)
STYLES = [
    Style(side=side, size=size, variant=variant, arms=arms, effort=effort)
    for side, size, variant, arms, effort in [
        ("left", 0.88, 0.0, 1.0, 0.5),
        ("right", 1.0, 0.5, 0.5, 0.0),
        ("right", 1.12, 0.99, 0.0, 1.0),
        ("left", 0.88, 0.75, 0.3, 0.0),
        ("left", 1.0, 0.75, 0.3, 0.8),
        ("right", 1.12, 0.2, 0.7, 0.1),
    ]
]
WEIZMANN = {
    *("bending down", "jumping jacks", "jumping forward on two legs", "running", "skipping"),
    *("jumping in place on two legs", "galloping sideways", "walking", "waving one hand"),
    "waving both hands",
}
LEAVE_THE_FLOOR = {
    *("running", "running on the spot", "skipping", "galloping sideways", "hopping on one foot"),
    *("jumping forward on two legs", "jumping jacks", "jumping in place on two legs"),
}
CLIMBS = {"climbing a ladder"}
BONES = [
    (f"{side}_{one}", f"{side}_{two}")
    for side in SIDES
    for one, two in [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]
]


def joints(name, style, phase=PHASE):
    return joint_positions(Body(), ACTIONS[name].pose(phase, style))


def test_there_are_many_actions_and_the_ones_that_are_tested_on_real_people():
    assert len(ACTIONS) >= 40
    assert set(ACTIONS) > WEIZMANN


@pytest.mark.parametrize("name", ACTIONS)
def test_joints_turn_no_farther_than_peoples_do(name):
    for style in STYLES:
        pose = ACTIONS[name].pose(PHASE, style)
        for angle, (low, high) in LIMITS.items():
            assert pose.angle(angle).min() >= low, (angle, style)
            assert pose.angle(angle).max() <= high, (angle, style)


@pytest.mark.parametrize("name", ACTIONS)
def test_nobody_sinks_into_the_floor_or_floats(name):
    for style in STYLES:
        at = joints(name, style)
        lowest = at[..., 2].min(axis=1)

        assert lowest.min() > -0.02, style
        if name not in CLIMBS:
            # Joints of somebody who lies or kneels are as high as the body is thick.
            thick = 0.09 if ACTIONS[name].pose(PHASE, style).lift is not None else 0.03
            assert (lowest.max() > thick) == (name in LEAVE_THE_FLOOR), style
            assert lowest.min() < thick, style


@pytest.mark.parametrize("name", ACTIONS)
def test_limbs_keep_their_length_and_reach_where_feet_should_be(name):
    for style in STYLES:
        pose = ACTIONS[name].pose(PHASE, style)
        at = joint_positions(Body(), pose)
        for one, two in BONES:
            length = np.linalg.norm(at[:, INDEX[one]] - at[:, INDEX[two]], axis=-1)
            assert np.ptp(length) < 1e-3, (one, style)
        for side, target in pose.feet.items():
            missed = np.abs(at[:, INDEX[f"{side}_ankle"]] - target * Body().leg).max()
            assert missed < 0.05, (side, style)


@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_moves_faster_than_people_can_and_something_does(name):
    phase = np.linspace(0, 2 if ACTIONS[name].repeats else 1, 241)
    for style in STYLES:
        at = joints(name, style, phase)
        step = np.linalg.norm(np.diff(at, axis=0), axis=-1)
        seconds = ACTIONS[name].seconds * (phase[1] - phase[0])

        assert step.max() / seconds < 14, style  # m/s: a boxer's fist does 10
        least = 0.01 if name == "standing still" else 0.1
        assert step.sum(axis=0).max() > least, style


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.repeats])
def test_cycles_end_as_they_begin(name):
    """After whole cycles the body has its shape again, but for slower movements laid over it."""
    phase = np.array([0.3, 40.3])  # 40 is a multiple of all the slower cycles
    at = joints(name, Style(), phase)
    shape = at - at[:, :1]

    np.testing.assert_allclose(shape[0], shape[1], atol=1e-6)


def test_all_actions_differ():
    shapes = {}
    for name in ACTIONS:
        at = joints(name, Style())
        shapes[name] = at - at[:, :1] * (1, 1, 0)
    for one, two in itertools.combinations(ACTIONS, 2):
        assert np.abs(shapes[one] - shapes[two]).max() > 0.08, (one, two)


@pytest.mark.parametrize(("forth", "back"), REVERSED.items())
def test_some_actions_differ_from_others_in_their_order_alone(forth, back):
    for style in STYLES:
        phase = 1 - PHASE if not ACTIONS[forth].repeats else -PHASE
        np.testing.assert_allclose(
            joints(back, style), joints(forth, style, phase), atol=1e-9, err_msg=str(style)
        )
    seen = joints(forth, Style(), np.linspace(0, 0.9, 31))
    assert np.abs(seen - seen[::-1]).max() > 0.2  # and the order is to be seen


@pytest.mark.parametrize("name", ["walking", "running", "marching", "carrying a box"])
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


@pytest.mark.parametrize(
    ("name", "axis", "far"),
    [
        *(("walking", 0, 1.0), ("running", 0, 1.6), ("skipping", 0, 0.7)),
        *(("jumping forward on two legs", 0, 0.7), ("walking backwards", 0, -1.0)),
        *(("galloping sideways", 1, -0.5), ("jumping in place on two legs", 0, 0.0)),
        *(("hopping on one foot", 0, 0.0), ("running on the spot", 0, 0.0)),
    ],
)
def test_who_travels_gets_somewhere_in_a_cycle(name, axis, far):
    at = joints(name, Style(side="right"), np.array([0.0, 1.0]))[:, 0, axis]
    way = at[1] - at[0]

    if far == 0:
        assert abs(way) < 1e-6
    else:
        assert way / far > 0.8


def test_the_side_decides_which_hand_waves():
    for side, other in (("left", "right"), ("right", "left")):
        at = joints("waving one hand", Style(side=side))
        assert at[:, INDEX[f"{side}_hand"], 2].max() > at[:, INDEX["neck"], 2].max()
        assert at[:, INDEX[f"{other}_hand"], 2].max() < at[:, INDEX["waist"], 2].min()


FARTHER = ["walking", "running", "skipping", "galloping sideways", "jumping forward on two legs"]


@pytest.mark.parametrize("name", FARTHER)
def test_with_more_effort_people_get_farther_in_a_step(name):
    ways = []
    for effort in (0.0, 0.5, 1.0):
        at = joints(name, Style(effort=effort), np.array([0.0, 1.0]))
        ways.append(np.linalg.norm(at[1, 0, :2] - at[0, 0, :2]))

    assert ways[0] * 1.1 < ways[1]
    assert ways[1] * 1.1 < ways[2]


@pytest.mark.parametrize(("name", "slow", "fast"), [("walking", 1.0, 1.6), ("running", 1.8, 4.0)])
def test_people_of_average_height_go_as_fast_as_people_do(name, slow, fast):
    """Metres a second at the usual tempo: a stroll to a brisk walk, a jog to a fast run."""
    found = []
    for effort in (0.0, 1.0):
        style = Style(effort=effort, size=0.9 + 0.2 * effort)
        at = joints(name, style, np.array([0.0, 1.0]))
        found.append((at[1, 0, 0] - at[0, 0, 0]) / ACTIONS[name].seconds)

    assert found[0] == pytest.approx(slow, rel=0.25)
    assert found[1] == pytest.approx(fast, rel=0.25)


def bent(at, side):
    """How far a knee is bent in each frame, degrees."""
    hip, knee, ankle = (at[:, INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
    thigh, shin = hip - knee, ankle - knee
    lengths = np.linalg.norm(thigh, axis=1) * np.linalg.norm(shin, axis=1)
    return 180 - np.degrees(np.arccos(((thigh * shin).sum(1) / lengths).clip(-1, 1)))


@pytest.mark.parametrize("variant", [0.1, 0.5, 0.9])
def test_joggers_do_not_crouch(variant):
    """They stand on a leg that is not bent far, and do not pull the other one up under them."""
    at = joints("running", Style(effort=0.0, variant=variant), np.linspace(0, 1, 121))
    below = np.abs(at[:37, INDEX["left_ankle"], 0] - at[:37, 0, 0]).argmin()

    assert bent(at, "left")[below] < 55
    assert 95 < bent(at, "left").max() < 128


@pytest.mark.parametrize("variant", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["jumping forward on two legs", "hopping on one foot"])
def test_who_hops_flies_with_stretched_legs(name, variant):
    style = Style(variant=variant)
    flying = joints(name, style, np.array([0.5, 0.6, 0.7]))

    assert bent(flying, style.side).max() < 52


@pytest.mark.parametrize("effort", [0.0, 0.5, 1.0])
def test_a_runners_free_foot_is_still_behind_when_the_other_stands_below(effort):
    at = joints("running", Style(effort=effort), np.linspace(0, 0.3, 121))
    left, right = (at[:, INDEX[f"{side}_ankle"], 0] - at[:, 0, 0] for side in SIDES)
    below = int(np.abs(left).argmin())

    assert right[below] < -0.1
