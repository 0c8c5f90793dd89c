"""What is kept of videos, and which requests go through the model together."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.encoding.encoder import VideoEncoder, Views
from actionclip.inference.results import VideoResult
from actionclip.serving.answers import RequestError
from actionclip.serving.engine.batching import Batcher
from actionclip.serving.engine.kept import OVERHEAD, Encoded, KeptVideos
from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Preprocess, Sampling
from actionclip.video.sources import find_videos

VIEWS = Views(Sampling(), Preprocess())


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def adds(numbers):
    """A change that keeps a vector of some numbers."""
    result = VideoResult("a", Outcome.OK, [], 8, 1.0, "fp32")
    encoded = Encoded(result, torch.zeros(1, numbers))
    return lambda video: video.encoded.update({VIEWS: encoded})


def test_a_video_is_found_by_its_id_and_its_content():
    kept = KeptVideos(10**6, 60)
    one = kept.keep("content", adds(8))

    assert kept.get(one.id) is one
    assert kept.find("content") is one
    assert kept.keep("content", adds(16)).id == one.id
    assert len(kept) == 1
    assert kept.nbytes == OVERHEAD + 64
    assert len(one.id) >= 24


def test_what_was_not_asked_for_in_time_is_gone():
    clock = Clock()
    kept = KeptVideos(10**6, 60, clock)
    one, two = kept.keep("one", adds(8)), kept.keep("two", adds(8))
    clock.time = 50
    kept.get(two.id)
    clock.time = 100

    with pytest.raises(RequestError, match="not here") as caught:
        kept.get(one.id)
    assert caught.value.status == 404
    assert kept.find("one") is None
    assert kept.get(two.id) is two


def test_what_is_too_much_by_itself_is_not_kept():
    kept = KeptVideos(10_000, 60)
    small = kept.keep("small", adds(8))

    assert kept.keep("large", adds(10_000)) is None
    assert kept.find("large") is None
    assert kept.find("small") is small
    assert (len(kept), kept.nbytes) == (1, small.nbytes)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 900)), max_size=40)
)
def test_memory_is_never_more_than_allowed_and_is_counted_right(asked):
    kept = KeptVideos(12_000, 60)
    latest = {}
    for content, name, numbers in asked:
        video = kept.keep(str(content), adds(numbers), name)
        assert video is not None
        latest[content, name] = video.id
        assert kept.nbytes <= 12_000
    alive = [
        video
        for content, name in latest
        if (video := kept.find(str(content), lambda video, name=name: video.name == name))
    ]
    assert {video.id for video in alive} <= set(latest.values())
    assert kept.nbytes == sum(video.nbytes for video in alive)
    assert len(kept) == len(alive)


class Recording(VideoEncoder):
    """An encoder without a model that notes what came together, and can be held up."""

    def __init__(self):
        self.batches, self.open = [], threading.Event()
        self.begun = threading.Event()

    def forward(self, clips, views):
        self.begun.set()
        self.open.wait(10)
        self.batches.append([clip.message for clip in clips])
        if "bad" in self.batches[-1]:
            raise ValueError("a bad clip")
        return [torch.tensor([[float(clip.message)]]) for clip in clips]


@pytest.fixture
def encoder():
    return Recording()


@pytest.fixture
def batcher(encoder):
    batcher = Batcher(encoder, lambda: 0)
    yield batcher
    encoder.open.set()
    batcher.close()


def clip(message):
    [source] = find_videos(["x.mp4"])
    return Clip(source, Outcome.OK, str(message))


def test_clips_that_come_while_the_model_works_go_together(encoder, batcher):
    answers = [batcher.encode(clip(0), VIEWS)]
    encoder.begun.wait(10)
    answers += [batcher.encode(clip(number), VIEWS) for number in range(1, 6)]
    other = batcher.encode(clip(9), Views(Sampling(frames=2), Preprocess()))
    encoder.open.set()

    assert [float(answer.result(10)) for answer in answers] == [0, 1, 2, 3, 4, 5]
    assert float(other.result(10)) == 9
    assert encoder.batches == [["0"], ["1", "2", "3", "4", "5"], ["9"]]


def test_a_clip_that_cannot_be_encoded_fails_alone(encoder, batcher):
    first = batcher.encode(clip(0), VIEWS)
    encoder.begun.wait(10)
    good, bad = batcher.encode(clip(1), VIEWS), batcher.encode(clip("bad"), VIEWS)
    encoder.open.set()

    assert float(first.result(10)) == 0
    assert float(good.result(10)) == 1
    with pytest.raises(ValueError, match="a bad clip"):
        bad.result(10)


def test_what_waits_at_the_end_is_finished(encoder):
    batcher = Batcher(encoder, lambda: 0)
    answers = [batcher.encode(clip(number), VIEWS) for number in range(3)]
    encoder.open.set()
    batcher.close()

    assert [float(answer.result(0)) for answer in answers] == [0, 1, 2]
