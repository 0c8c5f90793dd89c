"""Every layout people have is recognised and read; labels go by name, never by position."""

import json
from collections import Counter

import pytest

from actionclip.data import label_sets
from actionclip.data.layouts.base import Options
from actionclip.data.layouts.recognise import LAYOUTS, read_data, recognise
from actionclip.data.manifest import Manifest, Row, write_manifest
from actionclip.data.splits import few_shot, half_classes
from actionclip.errors import ActionCLIPError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def lay_manifest(folder):
    touch(folder, "clips/a.mp4", "clips/b c.mp4")
    rows = (Row("clips/a.mp4", ("run",), split="train"), Row("clips/b c.mp4", ("hop",), 0.5, 2.0))
    write_manifest(Manifest(rows, root=folder), folder / "all.csv")


def lay_folders(folder):
    touch(folder, "run/1.mp4", "run/2.avi", "hop, skip/día 1.webm", "README.md")


def lay_ucf(folder):
    touch(folder, "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.mp4")
    touch(folder, "UCF-101/Archery/v_Archery_g08_c01.avi", "UCF-101/Archery/v_Archery_g01_c02.avi")
    lists = folder / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Archery", "2 HandstandPushups")
    for fold in (1, 2):
        train = "Archery/v_Archery_g08_c01.avi 1"
        test = "Archery/v_Archery_g01_c02.avi"
        if fold == 2:
            train, test = f"{test} 1", train.removesuffix(" 1")
        write(
            lists / f"trainlist0{fold}.txt",
            train,
            "HandstandPushups/v_HandStandPushups_g01_c01.avi 2",
        )
        write(lists / f"testlist0{fold}.txt", test)


def lay_hmdb(folder):
    for name in ("kick", "kick_ball"):
        clips = [f"Film_{name}_f_cm_np1_le_med_{i}.avi" for i in range(3)]
        touch(folder, *(f"videos/{name}/{clip}" for clip in clips))
        for fold in (1, 2):
            kinds = (1, 2, 0) if fold == 1 else (2, 1, 0)
            lines = [f"{clip} {kind} " for clip, kind in zip(clips, kinds, strict=True)]
            write(folder / "testTrainMulti_7030_splits" / f"{name}_test_split{fold}.txt", *lines)


def lay_kinetics(folder):
    touch(
        folder,
        "train/opening door/-3B32lodo2M_000059_000069.mp4",
        "val/abcdefghijk_000000_000010.mkv",
    )
    header = "label,youtube_id,time_start,time_end,split"
    write(folder / "kinetics_train.csv", header, '"opening door",-3B32lodo2M,59,69,train')
    write(folder / "kinetics_val.csv", header, "yoga,abcdefghijk,0,10,validate")


def lay_ssv2(folder):
    touch(folder, "20bn-something-something-v2/78687.webm", "20bn-something-something-v2/2.webm")
    labels = {"Holding something next to something": "1", "Closing something": "0"}
    entry = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    other = {"id": "2", "label": "closing a box", "template": "Closing [something]"}
    for name, data in {
        "labels": labels,
        "train": [entry],
        "validation": [other],
        "test": [{"id": "3"}],
    }.items():
        write(folder / f"something-something-v2-{name}.json", json.dumps(data))


def lay_charades(folder):
    touch(folder, "Charades_v1_480/46GP8.mp4", "Charades_v1_480/N11GT.mp4")
    write(
        folder / "Charades_v1_classes.txt", "c000 Holding some clothes", "c001 Opening a door, fast"
    )
    for split, row in {
        "train": ["46GP8", '"A ""person"", walks."', "c001 0.00 12.60;c000 11.90 21.20;c001 14 15"],
        "test": ["N11GT", "Nothing.", ""],
    }.items():
        write(folder / f"Charades_v1_{split}.csv", "id,script,actions", ",".join(row))


def lay_activitynet(folder):
    touch(folder, "videos/v_---9CpRcKoU.mp4", "videos/v_abcdefghijk.mkv", "videos/12345678901.mp4")
    database = {
        "---9CpRcKoU": activity("training", ("Archery", 0.5, 12.5), ("Archery", 13, 14)),
        "abcdefghijk": activity("validation", ("Playing piano", 0, 3), ("Archery", 4, 4)),
        "12345678901": activity("testing"),
    }
    data = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    write(folder / "activity_net.v1-3.min.json", json.dumps(data))


def activity(subset, *actions):
    listed = [{"segment": [start, end], "label": label} for label, start, end in actions]
    return {"duration": 14.07, "subset": subset, "url": "https://...", "annotations": listed}


def lay_diving48(folder):
    for split, number in {"train": 0, "test": 1}.items():
        name = f"6mK-KqG33bc_0010{number}"
        touch(folder, f"rgb/{name}.mp4")
        entry = {"vid_name": name, "label": number, "start_frame": 0, "end_frame": 97}
        write(folder / f"Diving48_V2_{split}.json", json.dumps([entry]))
    vocabulary = [["Back", "15som", "05Twis", "FREE"], ["Inward", "15som", "NoTwis", "TUCK"]]
    write(folder / "Diving48_vocab.json", json.dumps(vocabulary))


