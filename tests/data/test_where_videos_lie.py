"""Videos are found behind links, beside pictures, and where a data set has them in two forms."""

from pathlib import Path

import pytest

from actionclip.data.layouts.base import Options
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import read_manifest, write_manifest
from actionclip.errors import ActionCLIPError

CLIP = "v_Archery_g0{}_c01"


def ucf(folder, videos):
    """Lists of two splits that trade their clips, and clips in a folder."""
    lists = folder / "annotations"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\n")
    for fold, (train, test) in enumerate([(9, 8), (8, 9)], start=1):
        (lists / f"trainlist0{fold}.txt").write_text(f"Archery/{CLIP.format(train)}.avi 1\n")
        (lists / f"testlist0{fold}.txt").write_text(f"Archery/{CLIP.format(test)}.avi\n")
    touch(videos, *(f"Archery/{CLIP.format(number)}.avi" for number in (8, 9)))
    return folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(folder):
    """The paths of a data set, each of which has to be there."""
    data = read_data(folder)
    assert [note for note in data.notes if "names of the classes" not in note] == []
    for row in data.manifest.rows:
        assert data.manifest.source(row).path.exists(), row.path
    return sorted(row.path for row in data.manifest.rows)


def test_a_link_to_another_disk_is_followed_and_a_loop_of_links_ends(tmp_path):
    disk = tmp_path / "disk"
    folder = ucf(tmp_path / "ucf", disk / "ucf")
    (folder / "videos").symlink_to(disk / "ucf")
    (disk / "ucf/again").symlink_to(disk / "ucf")
    (folder / "above").symlink_to("..")

    assert found(folder) == [f"videos/Archery/{CLIP.format(n)}.avi" for n in (8, 9)]


def test_a_picture_beside_the_classes_hides_none_of_them(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "ucf/UCF-101")
    touch(folder, "UCF-101/overview.png", "UCF-101/Archery/thumbnail.jpg")

    assert found(folder) == [f"UCF-101/Archery/{CLIP.format(n)}.avi" for n in (8, 9)]


def test_of_a_video_and_its_frames_the_list_says_which(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "ucf/videos")
    for number in (8, 9):
        touch(folder, f"rawframes/Archery/{CLIP.format(number)}/img_00001.jpg")
    assert found(folder) == [f"videos/Archery/{CLIP.format(n)}.avi" for n in (8, 9)]

    frames = tmp_path / "frames"
    frames.mkdir()
    (folder / "rawframes").rename(frames / "rawframes")
    (folder / "videos").rename(frames / "videos")
    names = [f"Archery/{CLIP.format(number)}" for number in (8, 9)]
    (frames / "ucf_train_rawframes.txt").write_text("".join(f"{name} 1 0\n" for name in names))
    (frames / "label_map.txt").write_text("Archery\n")
    assert found(frames) == [f"rawframes/{name}" for name in names]


def test_two_copies_are_said_to_be_two(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "ucf/videos")
    touch(folder, *(f"videos_256/Archery/{CLIP.format(number)}.avi" for number in (8, 9)))

    data = read_data(folder)

    clip = f"Archery/{CLIP.format(9)}.avi"
    assert data.notes == [
        f"2 clips of the list are there several times, for example videos/{clip} and "
        f"videos_256/{clip}. Say which are meant with --root."
    ]
    assert read_data(folder, options=Options(folder / "videos_256")).notes == []


def test_a_clip_of_an_official_list_that_is_gone_is_not_another(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "elsewhere")
    (folder / "annotations/classInd.txt").write_text("1 Archery\n2 Surfing\n")
    (folder / "annotations/trainlist01.txt").write_text("Archery/1.avi 1\nSurfing/1.avi 2\n")
    (folder / "annotations/testlist01.txt").write_text("Archery/2.avi\n")
    touch(folder, "UCF-101/Archery/1.avi", "UCF-101/Archery/2.avi")

    paths = [row.path for row in read_data(folder).manifest.rows]

    assert paths == ["UCF-101/Archery/1.avi", "Surfing/1.avi", "UCF-101/Archery/2.avi"]


def test_a_clip_of_another_class_is_not_taken_for_its_suffix(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "elsewhere")
    touch(folder, f"A/{CLIP.format(8)}.avi", f"B/{CLIP.format(8)}.mp4")

    paths = [row.path for row in read_data(folder).manifest.rows]

    assert paths == [f"Archery/{CLIP.format(n)}.avi" for n in (9, 8)]  # as listed: not found


def numbered(folder, *clips):
    """Lists for training and for testing, of clips that are called alike in each class or split."""
    folder.mkdir(exist_ok=True)
    (folder / "label_map.txt").write_text("walk\nrun\n")
    for split in ("train", "val"):
        lines = [f"{clip} {number}\n" for where, clip, number in clips if where == split]
        (folder / f"{split}.txt").write_text("".join(lines))


def rows_of(folder):
    data = read_data(folder)
    return [(row.path, *row.labels, row.split) for row in data.manifest.rows], data.notes[1:]


