"""A look at a data set finds bad files and leaks before a training does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionclip.data.inspection.opening import describe, inspect
from actionclip.data.inspection.sheet import COLUMNS, PAPER, choose, draw_sheet
from actionclip.data.layouts.base import Options
from actionclip.data.layouts.recognise import Data, read_data
from actionclip.data.manifest import Manifest, Row, read_manifest, write_manifest
from actionclip.errors import StorageError
from actionclip.video.decode import DecodePool
from sample_videos import write_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Six different videos of 1 s, and one of them in another format."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(6):
        write_video(folder / f"{seed}.mp4", frames=12, size=(64, 96), seed=seed)
    write_video(folder / "0.avi", frames=12, size=(64, 96), seed=0, codec="mpeg4")
    (folder / "bad.mp4").write_bytes(b"this is no video")
    return folder


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1) as pool:
        yield pool


def lay(folder, clips, **files):
    """Copy videos to where a data set has them: `{path: name of the video}`."""
    for path, name in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / name, folder / path)
    return folder


GOOD = {
    "train/run/a.mp4": "0.mp4",
    "train/hop/b.mp4": "1.mp4",
    "test/run/c.mp4": "2.mp4",
    "test/hop/d.mp4": "3.mp4",
}


def test_a_good_data_set_has_no_problem(tmp_path, clips, pool):
    seen = []

    found = inspect(read_data(lay(tmp_path, clips, **GOOD)), pool, seen=seen.append)

    assert found.problems == found.warnings == []
    assert (found.layout, found.clips, found.videos) == ("folders", 4, 4)
    assert found.splits == {"train": 2, "test": 2}
    assert found.per_class == {"hop": {"test": 1, "train": 1}, "run": {"test": 1, "train": 1}}
    assert found.durations is not None
    assert found.durations.median == pytest.approx(1.0, abs=0.05)
    assert found.durations.total == pytest.approx(4.0, abs=0.2)
    assert [clip.seconds is not None for clip in seen] == [True] * 4
    assert json.loads(json.dumps(found.to_dict()))["splits"] == {"train": 2, "test": 2}


def test_files_that_are_bad_or_not_there_are_listed(tmp_path, clips, pool):
    lay(tmp_path, clips, **GOOD, **{"train/run/e.mp4": "bad.mp4"})
    write_manifest(read_data(tmp_path).manifest, tmp_path / "all.csv")
    (tmp_path / "test/run/c.mp4").unlink()

    found = inspect(read_data(tmp_path / "all.csv"), pool)

    assert found.missing == ["test/run/c.mp4"]
    assert [(bad.path, bad.status, bad.labels) for bad in found.bad] == [
        ("train/run/e.mp4", "unreadable", ("run",))
    ]
    assert found.problems == [
        "1 file not there, for example test/run/c.mp4.",
        "1 file not readable (1 unreadable).",
    ]


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("test/run/other name.mp4", "0.mp4", "content"),
        ("test/run/a.avi", "0.avi", "name"),
    ],
)
def test_a_copy_in_the_test_is_a_leak(tmp_path, clips, pool, path, name, kind):
    lay(tmp_path, clips, **GOOD, **{path: name})

    found = inspect(read_data(tmp_path), pool)

    (leak,) = found.leaks
    assert (leak.kind, leak.splits) == (kind, ("test", "train"))
    assert set(leak.paths) == {"train/run/a.mp4", path}
    assert "train/run/a.mp4" in found.problems[0]


def test_another_clip_of_the_same_name_is_none(tmp_path, clips, pool):
    lay(tmp_path, clips, **GOOD, **{"test/run/a.mp4": "4.mp4"})

    assert inspect(read_data(tmp_path), pool).leaks == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("v_Archery_g08_c01.mp4", "v_Archery_g08_c02.mp4"),
        ("-3B32lodo2M_000059_000069.mp4", "-3B32lodo2M_000100_000110.mp4"),
    ],
)
def test_clips_of_one_recording_in_both_are_a_leak(tmp_path, clips, pool, name, other):
    lay(tmp_path, clips, **GOOD, **{f"train/run/{name}": "4.mp4", f"test/run/{other}": "5.mp4"})

    found = inspect(read_data(tmp_path), pool)

    (leak,) = found.leaks
    assert leak.kind == "recording"
    assert found.problems[0].startswith("1 recording with clips in test and train")


def rows_of(clips, *rows):
    return Data(Manifest(rows, root=clips), "manifest", "rows of a test")


def test_times_of_one_video_may_not_overlap_between_splits(clips, pool):
    found = inspect(
        rows_of(
            clips,
            Row("0.mp4", ("run",), 0.0, 0.4, "train"),
            Row("0.mp4", ("run",), 0.3, 0.9, "test"),
            Row("1.mp4", ("run",), 0.0, 0.4, "train"),
            Row("1.mp4", ("run",), 0.4, None, "test"),
        ),
        pool,
    )

    (leak,) = found.leaks
    assert (leak.kind, leak.paths) == ("interval", ("0.mp4",))
    assert found.videos == 2
    assert found.durations is not None
    assert found.durations.shortest == pytest.approx(0.4)


def test_unused_clips_do_not_leak(clips, pool):
    rows = (Row("0.mp4", ("run",), split="train"), Row("0.mp4", ("run",), split="unused"))

    assert inspect(rows_of(clips, *rows), pool).leaks == []


def test_a_clip_under_two_labels_is_a_problem_and_a_copy_a_warning(tmp_path, clips, pool):
    lay(tmp_path, clips, **{"run/a.mp4": "0.mp4", "hop/b.mp4": "0.mp4", "hop/c.mp4": "1.mp4"})
    lay(tmp_path, clips, **{"hop/d.mp4": "1.mp4"})

    found = inspect(read_data(tmp_path), pool)

    assert found.problems == [
        "1 clip under different labels, for example hop/b.mp4, run/a.mp4 (hop and run)."
    ]
    assert found.warnings[0].startswith("2 clips there several times in one split")


def test_times_after_the_end_and_classes_without_training_are_problems(clips, pool):
    found = inspect(
        rows_of(
            clips,
            Row("0.mp4", ("run",), 5.0, 9.0, "train"),
            Row("1.mp4", ("hop",), split="test"),
            Row("2.mp4", ("run",), split="test"),
        ),
        pool,
    )

    assert [row.path for row in found.never] == ["0.mp4"]
    assert found.problems == [
        "1 clip that would begin after the end of the video, for example 0.mp4.",
        "No clip to train on for hop.",
    ]


def test_an_end_after_that_of_the_video_is_no_problem(clips, pool):
    """Charades is full of them: the times were written down for films that were longer."""
    late, rounded = Row("0.mp4", ("run",), 0.2, 9.0), Row("1.mp4", ("run",), 0.2, 1.3)

    found = inspect(rows_of(clips, late, rounded), pool)

    assert found.problems == []
    assert found.outside == ["0.mp4"]
    assert any("1 clip with an end after that of the video" in line for line in found.warnings)


def test_what_is_written_can_be_read(clips, tmp_path, command_line):
    rows = (Row("0.mp4", ("run",), 5.0, 9.0), Row("1.mp4", ("hop",)), Row("bad.mp4", ("hop",)))
    write_manifest(Manifest(rows, root=clips), tmp_path / "all.csv")

    done = command_line("data", "inspect", "all.csv", "--write", "good.csv", "--workers", "1")

    assert done.exit_code == 3
    assert [Path(row.path).name for row in read_manifest(tmp_path / "good.csv").rows] == ["1.mp4"]


def test_imbalance_and_empty_classes_are_worth_a_warning():
    rows = [Row(f"{i}.mp4", ("run",), split="train") for i in range(30)]
    rows += [Row("x.mp4", ("hop",), split="train"), Row("y.mp4", ("run",), split="test")]
    manifest = Manifest(tuple(rows), ("run", "hop", "swim"))

    found = describe(Data(manifest, "manifest", "rows of a test"))

    assert found.imbalance == 30
    assert found.warnings == [
        "No clip to test hop with.",
        "No clip at all for swim.",
        "The largest class has 30 times the clips of the smallest.",
    ]


def test_folders_of_frames_are_opened_too(tmp_path, pool):
    for split, name, shade in (("train", "a", 40), ("test", "b", 40), ("test", "c", 200)):
        folder = tmp_path / split / "run" / name
        folder.mkdir(parents=True)
        (tmp_path / split / "hop" / f"{split}{name}").mkdir(parents=True)
        for i in range(3):
            image = Image.new("RGB", (32, 24), (shade, 10 * i, 0))
            image.save(folder / f"img_{i:05d}.jpg")
            image.rotate(90).save(tmp_path / split / "hop" / f"{split}{name}" / f"img_{i:05d}.png")

    found = inspect(read_data(tmp_path), pool)

    assert found.bad == []
    assert {leak.kind for leak in found.leaks} == {"content"}
    assert ("test/run/b", "train/run/a") in [leak.paths for leak in found.leaks]


def test_the_sheet_shows_clips_of_every_class_and_split(tmp_path, clips, pool):
    data = read_data(lay(tmp_path, clips, **GOOD, **{"test/run/e.mp4": "bad.mp4"}))
    chosen = choose(data.manifest)
    keep = {row.path for rows in chosen.values() for row in rows}

    found = inspect(data, pool, keep=keep)
    draw_sheet(data.manifest, found.pictures, tmp_path / "new" / "sheet.png")

    assert {name: [row.split for row in rows] for name, rows in chosen.items()} == {
        "hop": ["train", "test"],
        "run": ["train", "test", "test"],
    }
    assert set(found.pictures) == {*keep} - {"test/run/e.mp4"}
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    assert sheet.shape[2] == 3
    assert tuple(sheet[-1, -1]) == (255, 255, 255) == tuple(bytes.fromhex(PAPER[1:]))
    lines = (sheet.std(axis=(1, 2)) > 20).astype(int)
    assert (np.diff(lines) == 1).sum() >= 2, "a line of pictures for each class"


def test_a_long_class_is_spread_over_the_sheet():
    rows = tuple(Row(f"{i}.mp4", ("run",)) for i in range(100))

    (chosen,) = choose(Manifest(rows)).values()

    assert len(chosen) == COLUMNS
    assert (chosen[0].path, chosen[-1].path) == ("0.mp4", "99.mp4")


def test_a_sheet_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"sheet\.png could not be written: .* is a file"):
        draw_sheet(Manifest((Row("a.mp4", ("бег",)),)), {}, tmp_path / "file" / "sheet.png")


def test_ucf_clips_of_real_people_are_all_readable(videos, pool):
    found = inspect(read_data(videos / "ucf6_dev"), pool)

    assert found.problems == []
    assert (found.clips, len(found.classes)) == (89, 6)
    assert found.repeated[0].paths == (
        "BasketballDunk/v_BasketballDunk_g08_c03.avi",
        "BasketballDunk/v_BasketballDunk_g08_c04.avi",
    )


def test_a_manifest_of_real_people_is_read_with_its_root(videos, pool, tmp_path):
    names = sorted(path.name for path in (videos / "weizmann_dev").glob("*.avi"))
    rows = ["path,label,group,split"]
    for name in names:
        person, action = name.removesuffix(".avi").split("_")
        rows.append(f"{name},{action},{person},{'test' if person == 'daria' else 'train'}")
    (tmp_path / "all.csv").write_text("\n".join(rows) + "\n")

    data = read_data(tmp_path / "all.csv", options=Options(root=videos / "weizmann_dev"))
    found = inspect(data, pool)

    assert found.problems == []
    assert found.splits == {"train": 20, "test": 10}
    assert len(found.classes) == 10