def lay_mmaction2(folder):
    touch(folder, "videos/run/a b.mp4", "videos/hop/c.mp4")
    write(folder / "label_map.txt", "run", "hop")
    write(folder / "my_train_list.txt", "run/a b.mp4 0")
    write(folder / "my_val_list.txt", "hop/c.mp4 1", "")


def lay_rawframes(folder):
    touch(folder, "rawframes/run/a/img_00001.jpg", "rawframes/hop/c/img_00001.jpg")
    write(folder / "label_map.txt", "run", "hop")
    write(folder / "train_rawframes.txt", "run/a 117 0")
    write(folder / "val_rawframes.txt", "hop/c 8 1")


def lay_slowfast(folder):
    touch(folder, "run/a.mp4", "hop/c.mp4")
    write(folder / "class_names.json", json.dumps({"run": 0, "hop": 1}))
    write(folder / "train.csv", f"{folder}/run/a.mp4 0")
    write(folder / "test.csv", f"{folder}/hop/c.mp4 1")


def lay_authors(folder):
    touch(folder, "frames/run/a/img_00001.jpg", "frames/hop/c/img_00001.jpg")
    write(folder / "my_labels.csv", "id,name", "0,run", "1,hop")
    write(folder / "train_frames.txt", "/public/datasets/frames/run/a 117 0")
    write(folder / "val_frames.txt", "/public/datasets/frames/hop/c 8 1")


LAID = {
    "manifest": (lay_manifest, {"train": 1, "": 1}),
    "folders": (lay_folders, {"": 3}),
    "ucf101": (lay_ucf, {"train": 2, "test": 1}),
    "hmdb51": (lay_hmdb, {"train": 2, "test": 2, "unused": 2}),
    "kinetics": (lay_kinetics, {"train": 1, "val": 1}),
    "ssv2": (lay_ssv2, {"train": 1, "val": 1, "test": 1}),
    "charades": (lay_charades, {"train": 1, "test": 1}),
    "activitynet": (lay_activitynet, {"train": 1, "val": 1, "test": 1}),
    "diving48": (lay_diving48, {"train": 1, "test": 1}),
    "mmaction2": (lay_mmaction2, {"train": 1, "val": 1}),
    "mmaction2-rawframes": (lay_rawframes, {"train": 1, "val": 1}),
    "slowfast": (lay_slowfast, {"train": 1, "test": 1}),
    "authors": (lay_authors, {"train": 1, "val": 1}),
}


@pytest.fixture(params=LAYOUTS)
def laid(request, tmp_path):
    folder = tmp_path / "my data"
    lay, counts = LAID[request.param]
    lay(folder)
    return request.param, folder, counts


def test_every_layout_is_recognised_with_a_reason(laid):
    name, folder, counts = laid

    data = read_data(folder)

    assert data.layout == name == recognise(folder)[0].name
    assert data.why == recognise(folder)[1] != ""
    assert Counter(row.split for row in data.manifest.rows) == counts
    assert read_data(folder, layout=name).manifest == data.manifest


def test_every_layout_finds_its_videos(laid):
    name, folder, _ = laid
    manifest = read_data(folder).manifest

    missing = [row.path for row in manifest.rows if not manifest.path_of(row).exists()]

    assert missing == (["3.webm"] if name == "ssv2" else [])  # a test clip that was not laid out


def test_every_layout_becomes_a_manifest(laid, tmp_path):
    _, folder, _ = laid
    manifest = read_data(folder).manifest

    write_manifest(manifest, tmp_path / "all.csv")
    again = read_data(tmp_path / "all.csv")

    assert again.layout == "manifest"
    assert again.manifest.classes == manifest.classes
    assert [row.labels for row in again.manifest.rows] == [row.labels for row in manifest.rows]
    assert [again.manifest.path_of(r) for r in again.manifest.rows] == [
        manifest.path_of(row) for row in manifest.rows
    ]


@pytest.mark.parametrize("below", [".", "splits"])
def test_draws_in_a_data_set_do_not_change_how_it_is_read(laid, below):
    name, folder, _ = laid
    before = read_data(folder)
    rows = tuple(Row(f"{c}{i}.mp4", (c,)) for c in ("run", "hop") for i in range(3))
    drawn = Manifest(rows, ("run", "hop"), folder)

    few_shot(drawn, shots=[1, 2]).write(folder / below)
    half_classes(Manifest(rows, root=folder), draws=1).write(folder / below)

    assert read_data(folder) == before
    assert read_data(folder, layout=name).manifest == before.manifest
    assert read_data(folder / below / "few-shot-k1-seed0.csv").layout == "manifest"


def test_a_draw_in_a_folder_of_videos_hides_none_of_them(tmp_path):
    lay_folders(tmp_path)
    before = read_data(tmp_path)

    half_classes(before.manifest, draws=1).write(tmp_path / "run")

    assert read_data(tmp_path) == before


