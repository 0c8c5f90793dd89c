import copy
import pickle
import re

import pytest
import torch
from torch import nn

from actionclip import Recognizer
from actionclip.inference import precision
from actionclip.inference.precision import (
    choose_precision,
    least_parameters,
    precision_of,
    set_precision,
)
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.zoo.pretrained import build
from architectures import ARCHITECTURES


@pytest.fixture
def cpu_with(monkeypatch):
    """Makes the processor say these words of itself."""

    def pretend(*words):
        monkeypatch.setattr(precision, "_cpu_words", lambda: frozenset(words))

    return pretend


def model_of(parameters):
    with torch.device("meta"):
        return nn.Linear(parameters, 1, bias=False)


@pytest.mark.parametrize(
    ("words", "parameters", "expected"),
    [
        (["avx2", "GenuineIntel"], 150_000_000, "fp32"),
        (["avx512_bf16", "AuthenticAMD"], 150_000_000, "bf16"),
        (["avx512_bf16", "AuthenticAMD"], 13_000_000, "fp32"),
        (["avx512_bf16", "GenuineIntel"], 150_000_000, "fp32"),
        (["avx512_bf16", "amx_bf16", "GenuineIntel"], 13_000_000, "bf16"),
        (["avx512_bf16", "amx_bf16", "GenuineIntel"], 9_000_000, "fp32"),
    ],
)
def test_auto_takes_bf16_where_it_was_measured_to_be_faster(
    cpu_with, monkeypatch, words, parameters, expected
):
    cpu_with(*words)
    monkeypatch.setattr(precision, "least_parameters", lambda _: least_parameters("cpu"))

    assert choose_precision("auto", model_of(parameters)) == expected


def test_what_is_asked_for_is_taken_whatever_the_hardware(cpu_with):
    cpu_with("avx2")

    assert choose_precision("bf16", model_of(10)) == "bf16"
    assert choose_precision("fp32", model_of(10)) == "fp32"


@pytest.fixture
def tiny():
    return build("tiny")


@torch.no_grad()
def encoded(model, frames):
    return model.encode_video(frames)


def tower_of(kind):
    torch.manual_seed(0)
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES[kind])
    named = BackboneConfig(name=kind, architecture=ARCHITECTURES[kind])
    model = ActionCLIP(backbone, ModelConfig(backbone=named, prompts=PromptConfig(post="transf")))
    return model.eval(), torch.randn(1, 2, 3, backbone.image_size, backbone.image_size)


