"""Low-rank adapters on the towers."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.files import read_header
from actionclip.model.weights.folder import load_folder
from actionclip.training import OptimConfig
from actionclip.training.adapt.lora import LoraConfig, add_adapters, merged
from actionclip.training.adapt.teacher import DistillConfig
from actionclip.training.plan import make_plan
from actionclip.training.run.state import STATE
from actionclip.training.spread.on_cpu import quick_on_cpu
from training_runs import (
    CONVOLUTIONAL,
    SETTINGS,
    dropping_model,
    fingerprint,
    metrics,
    run,
    small_model,
)

BOTH = LoraConfig(rank=2, modules=("attention", "mlp"))
TEXT_ONLY = LoraConfig(towers=("text",))
ADAPTED = replace(SETTINGS, lora=BOTH, optim=OptimConfig(lr=1e-2, weight_decay=0.0))
IMAGE, TEXT = "backbone.clip.visual.transformer.", "backbone.clip.transformer."


@pytest.mark.parametrize("towers", [("image",), ("text",), ("image", "text")])
@pytest.mark.parametrize("modules", [("attention",), ("mlp",), ("attention", "mlp")])
def test_the_modules_asked_for_are_adapted_and_nothing_else(towers, modules):
    model = small_model(post="transf")

    adapted = add_adapters(model, LoraConfig(towers=towers, modules=modules))

    layers = {"attention": ["attn"], "mlp": ["mlp.c_fc", "mlp.c_proj"]}
    places = {"image": IMAGE, "text": TEXT}
    expected = {
        f"{places[tower]}resblocks.0.{layer}"
        for tower in towers
        for kind in modules
        for layer in layers[kind]
    }
    assert set(adapted.names) == expected
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    towers_trained = {name for name in trained if not name.startswith("post.")}
    assert towers_trained < trained
    assert all("lora_" in name for name in towers_trained)


def drift(adapted, frames, tokens, steps=5):
    """Train adapters to make some difference."""
    model = adapted.model
    learner = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.03)
    for _ in range(steps):
        learner.zero_grad()
        loss = (model.encode_video(frames) @ model.encode_text(tokens).T).sum()
        loss.backward()
        learner.step()


@pytest.mark.parametrize("part", ["in_proj", "out_proj"])
def test_an_adapter_counts_once_where_attention_is_computed_another_way(part):
    """Under bf16 on a CPU the step has an attention of its own; it has to see the same sum."""
    model = small_model(post="transf")
    add_adapters(model, LoraConfig(rank=2, modules=("attention",)))
    (layer,) = [
        module
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight") and name.startswith(TEXT) and name.endswith("attn")
    ]
    x = torch.randn(2, 5, layer.get_base_layer().embed_dim)

    def attended(quick):
        with torch.no_grad(), quick_on_cpu(model, wanted=quick), torch.autocast("cpu"):
            return layer(x, x, x, need_weights=False)[0].float()

    before = attended(True)
    adapted = layer if part == "in_proj" else layer.get_base_layer().out_proj
    torch.nn.init.normal_(adapted.lora_B["default"].weight)

    assert (attended(True) - before).norm() > 1
    torch.testing.assert_close(attended(True), attended(False), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("prompts", [{"post": "transf"}, {"inner": "shift"}, {"pre": "joint"}])
def test_adapters_start_as_nothing_learn_and_are_merged(prompts):
    model = small_model(**prompts)
    frames, tokens = torch.rand(3, 2, 3, 16, 16), model.tokenize(["a dog", "a cat that sits"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        start = model.encode_video(frames), model.encode_text(tokens)

    adapted = add_adapters(model, BOTH)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_video(frames), start[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(model.encode_text(tokens), start[1], rtol=0, atol=1e-6)
    drift(adapted, frames, tokens)
    towers = {name: v for name, v in model.state_dict().items() if "base_layer" in name}
    with torch.no_grad():
        learned = model.encode_video(frames), model.encode_text(tokens)
    for name, value in towers.items():  # to the bit: nothing is added to it and taken away again
        if "lora_" not in name:
            assert torch.equal(value, before[name.replace(".base_layer", "")]), name
    adapted.remove()

    assert model.state_dict().keys() == before.keys()
    assert (learned[0] - start[0]).abs().max() > 0.01
    assert (learned[1] - start[1]).abs().max() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(model.encode_video(frames), learned[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(model.encode_text(tokens), learned[1], rtol=0, atol=1e-5)
    for part in ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight"):
        for tower in (IMAGE, TEXT):
            name = f"{tower}resblocks.0.{part}"
            change = model.state_dict()[name] - before[name]
            assert 0 < torch.linalg.matrix_rank(change, rtol=1e-4) <= 2, name


def test_towers_with_separate_layers_are_adapted_too():
    """timm's attention is made of ordinary layers."""
    from torch import nn

    clip = nn.Module()
    clip.visual = nn.Module()
    clip.visual.attn = nn.ModuleDict({"qkv": nn.Linear(4, 12), "proj": nn.Linear(4, 4)})
    clip.visual.mlp = nn.ModuleDict({"fc1": nn.Linear(4, 8)})
    clip.visual.head = nn.Linear(4, 4)
    model = small_model()
    model.backbone.clip = clip

    adapted = add_adapters(model, replace(BOTH, towers=("image",)))

    assert [name.removeprefix("backbone.clip.visual.") for name in adapted.names] == [
        "attn.qkv",
        "attn.proj",
        "mlp.fc1",
    ]
    assert merged(model).keys() == {
        *(
            f"backbone.clip.visual.attn.{x}.{y}"
            for x in ("qkv", "proj")
            for y in ("weight", "bias")
        ),
        *(f"backbone.clip.visual.{x}.{y}" for x in ("mlp.fc1", "head") for y in ("weight", "bias")),
    }


