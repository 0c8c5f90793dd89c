"""The public calls as programs make them: NumPy's numbers, generators, copies, further training."""

import copy
import json
import pickle
import textwrap

import pytest
import torch

import actionclip
import forked
from actionclip.inference.recognizer import Recognizer
from model_of_each_kind import model_of

LABELS = ["waving one hand", "jumping jacks", "running"]


@pytest.fixture(scope="module")
def answered(folder):
    """What a program gets that keeps less to the hints of types than these tests are made to."""
    script = textwrap.dedent(f"""
        import json, numpy as np, torch, actionclip
        from actionclip import ActionCLIPError

        labels, video = {LABELS!r}, {str(folder / "0.mp4")!r}
        model = actionclip.load("tiny", device="cpu", workers=1)

        def told(asked):
            try:
                return asked()
            except ActionCLIPError as error:
                return str(error)

        def result(**views):
            return json.loads(next(model.results([video], labels, **views)).to_json())

        def why(start, end):
            found = model.explain(video, labels, maps="none", between=(start, end))
            return [frame.time for frame in found.frames]

        def times(**given):
            return json.loads(model.timeline(video, labels, **given).to_json())

        given = dict(frames=np.int64(4), windows=np.int32(2), crops=np.int64(3))
        given |= dict(spacing=np.float32(0.125))
        content = open(video, "rb").read()
        print(json.dumps({{
            "views": [result(**given), result(frames=4, windows=2, crops=3, spacing=0.125)],
            "tensor": [result(frames=torch.tensor(4)), result(frames=4)],
            "part": [why(np.float32(0), np.int64(1)), why(0.0, 1.0)],
            "window": [times(window=np.float32(0.5)), times(window=0.5)],
            "stride": [times(stride=np.int64(1)), times(stride=1.0)],
            "true": told(lambda: result(frames=True)),
            "one by one": [vars(s) for s in model.classify(video, (one for one in labels))],
            "list": [vars(s) for s in model.classify(video, labels)],
            "bytes": [told(lambda: model.classify(kind(content), labels))
                      for kind in (bytes, bytearray, memoryview)],
            "in others": told(lambda: model.classify({{"frames": [content]}}, labels)),
        }}))
    """)
    return json.loads(forked.run(program=script).stdout)


@pytest.mark.parametrize("given", ["views", "tensor", "part", "window", "stride"])
def test_numbers_of_numpy_are_numbers(answered, given):
    found, expected = answered[given]

    assert found == expected
    assert found


def test_true_is_no_number_of_frames(answered):
    assert answered["true"].startswith("frames is True. ")


def test_labels_may_come_one_by_one(answered):
    assert answered["one by one"] == answered["list"]


def test_the_bytes_of_a_file_are_refused_without_repeating_them(answered, folder):
    size = (folder / "0.mp4").stat().st_size

    for message in answered["bytes"]:
        assert message.startswith(f"A video is {size:,} bytes. ")
        assert message.endswith("written to one, and that named.")
    assert len(answered["in others"]) < 300


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("kind", ["tiny", "joint", "shift"])
def test_a_recognizer_can_be_copied_and_sent_to_another_process(folder, kind, again):
    video = folder / "0.mp4"
    made = actionclip.load("tiny") if kind == "tiny" else Recognizer(model_of(kind), workers=1)
    with made as first:
        expected = first.embed_video(video)
        with again(first) as second:
            assert second.model is not first.model
            assert second.encoder.model is second.model
            assert torch.equal(second.embed_video(video), expected)
        assert torch.equal(first.embed_video(video), expected)


def test_what_words_and_videos_become_can_be_trained_on(recognizer, folder):
    for vectors in (recognizer.embed_text(LABELS), recognizer.embed_video([folder / "0.mp4"])):
        layer = torch.nn.Linear(vectors.shape[1], 2)
        layer(vectors).sum().backward()

        assert not vectors.requires_grad
        torch.testing.assert_close(layer.weight.grad, vectors.sum(dim=0).expand(2, -1))
