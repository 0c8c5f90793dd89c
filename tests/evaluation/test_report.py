"""What a test leaves behind."""

import csv
import errno
import json
import re
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from actionclip.data.manifest import Manifest, Row
from actionclip.errors import ActionCLIPError, StorageError
from actionclip.evaluation.metrics import Sheet, calibration_error, single_label
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
from actionclip.model.weights.files import Content, text_content
from actionclip.video.decode import DecodePool
from evaluation.sheets import CLASSES, SCORES, TRUTH, evaluation_of, sheet_of
from sample_videos import write_video


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


@pytest.mark.parametrize(
    "damage", ["empty", "short", "other bytes", "a changed byte", "another compression"]
)
def test_damaged_scores_are_refused(tmp_path, damage):
    write_results(evaluation_of(sheet_of(SCORES, TRUTH)), tmp_path)
    whole = (tmp_path / "scores.npz").read_bytes()
    with ZipFile(tmp_path / "scores.npz") as archive:
        first = archive.infolist()[0]
    start = first.header_offset + 30 + int.from_bytes(whole[26:28], "little")
    start += int.from_bytes(whole[28:30], "little")
    method = whole.index(b"PK\x01\x02") + 10  # in the list at the end
    damaged = {
        "empty": b"",
        "short": whole[: len(whole) // 2],
        "other bytes": b"PK\x03\x04" + bytes(100),
        "another compression": whole[:method] + b"\x63" + whole[method + 1 :],
        "a changed byte": whole[:start] + b"\xff" + whole[start + 1 :],
    }
    (tmp_path / "scores.npz").write_bytes(damaged[damage])

    with pytest.raises(ActionCLIPError, match="cannot be read as the results"):
        read_results(tmp_path)


def named(*names):
    """What stands in for pictures."""
    return {name: text_content("of another test") for name in names}


def test_what_an_earlier_test_left_is_removed(tmp_path):
    """Another protocol draws other pictures; files of somebody else stay."""
    sheet = sheet_of(SCORES, TRUTH)
    parts = [replace(sheet, name=name) for name in ("base", "novel")]
    old = [f"confusion{end}.{kind}" for end in ("-base", "-novel") for kind in ("csv", "png")]
    pictures = named(*old, "reliability.png", "mistakes.html")
    write_results(evaluation_of(*parts, protocol="base-to-novel"), tmp_path, more=pictures)
    kept = {"confusion-notes.csv", "confusion_mine.png", "notes.txt", "vectors/block-000000.npz"}
    (tmp_path / "vectors").mkdir()
    for name in kept:
        (tmp_path / name).touch()
    written = {"results.json", "clips.csv", "per_class.csv", "scores.npz"}

    again = named("confusion.csv", "confusion.png", "reliability.png")
    write_results(evaluation_of(sheet_of(SCORES[:3], TRUTH[:3])), tmp_path, more=again)

    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == written | kept | set(again)
    ranked = replace(sheet, are_probabilities=False)
    write_results(evaluation_of(ranked, protocol="multi-label"), tmp_path)
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == written | kept | {"failures.csv"}


def test_all_that_is_drawn_is_known_when_it_has_to_be_removed(tmp_path):
    sheet = sheet_of(SCORES, TRUTH, root=tmp_path)
    other = replace(sheet, name="sets/novel", classes=(*CLASSES[:2], CLASSES[2], "new"))
    wide = replace(other, scores=np.hstack([sheet.scores, np.zeros((5, 1), np.float32)]))
    evaluation = evaluation_of(replace(sheet, name="base"), wide, protocol="base-to-novel")
    with DecodePool(1) as pool:
        pictures = draw_pictures(evaluation, pool, "a title")
    assert "confusion-novel.png" in pictures
    write_results(evaluation, tmp_path / "out", more=pictures)

    write_results(evaluation_of(sheet), tmp_path / "out")

    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {*("results.json", "clips.csv", "per_class.csv", "scores.npz", "failures.csv")}


def test_nothing_is_removed_when_nothing_could_be_written(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    evaluation = evaluation_of(sheet_of(SCORES, TRUTH))
    write_results(evaluation, tmp_path, more=named("confusion.csv", "reliability.png"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(StorageError):
        write_results(evaluation, tmp_path, more={"mistakes.html": Content(1, full)})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


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


def test_the_page_says_of_which_stretch_a_mistake_is(tmp_path):
    times = ((None, None), (2.0, None), (None, 1.5), (0.5, 1.0))
    rows = tuple(Row("1.mp4", (CLASSES[1],), *each) for each in times)
    scores = np.array([[0.8, 0.1, 0.1]] * 4, np.float32)
    sheet = Sheet("all", CLASSES, rows, scores, tmp_path)
    manifests = {"all": Manifest(rows, CLASSES, tmp_path)}

    with DecodePool(1) as pool:
        page = mistakes_page(worst_mistakes([sheet]), manifests, pool, title="", clips=4)

    for told in ("1.mp4<", "(2 to the end)", "(0 to 1.5 s)", "(0.5 to 1 s)"):
        assert page.count(told) == 1


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
