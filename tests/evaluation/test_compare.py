"""Comparisons of two tests of the same clips."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from actionclip.data.manifest import Row
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.intervals import percentiles
from actionclip.evaluation.metrics import Sheet, multi_label
from actionclip.evaluation.report.compare import compare
from actionclip.evaluation.report.comparison_words import comparison_lines
from actionclip.evaluation.report.folder import read_results, write_results
from evaluation.sheets import CLASSES, SCORES, TRUTH, evaluation_of, sheet_of


@pytest.fixture
def two_tests(tmp_path):
    """Forty clips; the second test has ten more of them right and two fewer."""
    truth = np.arange(40) % 2
    right = np.eye(2, dtype=np.float32)[truth] * 0.6 + 0.2
    wrong = right[:, ::-1]
    was, now = right.copy(), right.copy()
    was[:16], now[6:16] = wrong[:16], right[6:16]
    now[:6], now[38:] = wrong[:6], wrong[38:]
    for name, scores in (("before", was), ("after", now)):
        write_results(evaluation_of(sheet_of(scores, truth, ("a", "b"))), tmp_path / name)
    return tmp_path / "before", tmp_path / "after"


def test_a_paired_difference(two_tests):
    found = compare(*two_tests)

    assert (found.before, found.after) == (24 / 40, 32 / 40)
    assert found.difference.value == pytest.approx(8 / 40)
    assert found.difference.low < 0.2 < found.difference.high
    assert not found.could_be_chance
    assert sorted(flip.row.path for flip in found.gained) == sorted(
        f"{n}.mp4" for n in range(6, 16)
    )
    assert [(f.row.path, f.before, f.after) for f in found.lost] == [
        ("38.mp4", "a", "b"),
        ("39.mp4", "b", "a"),
    ]
    assert [(row.label, row.clips) for row in found.classes] == [("a", 20), ("b", 20)]
    assert found.to_dict()["difference"]["value"] == 0.2


def test_clips_are_matched_by_name_and_not_by_place(two_tests, tmp_path):
    """Another machine may list a folder in another order."""
    [part] = read_results(two_tests[1])[1]
    turned = Sheet(part.name, part.classes, part.rows[::-1], part.scores[::-1])
    write_results(evaluation_of(turned), tmp_path / "turned")

    assert compare(two_tests[0], tmp_path / "turned") == compare(*two_tests)


def test_a_test_does_not_differ_from_itself(two_tests):
    found = compare(two_tests[0], two_tests[0])

    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.could_be_chance
    assert (found.gained, found.lost, found.classes) == ([], [], [])


def test_rankings_are_compared_too(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    for name, noise in (("before", 2.0), ("after", 0.3)):
        scores = np.eye(3)[truth] + rng.normal(size=(60, 3)) * noise
        sheet = replace(sheet_of(scores, truth), are_probabilities=False)
        write_results(evaluation_of(sheet, protocol="multi-label"), tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after")

    results, _ = read_results(tmp_path / "after")
    assert found.metric == "map"
    assert found.after == pytest.approx(results["value"], abs=1e-6)
    assert found.difference.low > 0


def ranked_parts(noise, seed=0, unread=0):
    """Two parts of other sizes and labels, some of whose recordings are the same."""
    rng = np.random.default_rng(seed)
    sheets = []
    for name, clips, classes in (("first", 60, ("a", "b", "c")), ("second", 30, ("c", "d"))):
        truth = rng.integers(0, len(classes), clips)
        scores = np.eye(len(classes))[truth] + rng.normal(size=(clips, len(classes))) * noise
        scores[:unread] = np.nan
        sheet = sheet_of(scores, truth, classes)
        sheets.append(replace(sheet, name=name, are_probabilities=False))
    return sheets


def test_rankings_of_several_parts_are_compared_each_and_together(tmp_path):
    for name, noise in (("before", 2.0), ("after", 0.4)):
        result = evaluation_of(*ranked_parts(noise), protocol="multi-label")
        write_results(result, tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after", draws=300)

    results = [read_results(tmp_path / name)[0] for name in ("before", "after")]
    values = [[part["metrics"]["map"]["value"] for part in one["parts"]] for one in results]
    assert found.clips == 90
    assert [part.name for part in found.parts] == ["first", "second"]
    assert [part.clips for part in found.parts] == [60, 30]
    assert [part.before for part in found.parts] == pytest.approx(values[0], abs=1e-6)
    assert [part.after for part in found.parts] == pytest.approx(values[1], abs=1e-6)
    assert (found.before, found.after) == pytest.approx([r["value"] for r in results], abs=1e-6)
    for each in (found, *found.parts):
        change = each.difference
        assert change.value == pytest.approx(each.after - each.before)
        assert 0 < change.low < change.value < change.high
    narrow, wide = (p.difference.high - p.difference.low for p in found.parts)
    assert narrow < wide
    assert {(row.part, row.label) for row in found.classes} == {
        *(("first", label) for label in "abc"),
        *(("second", label) for label in "cd"),
    }
    row = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [part["name"] for part in row["parts"]] == ["first", "second"]
    words = "\n".join(comparison_lines(found))
    assert "mAP of 90 clips, the mean of 2 parts" in words
    assert "second" in words


def test_accuracies_of_several_parts_are_compared_each_and_together(tmp_path):
    for name, noise in (("before", 2.0), ("after", 0.4)):
        sheets = [replace(sheet, are_probabilities=False) for sheet in ranked_parts(noise)]
        write_results(evaluation_of(*sheets, protocol="zero-shot"), tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after", draws=200)

    results = [read_results(tmp_path / name)[0] for name in ("before", "after")]
    values = [[part["metrics"]["top1"]["value"] for part in one["parts"]] for one in results]
    assert [part.before for part in found.parts] == pytest.approx(values[0], abs=1e-6)
    assert [part.after for part in found.parts] == pytest.approx(values[1], abs=1e-6)
    assert found.before == pytest.approx(np.average(values[0], weights=[60, 30]), abs=1e-6)
    for part in found.parts:
        assert part.difference.low < part.difference.value < part.difference.high
    assert "top-1 of 90 clips in 2 parts" in "\n".join(comparison_lines(found))


def test_base_and_novel_classes_are_compared_by_their_harmonic_mean(tmp_path):
    for name, noise in (("before", 2.0), ("after", 0.4)):
        sheets = [
            replace(sheet, name=part, are_probabilities=False)
            for sheet, part in zip(ranked_parts(noise), ("base", "novel"), strict=True)
        ]
        write_results(evaluation_of(*sheets, protocol="base-to-novel"), tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after", draws=300)

    values = [read_results(tmp_path / name)[0]["value"] for name in ("before", "after")]
    assert found.metric == "harmonic_mean"
    assert (found.before, found.after) == pytest.approx(values, abs=1e-6)
    change = found.difference
    assert change.value == pytest.approx(values[1] - values[0], abs=1e-6)
    assert change.low < change.value < change.high
    assert "harmonic mean of 90 clips in 2 parts" in "\n".join(comparison_lines(found))
    assert len(found.gained) > len(found.lost)


def test_parts_of_which_nothing_was_read_or_no_interval_is_wanted(tmp_path):
    for name, unread in (("before", 60), ("after", 10)):
        result = evaluation_of(*ranked_parts(0.4, unread=unread), protocol="multi-label")
        write_results(result, tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after", draws=0)

    assert [part.before for part in found.parts] == [0, 0]
    assert found.after > found.before == 0
    assert found.could_be_chance is None
    assert "[" not in "\n".join(comparison_lines(found))


def test_clips_of_one_recording_do_not_say_what_is_more_than_chance(tmp_path):
    truth = np.arange(12) % 3
    right = np.eye(3)[truth]
    for name, count in (("before", 4), ("after", 10)):
        scores = np.where(np.arange(12)[:, None] < count, right, 1 - right)
        sheet = sheet_of(scores, truth)
        rows = tuple(replace(r, path="film.mp4", start=float(n)) for n, r in enumerate(sheet.rows))
        write_results(evaluation_of(replace(sheet, rows=rows)), tmp_path / name)

    found = compare(tmp_path / "before", tmp_path / "after")

    assert found.difference.value == pytest.approx(0.5)
    assert all(math.isnan(one.difference.low) for one in (found, *found.parts))
    assert found.could_be_chance is None
    assert "chance" not in "\n".join(comparison_lines(found))


def test_what_cannot_be_compared(two_tests, tmp_path):
    write_results(
        evaluation_of(sheet_of(SCORES, TRUTH), protocol="zero-shot"), tmp_path / "another"
    )
    write_results(evaluation_of(sheet_of(SCORES, TRUTH)), tmp_path / "fewer")

    with pytest.raises(ActionCLIPError, match="different protocols"):
        compare(two_tests[0], tmp_path / "another")
    with pytest.raises(ActionCLIPError, match=r"35 clips are in .*before alone"):
        compare(two_tests[0], tmp_path / "fewer")


def test_rankings_with_unread_clips_are_those_of_the_results(tmp_path):
    """Clips that could not be read are last together, whatever their place in the list."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 40)
    sheets = {}
    for name, noise in (("before", 2.0), ("after", 0.5)):
        scores = np.eye(3)[truth] + rng.normal(size=(40, 3)) * noise
        scores[5:12] = np.nan
        sheets[name] = replace(sheet_of(scores, truth), are_probabilities=False)
        write_results(evaluation_of(sheets[name], protocol="multi-label"), tmp_path / name)
    turned = replace(
        sheets["before"], rows=sheets["before"].rows[::-1], scores=sheets["before"].scores[::-1]
    )
    write_results(evaluation_of(turned, protocol="multi-label"), tmp_path / "turned")

    found = compare(tmp_path / "before", tmp_path / "after", draws=100)

    was, now = (multi_label(sheets[name], draws=100) for name in ("before", "after"))
    assert (found.before, found.after) == (was.metrics["map"].value, now.metrics["map"].value)
    change = now.metrics["map"].value - was.metrics["map"].value
    interval = percentiles(now.draws["map"] - was.draws["map"], about=change)
    assert (found.difference.low, found.difference.high) == pytest.approx(interval)
    other = compare(tmp_path / "turned", tmp_path / "after", draws=0)
    assert (other.before, other.after) == (found.before, found.after)