def test_a_folder_with_a_draw_and_nothing_else_is_the_draw(tmp_path):
    rows = tuple(Row(f"{c}{i}.mp4", (c,)) for c in ("run", "hop") for i in range(3))
    few_shot(Manifest(rows, root=tmp_path), shots=[1]).write(tmp_path / "mine")

    assert read_data(tmp_path / "mine").layout == "manifest"


def test_every_layout_says_when_it_is_not_there(laid):
    name, folder, _ = laid
    other = "kinetics" if name != "kinetics" else "ssv2"

    with pytest.raises(ActionCLIPError, match=f"not laid out like {other}"):
        read_data(folder, layout=other)


def test_folders_with_splits(tmp_path):
    touch(tmp_path, "train/run/1.mp4", "train/hop/1.mp4", "valid/run/2.mp4", "test/hop/x/img_1.jpg")

    manifest = read_data(tmp_path).manifest

    assert manifest.classes == ("hop", "run")
    assert sorted((row.split, row.path) for row in manifest.rows) == [
        ("test", "test/hop/x"),
        ("train", "train/hop/1.mp4"),
        ("train", "train/run/1.mp4"),
        ("val", "valid/run/2.mp4"),
    ]


@pytest.mark.parametrize("tops", [("train", "test"), ("train", "validation"), ("train",)])
def test_folders_of_splits_are_no_classes_whatever_lies_beside_them(tmp_path, tops):
    touch(tmp_path, *(f"{top}/{name}/1.mp4" for top in tops for name in ("run", "hop")))
    touch(tmp_path, "raw/1.mp4", "raw/2.mp4")

    data = read_data(tmp_path)

    assert data.manifest.classes == ("hop", "run")
    assert len(data.manifest.splits) == len(tops)
    assert data.notes == ["The folder raw is of no split: its 2 videos are left out."]


@pytest.mark.parametrize("file", ["{}.mp4", "{}/img_1.jpg"])
def test_a_class_may_be_called_like_a_split(tmp_path, file):
    clips = [file.format(f"{name}/{i}") for name in ("train", "bus") for i in range(2)]
    touch(tmp_path, *clips)

    assert read_data(tmp_path).manifest.classes == ("bus", "train")


def test_folders_say_what_they_leave_out(tmp_path):
    lay_folders(tmp_path)
    touch(tmp_path, "extra.mp4", "empty/notes.md")

    assert read_data(tmp_path).notes == [
        "The folder empty has no video.",
        "1 video lies in no class folder and is left out.",
    ]


def test_folders_with_splits_say_what_they_leave_out(tmp_path):
    touch(tmp_path, "train/run/1.mp4", "train/hop/1.mp4", "test/1.mp4", "test/2.mp4", "0.mp4")

    assert read_data(tmp_path).notes == ["3 videos lie in no class folder and are left out."]


def test_folders_of_classes_may_lead_elsewhere(tmp_path):
    touch(tmp_path, "store/1.mp4", "set/run/0.mp4", "set/hop/2.mp4")
    (tmp_path / "set" / "run" / "more").symlink_to(tmp_path / "store")

    rows = read_data(tmp_path / "set").manifest.rows

    assert sorted(row.path for row in rows) == ["hop/2.mp4", "run/0.mp4", "run/more/1.mp4"]


def test_ucf_goes_by_the_name_of_the_class_and_knows_the_recording(tmp_path):
    lay_ucf(tmp_path)

    first, second = (read_data(tmp_path, options=Options(fold=n)).manifest for n in (1, 2))

    assert first.classes == ("Archery", "HandstandPushups")
    assert {(r.labels[0], r.split, r.group) for r in first.rows} == {
        ("Archery", "train", "Archery/g08"),
        ("Archery", "test", "Archery/g01"),
        ("HandstandPushups", "train", "HandStandPushups/g01"),
    }
    assert [r.group for r in second.rows if r.split == "test"] == ["Archery/g08"]
    assert read_data(tmp_path / "ucfTrainTestlist").manifest.rows[0].labels == ("Archery",)
    with pytest.raises(ActionCLIPError, match=r"no lists for split 3.*--fold"):
        read_data(tmp_path, options=Options(fold=3))


def test_a_ucf_list_of_another_order_is_refused(tmp_path):
    lay_ucf(tmp_path)
    write(tmp_path / "ucfTrainTestlist" / "classInd.txt", "1 HandstandPushups", "2 Archery")

    with pytest.raises(
        ActionCLIPError, match=r"trainlist01.txt:1: .* has the number 1.*Archery the number 2"
    ):
        read_data(tmp_path)


