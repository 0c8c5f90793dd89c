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
    for wrong in ({"easy": 1.5}, {"cut": -0.1}, {"captions": 2.0}, {"ease": -1.0}, {"jitter": 1.0}):
        with pytest.raises(ActionCLIPError, match=next(iter(wrong))):
            PeopleConfig(**wrong)


def test_clips_get_harder_where_they_are_asked_to():
    """A good camera always has the same little noise; of others some have none and some a lot."""
    settings = PeopleConfig(
        clips=3000, frames=2, size=48, spacing=0.01, actions=("standing still",), ease=3.0
    )

    def noises(epoch):
        clips = [People(settings)[index, epoch].frames.float() for index in range(20)]
        return sorted((clip[0] - clip[1]).abs().mean().item() for clip in clips)

    first, later = noises(0), noises(3)

    assert first[-1] < 1.5 * first[0]
    assert later[4] < 0.8 * first[0]
    assert later[-5] > 1.5 * first[-1]


def test_a_cut_action_goes_at_its_own_pace():
    """What takes longer than the clip is hurried into it, or seen in part."""

    def moved(cut):
        """How much changes from frame to frame."""
        people = People(PeopleConfig(frames=6, size=48, actions=("bending down",), cut=cut))
        clips = [people[index, 0].frames.float() for index in range(12)]
        return sum((clip[1:] - clip[:-1]).abs().mean().item() for clip in clips)

    assert moved(1.0) < 0.8 * moved(0.0)
