import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionclip.data.synthetic.figure import INDEX, LIMITS, Body, Pose, joint_positions, two_bones

STANDING = np.array([[0.0, 0.0, 1.0]])
BONES = [
    (f"{side}_{one}", f"{side}_{two}")
    for side in ("left", "right")
    for one, two in [
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("wrist", "hand"),
        ("hip", "knee"),
        ("knee", "ankle"),
        ("heel", "ball"),
    ]
]

angles = st.fixed_dictionaries({name: st.floats(*limits) for name, limits in LIMITS.items()})


def joint(at, name):
    return at[:, INDEX[name]]


def lengths(at):
    return [np.linalg.norm(joint(at, one) - joint(at, two), axis=-1).item() for one, two in BONES]


def test_a_person_at_rest_stands_upright_on_the_floor():
    at = joint_positions(Body(height=1.8), Pose({}, STANDING))

    assert joint(at, "crown")[0, 2] == pytest.approx(1.8, abs=0.05)
    assert joint(at, "left_heel")[0, 2] == pytest.approx(0, abs=1e-9)
    assert joint(at, "left_shoulder")[0, 1] > 0 > joint(at, "right_shoulder")[0, 1]
    assert joint(at, "nose")[0, 0] > joint(at, "head")[0, 0]
    assert joint(at, "left_hand")[0, 2] < joint(at, "pelvis")[0, 2]


@given(angles=angles)
def test_bones_keep_their_length_in_every_pose(angles):
    at = joint_positions(Body(), Pose(angles, STANDING))

    np.testing.assert_allclose(
        lengths(at), lengths(joint_positions(Body(), Pose({}, STANDING))), atol=1e-9
    )


@pytest.mark.parametrize(
    ("angle", "moved", "axis", "sign"),
    [
        ("right_swing", "right_hand", 0, 1),
        ("left_spread", "left_hand", 1, 1),
        ("right_spread", "right_hand", 1, -1),
        ("left_elbow", "left_hand", 0, 1),
        ("right_hip", "right_ankle", 0, 1),
        ("left_out", "left_ankle", 1, 1),
        ("right_knee", "right_ankle", 0, -1),
        ("left_foot", "left_toe", 2, 1),
        ("bend", "head", 0, 1),
        ("pitch", "head", 0, 1),
        ("lean", "head", 1, -1),
        ("nod", "nose", 2, -1),
        ("turn", "nose", 1, 1),
        ("twist", "right_shoulder", 0, 1),
        ("yaw", "nose", 1, 1),
    ],
)
def test_every_angle_turns_the_way_it_says(angle, moved, axis, sign):
    rest, turned = (joint_positions(Body(), Pose({angle: a}, STANDING)) for a in (0.0, 30.0))

    assert sign * (joint(turned, moved) - joint(rest, moved))[0, axis] > 0.01


def test_the_lowest_part_of_the_body_is_put_where_asked():
    lying = joint_positions(Body(), Pose({"pitch": 90.0}, STANDING, lift=0.0))
    hopping = joint_positions(Body(), Pose({}, STANDING, lift=0.3))

    assert lying[..., 2].max() < 0.6
    assert hopping[..., 2].min() == pytest.approx(0.3 * Body().leg)


@given(
    target=st.tuples(*[st.floats(-3, 3)] * 3),
    first=st.floats(0.2, 0.6),
    second=st.floats(0.2, 0.6),
)
def test_two_bones_reach_what_they_can(target, first, second):
    start, goal = np.zeros((1, 3)), np.array([target])
    middle, end = two_bones(start, goal, first, second, np.array([[1.0, 0.2, 0.1]]))

    assert np.linalg.norm(middle) == pytest.approx(first, abs=1e-5)
    assert np.linalg.norm(end - middle) == pytest.approx(second, abs=1e-3)
    if abs(first - second) + 0.01 < np.linalg.norm(goal) < first + second - 0.01:
        np.testing.assert_allclose(end, goal, atol=1e-9)


def test_an_angle_that_no_joint_has_is_refused():
    with pytest.raises(ValueError, match="left_elbo"):
        Pose({"left_elbo": 3.0}, STANDING)
