import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP, check_combination
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.prompts.inner import INNER
from actionclip.model.prompts.post import POST
from actionclip.model.prompts.pre import PRE
from actionclip.video.settings import Sampling
from architectures import ARCHITECTURES
from reference_weights import CONFIGS, load_reference

TESTS = Path(__file__).parents[1]
COMBINATIONS = [
    {"pre": pre, "inner": inner, "post": post}
    for pre, inner, post in itertools.product(("none", *PRE), ("none", *INNER), POST)
]


def makes_sense(pre, inner, post):
    return pre == "none" or (inner == "none" and post == "meanp")


SENSIBLE = [prompts for prompts in COMBINATIONS if makes_sense(**prompts)]
SENSELESS = [prompts for prompts in COMBINATIONS if not makes_sense(**prompts)]


def name(prompts):
    return "-".join(prompts.values())


def settings(frames=4, **prompts):
    return ModelConfig(
        backbone=BackboneConfig(name="test", architecture={}),
        prompts=PromptConfig(**prompts),
        sampling=Sampling(frames=frames),
    )


def build(architecture="s1", frames=4, **prompts):
    towers = CONFIGS.get(architecture) or ARCHITECTURES[architecture]
    backbone = OpenClipBackbone.from_architecture(towers)
    return ActionCLIP(backbone, settings(frames, **prompts)).eval()


def images(videos=2, frames=4, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(videos, frames, 3, size, size, generator=generator)


@pytest.mark.parametrize("prompts", SENSIBLE, ids=name)
def test_every_sensible_combination_turns_frames_into_one_embedding(prompts):
    model = load_reference(build(**prompts))

    frames = model.encode_frames(images())
    video = model.encode_video(images())

    assert frames.shape == (2, 1 if prompts["pre"] == "joint" else 4, 64)
    assert video.shape == (2, 64)
    torch.testing.assert_close(video.norm(dim=-1), torch.ones(2))
    assert torch.equal(model.fuse(frames), video)
    assert torch.equal(model(images()), video)
    raw = model.encode_video(images(), normalize=False)
    torch.testing.assert_close(F.normalize(raw), video)
    assert (raw.norm(dim=-1) - 1).abs().min() > 1e-3


@pytest.mark.parametrize("prompts", SENSIBLE, ids=name)
def test_every_sensible_combination_works_in_bfloat16(prompts):
    model = load_reference(build(**prompts))
    exact, words = model.encode_video(images()), model.encode_text(["run", "a man juggles"])
    scale = model.logit_scale.item()

    assert model.cast(torch.bfloat16) is model
    video, text = model.encode_video(images()), model.encode_text(["run", "a man juggles"])

    assert model.dtype == torch.bfloat16
    assert video.dtype == text.dtype == torch.float32
    torch.testing.assert_close(video.norm(dim=-1), torch.ones(2))
    assert (video * exact).sum(-1).min() > 0.99
    assert (text * words).sum(-1).min() > 0.999
    assert model.logit_scale.dtype == torch.float32
    assert model.logit_scale.item() == scale


@pytest.mark.parametrize("prompts", SENSELESS, ids=name)
def test_every_other_combination_is_refused_with_the_reason(prompts):
    with pytest.raises(ActionCLIPError, match=r"'joint' and .* do not go together"):
        build(**prompts)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (("none", "none", "transv"), "No post-network visual prompt is called 'transv'.*'transf'"),
        (("joins", "none", "meanp"), "No pre-network visual prompt is called 'joins'.*'joint'"),
        (("none", "shfit", "meanp"), "No inner-network visual prompt is called 'shfit'.*'shift'"),
        (("none", "none", "none"), "No post-network visual prompt is called 'none'"),
    ],
)
def test_a_misspelt_prompt_is_an_error_that_helps(prompts, message):
    with pytest.raises(ActionCLIPError, match=message):
        check_combination(*prompts)


@pytest.mark.parametrize("post", [post for post in POST if post != "transf_cls"])
@pytest.mark.parametrize("frames", [1, 7])
def test_other_numbers_of_frames_than_sampled_are_welcome(post, frames):
    assert build(post=post).encode_video(images(3, frames)).shape == (3, 64)


def test_towers_serve_one_model_with_prompts_inside():
    backbone = build(inner="shift").backbone

    with pytest.raises(ActionCLIPError, match="already carry the visual prompt of another model"):
        ActionCLIP(backbone, settings())


@pytest.mark.parametrize(
    ("prompts", "prefixes"),
    [
        ({"pre": "joint"}, {"backbone.clip", "pre.time_embedding"}),
        ({"inner": "shift", "post": "lstm"}, {"backbone.clip", "post.lstm_visual"}),
        (
            {"post": "transf"},
            {"backbone.clip", "post.frame_position_embeddings", "post.transformer"},
        ),
    ],
)
def test_names_in_a_state_dict(prompts, prefixes):
    names = build(**prompts).state_dict()

    assert {".".join(name.split(".")[:2]) for name in names} == prefixes


