import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.post import POST
from actionclip.training import OptimConfig, ScheduleConfig, build_optimizer
from actionclip.training.optimiser import parameter_groups, set_rates
from actionclip.training.schedule import factor, factor_at_step, milestones
from training_runs import small_model

RECORDED = {
    "cosine_k400": ({}, {}),
    "cosine_r01": ({"lr": 1e-5, "visual_lr_scale": 0.1}, {}),
    "multistep_15": ({}, {"decay": "multistep", "milestones": 15}),
    "multistep_list": ({}, {"decay": "multistep", "milestones": (20, 40)}),
    "cosine_e30_w3": ({}, {"epochs": 30, "warmup_epochs": 3}),
    "cosine_nowarm": ({}, {"warmup_epochs": 0}),
}


def rates(optimizer, multiplier):
    set_rates(optimizer, multiplier)
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("tag", RECORDED)
def test_rates_agree_with_the_authors_code_at_every_epoch(golden, tag):
    recorded = golden("lr_schedule")
    optim, schedule = RECORDED[tag]
    optimizer = build_optimizer(small_model(post="transf"), OptimConfig(**optim))
    schedule = ScheduleConfig(**schedule)

    ours = [rates(optimizer, factor(schedule, epoch)) for epoch in recorded["epochs"].tolist()]

    np.testing.assert_allclose(ours, recorded[f"{tag}/lrs"], rtol=1e-12, atol=0)
    start = rates(optimizer, factor_at_step(replace(schedule, schedule="authors"), 0, 100))
    assert start == recorded[f"{tag}/after_construction"].tolist()


def test_rates_agree_with_the_authors_loop_at_every_iteration(golden):
    recorded = golden("lr_schedule")["trace_len25_epochs3_warm1"]
    optimizer = build_optimizer(small_model(), OptimConfig())
    schedule = ScheduleConfig(epochs=3, warmup_epochs=1, schedule="authors")

    ours = [rates(optimizer, factor_at_step(schedule, step, 25)) for step in range(75)]

    ours = np.array(ours)[:, : recorded.shape[1]]
    np.testing.assert_allclose(ours, recorded, rtol=1e-12, atol=0)
    assert (ours[:9] == 0).all()


@given(
    epochs=st.integers(1, 20),
    warmup=st.floats(0, 1, exclude_max=True),
    length=st.integers(1, 30),
)
def test_the_smooth_schedule_never_stands_still_and_never_overshoots(epochs, warmup, length):
    schedule = ScheduleConfig(epochs=epochs, warmup_epochs=warmup * epochs)
    ours = np.array([factor_at_step(schedule, s, length) for s in range(epochs * length)])

    assert ((ours > 0) & (ours <= 1)).all()
    peak = ours.argmax()
    assert (np.diff(ours[: peak + 1]) > 0).all()
    assert (np.diff(ours[peak:]) <= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"warmup_epochs": 50},
        {"warmup_epochs": -1},
        {"decay": "multistep", "milestones": (5, 10)},
        {"decay": "multistep", "milestones": (20, 10)},
        {"milestones": 0},
        {"gamma": -1.0},
        {"gamma": math.nan},
    ],
)
def test_a_schedule_that_could_only_be_a_mistake_is_refused(wrong):
    with pytest.raises(ActionCLIPError, match="schedule"):
        ScheduleConfig(**wrong)


def test_milestones_past_the_end_never_come():
    assert milestones(ScheduleConfig(epochs=10, warmup_epochs=1, milestones=15)) == ()


@pytest.mark.parametrize("post", POST)
def test_every_parameter_is_in_exactly_one_group(post):
    model = small_model(post=post, pre="joint" if post == "meanp" else "none")

    groups = parameter_groups(model)

    names = [name for members in groups.values() for name in members]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert "backbone.clip.logit_scale" in groups["text"]
    assert "backbone.clip.token_embedding.weight" in groups["text"]
    assert all(name.startswith(("pre.", "backbone.clip.visual.")) for name in groups["visual"])
    assert all(name.startswith("post.") for name in groups["prompt"])


def test_adamw_is_the_authors():
    optimizer = build_optimizer(small_model(post="transf"), OptimConfig(lr=1e-3))

    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-3, 1e-2])
    for group in optimizer.param_groups:
        assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.98), 1e-8, 0.2)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_adam_and_sgd_have_two_groups_as_the_authors_do(name):
    settings = OptimConfig(optimiser=name, lr=1e-3, visual_lr_scale=0.1, weight_decay=0.01)

    optimizer = build_optimizer(small_model(post="transf"), settings)

    assert [group["name"] for group in optimizer.param_groups] == ["towers", "prompt"]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-2])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01}
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    else:
        assert type(optimizer) is torch.optim.Adam  # AdamW's decay is not part of the gradient


def test_frozen_parameters_are_not_in_the_optimiser():
    model = small_model(post="transf")
    model.backbone.requires_grad_(False)

    groups = build_optimizer(model, OptimConfig()).param_groups

    assert [len(group["params"]) for group in groups[:2]] == [0, 0]
    model.post.requires_grad_(False)
    with pytest.raises(ActionCLIPError, match="nothing to train"):
        build_optimizer(model, OptimConfig())


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": math.nan},
        {"lr": math.inf},
        {"weight_decay": -1.0},
        {"prompt_lr_scale": -1.0},
        {"betas": (0.9, 1.5)},
        {"betas": (-0.1, 0.9)},
        {"eps": -1e-8},
        {"momentum": -1.0},
    ],
)
def test_an_optimiser_that_could_only_be_a_mistake_is_refused(wrong):
    with pytest.raises(ActionCLIPError, match="optim"):
        OptimConfig(**wrong)