def test_hmdb_counts_what_a_split_does_not_use(tmp_path):
    lay_hmdb(tmp_path)

    first, second = (read_data(tmp_path, options=Options(fold=n)) for n in (1, 2))

    assert first.manifest.classes == ("kick", "kick_ball")
    assert first.notes == ["2 clips are in neither part of split 1."]
    tests = [[r.path for r in d.manifest.rows if r.split == "test"] for d in (first, second)]
    assert {path[-5] for path in tests[0]} == {"1"}, "2 in a list is test"
    assert {path[-5] for path in tests[1]} == {"0"}
    assert {row.group for row in first.manifest.rows} == {"kick/Film", "kick_ball/Film"}
    write(tmp_path / "testTrainMulti_7030_splits" / "kick_test_split1.txt", "a.avi 3")
    with pytest.raises(ActionCLIPError, match=r"kick_test_split1.txt:1: this line is 'a.avi 3'"):
        read_data(tmp_path)


def test_hmdb_lists_and_folders_may_have_other_capitals(tmp_path):
    for name in ("kick", "Sit"):
        touch(tmp_path, *(f"videos/{name}/{i}.avi" for i in range(2)))
    for name in ("Kick", "sit"):
        write(tmp_path / f"{name}_test_split1.txt", "0.avi 1", "1.avi 2")

    data = read_data(tmp_path)

    assert data.notes == []
    assert sorted((row.path, row.labels[0]) for row in data.manifest.rows) == [
        ("videos/Sit/0.avi", "sit"),
        ("videos/Sit/1.avi", "sit"),
        ("videos/kick/0.avi", "Kick"),
        ("videos/kick/1.avi", "Kick"),
    ]


def test_a_folder_that_is_spelt_as_in_the_list_comes_first(tmp_path):
    touch(tmp_path, "videos/kick/0.avi", "videos/Kick/0.avi", "videos/KICK/0.avi")
    write(tmp_path / "Kick_test_split1.txt", "0.avi 1")
    write(tmp_path / "kicK_test_split1.txt", "0.avi 1")

    data = read_data(tmp_path)

    assert {row.labels[0]: row.path for row in data.manifest.rows} == {
        "Kick": "videos/Kick/0.avi",
        "kicK": "kicK/0.avi",
    }
    assert "there several times" in data.notes[0]


def test_kinetics_names_its_files_by_video_and_time(tmp_path):
    lay_kinetics(tmp_path)
    touch(tmp_path, "whole/ZZZZZZZZZZZ.mp4")
    header = "label,youtube_id,time_start,time_end,split,is_cc"
    write(
        tmp_path / "kinetics_test.csv",
        header,
        "yoga,ZZZZZZZZZZZ,3,13,test,0",
        "yoga,YYYYYYYYYYY,5,15,test,0",
    )

    data = read_data(tmp_path)

    assert data.manifest.rows == (
        Row("whole/ZZZZZZZZZZZ.mp4", ("yoga",), 3.0, 13.0, "test", "ZZZZZZZZZZZ"),
        Row("YYYYYYYYYYY_000005_000015.mp4", ("yoga",), split="test", group="YYYYYYYYYYY"),
        Row(
            "train/opening door/-3B32lodo2M_000059_000069.mp4",
            ("opening door",),
            split="train",
            group="-3B32lodo2M",
        ),
        Row("val/abcdefghijk_000000_000010.mkv", ("yoga",), split="val", group="abcdefghijk"),
    )
    assert data.notes[0].startswith("1 clip of the list is not below")
    write(tmp_path / "kinetics_test.csv", header, "yoga,ZZZZZZZZZZZ,x,13,test,0")
    with pytest.raises(ActionCLIPError, match=r"kinetics_test.csv:2: the times are 'x' and '13'"):
        read_data(tmp_path)


def test_a_kinetics_clip_in_two_folders_is_taken_from_the_one_of_its_split(tmp_path):
    name = "abcdefghijk_000000_000010.mp4"
    touch(tmp_path, f"train/{name}", f"val/{name}")
    header = "label,youtube_id,time_start,time_end,split"
    for split in ("train", "val"):
        write(tmp_path / f"{split}.csv", header, f"yoga,abcdefghijk,0,10,{split}")

    rows = read_data(tmp_path).manifest.rows

    assert {row.split: row.path for row in rows} == {s: f"{s}/{name}" for s in ("train", "val")}


def test_a_kinetics_clip_with_a_replacement_is_the_replacement(tmp_path):
    """As the copy of CVDF has it: the file that was damaged lies where it lay."""
    damaged, sound = (f"{video}_000000_000010.mp4" for video in ("abcdefghijk", "lmnopqrstuv"))
    put = f"replacement/replacement_for_corrupted_k400/{damaged}"
    touch(tmp_path, f"train/{damaged}", f"train/{sound}", put)
    header = "label,youtube_id,time_start,time_end,split"
    lines = (f"yoga,{video},0,10,train" for video in ("abcdefghijk", "lmnopqrstuv"))
    write(tmp_path / "annotations" / "train.csv", header, *lines)

    rows = read_data(tmp_path).manifest.rows

    assert [row.path for row in rows] == [put, f"train/{sound}"]