@pytest.mark.parametrize(
    ("architecture", "width", "heads"), [("s1", 64, 1), ("s2", 64, 2), ("b32", 512, 8)]
)
def test_heads_of_transf_follow_the_text_tower(architecture, width, heads):
    """The authors' rule: the text tower's width / 64, whatever the width of the embeddings."""
    with torch.device("meta"):
        post = build(architecture, post="transf").post

    assert post.frame_position_embeddings.weight.shape == (77, width)
    assert {block.attn.num_heads for block in post.transformer.resblocks} == {heads}


def test_settings_of_the_prompts_are_obeyed():
    transf = build(post="transf", heads=4, norm_eps=1e-5, positions=9).post
    joint = build(pre="joint", frames=6).pre

    assert transf.transformer.resblocks[0].attn.num_heads == 4
    assert transf.transformer.resblocks[0].ln_1.eps == 1e-5
    assert transf.frame_position_embeddings.num_embeddings == 9
    assert joint.time_embedding.shape == (6, 64)
    assert build(post="transf_cls", frames=6).encode_video(images(1, 6)).shape == (1, 64)
    exact = build(post="transf_cls", positions=3, frames=3)
    assert exact.encode_video(images(1, 3)).shape == (1, 64)


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        ({"post": "transf_cls", "positions": 9, "frames": 4}, "9 frames"),
        ({"post": "transf_cls", "positions": 4, "frames": 9}, "4 frames"),
        ({"post": "transf", "positions": 4, "frames": 9}, "At most 4 frames"),
        ({"post": "transf", "frames": 78}, "At most 77 frames"),
        ({"pre": "joint", "positions": 4, "frames": 9}, "At most 4 frames"),
    ],
)
def test_a_table_of_times_that_does_not_fit_the_frames_is_refused_when_built(prompts, told):
    with pytest.raises(ActionCLIPError) as caught:
        build(**prompts)

    assert f"{prompts['frames']} frames are sampled" in str(caught.value)
    assert told.removeprefix("") in caught.value.expected


def test_sentences_and_their_tokens_give_the_same_embeddings():
    model = build()
    sentences = ["run", "a man juggles three balls", "run"]

    tokens = model.tokenize(sentences)
    text = model.encode_text(sentences)

    assert tokens.shape == (3, 77)
    assert torch.equal(model.encode_text(tokens), text)
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(3))
    raw = model.encode_text(tokens, normalize=False)
    torch.testing.assert_close(F.normalize(raw), text)


def test_frames_in_another_type_are_fused_in_the_heads():
    model = load_reference(build(post="transf"))
    frames = model.encode_frames(images())

    rounded = model.fuse(frames.to(torch.bfloat16))

    assert rounded.dtype == torch.float32
    assert (rounded * model.fuse(frames)).sum(-1).min() > 0.999


def test_scale_and_bias_are_the_towers():
    model = build("siglip")

    assert model.logit_scale is model.backbone.clip.logit_scale
    assert model.logit_bias.item() == -10
    assert build().logit_bias is None
    assert model.device == torch.device("cpu")
    model.cast(torch.bfloat16)
    assert model.logit_bias.dtype == torch.float32


@pytest.mark.parametrize("prompts", SENSIBLE, ids=name)
def test_gradients_reach_the_towers_and_the_prompts(prompts):
    model = load_reference(build(**prompts))
    similarity = model(images()) @ model.encode_text(["run", "juggle"]).T
    (model.logit_scale.exp() * similarity)[0, 0].backward()

    missing = {key for key, value in model.named_parameters() if value.grad is None}
    assert missing == set()


SCRIPT = """
import sys
import torch
from test_actionclip import build, images, load_reference

backend = sys.argv[1]
batch = torch.export.Dim("batch", min=1, max=64)
two, five = images(2), images(5)
for prompts in eval(sys.argv[2]):
    with torch.no_grad():
        model, traced = (load_reference(build(**prompts)) for _ in range(2))
        expected = model(two), model(five)
        exported = torch.export.export(traced, (two,), dynamic_shapes=({0: batch},)).module()
        whole = prompts.get("post") != "lstm"  # torch leaves recurrent networks out of its graphs
        compiled = torch.compile(traced, backend=backend, fullgraph=whole)
        for run in (exported, compiled):
            for x, video in zip((two, five), expected):
                torch.testing.assert_close(run(x), video, rtol=1e-5, atol=1e-5)
print("agrees")
"""


def run_traced(backend, *prompts):
    """In a process of its own: the shape checks of the tests hide functions from the compiler."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend, repr(prompts)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS / 'model'}"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip() == "agrees"


@pytest.mark.slow
def test_a_model_can_be_exported_and_traced():
    run_traced("eager", {"pre": "joint"}, {"inner": "shift"})


@pytest.mark.slow
def test_every_sensible_combination_can_be_exported_and_traced():
    run_traced("aot_eager", *SENSIBLE)


@pytest.mark.slow
def test_compiled_models_agree():
    run_traced("inductor", {"pre": "joint"}, {"inner": "shift", "post": "transf"})
