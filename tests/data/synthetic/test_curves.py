from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionclip.data.synthetic.curves import Gait, ankle, cycle, keys, swing
from actionclip.data.synthetic.figure import ANKLE, FOOT_BALL, HEEL

points = st.lists(st.floats(-100, 100), min_size=2, max_size=7).map(
    lambda values: [(i / len(values), value) for i, value in enumerate(values)]
)


@given(points=points)
def test_keys_pass_through_every_key_and_never_overshoot(points):
    at, values = np.array(points).T
    phase = np.linspace(-0.2, 1.2, 300)

    curve = keys(phase, *points)

    np.testing.assert_allclose(keys(at, *points), values, atol=1e-9)
    for left, right in pairwise(points):
        between = curve[(phase >= left[0]) & (phase <= right[0])]
        assert (between >= min(left[1], right[1]) - 1e-9).all()
        assert (between <= max(left[1], right[1]) + 1e-9).all()
    assert (curve[phase < at[0]] == values[0]).all()


@given(points=points, phase=st.floats(0, 1))
def test_cycles_repeat(points, phase):
    once, later = cycle(np.array([phase, phase + 3.0]), *points)

    assert once == pytest.approx(later, abs=1e-6)


def test_a_swing_is_at_its_high_at_the_start():
    assert swing(np.array([0.25, 0.75]), -2.0, 6.0, start=0.25).tolist() == [6.0, -2.0]


@pytest.mark.parametrize("pitch", [-60.0, -20.0, 0.0, 15.0, 40.0])
def test_a_tilted_foot_stands_on_its_ball_or_its_heel(pitch):
    place = ankle(np.zeros(1), 0.0, np.zeros(1), np.array([pitch]))[0]
    angle = np.radians(pitch)
    pivot = -HEEL if pitch > 0 else FOOT_BALL

    # From the ankle along the sole to the pivot, in the foot's own frame, turned by the pitch.
    x = place[0] + pivot * np.cos(angle) + ANKLE * np.sin(angle)
    z = place[2] + pivot * np.sin(angle) - ANKLE * np.cos(angle)
    assert x == pytest.approx(pivot)
    assert z == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("stance", [0.35, 0.6])
def test_feet_take_turns(stance):
    gait = Gait(stride=1.2, stance=stance, lift=0.2)
    phase = np.linspace(0, 2, 400, endpoint=False)

    left, _ = gait.foot(phase, side="left")
    right, _ = gait.foot(phase, side="right")

    half = len(phase) // 4
    np.testing.assert_allclose(right[:-half, 0] + gait.stride / 2, left[half:, 0], atol=1e-9)
    assert (np.diff(left[:, 0]) > -0.03).all()  # feet go forward, or stand and roll