def test_ssv2_takes_the_template_for_the_class_and_the_sentence_for_a_caption(tmp_path):
    lay_ssv2(tmp_path)

    manifest = read_data(tmp_path).manifest

    assert manifest.classes == ("Closing something", "Holding something next to something")
    assert manifest.rows[1].labels == ("Holding something next to something",)
    assert manifest.rows[1].caption == "holding potato next to vicks vaporub bottle"
    assert [row.labels for row in manifest.rows if row.split == "test"] == [()]
    write(
        tmp_path / "something-something-v2-train.json",
        '[{"id": "1", "label": "x", "template": "Eating [something]"}]',
    )
    with pytest.raises(ActionCLIPError, match=r"entry 1 has the template 'Eating \[something\]'"):
        read_data(tmp_path)


def test_charades_has_several_labels_or_a_clip_for_each_action(tmp_path):
    lay_charades(tmp_path)

    whole = read_data(tmp_path)
    parts = read_data(tmp_path, options=Options(intervals=True)).manifest

    train = next(row for row in whole.manifest.rows if row.split == "train")
    assert train.labels == ("Opening a door, fast", "Holding some clothes")
    assert train.caption == 'A "person", walks.'
    assert whole.notes == ["1 video has no action."]
    assert [(row.labels[0], row.start, row.end) for row in parts.rows] == [
        ("Opening a door, fast", 0.0, 12.6),
        ("Holding some clothes", 11.9, 21.2),
        ("Opening a door, fast", 14.0, 15.0),
    ]
    (tmp_path / "Charades_v1_classes.txt").unlink()
    with pytest.raises(ActionCLIPError, match="--labels charades"):
        read_data(tmp_path)
    official = tuple(label_sets.load("charades"))
    named = read_data(tmp_path, options=Options(labels=official)).manifest
    assert official[1] in next(row for row in named.rows if row.split == "train").labels


def test_actions_of_no_length_are_labels_and_no_clips(tmp_path):
    lay_charades(tmp_path)
    write(tmp_path / "Charades_v1_test.csv", "id,actions", "N11GT,c000 3 3;c001 2 5")

    whole = read_data(tmp_path).manifest.only("test")
    parts = read_data(tmp_path, options=Options(intervals=True))

    assert len(whole.rows[0].labels) == 2
    assert [(row.start, row.end) for row in parts.manifest.only("test").rows] == [(2.0, 5.0)]
    assert "1 action does not end after it starts, and is left out." in parts.notes


@pytest.mark.parametrize(
    ("cell", "message"),
    [("c000 1", "an action is 'c000 1'"), ("c009 1 2", "the code c009 is not in the list")],
)
def test_a_mistake_in_charades_is_named(tmp_path, cell, message):
    lay_charades(tmp_path)
    write(tmp_path / "Charades_v1_test.csv", "id,actions", f"N11GT,{cell}")

    with pytest.raises(ActionCLIPError, match=f"Charades_v1_test.csv:2: {message}"):
        read_data(tmp_path)


def test_activitynet_has_a_row_for_each_video_or_for_each_action(tmp_path):
    lay_activitynet(tmp_path)

    whole = read_data(tmp_path)
    stretches = read_data(tmp_path, options=Options(intervals=True))

    assert whole.manifest.classes == ("Archery", "Playing piano")
    assert [(row.path, row.labels) for row in whole.manifest.rows] == [
        ("videos/v_---9CpRcKoU.mp4", ("Archery",)),
        ("videos/v_abcdefghijk.mkv", ("Playing piano", "Archery")),
        ("videos/12345678901.mp4", ()),
    ]
    assert whole.notes == ["1 video has no action."]
    assert [(row.labels, row.start, row.end) for row in stretches.manifest.rows] == [
        (("Archery",), 0.5, 12.5),
        (("Archery",), 13.0, 14.0),
        (("Playing piano",), 0.0, 3.0),
    ]
    assert "1 action does not end after it starts, and is left out." in stretches.notes


def test_labels_of_activitynet_go_by_name(tmp_path):
    lay_activitynet(tmp_path)
    names = ("playing piano", "surfing", "archery")

    manifest = read_data(tmp_path, options=Options(labels=names)).manifest

    assert manifest.classes == names
    assert manifest.rows[1].labels == ("playing piano", "archery")
    with pytest.raises(ActionCLIPError, match=r"abcdefghijk has the label 'Playing piano', which"):
        read_data(tmp_path, options=Options(labels=("archery",)))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"annotations": [{"segment": [1], "label": "x"}]}, "an annotation of the video x is"),
        ({"annotations": [{"segment": [1, 2]}]}, "an annotation of the video x is"),
        ({"annotations": 5}, "an annotation of the video x is 5"),
        (None, "the video 'x' is None"),
    ],
)
def test_a_mistake_in_activitynet_is_named(tmp_path, entry, message):
    file = write(tmp_path / "anet.json", json.dumps({"database": {"x": entry}}))

    with pytest.raises(ActionCLIPError, match=f"anet.json: {message}"):
        read_data(file)


