import pytest
import torch
from torch import nn

from actionclip.inference import precision
from actionclip.inference.precision import choose_precision, least_parameters


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
