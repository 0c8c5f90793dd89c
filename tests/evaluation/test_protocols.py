"""Which clips meet which labels under each name."""

import pytest

from actionclip.data import label_sets
from actionclip.data.manifest import Manifest, Row
from actionclip.data.splits import few_shot
from actionclip.errors import ActionCLIPError
from actionclip.evaluation import PROTOCOLS
from actionclip.evaluation.protocols import Choices, Part, against, find_protocol, shots_of

LETTERS = tuple("abcdefgh")


def data_set(splits=("train", "test"), classes=LETTERS, clips=2):
    """In each split `clips` clips of each class, one more of the first class in train."""
    rows = [
        Row(f"{split}/{label}{number}.mp4", (label,), split=split)
        for split in splits
        for label in classes
        for number in range(clips)
    ]
    if "train" in splits:
        rows.append(Row(f"train/{classes[0]}9.mp4", (classes[0],), split="train"))
    return Manifest(tuple(rows), tuple(classes))


def parts_of(name, data, **choices):
    return find_protocol(name).parts(data, Choices(**choices))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_what_it_means(name):
    protocol = PROTOCOLS[name]

    assert protocol.name == name
    assert protocol.means.endswith(".")


@pytest.mark.parametrize("name", ["closed-set", "zero-shot", "few-shot", "multi-label"])
def test_one_split_against_all_classes(name):
    [part] = parts_of(name, data_set(("train", "val", "test")))

    assert {row.split for row in part.manifest.rows} == {"test"}
    assert len(part.manifest.rows) == 16
    assert part.manifest.classes == LETTERS


def test_the_split_that_is_tested_on():
    [val] = parts_of("closed-set", data_set(("train", "val")))
    [bare] = parts_of("closed-set", data_set(("",)))
    [named] = parts_of("closed-set", data_set(("train", "test")), split="train")

    assert {row.split for row in val.manifest.rows} == {"val"}
    assert len(bare.manifest.rows) == 16
    assert len(named.manifest.rows) == 17
    with pytest.raises(ActionCLIPError, match="has the splits train"):
        parts_of("closed-set", data_set(("train",)))
    with pytest.raises(ActionCLIPError, match="in 'holdout'"):
        parts_of("closed-set", data_set(), split="holdout")


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_protocol_obeys_the_split_or_refuses_it(name, split):
    classes = tuple(label_sets.load("kinetics600")) if "k600" in name else LETTERS
    one = data_set(("train", "val", "test"), classes)
    data = {f"split {n}": one for n in (1, 2, 3)} if "3-splits" in name else one
    protocol = find_protocol(name)

    if not protocol.takes_split:
        with pytest.raises(ActionCLIPError, match=f"split '{split}' .* and {name} has no choice"):
            protocol.parts(data, Choices(split=split))
        return
    tested = {row.path for part in protocol.parts(data, Choices(split=split)) for row in part.rows}
    assert {path.split("/")[0] for path in tested} == {split}
    with pytest.raises(ActionCLIPError, match="in 'holdout'"):
        protocol.parts(data, Choices(split="holdout"))


def test_the_split_of_base_and_novel_files_may_be_named():
    files = {
        name: data_set(("train", "val", "test"), classes=tuple(letters))
        for name, letters in (("base", "ab"), ("novel", "xy"))
    }

    for part in parts_of("base-to-novel", files, split="val"):
        assert {row.split for row in part.rows} == {"val"}


def test_the_training_clips_say_which_classes_are_base_whatever_is_tested_on():
    whole = data_set(("train", "val", "test"))
    fewer = Manifest(tuple(row for row in whole.rows if row.path != "train/a0.mp4"), LETTERS)
    more = Manifest((*whole.rows, Row("train/h9.mp4", ("h",), split="train")), LETTERS)

    for data in (whole, fewer, more):
        default = parts_of("base-to-novel", data)
        for split in ("train", "val"):
            chosen = parts_of("base-to-novel", data, split=split)
            assert [p.manifest.classes for p in chosen] == [p.manifest.classes for p in default]


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "base-to-novel"])
def test_base_classes_are_refused_where_there_are_none(name):
    with pytest.raises(ActionCLIPError, match=f"Base classes were given, and {name} has none"):
        parts_of(name, data_set(), base=["a"])


def test_base_classes_are_refused_beside_files_that_say_them():
    files = {"novel": data_set(classes=tuple("xy")), "base": data_set(classes=tuple("ab"))}

    with pytest.raises(ActionCLIPError, match="files base and novel say which classes are"):
        parts_of("base-to-novel", files, base=["a"])


def test_rows_without_labels_are_not_tested():
    known = data_set(("test",))
    more = Manifest((*known.rows, Row("x.mp4", split="test")), LETTERS)

    [part] = parts_of("closed-set", more)

    assert part.manifest.rows == known.rows