def test_two_versions_of_activitynet_have_to_be_chosen_from(tmp_path):
    lay_activitynet(tmp_path)
    text = (tmp_path / "activity_net.v1-3.min.json").read_text()
    write(tmp_path / "activity_net.v1-2.min.json", text)

    with pytest.raises(ActionCLIPError, match=r"is in activity_net.v1-2.min.json and in"):
        read_data(tmp_path)
    assert len(read_data(tmp_path / "activity_net.v1-3.min.json").manifest) == 3


def test_dives_are_named_by_their_vocabulary_or_by_a_list(tmp_path):
    lay_diving48(tmp_path)

    data = read_data(tmp_path)
    assert data.manifest.classes == ("Back 15som 05Twis FREE", "Inward 15som NoTwis TUCK")
    assert data.manifest.rows[0].labels == ("Inward 15som NoTwis TUCK",)
    assert "come from Diving48_vocab.json" in data.notes[0]

    (tmp_path / "Diving48_vocab.json").unlink()
    with pytest.raises(ActionCLIPError, match="as numbers only, and there is no list of their"):
        read_data(tmp_path)
    named = read_data(tmp_path, options=Options(labels=("back", "inward"))).manifest
    assert [row.labels for row in named.rows] == [("inward",), ("back",)]
    with pytest.raises(ActionCLIPError, match="entry 1 has the label 1, which stands for no class"):
        read_data(tmp_path, options=Options(labels=("back",)))


HMDB_AUTHORS = [*label_sets.load("hmdb51")]
KICK, KICK_BALL = HMDB_AUTHORS.index("kick"), HMDB_AUTHORS.index("kick_ball")


def hmdb_list(folder, kick, kick_ball):
    """A list whose numbers are those given, and its videos."""
    clips = {f"kick/F_kick_f_cm_np1_le_med_{i}.avi": kick for i in range(2)}
    clips |= {f"kick_ball/F_kick_ball_f_cm_np1_le_med_{i}.avi": kick_ball for i in range(2)}
    touch(folder, *clips)
    return write(folder / "train_list.txt", *(f"{clip} {n}" for clip, n in clips.items()))


@pytest.mark.parametrize("flat", [False, True])
def test_a_list_and_names_of_another_order_are_refused(tmp_path, flat):
    file = hmdb_list(tmp_path, kick=KICK_BALL, kick_ball=KICK)
    if flat:  # the folders say nothing, the file names do
        file.write_text(
            "".join(f"{line.partition('/')[2]}\n" for line in file.read_text().split("\n") if line)
        )

    with pytest.raises(ActionCLIPError) as caught:
        read_data(file, options=Options(labels=tuple(HMDB_AUTHORS)))

    assert f"has the number {KICK_BALL}, which is kick_ball" in str(caught.value)
    assert f"where kick is {KICK}" in str(caught.value)


def test_a_list_and_names_of_its_order_agree(tmp_path):
    file = hmdb_list(tmp_path, kick=KICK_BALL, kick_ball=KICK)
    theirs = list(HMDB_AUTHORS)
    theirs[KICK], theirs[KICK_BALL] = "kick ball", "kick"
    swapped = [*theirs]
    swapped[KICK], swapped[KICK_BALL] = theirs[KICK], theirs[KICK_BALL]

    manifest = read_data(file, options=Options(labels=tuple(swapped))).manifest

    assert {row.path.split("/")[0]: row.labels[0] for row in manifest.rows} == {
        "kick": "kick",
        "kick_ball": "kick ball",
    }


