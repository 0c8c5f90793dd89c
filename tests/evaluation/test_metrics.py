"""Every number against scikit-learn, and by hand."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from actionclip.data.manifest import Row
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.intervals import Estimate
from actionclip.evaluation.metrics import Sheet, calibration_error, multi_label, single_label
from actionclip.evaluation.precision import weighted_average_precision


def sheet_of(scores, labels, classes=None, **more):
    scores = np.asarray(scores, np.float32)
    names = classes or tuple(f"class {number}" for number in range(scores.shape[1]))
    rows = tuple(
        Row(f"{place}.mp4", tuple(names[n] for n in np.atleast_1d(label)))
        for place, label in enumerate(labels)
    )
    return Sheet("all", names, rows, scores, **more)


def random_sheet(clips=300, classes=8, seed=0, unread=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, clips)
    logits = rng.normal(size=(clips, classes))
    logits[np.arange(clips), truth] += 1.5
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores[:unread] = np.nan
    return sheet_of(scores, truth)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_accuracies_are_those_of_scikit_learn(seed):
    sheet = random_sheet(seed=seed)

    found = {name: each.value for name, each in single_label(sheet).metrics.items()}

    best = sheet.scores.argmax(axis=1)
    assert found["top1"] == pytest.approx(sk.accuracy_score(sheet.truth, best))
    assert found["top5"] == pytest.approx(sk.top_k_accuracy_score(sheet.truth, sheet.scores, k=5))
    assert found["mean_class"] == pytest.approx(sk.balanced_accuracy_score(sheet.truth, best))


def test_accuracies_by_hand():
    """Three clips of a, one of b, one of them unreadable; nobody shows c."""
    scores = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [np.nan] * 3, [0.1, 0.6, 0.3]]

    numbers = single_label(sheet_of(scores, [0, 0, 0, 1], ("a", "b", "c")))

    found = {name: each.value for name, each in numbers.metrics.items()}
    assert found["top1"] == 2 / 4
    assert found["top3"] == 3 / 4
    assert found["mean_class"] == pytest.approx((1 / 3 + 1 / 1) / 2)
    first, second, third = numbers.per_class
    assert (first.clips, first.result.value, first.confused) == (3, pytest.approx(1 / 3), "b")
    assert (first.confused_clips, second.confused, third.clips) == (1, "", 0)
    assert numbers.notes[:3] == [
        "1 clip of 4 could not be read and counted as wrong.",
        "1 of 3 labels have no clip: they compete, and are left out of the mean over classes.",
        "There are 3 labels: top-3 stands for top-5.",
    ]


def test_of_equal_scores_the_earlier_label_is_the_answer():
    found = single_label(sheet_of([[0.5, 0.5], [0.5, 0.5]], [0, 1]), draws=0).metrics

    assert found["top1"].value == 0.5


def test_a_single_label_is_always_right():
    found = single_label(sheet_of([[1.0], [np.nan]], [0, 0])).metrics

    assert {name: found[name].value for name in ("top1", "mean_class")} == {
        "top1": 0.5,
        "mean_class": 0.5,
    }


def test_a_ranking_of_clips_none_of_which_could_be_read_is_no_ranking():
    """Equal places would give each label the share of its clips."""
    nothing = sheet_of(np.full((4, 3), np.nan), [0, 1, 1, 0], are_probabilities=False)

    found = multi_label(nothing, draws=20)

    assert found.metrics == {"map": Estimate(0.0, 0.0, 0.0)}
    assert [row.result for row in found.per_class[:2]] == [Estimate(0.0, 0.0, 0.0)] * 2
    assert np.isnan(found.per_class[2].result.value)
    assert "4 clips of 4 could not be read and counted as wrong." in found.notes


def test_when_nothing_could_be_read_everything_is_wrong():
    numbers = single_label(sheet_of(np.full((3, 2), np.nan), [0, 1, 1]))

    assert numbers.metrics["top1"].value == 0
    assert "ece" not in numbers.metrics


@pytest.mark.parametrize("unread", [0, 30])
def test_intervals_hold_the_value(unread):
    numbers = single_label(random_sheet(unread=unread))

    for name in ("top1", "top5", "mean_class"):
        found = numbers.metrics[name]
        assert found.low < found.value < found.high
    assert numbers.metrics["top1"].high - numbers.metrics["top1"].low == pytest.approx(
        0.11, abs=0.03
    )


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(("recordings", "reach"), [(12, 0.2425), (3, 0.5615)])
def test_clips_that_are_all_right_or_all_wrong_promise_nothing_of_others(right, recordings, reach):
    """Wilson's interval of 12 and of 3 trials: 3.8416 / (12 + 3.8416) and 3.8416 / 6.8416."""
    truth = np.arange(12) % 2
    sheet = sheet_of(np.eye(2)[truth if right else 1 - truth], truth)
    rows = tuple(replace(row, group=str(n % recordings)) for n, row in enumerate(sheet.rows))

    found = single_label(replace(sheet, rows=rows)).metrics

    for name in ("top1", "mean_class"):
        assert found[name].value == right
        assert found[name].high - found[name].low == pytest.approx(reach, abs=1e-4)
    assert 0 <= found["top1"].low <= found["top1"].value <= found["top1"].high <= 1


