import pytest

from actionclip.data import label_sets
from actionclip.encoding.questions import resolve_labels
from actionclip.errors import ActionCLIPError

COUNTS = {
    "charades": 157,
    "hmdb51": 51,
    "kinetics400": 400,
    "kinetics600": 600,
    "kinetics600_zero_shot_split1": 160,
    "kinetics600_zero_shot_split2": 160,
    "kinetics600_zero_shot_split3": 160,
    "kinetics700": 700,
    "ssv2": 174,
    "ucf101": 101,
}


def test_the_ten_sets_are_there():
    assert label_sets.names() == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_every_set_has_its_number_of_different_labels(name):
    labels = label_sets.load(name)

    assert len(labels) == len(set(labels)) == COUNTS[name]
    assert all(label == label.strip() != "" for label in labels)


def test_zero_shot_labels_are_new_in_kinetics_600():
    for split in (1, 2, 3):
        unseen = set(label_sets.load(f"kinetics600_zero_shot_split{split}"))
        assert unseen <= set(label_sets.load("kinetics600"))
        assert not unseen & set(label_sets.load("kinetics400"))


def test_a_misspelt_set_gets_a_suggestion():
    with pytest.raises(ActionCLIPError, match="Did you mean 'kinetics400'"):
        label_sets.load("kinetics40")


NEARLY_SETS = "kinetics40 kinetcs400 kinetics4000 ucf-101 UCF101 hmdb Kinetics charade"
WORDS = "parade arcade cards chase hands shade heads crashes chart card shares shards charge"


@pytest.mark.parametrize("word", NEARLY_SETS.split())
def test_a_single_word_that_is_nearly_the_name_of_a_set_is_refused(word):
    with pytest.raises(ActionCLIPError, match=f"called '{word}'.*Did you mean .* '{word},'"):
        resolve_labels(word)
    assert resolve_labels(f"{word},") == [word]
    assert resolve_labels([word]) == [word]


@pytest.mark.parametrize("word", WORDS.split())
def test_an_ordinary_word_is_a_label(word):
    assert resolve_labels(word) == [word]