def test_without_an_interval_nothing_is_said_about_chance(two_tests):
    found = compare(*two_tests, draws=0)

    assert found.could_be_chance is None
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["could_be_chance"] is None


def listed(labels, scores):
    """One file, listed once for each label."""
    rows = tuple(Row("daria_walk.avi", (label,)) for label in labels)
    return Sheet("all", CLASSES, rows, np.asarray(scores, np.float32))


@pytest.mark.parametrize("labels", [("run", "hop", "hop"), ("hop", "hop", "hop")])
def test_a_clip_that_is_listed_twice_does_not_differ_from_itself(tmp_path, labels):
    scores = [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]
    write_results(evaluation_of(listed(labels, scores)), tmp_path / "one")
    turned = listed(labels[1:] + labels[:1], scores[1:] + scores[:1])
    write_results(evaluation_of(turned), tmp_path / "turned")

    found = compare(tmp_path / "one", tmp_path / "one")

    assert found.before == found.after == pytest.approx(labels[:2].count("hop") / 3)
    assert (found.gained, found.lost, found.classes) == ([], [], [])
    if len(set(labels)) > 1:  # of rows that are alike in all, the first is matched with the first
        assert compare(tmp_path / "one", tmp_path / "turned").gained == []


def test_a_clip_that_is_listed_otherwise_is_refused(tmp_path):
    scores = [[0.8, 0.1, 0.1]] * 2
    for name, labels in (("one", ("hop", "run")), ("two", ("hop", "hop")), ("three", ("hop",))):
        sheet = listed(labels, scores[: len(labels)])
        write_results(evaluation_of(sheet), tmp_path / name)

    with pytest.raises(ActionCLIPError, match=r"daria_walk\.avi has other labels in .*two"):
        compare(tmp_path / "one", tmp_path / "two")
    with pytest.raises(ActionCLIPError, match=r"1 clips are in .*two alone and 0 in .*three"):
        compare(tmp_path / "two", tmp_path / "three")
