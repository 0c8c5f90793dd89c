import pytest
import torch
from torch import nn

from actionclip.inference import precision
from actionclip.inference.precision import choose_precision, least_parameters, set_precision
from actionclip.model.zoo.pretrained import build


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


def test_bf16_is_for_pictures_and_words_stay_exact():
    with pytest.warns(UserWarning, match="random weights"):
        model = build("tiny")
    texts = model.encode_text(["running", "waving"])
    frames = torch.rand(2, 8, 3, 112, 112)
    exact = model.encode_video(frames)

    half = set_precision(model, "bf16")

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.encode_text(["running", "waving"]), texts)
    assert torch.cosine_similarity(half.encode_video(frames), exact).min() > 0.999
    assert half.logit_scale.dtype == torch.float32