def test_numbers_without_names_are_refused_with_the_reason(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    file = write(tmp_path / "train_list.txt", "a.mp4 20", "b.mp4 21")

    with pytest.raises(ActionCLIPError, match=r"numbers only.*20 is kick in some.*--labels FILE"):
        read_data(file)


def test_folders_in_a_list_name_the_numbers(tmp_path):
    touch(tmp_path, "hop/a.mp4", "run/b.mp4")
    file = write(tmp_path / "train_list.txt", "run/b.mp4 0", "hop/a.mp4 1")

    data = read_data(file)

    assert data.manifest.classes == ("run", "hop")
    assert "those of the folders" in data.notes[0]


def test_two_lists_of_names_have_to_be_chosen_from(tmp_path):
    lay_mmaction2(tmp_path)
    write(tmp_path / "label_map_old.txt", "hop", "run")

    with pytest.raises(
        ActionCLIPError, match=r"label_map.txt, label_map_old.txt may all name them"
    ):
        read_data(tmp_path)


@pytest.mark.parametrize("file", ["train.csv", "train.txt"])
@pytest.mark.parametrize("between", [",", ", ", ";", "\t"])
def test_commas_may_stand_between_paths_and_numbers(tmp_path, file, between):
    touch(tmp_path, "a, 1.mp4", "b.mp4")
    write(tmp_path / "label_map.txt", "run", "hop")
    rows = [("a, 1.mp4", "1"), ("b.mp4", "0")]
    lists = write(tmp_path / file, *(between.join(row) for row in rows))

    data = read_data(lists)

    assert data.layout == ("slowfast" if file.endswith("csv") else "mmaction2")
    assert [(row.path, row.labels) for row in data.manifest.rows] == [
        ("a, 1.mp4", ("hop",)),
        ("b.mp4", ("run",)),
    ]
    write(lists, '"a, 1.mp4",1', "b.mp4,0")
    assert read_data(lists) == data
    write(lists, "a, 1.mp4,90,1", "b.mp4,80,0")
    assert read_data(lists).manifest == data.manifest
    lists.write_bytes("\n".join(map(between.join, rows)).encode("utf-16"))
    assert read_data(lists) == data


def test_commas_may_stand_between_folders_and_numbers(tmp_path):
    lay_rawframes(tmp_path)
    before = read_data(tmp_path)
    for name in ("train", "val"):
        file = tmp_path / f"{name}_rawframes.txt"
        file.write_text(file.read_text().replace(" ", ","))

    assert read_data(tmp_path) == before


def test_numbers_between_commas_want_names_too(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    file = write(tmp_path / "train.csv", "a.mp4,20", "b.mp4,21")

    with pytest.raises(ActionCLIPError, match=r"numbers only.*20 is kick in some.*--labels FILE"):
        read_data(file)


def test_a_number_that_is_no_class_is_named_with_its_line(tmp_path):
    lay_mmaction2(tmp_path)
    write(tmp_path / "my_val_list.txt", "hop/c.mp4 1", "hop/c.mp4 7")

    with pytest.raises(ActionCLIPError, match=r"my_val_list.txt:2: the number 7 stands for no"):
        read_data(tmp_path)


def test_lists_with_several_labels(tmp_path):
    lay_mmaction2(tmp_path)
    write(tmp_path / "my_val_list.txt", "hop/c.mp4 1 0")

    assert read_data(tmp_path).manifest.rows[-1].labels == ("hop", "run")


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        (["a.mp4 117 0", "b.mp4 8 1"], [("run",), ("hop",)]),  # there are not as many classes
        (["a.mp4 1 1", "b.mp4 1 0"], [("hop",), ("run",)]),  # nothing is a label twice
        (["run/a.mp4 1 0", "hop/b.mp4 1 1"], [("run",), ("hop",)]),  # the folders say so
        (["a.mp4 0 1", "b.mp4 1 0"], [("run", "hop"), ("hop", "run")]),
        (["a.mp4 0", "b.mp4 1 0"], [("run",), ("hop", "run")]),
    ],
)
def test_numbers_of_frames_in_lists_of_videos_are_no_labels(tmp_path, lines, labels):
    touch(tmp_path, *(line.split()[0] for line in lines))
    write(tmp_path / "label_map.txt", "run", "hop")
    write(tmp_path / "train_list.txt", *lines)

    data = read_data(tmp_path)

    assert [row.labels for row in data.manifest.rows] == labels
    left = "The first number of each line is taken for the number of frames, and left out."
    assert (left in data.notes) == all(len(each) == 1 for each in labels)


def test_folders_name_the_numbers_behind_the_frames(tmp_path):
    touch(tmp_path, "hop/a.mp4", "run/b.mp4")
    file = write(tmp_path / "train_list.txt", "run/b.mp4 90 0", "hop/a.mp4 90 1")

    assert read_data(file).manifest.classes == ("run", "hop")


@pytest.mark.parametrize("name", [name for name in LAID if name not in ("ucf101", "hmdb51")])
def test_an_official_split_is_refused_where_there_are_none(name, tmp_path):
    LAID[name][0](tmp_path)

    with pytest.raises(ActionCLIPError, match="no official splits by number, and split 2"):
        read_data(tmp_path, options=Options(fold=2))


def test_lists_of_official_splits_are_chosen(tmp_path):
    lay_mmaction2(tmp_path)
    for name in ("train", "val"):
        text = (tmp_path / f"my_{name}_list.txt").read_text()
        (tmp_path / f"my_{name}_list.txt").unlink()
        for fold in (1, 2):
            write(tmp_path / f"my_{name}_split_{fold}_videos.txt", text)

    assert len(read_data(tmp_path, options=Options(fold=2)).manifest) == 2
    write(tmp_path / "train_extra.txt", "run/a b.mp4 0")
    with pytest.raises(ActionCLIPError, match="One for each of train, val and test"):
        read_data(tmp_path)


def test_what_looks_like_two_data_sets_has_to_be_chosen(tmp_path):
    lay_kinetics(tmp_path)
    lay_manifest(tmp_path)

    with pytest.raises(ActionCLIPError) as caught:
        read_data(tmp_path)

    assert "manifest (all.csv is a table with a column path)" in str(caught.value)
    assert "kinetics (" in str(caught.value)
    assert "--layout" in caught.value.hint
    assert read_data(tmp_path, layout="kinetics").layout == "kinetics"