@pytest.mark.parametrize("lie", ["", "videos/"])
def test_a_clip_that_is_gone_is_not_one_of_that_name_elsewhere(tmp_path, lie):
    clips = [("train", "walk/1.mp4", 0), ("train", "walk/2.mp4", 0), ("val", "run/1.mp4", 1)]
    numbered(tmp_path, *clips, ("val", "run/2.mp4", 1))
    touch(tmp_path, f"{lie}walk/1.mp4", f"{lie}walk/2.mp4", f"{lie}run/1.mp4")

    rows, [note] = rows_of(tmp_path)

    assert rows == [
        (f"{lie}walk/1.mp4", "walk", "train"),
        (f"{lie}walk/2.mp4", "walk", "train"),
        (f"{lie}run/1.mp4", "run", "val"),
        ("run/2.mp4", "run", "val"),
    ]
    assert note.startswith("1 clip of the list is not below")
    assert "run/2.mp4" in note


def test_a_split_that_is_gone_is_not_the_other(tmp_path):
    numbered(tmp_path, ("train", "train/clips/1.mp4", 0), ("val", "val/clips/1.mp4", 1))
    touch(tmp_path, "train/clips/1.mp4")

    rows, [note] = rows_of(tmp_path)

    assert rows == [("train/clips/1.mp4", "walk", "train"), ("val/clips/1.mp4", "run", "val")]
    assert "val/clips/1.mp4" in note


def test_one_file_for_two_names_of_which_neither_says_its_folder_is_neither(tmp_path):
    numbered(tmp_path, ("train", "train/1.mp4", 0), ("val", "val/1.mp4", 1))
    touch(tmp_path, "1.mp4")

    rows, [note] = rows_of(tmp_path)

    assert [path for path, *_ in rows] == ["train/1.mp4", "val/1.mp4"]
    assert note.startswith("2 clips of the list are not below")


def test_lists_from_two_disks_lead_to_the_same_clip(tmp_path):
    """So that it is found out that the clip is in both."""
    numbered(tmp_path, ("train", "/data/walk/1.avi", 0), ("val", "/mnt/new/walk/1.mp4", 0))
    touch(tmp_path, "videos/walk/1.mp4")

    rows, notes = rows_of(tmp_path)

    assert [path for path, *_ in rows] == ["videos/walk/1.mp4"] * 2
    assert notes == []


@pytest.mark.parametrize("name", ["testlist02.txt", "trainlist02.txt"])
def test_a_list_of_another_split_is_not_taken_for_the_first(tmp_path, name):
    folder = ucf(tmp_path / "ucf", tmp_path / "ucf/videos")

    with pytest.raises(ActionCLIPError, match=r"is a list of split 2, and split 1 .*--fold 2"):
        read_data(folder / "annotations" / name)


def test_a_manifest_in_a_folder_that_is_a_link_leads_to_its_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = ucf(tmp_path / "ucf", tmp_path / "ucf/videos")
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "splits").symlink_to("disk/deep")

    for place in ("splits/all.csv", "splits/all.parquet"):
        write_manifest(read_data(folder).manifest, tmp_path / place)
        for named in (tmp_path / place, tmp_path / "disk/deep" / Path(place).name):
            manifest = read_manifest(named)
            assert len(manifest) == 2
            for row in manifest.rows:
                assert not Path(row.path).is_absolute()
                assert manifest.path_of(row).is_file()
                assert manifest.source(row).path == manifest.path_of(row).resolve()


def test_lists_made_on_windows_lead_to_the_clips(tmp_path):
    for name in ("run", "hop"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "1.mp4").write_bytes(b"x")
    (tmp_path / "train.txt").write_text("D:\\clips\\run\\1.mp4 0\nD:\\clips\\hop\\1.mp4 1\n")
    (tmp_path / "all.csv").write_text(
        "path,label\nvideos\\run\\1.mp4,run\nvideos\\hop\\1.avi,hop\n"
    )

    listed = read_data(tmp_path / "train.txt")
    table = read_data(tmp_path / "all.csv", options=Options(root=tmp_path))

    found = [("videos/run/1.mp4", ("run",)), ("videos/hop/1.mp4", ("hop",))]
    assert [(row.path, row.labels) for row in listed.manifest.rows] == found
    assert [(row.path, row.labels) for row in table.manifest.rows] == found


def test_a_table_from_another_disk_leads_to_the_clips_below_a_root(tmp_path):
    touch(tmp_path / "videos", "run/1.mp4", "hop/1.mp4", "2.mp4", "twice/3.mp4", "again/3.mp4")
    table = tmp_path / "all.csv"
    lines = ["/old/run/1.avi,run", "/old/hop/1.avi,hop", "2.mp4,run", "/old/3.mp4,hop"]
    table.write_text("\n".join(["path,label", *lines]))

    data = read_data(table, options=Options(root=tmp_path / "videos"))

    paths = [row.path for row in data.manifest.rows]
    assert paths == ["run/1.mp4", "hop/1.mp4", "2.mp4", "/old/3.mp4"]
    [note] = data.notes
    assert "1 clip of the list is there several times" in note
    assert read_data(table).manifest.rows[0].path == "/old/run/1.avi"
