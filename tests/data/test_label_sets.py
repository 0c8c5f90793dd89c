import pytest

from actionclip.data import label_sets
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
