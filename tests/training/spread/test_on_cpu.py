"""What is computed another way on a CPU has the gradients it had; freed memory is kept."""

import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.training import ScheduleConfig
from actionclip.training.run.step import encode
from actionclip.training.spread.on_cpu import keep_freed_memory, quick_on_cpu
from actionclip.training.trained import checkpointed
from actionclip.video.settings import Preprocess, Sampling
from architectures import ARCHITECTURES
from training_runs import SETTINGS, run

EVERY = [
    ("vit", {"post": "transf"}),
    ("vit", {"pre": "joint"}),
    ("vit", {"inner": "shift"}),
    ("coca", {}),
    ("resnet", {}),
    ("convnext", {}),
]


def model_with(kind, **prompts):
    architecture = ARCHITECTURES[kind]
    torch.manual_seed(0)
    return ActionCLIP(
        OpenClipBackbone.from_architecture(architecture),
        ModelConfig(
            backbone=BackboneConfig(name="small", architecture=architecture, licence="MIT"),
            prompts=PromptConfig(**prompts),
            sampling=Sampling(frames=4),
            preprocess=Preprocess(size=architecture["vision_cfg"]["image_size"]),
        ),
    ).train()


class Called(TorchDispatchMode):
    """Notes every operator that is called, and the type of its first tensor."""

    def __init__(self):
        super().__init__()
        self.types = defaultdict(set)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.types[func._schema.name].add(getattr(args[0], "dtype", None) if args else None)
        return func(*args, **(kwargs or {}))


def step_of(model, precision="fp32", *, wanted=True, saving=False):
    """Embeddings and gradients of the same made-up step."""
    torch.manual_seed(3)
    side = model.config.preprocess.size
    frames = torch.randint(0, 256, (3, 4, 3, side, side), dtype=torch.uint8)
    tokens = model.tokenize(["a person who runs", "jumping", "a person sits down on a chair"])
    model.zero_grad()
    with quick_on_cpu(model, wanted=wanted), checkpointed(model, saving):
        video, text = encode(model, frames, tokens, precision)
        (video @ text.T).square().sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"video": video.detach(), "text": text.detach(), **found}


def error(found, truth):
    """Length of the difference over the length it should have, of all gradients together."""
    names = [name for name in truth if name not in ("video", "text")]
    missed = sum((found[name] - truth[name]).square().sum() for name in names)
    return float((missed / sum(truth[name].square().sum() for name in names)).sqrt())


@pytest.mark.parametrize(("kind", "prompts"), EVERY)
def test_gradients_are_those_of_the_ordinary_layers(kind, prompts):
    model = model_with(kind, **prompts)

    quick, ordinary = step_of(model), step_of(model, wanted=False)

    assert quick.keys() == ordinary.keys()
    for name, value in ordinary.items():
        torch.testing.assert_close(quick[name], value, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize(("kind", "prompts"), EVERY[:4])
def test_in_bfloat16_they_are_as_near_to_float32_as_those_of_the_ordinary_layers(kind, prompts):
    model = model_with(kind, **prompts)
    truth = step_of(model)

    quick, ordinary = step_of(model, "bf16"), step_of(model, "bf16", wanted=False)

    assert {value.dtype for value in quick.values()} == {torch.float32}
    # How roundings add up is chance: 0.6 to 1.7 times. One wrong scale or mask is far above that.
    assert 0 < error(quick, truth) < 2.5 * error(ordinary, truth) < 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_encoded_twice_is_encoded_the_same_way(precision):
    model = model_with("vit", post="transf")

    whole, saved = step_of(model, precision), step_of(model, precision, saving=True)

    for name, value in whole.items():
        torch.testing.assert_close(saved[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_the_slow_operators_are_not_called():
    model = model_with("vit")

    def types_of(operator, wanted):
        """What an operator was given, as long as it was called at all."""
        seen = Called()
        with seen:
            step_of(model, "bf16", wanted=wanted)
        return seen.types[operator]

    assert types_of("aten::convolution", wanted=False)
    assert types_of("aten::_scaled_dot_product_flash_attention_for_cpu", wanted=False) == {
        torch.bfloat16
    }
    assert not types_of("aten::convolution", wanted=True)
    assert types_of("aten::_scaled_dot_product_flash_attention_for_cpu", wanted=True) == {
        torch.float32
    }


def test_a_run_makes_use_of_all_of_it(tmp_path):
    seen = Called()

    with seen:
        run(tmp_path, replace(SETTINGS, schedule=ScheduleConfig(epochs=1, warmup_epochs=0)))

    assert "aten::_fused_adamw_" in seen.types
    assert "aten::convolution" not in seen.types


def test_layers_are_as_before_afterwards_also_after_an_error():
    model = model_with("vit")

    def changed():
        return sum("forward" in vars(module) for module in model.modules())

    def fail():
        with quick_on_cpu(model):
            assert changed() == 5
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert changed() == 0


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 5, 8, stride=8),  # what is left at the edges is not seen
        nn.Conv2d(3, 5, 8, stride=8, bias=False),
        nn.Conv2d(3, 5, 8, stride=4),
        nn.Conv2d(3, 5, 8, stride=8, padding=1),
        nn.Conv2d(3, 5, (8, 16), stride=(8, 16)),
        nn.Conv2d(3, 6, 8, stride=8, groups=3),
        nn.Conv2d(3, 5, 8, stride=8, dilation=2),
    ],
    ids=str,
)
def test_any_convolution_gives_what_it_gives(layer):
    x = torch.rand(2, 3, 37, 43, generator=torch.Generator().manual_seed(0))
    expected = layer(x)

    with quick_on_cpu(layer):
        found = layer(x)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


PAGES = """
import resource
import torch
from actionclip.training.spread.on_cpu import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(100, 2**18)  # 100 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def asked_for(*ways):
    for way in ways:
        print(way() if callable(way) else way, faults())
"""


def pages(program, **environment):
    """What a process printed."""
    program = subprocess.run(
        [sys.executable, "-c", f"{PAGES}\n{program}"],
        check=True, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    return [line.split() for line in program.stdout.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_freed_memory_is_kept_and_asked_for_again():
    (_, before), (done, _), _, (_, after) = pages(
        "asked_for('before', keep_freed_memory, 'settling', 'after')"
    )

    assert done == "True"
    assert int(before) > 190_000  # 4 KiB each
    assert int(after) < 60_000  # what is freed may have to grow once more


@pytest.mark.parametrize("chosen", [{"GLIBC_TUNABLES": ""}, {"MALLOC_MMAP_MAX_": "65536"}], ids=str)
def test_what_the_environment_says_about_memory_stays(chosen):
    ((done, _), (_, after)) = pages("asked_for(keep_freed_memory, 'after')", **chosen)

    assert done == "False"
    assert int(after) > 190_000


@pytest.mark.parametrize("error", [AttributeError, ValueError, OSError])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def unknown(name):
        raise error(name)

    monkeypatch.setattr(os, "confstr", unknown)
    monkeypatch.setattr("ctypes.CDLL", None)

    assert not keep_freed_memory()