def test_the_same_seed_draws_the_same_adapters_and_leaves_other_draws_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    states = [add_adapters(small_model(), BOTH, seed=seed).state() for seed in (1, 1, 2)]

    assert torch.equal(torch.rand(2), expected)
    name = next(name for name in states[0] if "lora_A" in name)
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_a_run_with_adapters_goes_on_to_the_same_bits(tmp_path):
    def crash(line):
        if line["step"] == 8:
            raise KeyboardInterrupt

    settings = replace(ADAPTED, ema=0.5, distill=DistillConfig(text=0.1), interpolate=0.5)
    whole, _ = run(tmp_path / "whole", settings)
    broken = dropping_model()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", settings, model=broken, report=crash)
    assert broken.state_dict().keys() == dropping_model().state_dict().keys()
    other = dropping_model(5)  # other towers: those of the start are taken
    weights, _ = run(tmp_path / "broken", settings, model=other)

    assert weights == whole
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole")
    for name in ("last", "start", "interpolated"):
        here, there = (load_folder(tmp_path / run / name) for run in ("broken", "whole"))
        assert fingerprint(here) == fingerprint(there)
    assert fingerprint(load_folder(tmp_path / "whole" / "last")) == whole


@pytest.mark.parametrize("post", ["conv1d", "transf"])
def test_prompts_beside_adapters_keep_what_they_learned_when_a_run_goes_on(tmp_path, post):
    def crash(line):
        if line["step"] == 8:
            raise KeyboardInterrupt

    whole, _ = run(tmp_path / "whole", ADAPTED, model=small_model(post=post))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", ADAPTED, model=small_model(post=post), report=crash)

    weights, _ = run(tmp_path / "broken", ADAPTED, model=small_model(post=post))
    again, _ = run(tmp_path / "broken", ADAPTED, model=small_model(post=post))

    assert weights == whole
    assert again == whole  # there was nothing left to do
    assert fingerprint(load_folder(tmp_path / "broken" / "last")) == whole


