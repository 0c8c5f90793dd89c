"""Segments from scores: what holds for any scores, and a few by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.segments import (
    Rules,
    Run,
    edges_of,
    find_segments,
    smooth,
    tidy,
)

LABELS = ("walk", "run", "a jump", "B")
seconds = st.floats(0, 3, allow_nan=False)


@st.composite
def scored(draw, ties=True):
    """Windows, the scores of some labels and perhaps of none of them, and rules."""
    count, labels = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    stride, window = draw(st.sampled_from([0.25, 0.5, 1.0])), draw(st.sampled_from([1.0, 2.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.random((count, labels))
    if ties and draw(st.booleans()):
        scores = scores.round(1)
    start = np.arange(count) * stride
    leave = draw(st.floats(0, 1))
    rules = Rules(
        enter=draw(st.floats(leave, 1)),
        leave=leave,
        smooth=draw(seconds),
        min_length=draw(seconds),
        merge_gap=draw(seconds),
    )
    none = rng.random(count) if draw(st.booleans()) else None
    return scores, start, start + window, LABELS[:labels], rules, none


def found(case, **options):
    scores, start, end, labels, rules, none = case
    return find_segments(scores, start, end, labels, rules, none=none, **options)


@given(scored(), st.booleans())
def test_segments_are_sorted_inside_the_video_and_as_long_as_asked(case, multi_label):
    segments = found(case, multi_label=multi_label)

    assert segments == sorted(segments)
    for one in segments:
        assert case[1][0] <= one.start < one.end <= case[2][-1]
        assert len(case[0]) == 1 or one.end - one.start >= case[4].min_length
        assert 0 <= one.score <= 1
        assert one.label in case[3]


@given(scored())
def test_segments_of_a_label_are_disjoint_and_apart(case):
    for label in case[3]:
        mine = [one for one in found(case, multi_label=True) if one.label == label]
        for before, after in itertools.pairwise(mine):
            assert after.start - before.end > case[4].merge_gap


@given(scored())
def test_one_at_a_time_means_that_none_overlap(case):
    segments = found(case)

    for before, after in itertools.pairwise(segments):
        assert before.end <= after.start


@given(scored(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_labels_does_not_matter(case, multi_label, random):
    scores, start, end, labels, rules, none = case
    order = list(range(len(labels)))
    random.shuffle(order)

    shuffled = (scores[:, order], start, end, tuple(labels[k] for k in order), rules, none)

    assert found(shuffled, multi_label=multi_label) == found(case, multi_label=multi_label)


@pytest.mark.parametrize("stride", [0.1, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("gap", [False, True])
def test_a_length_that_is_just_right_is_right_everywhere(stride, gap):
    """Half a second between segments is closed, and a segment of a second stays, wherever it is."""
    start = np.arange(400) * stride  # windows as long as their distance: no edge between two
    end = start + stride
    rules = Rules(smooth=0.0, min_length=1.0, merge_gap=0.5)
    second, half = round(1 / stride), max(1, round(0.5 / stride))
    counts = set()
    for first in range(1, 400 - 2 * second - half - 1):
        scores = np.zeros((400, 1))
        scores[first : first + second] = 0.9
        if gap:
            scores[first + second + half : first + 2 * second + half] = 0.9
        counts.add(len(find_segments(scores, start, end, ["a"], rules)))

    closed = half * stride <= 0.5 + 1e-9
    assert counts == {1 if closed or not gap else 2}


def test_a_film_of_a_single_window_may_be_shorter_than_the_least_length():
    start, end = np.array([0.0]), np.array([0.1])

    assert find_segments(np.array([[0.1, 0.9]]), start, end, ("a", "b"), Rules()) == [
        (0.0, 0.1, "b", 0.9)
    ]
    assert find_segments(np.array([[0.1, 0.2]]), start, end, ("a", "b"), Rules()) == []


@given(scored(ties=False), st.booleans())
def test_backwards_in_time_the_same_is_found_backwards(case, multi_label):
    scores, start, end, labels, rules, none = case
    whole = start[0] + end[-1]

    back = (
        scores[::-1],
        whole - end[::-1],
        whole - start[::-1],
        labels,
        rules,
        None if none is None else none[::-1],
    )

    turned = sorted(
        (whole - s.end, whole - s.start, s.label) for s in found(back, multi_label=True)
    )
    assert (
        np.allclose(
            [one[:2] for one in turned],
            [one[:2] for one in found(case, multi_label=True)],
        )
        or not turned
    )
    assert [one[2] for one in turned] == [one.label for one in found(case, multi_label=True)]


@st.composite
def runs(draw):
    """Runs that no two labels share, the edges of their windows, and rules."""
    owners = draw(st.lists(st.integers(-1, 2), min_size=1, max_size=40))
    rules = Rules(min_length=draw(seconds), merge_gap=draw(seconds))
    made, first = [], 0
    for place in range(1, len(owners) + 1):
        if place == len(owners) or owners[place] != owners[first]:
            if owners[first] >= 0:
                made.append(Run(first, place - 1, owners[first]))
            first = place
    return made, np.arange(len(owners) + 1) * 0.5, rules


@given(runs(), st.booleans())
def test_tidying_twice_changes_nothing(case, exclusive):
    made, edges, rules = case

    once = tidy(made, edges, rules, exclusive=exclusive)

    assert tidy(once, edges, rules, exclusive=exclusive) == once


@given(runs())
def test_merging_never_covers_another_label(case):
    made, edges, rules = case

    kept = tidy(made, edges, rules, exclusive=True)

    for before, after in itertools.pairwise(kept):
        assert before.last < after.first


@given(scored())
def test_smoothing_stays_between_the_extremes_and_treats_labels_alike(case):
    scores, start, end, *_ = case
    times = (start + end) / 2

    smoothed = smooth(scores, times, case[4].smooth)

    assert (smoothed >= scores.min(axis=0) - 1e-12).all()
    assert (smoothed <= scores.max(axis=0) + 1e-12).all()
    for column in range(scores.shape[1]):
        alone = smooth(scores[:, [column]], times, case[4].smooth)
        assert np.array_equal(alone[:, 0], smoothed[:, column])
    assert np.allclose(smooth(np.full_like(scores, 0.25), times, 1.0), 0.25)


def windows(*columns, stride=1.0):
    scores = np.array(columns, float).T
    start = np.arange(len(scores)) * stride
    return scores, start, start + stride


def test_a_score_that_swings_about_one_threshold_is_one_segment():
    scores, start, end = windows([0.1, 0.6, 0.4, 0.6, 0.4, 0.6, 0.1])
    rules = Rules(enter=0.5, leave=0.3, min_length=0, merge_gap=0)

    [segment] = find_segments(scores, start, end, ["run"], rules)

    assert (segment.start, segment.end) == (1.0, 6.0)
    assert segment.score == pytest.approx(0.52)


def test_what_never_reaches_the_threshold_is_nothing():
    scores, start, end = windows([0.4, 0.45, 0.4])

    assert find_segments(scores, start, end, ["run"], Rules(enter=0.5, leave=0.3)) == []


def test_what_just_reaches_a_threshold_or_a_length_counts():
    rules = Rules(enter=0.5, leave=0.25, min_length=3, merge_gap=0)
    scores, start, end = windows([0.2, 0.25, 0.5, 0.25, 0.2])

    [segment] = find_segments(scores, start, end, ["run"], rules)

    assert (segment.start, segment.end) == (1.0, 4.0)


def test_a_short_interruption_is_closed_and_a_short_flash_dropped():
    rules = Rules(enter=0.5, leave=0.5, min_length=2, merge_gap=1)
    scores, start, end = windows([1, 1, 1, 0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])

    segments = find_segments(scores, start, end, ["run", "jump"], rules)

    assert [(s.start, s.end, s.label) for s in segments] == [(0.0, 6.0, "run")]


def test_several_labels_hold_at_once_only_where_asked():
    scores, start, end = windows([0.9, 0.9, 0.9, 0.2], [0.2, 0.8, 0.8, 0.8])
    rules = Rules(enter=0.5, leave=0.5, min_length=0)

    together = find_segments(scores, start, end, ["wave", "walk"], rules, multi_label=True)
    alone = find_segments(scores, start, end, ["wave", "walk"], rules)

    assert [(s.start, s.end, s.label) for s in together] == [(0, 3, "wave"), (1, 4, "walk")]
    assert [(s.start, s.end, s.label) for s in alone] == [(0, 3, "wave"), (3, 4, "walk")]


def test_none_of_these_makes_a_gap():
    scores, start, end = windows([0.6, 0.4, 0.6])
    rules = Rules(enter=0.5, leave=0.3, min_length=0, merge_gap=0)

    segments = find_segments(scores, start, end, ["run"], rules, none=np.array([0.1, 0.6, 0.1]))

    assert [(s.start, s.end) for s in segments] == [(0.0, 1.0), (2.0, 3.0)]


def test_windows_speak_for_the_time_around_their_middles():
    assert edges_of(np.array([0.0]), np.array([1.5])).tolist() == [0.0, 1.5]
    assert find_segments(np.zeros((0, 1)), np.zeros(0), np.zeros(0), ["run"], Rules()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"enter": 0.2, "leave": 0.3}, {"leave": -1.0}, {"smooth": -1.0}, {"merge_gap": np.inf}],
)
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ActionCLIPError):
        Rules(**wrong)


def test_a_threshold_takes_the_lower_one_along():
    rules = Rules(enter=0.5, leave=0.3).entering_at(0.25)

    assert (rules.enter, rules.leave) == (0.25, pytest.approx(0.15))
    assert rules.leaving_at(0.2).leave == 0.2
    assert rules.leaving_at(None) == rules
