import copy
import pickle
from typing import get_args, get_type_hints

import pytest
import torch
import torch.nn.functional as F

from actionclip.errors import ActionCLIPError
from actionclip.model.config import PromptConfig
from actionclip.model.prompts.inner import INNER
from actionclip.model.prompts.post import POST, HeadSize
from actionclip.model.prompts.pre import PRE
from reference_weights import reference_weights

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
