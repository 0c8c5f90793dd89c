import copy
import pickle
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.prompts.inner import shift
from actionclip.video.settings import Sampling
from architectures import ARCHITECTURES
from reference_weights import CONFIGS, load_reference


def build_model(*, frames=4, architecture="s1", **prompts):
    architecture = CONFIGS.get(architecture) or ARCHITECTURES[architecture]
    return ActionCLIP(
        OpenClipBackbone.from_architecture(architecture),
        ModelConfig(
            backbone=BackboneConfig(name="test", architecture=architecture),
            prompts=PromptConfig(**prompts),
            sampling=Sampling(frames=frames),
        ),
    ).eval()


def images(videos=2, frames=4, seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(videos, frames, 3, size, size, generator=generator)


# Shift


def test_shift_by_hand():
    """Two frames of a class token and one patch, eight channels, so one of each kind moves."""
    x = torch.arange(32.0).reshape(2, 2, 8)

    shifted = shift(x, frames=2, prefix=1)

    assert torch.equal(shifted[:, 0], x[:, 0])
    assert shifted[0, 1].tolist() == [24, 0, 10, 11, 12, 13, 14, 15]
    assert shifted[1, 1].tolist() == [0, 9, 26, 27, 28, 29, 30, 31]


@given(
    videos=st.integers(1, 3),
    frames=st.integers(1, 5),
    prefix=st.integers(0, 2),
    patches=st.integers(1, 4),
    width=st.integers(1, 20),
)
def test_shift_is_what_its_description_says(videos, frames, prefix, patches, width):
    x = torch.rand(videos * frames, prefix + patches, width)
    fold = width // 8
    expected = x.clone()
    for row in range(videos * frames):
        time = row % frames
        after = x[row + 1] if time + 1 < frames else torch.zeros_like(x[row])
        before = x[row - 1] if time > 0 else torch.zeros_like(x[row])
        expected[row, prefix:, :fold] = after[prefix:, :fold]
        expected[row, prefix:, fold : 2 * fold] = before[prefix:, fold : 2 * fold]

    assert torch.equal(shift(x, frames=frames, prefix=prefix), expected)


@pytest.mark.parametrize(("architecture", "prefix"), [("vit", 1), ("pe", 1), ("siglip", 1)])
def test_every_block_sees_its_input_shifted(architecture, prefix):
    model = build_model(architecture=architecture, inner="shift")
    visual = model.backbone.visual
    blocks = visual.trunk.blocks if hasattr(visual, "trunk") else visual.transformer.resblocks
    outputs, inputs = [], []
    for block in blocks:  # hooks run in the order they came, so these see what Shift made
        block.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        block.register_forward_hook(lambda _, args, output: outputs.append(output))

    with torch.no_grad():
        model.encode_frames(images(1, 3, size=model.backbone.image_size))

    assert len(inputs) == len(blocks)
    for came, seen in zip(outputs[:-1], inputs[1:], strict=True):
        assert torch.equal(seen, shift(came, frames=3, prefix=prefix))
        assert not torch.equal(seen, came)


# Joint


def test_untrained_joint_sees_one_frame_as_clip_does():
    model = build_model(pre="joint")
    frame = images(2, 1)

    alone = build_model()
    alone.backbone.load_state_dict(model.backbone.state_dict())

    torch.testing.assert_close(
        model.encode_video(frame), alone.encode_video(frame), rtol=1e-5, atol=1e-5
    )


def test_joint_is_blind_to_order_until_its_times_are_trained():
    model, x = build_model(pre="joint"), images()
    other = x[:, [1, 3, 0, 2]]

    torch.testing.assert_close(model(x), model(other), rtol=1e-4, atol=1e-5)
    load_reference(model)
    assert (model(x) - model(other)).abs().max() > 1e-4


def test_joint_makes_one_sequence_of_a_video():
    model, seen = build_model(pre="joint", frames=4), []
    block = model.backbone.visual.transformer.resblocks[0]
    block.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))

    assert model.encode_frames(images(2, 4)).shape == (2, 1, 64)
    assert seen == [(2, 1 + 16 * 4, 64)]


