"""What a test leaves behind, and comparisons of two of them."""

import csv
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from actionclip.data.manifest import Manifest, Row
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.metrics import Sheet, calibration_error, multi_label, single_label
from actionclip.evaluation.protocols import PROTOCOLS
from actionclip.evaluation.report.compare import compare
from actionclip.evaluation.report.confusion import (
    confusion,
    confusion_csv,
    confusion_picture,
    most_confused,
)
from actionclip.evaluation.report.folder import read_results, to_dict, write_results
from actionclip.evaluation.report.mistakes import mistakes_page, worst_mistakes
from actionclip.evaluation.report.pictures import draw_pictures
from actionclip.evaluation.report.reliability import reliability, reliability_picture
from actionclip.evaluation.result import Evaluation, Failure, PartResult, summarise
from actionclip.video.decode import DecodePool
from sample_videos import write_video

CLASSES = ("hop", "run", 'sit & "stay"')


def sheet_of(scores, truth, classes=CLASSES, root=None, start=None):
    rows = tuple(
        Row(f"{number}.mp4", (classes[label],), start=start, end=None if start is None else 9.0)
        for number, label in enumerate(truth)
    )
    scores = np.asarray(scores, np.float32)
    return Sheet("all", classes, rows, scores, root or Path())


def evaluation_of(*sheets, protocol="closed-set"):
    plan = PROTOCOLS[protocol]
    measure = multi_label if plan.multi_label else single_label
    parts = [PartResult(sheet, measure(sheet, draws=100)) for sheet in sheets]
    failures = [
        Failure(row.path, "unreadable", "no video", "")
        for row, read in zip(sheets[0].rows, sheets[0].read, strict=True)
        if not read
    ]
    count = len({clip for sheet in sheets for clip in sheet.clips})
    return Evaluation(plan, parts, summarise(plan, parts), failures, count)


SCORES = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.5, 0.1, 0.4]]
TRUTH = [0, 1, 1, 2, 2]


def test_what_is_written_is_read_again(tmp_path):
    sheet = sheet_of(SCORES, TRUTH, start=1.5)
    write_results(evaluation_of(sheet), tmp_path, data="five clips")

    found, [again] = read_results(tmp_path)

    assert found == json.loads((tmp_path / "results.json").read_text())
    assert (found["data"], found["clips"], found["failed"]) == ("five clips", 5, 1)
    assert found["adds_up"] is True
    np.testing.assert_array_equal(again.scores, sheet.scores)
    assert (again.rows, again.classes) == (sheet.rows, sheet.classes)
    numbers = single_label(again, draws=0).metrics["top1"].value
    assert numbers == found["summary"]["top1"]["value"] == 2 / 5


def test_the_tables_say_what_every_clip_was_taken_for(tmp_path):
    write_results(evaluation_of(sheet_of(SCORES, TRUTH)), tmp_path)

    clips = list(csv.DictReader((tmp_path / "clips.csv").read_text().splitlines()))
    assert [row["answer"] for row in clips] == ["hop", "hop", "run", "", "hop"]
    assert [row["place"] for row in clips] == ["1", "2", "1", "", "2"]
    assert [row["read"] for row in clips] == ["1", "1", "1", "0", "1"]
    classes = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert [row["label"] for row in classes] == list(CLASSES)
    assert [float(row["value"]) for row in classes] == [1, 0.5, 0]
    assert classes[2]["taken_for"] == "hop"
    assert "0.mp4" not in (tmp_path / "failures.csv").read_text()
    assert "3.mp4,unreadable" in (tmp_path / "failures.csv").read_text()

    write_results(evaluation_of(sheet_of(SCORES[:3], TRUTH[:3])), tmp_path)
    assert not (tmp_path / "failures.csv").exists()


def test_json_on_one_line_leaves_out_the_classes():
    row = to_dict(evaluation_of(sheet_of(SCORES, TRUTH)), classes=False)

    assert "per_class" not in row["parts"][0]
    assert row["value"] == row["summary"]["top1"]["value"]
    json.loads(json.dumps(row, allow_nan=False))


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ActionCLIPError, match="cannot be read as the results"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ActionCLIPError, match=r"must hold results\.json"):
        read_results(tmp_path)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    sheet = sheet_of(rng.normal(size=(200, 3)), truth)

    table = confusion([sheet])

    expected = sk.confusion_matrix(truth, sheet.scores.argmax(axis=1))
    np.testing.assert_array_equal(table[:, :3], expected)
    assert confusion([sheet, sheet]).sum() == 400


