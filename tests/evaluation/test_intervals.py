"""Intervals by hand, and what draws of a bootstrap are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionclip.evaluation.intervals import bootstrap, drawn_weights, percentiles, wilson


def test_every_draw_has_as_many_groups_as_there_are():
    groups = ["a", "a", "b", "c", "c", "c"]

    [weights] = drawn_weights(groups, draws=500, seed=1)

    assert weights.shape == (500, 6)
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    assert weights[:, 2].mean() == pytest.approx(1, abs=0.15)


def test_the_same_seed_draws_the_same():
    first, again, other = (next(drawn_weights(list("abcdefgh"), seed=s)) for s in (3, 3, 4))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_large_tables_are_drawn_in_parts():
    groups = [str(number) for number in range(50_000)]

    parts = list(drawn_weights(groups, draws=100))

    assert len(parts) == 2
    assert sum(len(part) for part in parts) == 100
    assert (np.concatenate(parts).sum(axis=1) == 50_000).all()


def test_the_interval_of_a_share_is_that_of_the_textbook():
    """70 of 100: the normal interval is 0.7 +- 1.96 sqrt(0.7 * 0.3 / 100) = 0.610 to 0.790."""
    hits = np.arange(100) < 70
    groups = [str(number) for number in range(100)]

    drawn = bootstrap(lambda weights: weights @ hits / 100, groups, draws=20_000)

    assert percentiles(drawn) == pytest.approx((0.610, 0.790), abs=0.011)


def test_clips_of_one_recording_are_not_independent():
    """Ten recordings of ten like clips tell less than a hundred clips."""
    hits = np.repeat(np.arange(10) < 7, 10)
    recordings = [str(number // 10) for number in range(100)]

    drawn = bootstrap(lambda w: w @ hits / w.sum(axis=1), recordings, draws=20_000)

    assert percentiles(drawn) == pytest.approx((0.4, 1.0), abs=0.05)


def test_wilson_by_hand():
    """8 of 10: (0.8 + 1.9208/10 -+ 1.96 sqrt(0.16/10 + 0.9604/100)) / 1.38416"""
    found = wilson(8, 10)

    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert math.isnan(wilson(0, 0).value)


@given(trials=st.integers(1, 500), data=st.data())
def test_wilson_holds_the_share_and_stays_inside(trials, data):
    successes = data.draw(st.integers(0, trials))

    found = wilson(successes, trials)

    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_draws_without_a_value_are_left_out():
    assert percentiles(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    assert all(map(math.isnan, percentiles(np.array([np.nan]))))
    assert bootstrap(lambda weights: weights.sum(axis=1), [], draws=10).shape == (0,)