def test_joint_orders_patches_before_frames():
    """Token 1 + p * T + t is patch p of frame t; frames that are constant tell which is which."""
    joint = build_model(pre="joint", frames=3).pre
    joint.frames = 3
    tokens = torch.zeros(3, 1 + 2, 64)
    tokens[:, 1], tokens[:, 2] = torch.arange(3)[:, None] + 10.0, torch.arange(3)[:, None] + 20.0

    (joined,) = joint.join(joint, (tokens,))

    assert joined[0, :, 0].tolist() == [0, 10, 11, 12, 20, 21, 22]


def test_joint_takes_fewer_frames_than_rows_and_refuses_more():
    model = load_reference(build_model(pre="joint", positions=6))

    assert model.pre.time_embedding.shape == (6, 64)
    for frames in (1, 4, 6):
        assert model.encode_frames(images(2, frames)).shape == (2, 1, 64)
    with pytest.raises(ActionCLIPError, match=r"got 7 frames for a video.* has 6 rows"):
        model.encode_frames(images(2, 7))


# Inside the tower, both of them

INSIDE = [{"pre": "joint"}, {"inner": "shift"}]


@pytest.mark.parametrize("prompts", INSIDE)
def test_prompts_inside_the_tower_treat_videos_separately(prompts):
    model, x = load_reference(build_model(**prompts)), images()

    torch.testing.assert_close(model(x)[1:], model(x[1:]), rtol=1e-5, atol=1e-5)
    assert (model(x) - load_reference(build_model())(x)).abs().max() > 1e-3


@pytest.mark.parametrize("prompts", INSIDE)
def test_the_number_of_frames_may_change_between_calls(prompts):
    model = load_reference(build_model(**prompts, positions=8))
    first = model(images(2, 4))

    model(images(2, 8))

    assert torch.equal(model(images(2, 4)), first)


@pytest.mark.parametrize("prompts", INSIDE)
def test_threads_may_ask_one_tower_about_different_numbers_of_frames_at_once(prompts):
    model = load_reference(build_model(**prompts, positions=8))
    alone = model(images(2, 4)).detach()
    arrived, leave = threading.Event(), threading.Event()
    found = []

    def wait(module, args):
        if args[0].shape[0] == 8 and threading.current_thread() is not threading.main_thread():
            arrived.set()
            assert leave.wait(60)

    hook = model.backbone.visual.conv1.register_forward_pre_hook(wait)
    other = threading.Thread(target=lambda: found.append(model(images(2, 4)).detach()))
    other.start()
    try:
        assert arrived.wait(60)
        model(images(2, 3))  # while the other one is on its way
    finally:
        leave.set()
        other.join()
        hook.remove()

    assert torch.equal(found[0], alone)


@pytest.mark.parametrize("prompts", INSIDE)
def test_a_copy_has_prompts_of_its_own(prompts):
    model, x = load_reference(build_model(**prompts)), images()
    expected = model(x)

    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), expected)
        twin(images(2, 2))  # its own number of frames
        if twin.pre is not None:
            twin.pre.time_embedding.data += 1
            assert not torch.equal(twin(x), expected)
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize("prompts", INSIDE)
def test_recomputing_activations_gives_the_same_gradients(prompts):
    gradients = []
    for recompute in (False, True):
        model = load_reference(build_model(**prompts))
        model.backbone.clip.set_grad_checkpointing(recompute)
        model(images())[:, 0].sum().backward()
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})

    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)
    if model.pre is not None:
        assert gradients[1]["pre.time_embedding"].abs().sum() > 0


@pytest.mark.parametrize("architecture", ["resnet", "convnext", "pe", "siglip", "coca"])
def test_joint_refuses_towers_it_cannot_work_in(architecture):
    with pytest.raises(ActionCLIPError, match=r"'joint' cannot work in this image tower \(.+ViT"):
        build_model(architecture=architecture, pre="joint")


@pytest.mark.parametrize("architecture", ["resnet", "convnext"])
def test_shift_refuses_towers_without_tokens(architecture):
    with pytest.raises(
        ActionCLIPError, match=r"'shift' cannot work .*It needs a vision transformer"
    ):
        build_model(architecture=architecture, inner="shift")