def test_the_confusion_matrix_by_hand():
    table = confusion([sheet_of(SCORES, TRUTH)])

    assert table.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1]]
    assert most_confused(CLASSES, table) == [("run", "hop", 1, 2), (CLASSES[2], "hop", 1, 2)]
    lines = list(csv.reader(confusion_csv(CLASSES, table).splitlines()))
    assert lines[0] == ["true", *CLASSES, "(not read)"]
    assert lines[3] == [CLASSES[2], "1", "0", "0", "1"]


def test_a_class_with_dollars_is_no_formula():
    classes = ("$\\frac$", "\u8dd1\u6b65")  # no formula, and letters that the font lacks
    table = np.array([[1, 2, 0], [0, 3, 0]])

    assert Image.open(BytesIO(confusion_picture(classes, table))).width >= 560


@pytest.mark.parametrize("count", [2, 60])
def test_the_picture_grows_with_the_classes(count):
    classes = tuple(f"action number {number}" for number in range(count))
    table = np.eye(count, count + 1, dtype=np.int64) * 3

    picture = Image.open(BytesIO(confusion_picture(classes, table)))

    assert picture.width >= max(560, 16 * count)
    assert picture.height >= 16 * count
    colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24) or []}
    assert (42, 127, 98) in colours


def test_the_bins_are_those_of_the_calibration_error():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(400, 3)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sheet = sheet_of(scores, rng.integers(0, 3, 400))

    found = reliability([sheet])

    assert found.clips.sum() == 400
    assert found.error == pytest.approx(calibration_error(sheet), abs=1e-6)
    assert Image.open(BytesIO(reliability_picture(found))).width > 400


def test_a_score_on_an_edge_belongs_to_the_bin_above():
    found = reliability([sheet_of([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], [0, 0])], bins=4)

    assert found.clips.tolist() == [0, 0, 1, 1]


def test_the_worst_mistakes_come_first():
    mistakes = worst_mistakes([sheet_of(SCORES, TRUTH)])

    assert [m.row.path for m in mistakes] == ["1.mp4", "4.mp4"]
    assert mistakes[0].answers == (("hop", pytest.approx(0.6)),)
    assert mistakes[0].right == ("run", pytest.approx(0.3), 2)
    assert worst_mistakes([sheet_of(SCORES, TRUTH)] * 3, most=1) == mistakes[:1]


def test_the_page_holds_its_pictures_and_no_tags_of_others(tmp_path):
    rows = (Row("1.mp4", ("run",)), Row("<gone>.mp4", (CLASSES[2],)))
    write_video(tmp_path / "1.mp4", frames=6, size=(32, 48))
    sheet = Sheet("all", CLASSES, rows, np.array([[0.8, 0.1, 0.1]] * 2, np.float32), tmp_path)

    with DecodePool(1) as pool:
        page = mistakes_page(
            worst_mistakes([sheet]),
            {"all": Manifest(rows, CLASSES, tmp_path)},
            pool,
            title="<b>mine</b>",
            clips=2,
        )

    assert page.count("data:image/jpeg;base64,") == 4
    assert "no frames" in page
    assert "&lt;b&gt;mine" in page
    assert "<gone>" not in page
    assert "sit &amp; &quot;stay&quot;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_everything_is_drawn(tmp_path):
    sheet = sheet_of(SCORES, TRUTH)
    with DecodePool(1) as pool:
        one = draw_pictures(evaluation_of(sheet), pool, "a title")
        parts = [replace(sheet, name=name, classes=CLASSES) for name in ("base", "novel")]
        other = replace(parts[1], classes=("hop", "run", CLASSES[2], "new"))
        wide = np.hstack([other.scores, np.zeros((5, 1), np.float32)])
        two = draw_pictures(
            evaluation_of(parts[0], replace(other, scores=wide), protocol="base-to-novel"),
            pool,
            "a title",
        )
        several = replace(sheet, are_probabilities=False)
        ranked = draw_pictures(evaluation_of(several, protocol="multi-label"), pool, "a title")

    assert sorted(one) == ["confusion.csv", "confusion.png", "mistakes.html", "reliability.png"]
    assert {"confusion-base.png", "confusion-novel.png"} <= set(two)
    assert sorted(ranked) == ["mistakes.html"]


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


def test_what_cannot_be_compared(two_tests, tmp_path):
    write_results(
        evaluation_of(sheet_of(SCORES, TRUTH), protocol="zero-shot"), tmp_path / "another"
    )
    write_results(evaluation_of(sheet_of(SCORES, TRUTH)), tmp_path / "fewer")

    with pytest.raises(ActionCLIPError, match="different protocols"):
        compare(two_tests[0], tmp_path / "another")
    with pytest.raises(ActionCLIPError, match=r"35 clips are in .*before alone"):
        compare(two_tests[0], tmp_path / "fewer")
