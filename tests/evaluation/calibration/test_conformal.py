"""The mathematics of label sets, without a model."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actionclip.errors import ActionCLIPError
from actionclip.evaluation.calibration.conformal import clips_needed, fit_floor
from actionclip.model.scoring import in_set

SCORES = st.integers(2, 60).flatmap(
    lambda n: arrays(np.float64, n, elements=st.floats(0, 1, width=32))
)
COVERAGES = st.sampled_from([0.5, 0.8, 0.9, 0.95])


@given(scores=SCORES, coverage=COVERAGES)
def test_each_clip_left_out_is_covered_as_often_as_promised(scores, coverage):
    """Exchangeable clips: which is the one to come is chance, so all of them may be tried."""
    hits = [one >= fit_floor(np.delete(scores, n), coverage) for n, one in enumerate(scores)]

    assert np.mean(hits) >= coverage - 1e-9


@given(count=st.integers(20, 200), coverage=COVERAGES, seed=st.integers(0, 99))
def test_sets_are_no_larger_than_they_must_be(count, coverage, seed):
    scores = np.random.default_rng(seed).permutation(count) / count  # no two equal
    hits = [one >= fit_floor(np.delete(scores, n), coverage) for n, one in enumerate(scores)]

    assert coverage - 1e-9 <= np.mean(hits) <= coverage + 1 / count + 1e-9


@given(scores=SCORES, one=COVERAGES, other=COVERAGES)
def test_a_higher_promise_never_has_a_higher_floor(scores, one, other):
    low, high = sorted((one, other))

    assert fit_floor(scores, high) <= fit_floor(scores, low)


@given(scores=SCORES, coverage=COVERAGES, seed=st.integers(0, 99))
def test_the_order_of_the_clips_does_not_matter(scores, coverage, seed):
    mixed = np.random.default_rng(seed).permutation(scores)

    assert fit_floor(mixed, coverage) == fit_floor(scores, coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_too_few_clips_promise_nothing_less_than_all_labels(coverage):
    enough = clips_needed(coverage)

    assert fit_floor(np.full(enough, 0.7), coverage) == 0.7
    assert fit_floor(np.full(enough - 1, 0.7), coverage) == 0.0


@pytest.mark.parametrize("coverage", [1e-3, 1e-12])
def test_the_smallest_promise_takes_the_highest_score(coverage):
    assert fit_floor(np.array([0.2, 0.9, 0.5]), coverage) == 0.9
    assert fit_floor(np.zeros(0), coverage) == 0.0


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_coverage_that_is_none_is_an_error(coverage):
    with pytest.raises(ActionCLIPError, match="coverage"):
        fit_floor(np.ones(3), coverage)


@given(
    scores=arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)),
    floors=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    order=st.permutations(range(5)),
)
def test_sets_shrink_with_the_floor_and_follow_the_labels(scores, floors, order):
    low, high = (in_set(torch.from_numpy(scores), floor) for floor in sorted(floors))

    assert (low | high).equal(low)
    assert low.any(dim=1).all()
    assert high.any(dim=1).all()
    untied = torch.from_numpy(scores + np.arange(5, dtype=np.float32) * 2e-3)
    assert in_set(untied[:, list(order)], floors[0]).equal(
        in_set(untied, floors[0])[:, list(order)]
    )


def test_coverage_on_exchangeable_scores_is_what_was_promised():
    """A hundred draws of 50 clips that calibrate and 500 to come."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(100):
        scores = rng.beta(4, 2, 550)
        floor = fit_floor(scores[:50], 0.9)
        shares.append((scores[50:] >= floor).mean())

    # exactly k / (n + 1) with k = 46 of 51 on average; the deviation of a draw is about 0.041
    assert np.mean(shares) == pytest.approx(46 / 51, abs=4 * 0.041 / 10)
