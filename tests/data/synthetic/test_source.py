"""People as a source for training."""

import numpy as np
import pytest
import torch

from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.captions import PHRASES
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.errors import ActionCLIPError
from actionclip.training import ClipSource


def test_it_is_a_source_that_training_takes():
    people = People(PeopleConfig(clips=5))

    assert isinstance(people, ClipSource)
    assert len(people) == 5
    assert people.labels == tuple(ACTIONS)


@pytest.mark.parametrize("frames", [1, 4])
def test_a_clip_is_a_pure_function_of_index_and_epoch(frames):
    people, again = (People(PeopleConfig(frames=frames, size=48)) for _ in range(2))

    first, second = people[7, 3], again[7, 3]

    assert first.frames.shape == (frames, 3, 48, 48)
    assert first.frames.dtype == torch.uint8
    assert torch.equal(first.frames, second.frames)
    assert (first.label, first.text) == (second.label, second.text)
    assert not torch.equal(first.frames, people[7, 4].frames)


def test_every_action_comes_up_equally_often():
    people = People(PeopleConfig(actions=("running", "bowing", "clapping"), frames=1, size=32))

    labels = [people[index, 0].label for index in range(12)]

    assert np.bincount(labels).tolist() == [4, 4, 4]
    assert labels != sorted(labels)


def test_what_is_said_is_about_what_is_shown():
    people = People(PeopleConfig(actions=("running", "bowing"), frames=1, size=32, captions=0.5))

    for index in range(30):
        example = people[index, 0]
        said = PHRASES[people.labels[example.label]]
        assert any(phrase in example.text for phrase in said)


def test_pictures_show_all_moments_of_what_happens_once():
    people = People(PeopleConfig(actions=("bending down",), frames=1, size=48))
    heads = []
    for index in range(24):
        frame = people[index, 0].frames[0].float().mean(0)
        heads.append((frame - frame.median()).abs().mean(1).argmax().item())

    assert np.ptp(heads) > 5, "all pictures show the same pose"


def test_what_is_left_out_is_never_shown():
    people = People(PeopleConfig(without=("running",)))

    assert "running" not in people.labels
    assert len(people.labels) == len(ACTIONS) - 1


def test_mistakes_are_named():
    with pytest.raises(ActionCLIPError, match="Did you mean 'running'"):
        PeopleConfig(without=("runing",))
    with pytest.raises(ActionCLIPError, match="above zero"):
        PeopleConfig(clips=0)