def test_what_is_no_data_set_is_told_what_was_looked_for(tmp_path):
    write(tmp_path / "notes.txt", "nothing of interest")

    with pytest.raises(ActionCLIPError) as caught:
        read_data(tmp_path)

    assert "notes.txt" in caught.value.what
    assert all(name in caught.value.expected for name in LAYOUTS)
    with pytest.raises(ActionCLIPError, match="Did you mean 'kinetics'"):
        read_data(tmp_path, layout="kinetiks")
    write(tmp_path / "clips.csv", "video,class", "a.mp4,run")
    with pytest.raises(ActionCLIPError) as told:
        read_data(tmp_path)
    assert told.value.hint.endswith("always works. clips.csv has video, class.")
    with pytest.raises(ActionCLIPError, match="There is no file or folder"):
        read_data(tmp_path / "nowhere")


def test_one_manifest_for_each_split(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path / "train.csv", "path,label", "a.mp4,run")
    write(tmp_path / "test.csv", "path,label", "b.mp4,hop")

    manifest = read_data(tmp_path).manifest

    assert {row.split: row.labels for row in manifest.rows} == {"train": ("run",), "test": ("hop",)}
    write(tmp_path / "more.csv", "path,label", "b.mp4,hop")
    with pytest.raises(ActionCLIPError, match="holds 3 manifests"):
        read_data(tmp_path)


def test_the_root_of_the_videos_may_be_elsewhere(tmp_path):
    lay_mmaction2(tmp_path / "a")
    (tmp_path / "a" / "videos").rename(tmp_path / "b")

    lost = read_data(tmp_path / "a")
    found = read_data(tmp_path / "a", options=Options(root=tmp_path / "b"))

    assert any("--root" in note for note in lost.notes)
    assert [row.path for row in found.manifest.rows] == ["run/a b.mp4", "hop/c.mp4"]
    assert not any("--root" in note for note in found.notes)


def test_a_name_that_is_there_twice_is_taken_from_the_folder_the_list_says(tmp_path):
    touch(tmp_path, "videos/run/1.mp4", "videos/hop/1.mp4")
    write(tmp_path / "label_map.txt", "run", "hop")
    write(tmp_path / "train_list.txt", "/old/disk/run/1.avi 0", "/old/disk/hop/1.avi 1")

    rows = read_data(tmp_path).manifest.rows

    assert [row.path for row in rows] == ["videos/run/1.mp4", "videos/hop/1.mp4"]


def test_names_of_classes_in_a_neighbouring_data_set_are_not_taken(tmp_path):
    lay_ucf(tmp_path / "labels of another")
    touch(tmp_path, "mine/hop/a.mp4", "mine/run/b.mp4")
    file = write(tmp_path / "mine" / "train_list.txt", "run/b.mp4 0", "hop/a.mp4 1")

    assert read_data(file).manifest.classes == ("run", "hop")


def test_numbers_in_a_table_are_said_to_be_numbers(tmp_path):
    file = write(tmp_path / "all.csv", "path,label", "a.mp4,0", "b.mp4,1")

    data = read_data(file)

    assert data.manifest.classes == ("0", "1")
    [note] = data.notes
    assert "All labels of all.csv are numbers, such as 0" in note
    assert "--labels FILE" in note


@pytest.mark.parametrize("column", ["label", "labels"])
def test_numbers_in_a_table_stand_for_the_names_that_are_given(tmp_path, column):
    many = "2|0" if column == "labels" else "2"
    file = write(tmp_path / "all.csv", f"path,{column}", "a.mp4,0", f"b.mp4,{many}", "c.mp4,")

    data = read_data(file, options=Options(labels=("hop", "swim", "run")))

    assert data.notes == []
    assert data.manifest.classes == ("hop", "swim", "run")
    both = ("run", "hop") if column == "labels" else ("run",)
    assert [row.labels for row in data.manifest.rows] == [("hop",), both, ()]


def test_a_number_in_a_table_that_is_no_class_is_named_with_its_line(tmp_path):
    file = write(tmp_path / "all.csv", "path,label", "a.mp4,1", "b.mp4,2")

    with pytest.raises(ActionCLIPError, match=r"all.csv:3: the number 2 stands for no class"):
        read_data(file, options=Options(labels=("hop", "run")))


def test_numbers_in_a_table_and_names_of_another_order_are_refused(tmp_path):
    file = write(tmp_path / "all.csv", "path,label", "run/a.mp4,0", "hop/b.mp4,1")

    with pytest.raises(ActionCLIPError, match=r"all.csv:2: run/a.mp4 has the number 0, which is"):
        read_data(file, options=Options(labels=("hop", "run")))


def test_numbers_in_a_table_may_be_names(tmp_path):
    """Digits that people show with their fingers."""
    file = write(tmp_path / "all.csv", "path,label", "a.mp4,1", "b.mp4,2")

    data = read_data(file, options=Options(labels=("2", "1")))

    assert [row.labels for row in data.manifest.rows] == [("1",), ("2",)]
    assert data.notes == []