def test_only_adapters_and_prompts_are_in_the_state(tmp_path):
    settings = replace(ADAPTED, lora=LoraConfig(rank=1))
    start = small_model(post="conv1d")

    run(tmp_path, settings, model=small_model(post="conv1d"))

    names = [n.removeprefix("model.") for n in read_header(tmp_path / STATE) if "model." in n]
    assert all("lora_" in n or n.startswith("post.") or n.endswith("mask") for n in names)
    whole = (tmp_path / "last" / "model.safetensors").stat().st_size
    assert (tmp_path / STATE).stat().st_size < 0.1 * whole
    end = load_folder(tmp_path / "last").state_dict()
    changed = {n for n, value in start.state_dict().items() if not torch.equal(value, end[n])}
    assert {name.rsplit(".", 1)[0] for name in changed} == {
        f"{tower}resblocks.0.attn{part}" for tower in (IMAGE, TEXT) for part in ("", ".out_proj")
    } | {"post.shift"}


def test_what_is_best_is_an_ordinary_model(tmp_path):
    run(tmp_path, ADAPTED, model=small_model(), evaluate=lambda model: {"score": 1.0})

    assert load_folder(tmp_path / "best").state_dict().keys() == small_model().state_dict().keys()


def test_a_plan_counts_adapters_and_leaves_the_model_as_it_was():
    model = small_model(post="conv1d")
    before = fingerprint(model)

    plan = make_plan(replace(SETTINGS, lora=LoraConfig(rank=1)), model, 22)

    assert plan.trained == {"text": (8 + 24) + (8 + 8), "visual": (16 + 48) + 32, "prompt": 48}
    assert fingerprint(model) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoraConfig(rank=0), "lora has rank 0"),
        (lambda: LoraConfig(towers=()), r"towers \[\]"),
        (lambda: replace(SETTINGS, lora=BOTH, fix_text=True), "fix_text = True"),
        (lambda: replace(SETTINGS, lora=BOTH, train="prompts"), "lora is set, with train"),
    ],
)
def test_settings_that_could_only_be_a_mistake_are_refused(make, message):
    with pytest.raises(ActionCLIPError, match=message):
        make()


@pytest.mark.parametrize("trouble", ["too few videos", "a folder that is taken", "a full disk"])
def test_a_run_that_does_not_begin_leaves_an_ordinary_model(tmp_path, monkeypatch, trouble):
    model = small_model(post="transf")
    names = set(model.state_dict())
    settings = replace(ADAPTED, schedule=replace(ADAPTED.schedule, epochs=2, warmup_epochs=1))
    if trouble == "a folder that is taken":
        run(tmp_path, replace(settings, seed=7))
    with monkeypatch.context() as patch:
        if trouble == "a full disk":
            full = OSError(28, "No space left on device")
            patch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(full))
        batch = 23 if trouble == "too few videos" else 4
        with pytest.raises(ActionCLIPError):
            run(tmp_path, replace(settings, batch_size=batch), model=model)

    assert set(model.state_dict()) == names
    run(tmp_path / "second", settings, model=model)  # what the error said was put right


@pytest.mark.parametrize("towers", [("image",), ("image", "text")])
def test_towers_without_such_modules_are_refused(towers):
    """Also where the other tower has some: one of them would stay as it is, and nobody said so."""
    model = small_model(vision=CONVOLUTIONAL)

    with pytest.raises(ActionCLIPError, match="no attention to adapt in the image tower") as error:
        add_adapters(model, LoraConfig(towers=towers))

    assert ('lora.towers = ["text"]' in error.value.hint) == ("text" in towers)
    assert all("backbone.clip.transformer" in name for name in add_adapters(model, TEXT_ONLY).names)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("peft", "peft.tuners"), "peft, which is not installed"),
        (("peft.tuners",), "peft, which cannot be imported: import of peft.tuners"),
    ],
)
def test_a_peft_that_is_not_there_or_does_not_work_is_named(monkeypatch, missing, said):
    """Of another release than what it leans on, it is installed and cannot be imported."""
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ActionCLIPError, match=said) as refusal:
        add_adapters(small_model(), BOTH)

    assert refusal.value.hint == "pip install --upgrade 'actionclip[train]'"