def test_bf16_is_for_pictures_and_words_stay_exact(tiny):
    texts = tiny.encode_text(["running", "waving"])
    frames = torch.rand(2, 8, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    exact = encoded(tiny, frames)

    half = set_precision(tiny, "bf16")

    torch.testing.assert_close(half.encode_text(["running", "waving"]), texts, rtol=0, atol=0)
    assert torch.cosine_similarity(encoded(half, frames), exact).min() > 0.9999
    assert half.logit_scale.dtype == torch.float32


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_tower_computes_in_bf16_and_stays_close(kind):
    model, frames = tower_of(kind)
    exact = encoded(model, frames)

    half = encoded(set_precision(model, "bf16"), frames)

    assert precision_of(model) == "bf16"
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert torch.cosine_similarity(half, exact).min() > 0.999


@pytest.mark.parametrize("kind", ["vit", "pe", "siglip", "coca"])
def test_only_matrices_of_the_blocks_are_lowered_where_there_are_blocks(kind):
    model, _ = tower_of(kind)

    set_precision(model, "bf16")

    low = {name for name, p in model.named_parameters() if p.dtype == torch.bfloat16}
    assert low == {
        name
        for name, _ in model.named_parameters()
        if re.search(r"visual.*blocks\.\d+\.(attn|mlp)", name)
    }
    assert low


def test_the_sum_of_the_blocks_in_float32_halves_the_error_at_least():
    model, frames = tower_of("vit")
    exact = encoded(model, frames)
    whole = copy.deepcopy(model).cast(torch.bfloat16)

    lost = (encoded(whole, frames) - exact).norm()
    kept = (encoded(set_precision(model, "bf16"), frames) - exact).norm()

    assert kept < lost / 2


@pytest.fixture
def steps(monkeypatch):
    """Counts how often a linear layer and GELU are one step."""
    if not (precision.has_bf16("cpu") and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this processor, or this torch, has no oneDNN that multiplies bf16")
    taken, step = [], torch.ops.mkldnn._linear_pointwise

    def counted(*args):
        taken.append(args[3])
        return step(*args)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counted)
    return taken


def test_layers_are_one_step_unless_a_gradient_is_wanted(steps):
    model, frames = tower_of("vit")
    blocks, names = len(model.backbone.visual.transformer.resblocks), list(model.state_dict())

    half = set_precision(model, "bf16")
    fused = encoded(half, frames)
    assert steps == ["gelu"] * blocks
    with torch.enable_grad():
        apart = half.encode_video(frames)
        apart.sum().backward()

    assert len(steps) == blocks
    assert all(
        p.grad is not None for n, p in half.named_parameters() if "visual" in n and "mlp" in n
    )
    torch.testing.assert_close(fused, apart, rtol=0, atol=0.001)
    assert list(half.state_dict()) == names
    copied = pickle.loads(pickle.dumps(copy.deepcopy(half)))
    torch.testing.assert_close(encoded(copied, frames), fused, rtol=0, atol=0)


@torch.inference_mode()
def test_gelu_sees_sums_that_are_not_rounded(steps):
    torch.manual_seed(0)
    mlp = precision.RoundedOnce(nn.Linear(64, 256), nn.GELU()).to(torch.bfloat16)
    x = torch.randn(3, 50, 64).to(torch.bfloat16)
    exact = copy.deepcopy(mlp).float()(x.float()).to(torch.bfloat16)
    apart = nn.Sequential(*mlp)(x)

    assert (mlp(x) == exact).float().mean() > 0.999
    assert (apart == exact).float().mean() < 0.9


class Doubled(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("first", "after"),
    [
        (Doubled(8, 8), nn.GELU()),
        (nn.Linear(8, 8), nn.GELU("tanh")),
        (nn.Linear(8, 8), nn.ReLU()),
    ],
)
def test_other_layers_are_called_as_they_are(first, after, steps):
    layers = nn.Sequential(first, after, nn.Linear(8, 4)).to(torch.bfloat16)
    x = torch.randn(2, 8).to(torch.bfloat16)

    torch.testing.assert_close(precision.RoundedOnce(*layers)(x), layers(x), rtol=0, atol=0)
    assert steps == []


def test_a_precision_can_be_changed_copied_and_asked_for_again(tiny):
    frames = torch.rand(1, 4, 3, 80, 80)
    set_precision(tiny, "bf16")
    first = encoded(tiny, frames)

    copied = pickle.loads(pickle.dumps(copy.deepcopy(tiny)))
    again = set_precision(set_precision(copied, "fp32"), "bf16")

    torch.testing.assert_close(encoded(again, frames), first, rtol=0, atol=0)
    assert precision_of(set_precision(again, "fp32")) == "fp32"
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_a_model_cast_as_a_whole_says_that_it_is_bf16(tiny):
    """Also after the hooks of `set_precision` are in it; words are then in bf16 as well."""
    recognizer = Recognizer(tiny, precision="bf16")
    exact = recognizer.embed_text("a person runs")

    tiny.cast(torch.bfloat16)

    assert recognizer.precision == "bf16"
    assert encoded(tiny, torch.rand(1, 4, 3, 80, 80)).shape == (1, tiny.backbone.embed_dim)
    words = recognizer.embed_text("a person runs")
    assert not torch.equal(words, exact)
    assert torch.cosine_similarity(words, exact) > 0.999