def test_a_split_whose_labels_are_secret_is_not_the_one_that_is_tested():
    """As in Something-Something: `test` is there, and `val` has the labels."""
    known = data_set(("train", "val"))
    whole = Manifest((*known.rows, Row("x.mp4", split="test")), LETTERS)

    [part] = parts_of("closed-set", whole)

    assert {row.split for row in part.manifest.rows} == {"val"}
    with pytest.raises(ActionCLIPError, match="no clip with labels in 'test'"):
        parts_of("closed-set", whole, split="test")


def test_three_splits_are_three():
    folds = {f"split {n}": data_set() for n in (1, 2, 3)}

    parts = parts_of("zero-shot-3-splits", folds)

    assert [part.name for part in parts] == ["split 1", "split 2", "split 3"]
    with pytest.raises(ActionCLIPError, match="three official splits"):
        parts_of("zero-shot-3-splits", data_set())


def test_full_means_every_clip():
    [part] = parts_of("zero-shot-full", data_set(("train", "test", "unused")))

    assert len(part.manifest.rows) == 49


def test_half_classes_compete_among_themselves():
    parts = parts_of("zero-shot-half-classes", data_set())

    assert len(parts) == 10
    for part in parts:
        assert len(part.manifest.classes) == 4
        assert {row.labels[0] for row in part.manifest.rows} == set(part.manifest.classes)
        assert {row.split for row in part.manifest.rows} == {"test"}
    assert len({part.manifest.classes for part in parts}) > 1


def test_kinetics_600_is_three_lists_of_160():
    classes = tuple(label_sets.load("kinetics600"))
    data = data_set(("test",), classes=classes, clips=1)

    parts = parts_of("zero-shot-k600-3x160", data)

    assert [len(part.manifest.classes) for part in parts] == [160, 160, 160]
    assert [len(part.manifest.rows) for part in parts] == [160, 160, 160]
    old = set(label_sets.load("kinetics400"))
    assert not any(old & set(part.manifest.classes) for part in parts)


def test_base_and_novel_do_not_meet():
    base, novel = parts_of("base-to-novel", data_set())

    assert (base.name, novel.name) == ("base", "novel")
    assert base.manifest.classes == tuple("abcd")  # the most training clips, then the alphabet
    assert novel.manifest.classes == tuple("efgh")
    assert {row.split for part in (base, novel) for row in part.manifest.rows} == {"test"}

    given, _ = parts_of("base-to-novel", data_set(), base=["h", "a"])
    assert set(given.manifest.classes) == {"a", "h"}


def test_base_and_novel_may_be_files():
    files = {"novel": data_set(classes=tuple("xy")), "base-seed0": data_set(classes=tuple("ab"))}

    base, novel = parts_of("base-to-novel", files)

    assert (base.name, base.manifest.classes, novel.name) == ("base", ("a", "b"), "novel")
    with pytest.raises(ActionCLIPError, match="begins with base"):
        parts_of("base-to-novel", {"one": data_set(), "two": data_set()})


def test_other_labels_are_matched_by_name():
    [part] = parts_of("closed-set", data_set(("test",), classes=("Jump Rope", "run")))

    new = against(part, ["swim", "Run", "jump_rope"])

    assert new.manifest.classes == ("swim", "Run", "jump_rope")
    assert {row.labels for row in new.manifest.rows} == {("jump_rope",), ("Run",)}
    with pytest.raises(ActionCLIPError, match="Clips show 'Jump Rope', which is not among"):
        against(part, ["run", "swim"])


def test_a_class_without_clips_need_not_be_among_the_labels():
    part = Part("all", Manifest((Row("a.mp4", ("run",)),), ("run", "hop")))

    assert against(part, ["run"]).manifest.classes == ("run",)


def test_shots_are_the_training_clips_of_a_class():
    assert shots_of(data_set(clips=4, classes=("a", "b"))) == 5
    assert shots_of(data_set(("test",))) is None


def test_a_whole_training_set_says_nothing_of_the_shots():
    counts = {"a": 14, "b": 10, "c": 8, "d": 8}
    names = [(c, n) for c, most in counts.items() for n in range(most)]
    rows = [Row(f"{c}{n}.mp4", (c,), split="train") for c, n in names]
    whole = Manifest((*rows, Row("t.mp4", ("a",), split="test")))

    assert shots_of(whole) is None
    for shots in (8, 10):  # two of four classes have fewer than ten
        [drawn] = few_shot(whole, shots=[shots]).manifests.values()
        assert shots_of(drawn) == shots


def test_a_name_that_is_none():
    with pytest.raises(ActionCLIPError, match="Did you mean 'zero-shot-full'"):
        find_protocol("zero-shot-all")
