"""Views of a video share what they have in common, and give the vectors they always gave."""

import numpy as np
import pytest
import torch

from actionclip.encoding.encoder import VideoEncoder, Views, clip_of_array
from actionclip.errors import ActionCLIPError
from actionclip.video.settings import Preprocess, ReadRequest, Resize, Sampling
from actionclip.video.transforms import to_input
from model.small_model import small_model

PROMPTS = [{"post": "transf"}, {"pre": "joint"}, {"inner": "shift"}, {"motion": True}]


def network(motion=False, **prompts):
    model = small_model(**prompts)
    model.backbone.motion = motion
    return model


def array(frames, height=40, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def views_of(windows, crops, frames=4, resize=18):
    return Views(
        Sampling(frames=frames, windows=windows),
        Preprocess(size=16, resize=Resize(size=resize), crops=crops),
    )


def naive(model, video, views):
    """Every view by itself: cut, normalised and encoded whatever the others did."""
    request = ReadRequest(sampling=views.sampling, resize=views.preprocess.resize)
    inputs = to_input(clip_of_array(video, request).windows(), views.preprocess)
    with torch.inference_mode():
        return torch.cat([model.encode_video(one[None]) for one in inputs])


class Counter:
    """Counts the frames that go through a tower."""

    def __init__(self, model):
        self.frames = 0
        model.backbone.visual.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        self.frames += len(inputs[0])


@pytest.mark.parametrize("prompts", PROMPTS, ids=str)
@pytest.mark.parametrize(("windows", "crops"), [(1, 1), (3, 1), (1, 3), (10, 3)])
def test_views_together_equal_views_one_by_one(prompts, windows, crops):
    model = network(**prompts)
    views = views_of(windows, crops)
    videos = [array(30), array(7, seed=1), array(3, width=40, seed=2)]

    found = [each for _, each in VideoEncoder(model).encode(videos, views, batch_size=2)]

    for video, embeddings in zip(videos, found, strict=True):
        assert embeddings.shape == (windows * crops, 16)
        expected = naive(model, video, views)
        torch.testing.assert_close(embeddings, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("video", "encoded"),
    [
        (array(200), 10 * 4 * 3),  # nothing in common
        (array(12), 8 * 3),  # ten windows of four frames look at eight different ones
        (array(12, width=40), 8),  # square: the three crops are the same
        (array(2), 2 * 3),
    ],
    ids=["long", "short", "square", "two frames"],
)
def test_no_frame_is_encoded_twice(video, encoded):
    model = small_model(post="transf")
    counter = Counter(model)

    list(VideoEncoder(model).encode([video], views_of(10, 3, resize=16)))

    assert counter.frames == encoded


@pytest.mark.parametrize(
    ("video", "windows"), [(array(200), 10 * 3), (array(4), 3), (array(4, width=40), 1)]
)
def test_no_window_is_encoded_twice_where_frames_see_their_window(video, windows):
    model = small_model(inner="shift")
    counter = Counter(model)

    list(VideoEncoder(model).encode([video], views_of(10, 3, resize=16)))

    assert counter.frames == windows * 4


def test_a_video_is_decoded_once_for_all_views(tmp_path, monkeypatch):
    from actionclip.video.decode import DecodePool
    from sample_videos import write_video

    asked = []
    read_all = DecodePool.read_all

    def counted(self, sources, request=None):
        sources = list(sources)
        asked.extend(source.name for source in sources)
        return read_all(self, sources, request)

    monkeypatch.setattr(DecodePool, "read_all", counted)
    path = write_video(tmp_path / "a.mp4")
    encoder = VideoEncoder(small_model(), workers=1)

    [(clip, embeddings)] = encoder.encode([path], views_of(10, 3))
    encoder.close()

    assert asked == [str(path)]
    assert len(clip.frames) == len(np.unique(clip.frame_numbers)) <= 24
    assert embeddings.shape == (30, 16)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"windows": 0}, {"spacing": 0.0}])
def test_none_of_something_is_not_the_models_own_number(wrong):
    with pytest.raises(ActionCLIPError, match=next(iter(wrong))):
        Views.of(small_model().config, **wrong)