@pytest.mark.parametrize("measure", [single_label, multi_label])
def test_clips_of_one_recording_have_no_interval(measure):
    """Stretches of one film: every draw is the same clips, and no width is not certainty."""
    scores = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]
    sheet = sheet_of(scores, [0, 1, 1, 0])
    rows = tuple(replace(row, path="film.mp4", start=float(n)) for n, row in enumerate(sheet.rows))

    numbers = measure(replace(sheet, rows=rows))

    assert all(np.isnan([each.low, each.high]).all() for each in numbers.metrics.values())
    assert [note for note in numbers.notes if "interval" in note.lower()] == [
        "There are no intervals: all clips are of one recording, which does not say how much "
        "another would differ."
    ]


def test_several_labels_need_the_protocol_for_them():
    with pytest.raises(ActionCLIPError, match="multi-label"):
        single_label(sheet_of([[0.5, 0.5]], [[0, 1]]))


def several(clips=60, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = [rng.permutation(classes)[: rng.integers(1, 4)] for _ in range(clips)]
    scores = rng.normal(size=(clips, classes)).round(1)  # with equal ones
    for place, some in enumerate(labels):
        scores[place, some] += 1
    return sheet_of(scores, labels, are_probabilities=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_is_that_of_scikit_learn(seed):
    sheet = several(seed=seed)

    numbers = multi_label(sheet)

    expected = sk.average_precision_score(sheet.targets, sheet.scores, average=None)
    assert [row.result.value for row in numbers.per_class] == pytest.approx(list(expected))
    assert numbers.metrics["map"].value == pytest.approx(expected.mean())
    assert numbers.metrics["map"].low < numbers.metrics["map"].value < numbers.metrics["map"].high


def test_average_precision_by_hand():
    """Ranked yes, no, yes: (1/1 + 2/3) / 2. An unreadable clip comes last: yes: 3/4 more."""
    scores = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
    sheet = sheet_of(scores, [[0], [1], [0]], are_probabilities=False)
    assert multi_label(sheet).per_class[0].result.value == pytest.approx((1 + 2 / 3) / 2)

    sheet = sheet_of([*scores, [np.nan] * 2], [[0], [1], [0], [0]], are_probabilities=False)
    assert multi_label(sheet).per_class[0].result.value == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def many_labels_few_clips(seed, clips=60, classes=60):
    rng = np.random.default_rng(seed)
    targets = rng.random((clips, classes)) < 0.05
    targets[~targets.any(axis=1), 0] = True
    scores = rng.normal(size=targets.shape) + targets
    labels = [np.flatnonzero(row) for row in targets]
    return sheet_of(scores, labels, are_probabilities=False)


def test_the_interval_of_mean_average_precision_holds_what_other_clips_give():
    """A clip that is drawn twice raises the average precision of its labels."""
    found = [
        multi_label(many_labels_few_clips(seed), draws=200).metrics["map"] for seed in range(30)
    ]

    usual = np.mean([each.value for each in found])
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found)
    assert sum(each.low <= usual <= each.high for each in found) >= 26


def test_a_label_without_clips_has_no_average_precision():
    sheet = sheet_of([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], [[0], [1]], are_probabilities=False)

    numbers = multi_label(sheet)

    assert np.isnan(numbers.per_class[2].result.value)
    assert numbers.metrics["map"].value == 1
    assert "1 of 3 labels have no clip" in numbers.notes[0]


def test_clips_that_count_several_times_are_those_of_scikit_learn():
    sheet = several(clips=40)
    weights = np.random.default_rng(5).integers(0, 4, (6, 40))

    found = weighted_average_precision(sheet.scores[:, 2], sheet.targets[:, 2], weights)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [
            sk.average_precision_score(sheet.targets[:, 2], sheet.scores[:, 2], sample_weight=w)
            for w in weights
        ]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_clips_that_could_not_be_read_are_passed_together(place):
    """Yes, then one of three unread clips, wherever it is listed: (1/1 + 2/4) / 2."""
    scores = np.array([0.9, -np.inf, -np.inf, -np.inf])

    found = weighted_average_precision(
        scores, np.isin(np.arange(4), [0, place]), np.ones((1, 4), np.int64)
    )

    assert found.tolist() == [(1 + 2 / 4) / 2]


def test_the_calibration_error_by_hand():
    """Two clips at 0.9, one right; two at 0.7, both right: (2 * |0.5 - 0.9| + 2 * 0.3) / 4."""
    scores = [[0.9, 0.1], [0.9, 0.1], [0.7, 0.3], [0.3, 0.7]]

    assert calibration_error(sheet_of(scores, [0, 1, 0, 1])) == pytest.approx(0.35, abs=1e-6)


def test_an_honest_model_has_a_small_calibration_error():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20_000)
    truth = (rng.uniform(size=20_000) > sure).astype(int)

    assert calibration_error(sheet_of(np.stack([sure, 1 - sure], axis=1), truth)) < 0.015
