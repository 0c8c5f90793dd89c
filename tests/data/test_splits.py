"""Splits are the same wherever they are drawn, and what was drawn is written down."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionclip.data import label_sets
from actionclip.data.layouts.names import stem
from actionclip.data.manifest import Manifest, Row, read_manifest
from actionclip.data.splits import (
    RECORD,
    base_to_novel,
    few_shot,
    fingerprint,
    from_lists,
    half_classes,
    kinetics600_zero_shot,
)
from actionclip.errors import ActionCLIPError


def data_set(classes, *, train=20, test=3, suffix="mp4", root="clips"):
    """A manifest with as many clips of each class, or with a number for each."""
    numbers = train if isinstance(train, dict) else dict.fromkeys(classes, train)
    rows = [
        Row(f"{root}/{name}/{split}{i}-{name}.{suffix}", (name,), split=split)
        for name in classes
        for split, count in (("train", numbers[name]), ("test", test))
        for i in range(count)
    ]
    return Manifest(tuple(rows), tuple(classes))


def drawn_names(manifest, split="train"):
    return {stem(row.path) for row in manifest.rows if row.split == split}


NAMES = st.lists(
    st.text(st.characters(categories=["Ll"]), min_size=1, max_size=6), min_size=2, max_size=5
).map(lambda names: [f"{name}{i}" for i, name in enumerate(names)])


@settings(max_examples=30)
@given(classes=NAMES, seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_shots_are_nested_balanced_and_independent_of_the_order(classes, seed, order):
    manifest = data_set(classes)
    shuffled = list(manifest.rows)
    order.shuffle(shuffled)

    parts = few_shot(manifest, seed=seed).manifests
    again = few_shot(replace(manifest, rows=tuple(shuffled)), seed=seed).manifests

    before: set[str] = set()
    for k in (1, 2, 4, 8, 16):
        part = parts[f"few-shot-k{k}-seed{seed}"]
        names = drawn_names(part)
        train = part.only("train").rows
        assert Counter(row.labels[0] for row in train) == dict.fromkeys(classes, k)
        assert before < names
        assert part.only("test").rows == manifest.only("test").rows
        assert drawn_names(again[f"few-shot-k{k}-seed{seed}"]) == names
        before = names


def test_a_draw_is_the_same_in_another_folder_and_format():
    here = few_shot(data_set(["run", "hop"]), seed=3)
    there = few_shot(data_set(["run", "hop"], suffix="avi", root="/other/disk"), seed=3)

    for name in here.manifests:
        assert fingerprint(here.manifests[name]) == fingerprint(there.manifests[name])


def test_clips_that_start_together_are_drawn_by_their_ends_and_not_by_the_order():
    ends = (None, 2.0, 3.0, 4.0)
    rows = [
        *(Row("a.mp4", ("run",), 1.0, end, split="train") for end in ends),
        Row("b.mp4", ("run",), split="test"),
    ]

    for shots in (1, 2, 3):
        one, other = (
            few_shot(Manifest(tuple(each)), shots=[shots]).manifests[f"few-shot-k{shots}-seed0"]
            for each in (rows, rows[::-1])
        )
        assert fingerprint(one) == fingerprint(other)
        assert {r.end for r in one.only("train").rows} == set(ends[1 : shots + 1])


def test_a_draw_is_the_same_on_every_machine():
    """These names were drawn once and for all: a change breaks what others have written down."""
    parts = few_shot(data_set(["run", "hop"]), shots=[2], seed=0).manifests

    names = sorted(drawn_names(parts["few-shot-k2-seed0"]))
    assert names == ["train13-run", "train18-hop", "train8-hop", "train9-run"]


def test_a_draw_does_not_depend_on_the_hash_of_python():
    code = (
        "from actionclip.data.splits import *; from actionclip.data.manifest import *;"
        "rows = tuple(Row(f'{c}/{c}{i}.mp4', (c,), split='train') "
        "for c in 'abc' for i in range(9));"
        "tests = tuple(replace(r, path='t' + r.path, split='test') for r in rows);"
        "m = Manifest(rows + tests);"
        "print([fingerprint(p) for d in (few_shot(m), half_classes(m), base_to_novel(m))"
        " for p in d.manifests.values()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_seeds_draw_other_clips():
    manifest = data_set(["run", "hop"])

    draws = {
        tuple(
            sorted(
                drawn_names(
                    few_shot(manifest, shots=[4], seed=seed).manifests[f"few-shot-k4-seed{seed}"]
                )
            )
        )
        for seed in range(10)
    }

    assert len(draws) == 10


def test_a_small_class_gives_what_it_has_and_that_is_written_down():
    drawn = few_shot(data_set(["run", "hop"], train={"run": 3, "hop": 20}), shots=[2, 4])

    counts = Counter(
        row.labels[0] for row in drawn.manifests["few-shot-k4-seed0"].only("train").rows
    )
    assert counts == {"run": 3, "hop": 4}
    assert drawn.details["classes_with_fewer_clips"] == {"run": 3}


@pytest.mark.parametrize("splits", [True, False])
def test_a_clip_that_is_listed_twice_is_drawn_once(splits):
    whole = data_set(["run", "hop"], train={"run": 4, "hop": 4})
    rows = whole.rows if splits else [replace(r, split="") for r in whole.only("train").rows]
    twice = Manifest((*rows, *(row for row in rows if row.split != "test")))

    drawn = few_shot(twice, shots=[1, 2, 3])

    for k in (1, 2, 3):
        part = drawn.manifests[f"few-shot-k{k}-seed0"]
        assert len(drawn_names(part)) == len(part.only("train").rows) == 2 * k
    once = few_shot(Manifest(tuple(rows)), shots=[1, 2, 3])
    assert drawn.manifests == once.manifests
    assert drawn.details == once.details


def test_base_classes_have_most_clips_and_not_most_lines():
    whole = data_set(["run", "hop"], train={"run": 5, "hop": 4})
    more = [row for row in whole.only("train").rows if row.labels == ("hop",)]

    drawn = base_to_novel(Manifest((*whole.rows, *more)), shots=3)

    assert drawn.details["base"] == ["run"]


def test_without_splits_every_number_of_shots_has_the_same_test():
    rows = tuple(replace(row, split="") for row in data_set(["run", "hop"]).only("train").rows)

    parts = few_shot(Manifest(rows), shots=[1, 4]).manifests

    one, four = (parts[f"few-shot-k{k}-seed0"] for k in (1, 4))
    assert drawn_names(one, "test") == drawn_names(four, "test")
    assert len(four.only("test").rows) == 2 * (20 - 4)
    assert not drawn_names(four, "test") & drawn_names(four)
    with pytest.raises(ActionCLIPError, match="leave none to test on"):
        few_shot(Manifest(rows), shots=[20])


def cut_from(recordings, clips, classes=("run", "hop")):
    """A manifest without splits: as many clips of each recording, which shows every class."""
    return Manifest(
        tuple(
            Row(f"{name}-{r}-{i}.mp4", (name,), group=f"person {r}")
            for name in classes
            for r in range(recordings)
            for i in range(clips)
        )
    )


@pytest.mark.parametrize("recordings", [2, 3, 12])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_tested_on_is_of_other_recordings_than_what_is_trained_on(recordings, seed):
    parts = few_shot(cut_from(recordings, 6), shots=[1, 2, 4], seed=seed).manifests

    tests = {part.only("test").rows for part in parts.values()}
    assert len(tests) == 1
    (test,) = tests
    assert {row.labels[0] for row in test} == {"run", "hop"}
    for k, part in zip((1, 2, 4), parts.values(), strict=True):
        train = part.only("train").rows
        assert Counter(row.labels[0] for row in train) == {"run": k, "hop": k}
        assert not {row.group for row in train} & {row.group for row in test}


def test_clips_of_one_file_are_of_one_recording():
    rows = [
        Row(f"{name}{video}.mp4", (name,), start, start + 1.0)
        for name in ("run", "hop")
        for video in range(3)
        for start in range(4)
    ]

    drawn = few_shot(Manifest(tuple(rows)), shots=[2])

    (part,) = drawn.manifests.values()
    train, test = part.only("train").rows, part.only("test").rows
    assert not {row.path for row in train} & {row.path for row in test}
    assert drawn.details["clips_left_out"] == len(rows) - len(train) - len(test) > 0


def test_a_class_of_one_recording_is_only_trained_on():
    lone = tuple(Row(f"swim{i}.mp4", ("swim",), group="the lake") for i in range(3))

    drawn = few_shot(Manifest((*cut_from(4, 2).rows, *lone)), shots=[2])

    (part,) = drawn.manifests.values()
    assert [row.split for row in part.rows if row.labels == ("swim",)] == ["train", "train"]
    assert drawn.details["classes_without_test_clips"] == ["swim"]
    with pytest.raises(ActionCLIPError, match="leave none of another recording to test on"):
        few_shot(Manifest(lone), shots=[1])


def test_a_test_set_that_is_there_stays_whatever_its_recordings():
    manifest = cut_from(3, 2)
    rows = tuple(replace(r, split="test" if "-0." in r.path else "train") for r in manifest.rows)

    (part,) = few_shot(Manifest(rows), shots=[1]).manifests.values()

    assert part.only("test").rows == Manifest(rows).only("test").rows


@pytest.mark.parametrize(
    ("rows", "shots", "message"),
    [
        ([Row("a.mp4", ("run", "hop"), split="train")], [1], "a.mp4 has 2 labels"),
        ([Row("a.mp4", ("run",), split="train")], [0], r"The shots are \[0\]"),
    ],
)
def test_shots_that_are_not_defined_are_refused(rows, shots, message):
    with pytest.raises(ActionCLIPError, match=message):
        few_shot(Manifest(tuple(rows)), shots=shots)


def test_base_classes_are_the_frequent_half():
    manifest = data_set(["a", "b", "c", "d", "e"], train={"a": 1, "b": 9, "c": 5, "d": 7, "e": 5})

    drawn = base_to_novel(manifest, shots=2)

    base, novel = drawn.manifests["base-seed0"], drawn.manifests["novel"]
    assert base.classes == ("b", "c", "d")  # c before e: a tie goes by the alphabet
    assert novel.classes == ("a", "e")
    assert Counter(row.labels[0] for row in base.only("train").rows) == {"b": 2, "c": 2, "d": 2}
    assert {row.split for row in novel.rows} == {"test"}
    assert drawn.details["base"] == ["b", "c", "d"]


def test_base_classes_may_be_given_by_name():
    manifest = data_set(["kick_ball", "Kick", "run"])

    drawn = base_to_novel(manifest, base=["kick", "kick ball"], shots=None)

    assert drawn.manifests["base-seed0"].classes == ("kick_ball", "Kick")
    assert len(drawn.manifests["base-seed0"].only("train").rows) == 40
    with pytest.raises(ActionCLIPError, match="no class 'swim'"):
        base_to_novel(manifest, base=["swim"])
    with pytest.raises(ActionCLIPError, match="3 base and 0 novel"):
        base_to_novel(manifest, base=manifest.classes)


@pytest.mark.parametrize("protocol", [base_to_novel, partial(half_classes, draws=3)])
def test_a_part_without_a_clip_is_refused(protocol):
    """A copy with a few of the classes, and the list of all of them."""
    few = data_set(["run", "hop"])
    many = replace(few, classes=("run", "hop", *(f"class {number}" for number in range(9))))

    with pytest.raises(ActionCLIPError, match=r"No clip belongs to (novel|half-.*) of"):
        protocol(many)


def test_base_to_novel_wants_training_and_test_clips():
    manifest = data_set(["a", "b"])

    for part in (manifest.only("train"), manifest.only("test")):
        with pytest.raises(ActionCLIPError, match="in train and in test"):
            base_to_novel(part)


@pytest.mark.parametrize("protocol", [few_shot, base_to_novel, half_classes])
def test_a_test_set_with_secret_labels_is_as_if_it_were_not_there(protocol):
    named = data_set(["a", "b"])
    named = replace(
        named,
        rows=tuple(replace(r, split="val" if r.split == "test" else "train") for r in named.rows),
    )
    secret = tuple(Row(f"clips/{i}.mp4", split="test") for i in range(3))

    drawn = protocol(replace(named, rows=(*named.rows, *secret)))

    assert drawn == protocol(named)


def test_shots_want_clips_to_draw_from():
    manifest = data_set(["a", "b"]).only("test")

    with pytest.raises(ActionCLIPError, match=r"has the splits test\. Clips with labels in train"):
        few_shot(manifest)


def test_a_second_draw_leaves_nothing_of_the_first(tmp_path):
    rows = data_set(["a", "b"]).rows
    few_shot(Manifest(rows, ("b", "a")), shots=[1]).write(tmp_path)
    few_shot(Manifest((*rows, *data_set(["c"]).rows)), shots=[1]).write(tmp_path)

    assert read_manifest(tmp_path / "few-shot-k1-seed0.csv").classes == ("a", "b", "c")


def test_kinetics_600_zero_shot_has_three_lists_of_160():
    manifest = data_set(label_sets.load("kinetics600"), train=0, test=2)

    parts = kinetics600_zero_shot(manifest).manifests

    old = set(label_sets.load("kinetics400"))
    assert len(parts) == 3
    for part in parts.values():
        assert len(part.classes) == 160
        assert not old & set(part.classes)
        assert len(part) == 320
    assert len({part.classes for part in parts.values()}) == 3
    with pytest.raises(ActionCLIPError, match=r"has no class .* and 159 more"):
        kinetics600_zero_shot(data_set(["run", "hop"]))


@pytest.mark.parametrize(("name", "half"), [("ucf101", 50), ("hmdb51", 25)])
def test_half_of_the_classes_is_drawn_ten_times(name, half):
    manifest = data_set(label_sets.load(name), train=0, test=2)

    parts = half_classes(manifest).manifests

    assert len(parts) == len({part.classes for part in parts.values()}) == 10
    for part in parts.values():
        assert len(part.classes) == half
        assert {row.labels[0] for row in part.rows} == set(part.classes)
        assert len(part) == 2 * half


def test_half_of_the_classes_needs_two():
    with pytest.raises(ActionCLIPError, match="10 draws from 1 classes"):
        half_classes(data_set(["run"]))


def test_published_lists_are_matched_by_the_name_of_the_clip(tmp_path):
    manifest = data_set(["kick", "kick ball", "run"], suffix="mkv")
    published = tmp_path / "train1_few_shot_2.txt"
    published.write_text(
        "train0-kick.avi 1\nother/train3-kick ball.avi 0\n\n"  # numbers of an order of their own
    )

    (part,) = from_lists(manifest, train=published, test=None).manifests.values()

    assert part.classes == ("kick", "kick ball")
    assert {r.path: r.labels for r in part.only("train").rows} == {
        "clips/kick/train0-kick.mkv": ("kick",),
        "clips/kick ball/train3-kick ball.mkv": ("kick ball",),
    }
    assert len(part.only("test").rows) == 6
    published.write_text("train0-kick.avi 1\ntrain99-kick.avi 0\n")
    with pytest.raises(
        ActionCLIPError, match=r"few_shot_2.txt:2: no clips are called 'train99-kick'"
    ):
        from_lists(manifest, train=published, test=None)


def test_published_lists_may_tell_clips_apart_by_their_folder(tmp_path):
    rows = (Row("run/001.mp4", ("run",)), Row("walk/001.mp4", ("walk",)))
    published = tmp_path / "train.txt"

    published.write_text("walk/001.avi 1\n")
    (part,) = from_lists(Manifest(rows), train=None, test=published).manifests.values()
    assert [row.path for row in part.rows] == ["walk/001.mp4"]

    published.write_text("001.avi 1\n")
    with pytest.raises(ActionCLIPError, match="2 clips are called '001'"):
        from_lists(Manifest(rows), train=None, test=published)


def test_what_is_drawn_is_written_down(tmp_path):
    manifest = data_set(["run", "hop", "swim"])
    drawn = few_shot(manifest, shots=[1, 2], seed=5)

    files = drawn.write(tmp_path / "splits")

    record = json.loads((tmp_path / "splits" / RECORD).read_text())
    assert [file.name for file in files] == [*record["files"], RECORD]
    assert {key: record[key] for key in ("protocol", "seed", "version", "shots")} == {
        "protocol": "few-shot",
        "seed": 5,
        "version": 3,
        "shots": [1, 2],
    }
    for name, said in record["files"].items():
        again = read_manifest(tmp_path / "splits" / name)
        assert fingerprint(again) == said["sha256"]
        assert list(again.classes) == said["classes"] == ["run", "hop", "swim"]
        assert said["clips"]["test"] == 9
        assert [again.path_of(row) for row in again.rows] == [
            manifest.path_of(row) for row in drawn.manifests[name.removesuffix(".csv")].rows
        ]
