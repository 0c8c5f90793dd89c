import copy
import pickle
from typing import get_args, get_type_hints

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.prompts.inner import INNER, shift
from actionclip.model.prompts.post import POST, HeadSize
from actionclip.model.prompts.pre import PRE
from actionclip.video.settings import Sampling
from architectures import ARCHITECTURES
from reference_weights import CONFIGS, load_reference, reference_weights

WIDTH = 64
HARMFUL_UNTRAINED = {"conv1d_authors", "transf_cls"}
BLIND_TO_ORDER = {"meanp"}


def build_head(name, frames=4, **size):
    rows = {"rows": frames} if name == "transf_cls" else {}
    return POST[name](HeadSize(**{"embed_dim": WIDTH, "heads": 2, **rows, **size})).eval()


LEARNING = [name for name in POST if list(build_head(name).parameters())]


def trained_head(name, frames=4, **size):
    head = build_head(name, frames, **size)
    head.load_state_dict(reference_weights(head, "fusion"))
    return head


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


def features(videos=3, frames=4, seed=0):
    return torch.randn(videos, frames, WIDTH, generator=torch.Generator().manual_seed(seed))


# The families


def test_the_names_are_those_of_the_settings():
    choices = {key: get_args(hint) for key, hint in get_type_hints(PromptConfig).items()}

    assert choices["pre"] == ("none", *PRE)
    assert choices["inner"] == ("none", *INNER)
    assert choices["post"] == tuple(POST)


# Every post-network prompt


@pytest.mark.parametrize("name", POST)
@pytest.mark.parametrize("frames", [1, 4, 7, 32])
def test_every_head_turns_frames_into_one_video(name, frames):
    assert build_head(name, frames)(features(frames=frames)).shape == (3, WIDTH)


@pytest.mark.parametrize("name", POST)
def test_every_head_treats_videos_separately(name):
    head, x = trained_head(name), features()

    torch.testing.assert_close(head(x)[1:2], head(x[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LEARNING)
def test_gradients_reach_every_parameter_of_a_head(name):
    head = trained_head(name)
    head(features()).square().sum().backward()

    for key, parameter in head.named_parameters():
        used = parameter.grad
        if key == "frame_position_embeddings.weight":
            used = parameter.grad[:4]  # the rows of the frames there are
        assert used is not None, key
        assert used.abs().sum() > 0, key


@pytest.mark.parametrize("name", LEARNING)
def test_every_head_learns_from_its_first_step(name):
    """Zeros at the start must not be a dead end: one step changes what the head returns."""
    head, x, goal = build_head(name).train(), features(), features(seed=1).mean(1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    losses = []
    for _ in range(12):
        torch.manual_seed(0)
        losses.append(F.mse_loss(F.normalize(head(x)), F.normalize(goal)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()

    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", POST)
def test_every_head_is_saved_and_restored(name):
    head, x = trained_head(name), features()
    fresh = build_head(name)
    fresh.load_state_dict(head.state_dict())

    for twin in (fresh, pickle.loads(pickle.dumps(head)), copy.deepcopy(head)):
        assert torch.equal(twin(x), head(x))


@pytest.mark.parametrize("name", POST)
def test_an_untrained_head_does_no_harm_where_its_form_allows(name):
    x = features()

    cosine = F.cosine_similarity(build_head(name)(x), x.mean(1))

    if name in HARMFUL_UNTRAINED:
        assert cosine.max() < 0.99
    else:
        torch.testing.assert_close(cosine, torch.ones(3))
    scale = {"meanp": 1, "conv1d": 1, "lstm": 1, "transf": 2}.get(name)
    if scale:
        torch.testing.assert_close(build_head(name)(x), scale * x.mean(1))


@pytest.mark.parametrize("name", POST)
def test_which_heads_see_the_order_of_frames(name):
    head, x = trained_head(name), features()

    change = (head(x) - head(x[:, [2, 0, 3, 1]])).abs().max()

    assert change < 1e-6 if name in BLIND_TO_ORDER else change > 1e-3


@pytest.mark.parametrize("name", POST)
def test_every_head_works_in_bfloat16(name):
    head, x = trained_head(name), features()
    exact = head(x)

    rounded = head.to(torch.bfloat16)(x.to(torch.bfloat16).requires_grad_())

    assert rounded.dtype == torch.bfloat16
    assert F.cosine_similarity(rounded.float(), exact).min() > 0.995
    rounded.sum().backward()


# What only one of them does


@pytest.mark.parametrize(("name", "alone"), [("conv1d", True), ("conv1d_authors", False)])
def test_only_the_authors_convolution_mixes_channels(name, alone):
    """Changing channel 10 of a frame may change only channel 10 of the video."""
    head, x = trained_head(name), features()
    changed = x.clone()
    changed[:, 1, 10] += 1

    touched = (head(changed) - head(x)).abs().amax(0) > 1e-6

    assert touched[10]
    assert (touched.sum() == 1) == alone


def test_conv1d_by_hand():
    """One channel, frames 1, 2, 3 and the kernel (1, 10, 100)."""
    head = POST["conv1d"](HeadSize(embed_dim=1))
    head.shift.weight.data = torch.tensor([[[1.0, 10.0, 100.0]]])

    video = head(torch.tensor([[[1.0], [2.0], [3.0]]]))

    expected = (1 + 2 + 3 + (10 + 200) + (1 + 20 + 300) + (2 + 30)) / 3
    assert video.item() == pytest.approx(expected)


def test_lstm_reads_forwards():
    """What comes later cannot change what was read before: only later terms of the mean differ."""
    head, x = trained_head("lstm"), features()
    changed = x.clone()
    changed[:, 3] += 1

    before, after = head.lstm_visual(x)[0], head.lstm_visual(changed)[0]

    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert (before[:, 3] - after[:, 3]).abs().max() > 1e-3


def test_transf_has_77_positions_and_uses_those_of_its_frames():
    head, x = trained_head("transf"), features()
    assert head.frame_position_embeddings.num_embeddings == 77
    expected = head(x)

    head.frame_position_embeddings.weight.data[4:] += 1

    assert torch.equal(head(x), expected)
    assert head(features(frames=77)).shape == (3, WIDTH)
    with pytest.raises(ActionCLIPError, match=r"got 78 frames.* has 77 rows"):
        head(features(frames=78))


def test_transf_honours_the_size_of_its_table_and_its_epsilon():
    head = build_head("transf", rows=8, norm_eps=1e-5)

    assert head.frame_position_embeddings.num_embeddings == 8
    norms = [m.eps for m in head.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert norms == [1e-5] * 12


def test_transf_refuses_heads_that_do_not_divide_its_width():
    with pytest.raises(ActionCLIPError, match=r"width of 64 into 5 heads.*prompts\.heads"):
        build_head("transf", heads=5)


def test_transf_cls_is_built_for_one_number_of_frames():
    with pytest.raises(ActionCLIPError, match=r"got 5 frames.*built for 4 frames"):
        build_head("transf_cls", 4)(features(frames=5))


def test_transf_cls_drops_out_only_while_training():
    head, x = trained_head("transf_cls"), features()

    assert torch.equal(head(x), head(x))
    head.train()
    assert not torch.equal(head(x), head(x))


@pytest.mark.parametrize(("width", "rows"), [(60, 4), (64, None)])
def test_transf_cls_says_what_it_needs(width, rows):
    with pytest.raises(ActionCLIPError, match="multiple of 8, and a fixed number"):
        POST["transf_cls"](HeadSize(embed_dim=width, rows=rows))


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
