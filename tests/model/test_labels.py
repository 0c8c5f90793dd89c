"""Labels: reading them, making words of them, finding what is wrong with them."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import actionclip
from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.label_files import read_file, read_labels
from actionclip.model.prompts.labels import check, clean, key
from actionclip.model.towers.text_tower import tokenize_clip

LISTS = Path(actionclip.__file__).parent / "data" / "labels"


def tokenize(texts):
    return tokenize_clip(texts, 77)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("brush_hair", "brush hair"),
        ("Brush_Hair", "brush hair"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("HandstandPushups", "handstand pushups"),
        ("CleanAndJerk", "clean and jerk"),
        ("PlayAGame", "play a game"),
        ("playGuitar", "play guitar"),
        ("DJMixing", "DJ mixing"),
        ("DJ_mixing", "DJ mixing"),
        ("JUMP_ROPE", "jump rope"),
        ("PlayingDVDs", "playing DVDs"),
        ("3DPrinting", "3D printing"),
        ("Top10Goals", "top 10 goals"),
        ("use_iPhone", "use iPhone"),
        ("  playing   guitar ", "playing guitar"),
    ],
)
def test_identifiers_become_words(label, words):
    assert clean(label) == words


@pytest.mark.parametrize(
    "label",
    [
        "playing guitar",
        "Can you…",
        "Playing DJ Mixing",
        "iPhone use",
        "iPhone",
        "X-ray",
        "DJ mixing",
        "DVDs",
        "CPR",
        "Archery",
        "push-up",
        "Holding a phone/camera",
        "hugging (not baby)",
        "mp4",
        "太極拳",
        "Übung",
    ],
)
def test_words_stay_as_they_are(label):
    assert clean(label) == label


@given(st.text(alphabet="abcXYZ019_ -é", max_size=12))
def test_cleaning_changes_only_spaces_underscores_and_case_and_is_done_once(label):
    cleaned = clean(label)

    def letters(text):
        return text.replace("_", "").replace(" ", "").lower()

    assert letters(cleaned) == letters(label)
    assert clean(cleaned) == cleaned


def test_no_list_of_labels_gets_duplicates_from_cleaning():
    files = sorted(LISTS.glob("*.txt"))
    assert len(files) == 10
    changed = {}
    for file in files:
        labels = file.read_text().splitlines()
        changed[file.stem] = sum(clean(label) != label for label in labels)
        report = check(labels, tokenize=tokenize, templates=["Can you recognize {}?"])
        assert not report.errors, file.stem
    assert {name: count for name, count in changed.items() if count} == {
        "hmdb51": 14,  # those with an underscore
        "ucf101": 77,  # those of several words
    }


def test_labels_between_commas_and_in_a_list():
    expected = ["washing dishes", "juggling balls", 'a 15" screen']

    assert read_labels('washing dishes, juggling balls,, a 15" screen ') == expected
    assert read_labels(expected) == expected
    assert read_labels("yoga\ntai chi") == ["yoga", "tai chi"]
    assert read_labels('"up, then down", yoga') == ["up, then down", "yoga"]


def test_a_built_in_set_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_text("from a file")
    sets = {"small": ["a", "b"]}

    assert read_labels("small", known=sets.get) == ["a", "b"]
    assert read_labels("small") == ["from a file"]
    assert read_labels("smal", known=sets.get) == ["smal"]


@pytest.mark.filterwarnings("ignore:.* holds sentences too:UserWarning")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.txt", "yoga\n\n tai chi\r\nyo-yo, slow\n"),
        ("l.csv", "id,name\n2,'yo-yo, slow'\n0,yoga\n1,tai chi\n".replace("'", '"')),
        ("l.csv", "Name,Count\nyoga,3\ntai chi,4\n'yo-yo, slow',5\n".replace("'", '"')),
        ("l.csv", "id;name\r\n2;yo-yo, slow\r\n0;yoga\r\n1;tai chi\r\n"),
        ("l.csv", "Label\tclips\nyoga\t3\ntai chi\t4\nyo-yo, slow\t5\n"),
        ("l.csv", "yoga\ntai chi\n'yo-yo, slow'\n".replace("'", '"')),
        ("l.csv", "label\nyoga\ntai chi\n'yo-yo, slow'\n".replace("'", '"')),
        ("l.json", json.dumps(["yoga", "tai chi", "yo-yo, slow"])),
        ("l.json", json.dumps({"tai chi": "1", "yoga": "0", "yo-yo, slow": "2"})),
        ("l.json", json.dumps({"3": "yo-yo, slow", "1": "yoga", "2": "tai chi"})),
        ("l.json", json.dumps({"yoga": ["A mat."], "tai chi": [], "yo-yo, slow": ["x"]})),
    ],
)
def test_labels_in_files(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8-sig")

    expected = ["yoga", "tai chi", "yo-yo, slow"]
    assert read_labels(file) == expected
    assert read_labels(str(file)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "id,name\n0,yoga\n2,tai chi\n", "gives 'tai chi' the number 2"),
        ("l.csv", "id,name\n0,yoga\nx,tai chi\n", "gives 'tai chi' the number None"),
        ("l.csv", "id,name\n0,yoga\n0,tai chi\n", "gives 'tai chi' the number 0"),
        ("l.csv", "id,name\n0,yoga\n1\n", "row 3 has fewer"),
        ("l.csv", "a,b\nc,d\n", "the columns a, b"),
        ("l.json", '{"yoga": 0, "yoga": 1}', "names 'yoga' twice"),
        ("l.json", '{"yoga": true, "x": null}', "no labels that we can find"),
        ("l.json", '["yoga", 3]', "has 3 in place 1"),
        ("l.json", "[", "is not JSON: line 1, column 2"),
        ("l.json", "[]", "holds no label"),
        ("l.txt", "\n \n", "holds no label"),
    ],
)
def test_mistakes_in_files_say_where(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(ActionCLIPError, match=message) as caught:
        read_labels(file)

    assert name in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [{"yoga": 1, "ball": 0}, {1: "yoga", 0: "ball"}, {"1": "yoga", "0": "ball"}],
)
def test_a_table_of_labels_and_numbers_goes_by_the_numbers(table):
    assert read_labels(table) == ["ball", "yoga"]


def test_sentences_that_come_with_labels_are_not_left_out_silently(tmp_path):
    sentences = {"yoga": ["someone bends"], "juggling": ["balls in the air"]}
    (tmp_path / "l.json").write_text(json.dumps(sentences))

    for table, name in [(sentences, "The table of labels"), (tmp_path / "l.json", "l.json")]:
        with pytest.warns(UserWarning, match=f"{name} holds sentences too.*--descriptions"):
            assert read_labels(table) == ["yoga", "juggling"]


def test_the_numbers_of_ucf101_are_not_part_of_its_labels(tmp_path):
    (tmp_path / "classInd.txt").write_text("2 Archery\r\n1 ApplyEyeMakeup\r\n\r\n")
    (tmp_path / "people.txt").write_text("1 person sitting\n2 people sitting\n")

    assert read_labels(str(tmp_path / "classInd.txt")) == ["ApplyEyeMakeup", "Archery"]
    assert read_labels(tmp_path / "people.txt") == ["1 person sitting", "2 people sitting"]


def test_a_file_that_is_missing_or_no_text_is_an_error(tmp_path):
    video = tmp_path / "video.txt"
    video.write_bytes(b"\0\xff\xfe")

    with pytest.raises(ActionCLIPError, match=r"Cannot read mylabels\.txt"):
        read_labels("mylabels.txt")
    with pytest.raises(ActionCLIPError, match=r"not text: byte 1 is 0xff"):
        read_file(video)
    with pytest.raises(ActionCLIPError, match="Cannot read"):
        read_labels(tmp_path)
    with pytest.raises(ActionCLIPError, match="holds no label"):
        read_labels(" , ")
    assert read_labels(f"{tmp_path}") == [str(tmp_path)]


def test_long_text_is_labels_and_not_a_file_name():
    words = [f"action number {i}" for i in range(500)]

    assert read_labels(",".join(words)) == words
    assert read_labels("a" * 900) == ["a" * 900]
    assert read_labels("yoga\nnotes.txt") == ["yoga", "notes.txt"]


def test_duplicates_are_named_as_they_were_spelt():
    report = check(["BrushHair", "yoga", "brush_hair", "Yoga ", "tai chi"])

    assert report.duplicates == (("BrushHair", "brush_hair"), ("yoga", "Yoga "))
    with pytest.raises(ActionCLIPError, match="'BrushHair' = 'brush_hair'; 'yoga' = 'Yoga '"):
        report.raise_for_errors()


def test_identifiers_are_different_labels_when_they_are_not_cleaned():
    assert check(["BrushHair", "brush_hair"], clean_labels=False).duplicates == ()
    same = (("brush hair", "brush_hair"),)
    assert check(["brush hair", "brush_hair"], clean_labels=False).duplicates == same
    assert check(["Yoga", "yoga"], clean_labels=False).duplicates == (("Yoga", "yoga"),)


def test_labels_too_long_for_the_tower_are_all_named():
    """77 tokens less two marks: 75 words of one token each."""
    fits, long, longer = "go " * 75, "go " * 76, "stop " * 100

    report = check([fits, long, "yoga", longer], tokenize=tokenize)

    assert report.too_long == (long, longer)
    assert "Too long for the text tower: 'go go go" in str(report)


def test_the_template_counts_for_the_length():
    """Six more tokens: Can, you, recognize, the, and, ?"""
    templates = ["{}", "Can you recognize the {}?"]
    fits, long = "go " * 70, "go " * 71

    report = check([fits, long], tokenize=tokenize, templates=templates)

    assert report.too_long == (long,)


def test_of_many_labels_that_are_alike_the_nearest_pairs_are_told_and_all_counted():
    """Every pair as an object took minutes and gigabytes for some thousands of labels."""
    count = 3000
    angles = torch.linspace(0, 0.3, count, dtype=torch.float64)
    texts = torch.stack([angles.cos(), angles.sin()], dim=-1)[None]
    labels = [f"doing thing number {number}" for number in range(count - 1)]

    report = check([*labels, "Doing thing number 0"], embeddings=texts)

    assert len(report.near_duplicates) == 1000
    assert report.alike == count * (count - 1) // 2 - 1  # the same words are a duplicate instead
    assert f"and {report.alike - 10} more pairs" in str(report)


def test_near_duplicates_are_pairs_above_the_threshold_most_similar_first():
    """Angles of 0, 30, 45 and 135 degrees, the same under both templates."""
    angles = torch.tensor([0.0, 30.0, 45.0, 135.0]).deg2rad()
    texts = torch.stack([angles.cos(), angles.sin()], dim=1).expand(2, 4, 2)

    report = check(["a", "b", "c", "d"], embeddings=texts, similar=0.8)

    assert [(p.first, p.second) for p in report.near_duplicates] == [("b", "c"), ("a", "b")]
    assert report.near_duplicates[0].similarity == pytest.approx(0.9659, abs=1e-4)
    assert not report.errors
    assert "hardly tells these apart: 'b' and 'c' (0.97); 'a' and 'b' (0.87)." in str(report)


def test_near_duplicates_are_found_across_blocks_and_counted_when_there_are_many():
    texts = torch.nn.functional.one_hot(torch.arange(1100) % 1090, 1090).float()[None]

    report = check([f"label {i}" for i in range(1100)], embeddings=texts)

    assert [p.first for p in report.near_duplicates] == [f"label {i}" for i in range(10)]
    assert [p.second for p in report.near_duplicates] == [f"label {i + 1090}" for i in range(10)]
    many = check([f"label {i}" for i in range(6)], embeddings=torch.ones(1, 6, 2))
    assert "and 5 more pairs" in str(many)


def test_the_same_words_are_duplicates_and_not_near_duplicates_too():
    report = check(["yoga", "Yoga", "surfing"], embeddings=torch.eye(3)[[0, 0, 1]][None])

    assert report.duplicates == (("yoga", "Yoga"),)
    assert report.near_duplicates == ()


def test_blank_and_single_labels():
    assert check(["yoga", " ", "surfing", ""]).empty == (1, 3)
    assert "nothing in label number 2, 4" in str(check(["yoga", " ", "surfing", ""]))
    assert check(["yoga"]).single
    assert not check(["yoga"]).errors
    assert "always wins" in check(["yoga"]).warnings[0]


def test_good_labels_are_fine():
    report = check(["yoga", "surfing"], tokenize=tokenize, embeddings=torch.eye(2)[None])

    assert str(report) == "The labels are fine."
    report.raise_for_errors()


def test_spellings_of_one_label_have_one_key():
    assert len({key(label) for label in ("BrushHair", "brush_hair", "Brush hair")}) == 1
    assert key("brush") != key("brush hair")
