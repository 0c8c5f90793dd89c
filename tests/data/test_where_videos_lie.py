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


def test_a_clip_of_another_class_is_not_taken_for_its_suffix(tmp_path):
    folder = ucf(tmp_path / "ucf", tmp_path / "elsewhere")
    touch(folder, f"A/{CLIP.format(8)}.avi", f"B/{CLIP.format(8)}.mp4")

    paths = [row.path for row in read_data(folder).manifest.rows]

    assert paths == [f"Archery/{CLIP.format(n)}.avi" for n in (9, 8)]  # as listed: not found


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
