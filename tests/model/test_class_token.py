"""The last block computes the class token alone, and nobody can tell but by the clock."""

import threading

import pytest
import torch

from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.towers.class_token import ClassTokenOnly
from training_runs import ARCHITECTURE, small_model

PROMPTS = [{}, {"post": "transf"}, {"inner": "shift"}, {"pre": "joint"}]


def rows_of(model, frames):
    """How many tokens of a frame the last block's perceptron computes."""
    seen = []
    block = model.backbone.visual.transformer.resblocks[-1]
    handle = block.mlp.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    model.encode_video(frames)
    handle.remove()
    return seen


def vision(**settings):
    return {**ARCHITECTURE, "vision_cfg": {**ARCHITECTURE["vision_cfg"], "layers": 3, **settings}}


@pytest.mark.parametrize("prompts", PROMPTS)
def test_embeddings_and_gradients_are_those_of_all_tokens(prompts):
    model, frames = small_model(**prompts), torch.randn(2, 2, 3, 16, 16)

    def look():
        model.zero_grad()
        video = model.encode_video(frames)
        video[:, 0].sum().backward()
        return video, [p.grad.clone() for p in model.backbone.visual.parameters()]

    assert rows_of(model, frames) == [1]
    video, gradients = look()
    with model.backbone.all_tokens():
        assert rows_of(model, frames)[0] > 1
        whole, expected = look()

    torch.testing.assert_close(video, whole, rtol=1e-5, atol=1e-6)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)
    assert rows_of(model, frames) == [1]


def test_all_tokens_are_for_the_thread_that_asked():
    model, frames = small_model(), torch.randn(1, 2, 3, 16, 16)
    entered, leave = threading.Event(), threading.Event()
    counts = []

    def other():
        counts.append(rows_of(model, frames)[0])
        with model.backbone.all_tokens():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    with model.backbone.all_tokens():
        thread.start()
        assert entered.wait(60)
        leave.set()
        thread.join()
        assert counts == [1]
        assert rows_of(model, frames)[0] > 1
    assert rows_of(model, frames) == [1]


def test_the_other_way_round_it_holds_as_well():
    model, frames = small_model(), torch.randn(1, 2, 3, 16, 16)
    entered, leave = threading.Event(), threading.Event()

    def other():
        with model.backbone.all_tokens():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(60)
    assert rows_of(model, frames) == [1]
    with model.backbone.all_tokens():
        leave.set()
        thread.join()
        assert rows_of(model, frames)[0] > 1


def test_only_the_last_block_is_narrowed():
    backbone = OpenClipBackbone.from_architecture(vision())
    seen = []
    for block in backbone.visual.transformer.resblocks:
        block.register_forward_hook(lambda module, args, out: seen.append(out))
    backbone.encode_frames(torch.randn(1, 2, 3, 16, 16))
    with backbone.all_tokens():
        backbone.encode_frames(torch.zeros(1, 2, 3, 16, 16))

    assert [out.shape for out in seen] == [(2, 5, 16)] * 6


@pytest.mark.parametrize(
    "settings",
    [{"pool_type": "avg"}, {"output_tokens": True}, {"attentional_pool": True}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_tower_that_needs_its_patches_keeps_them(settings):
    assert not ClassTokenOnly.fits(OpenClipBackbone.from_architecture(vision(**settings)).visual)
    assert ClassTokenOnly.fits(OpenClipBackbone.from_architecture(vision()).visual)
