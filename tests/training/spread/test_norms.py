"""Batch norms learn once in a step, whatever makes a step encode its videos twice."""

import signal
from dataclasses import replace

import pytest
import torch

from actionclip.model.weights.files import read_tensors
from actionclip.model.weights.folder import load_folder
from actionclip.training import ScheduleConfig, Stopped
from actionclip.training.plan import make_plan
from actionclip.training.run.state import STATE
from actionclip.training.run.step import Average, find_gradients
from actionclip.training.trained import checkpointed, set_training_mode
from actionclip.video.transforms import as_input
from training_runs import (
    CONVOLUTIONAL,
    SETTINGS,
    Colours,
    fingerprint,
    first_batch,
    on_ranks,
    run,
    small_model,
)

SHORT = replace(SETTINGS, schedule=ScheduleConfig(epochs=2, warmup_epochs=0))


def convolutional(seed=0):
    return small_model(seed, vision=CONVOLUTIONAL)


def statistics(model):
    """What the batch norms have learnt, as one vector, and how often."""
    state = model.state_dict()
    running = [value.flatten() for name, value in state.items() if "running_" in name]
    [count] = {int(value) for name, value in state.items() if name.endswith("batches_tracked")}
    return torch.cat(running).clone(), count


def after_a_step(settings, rows=slice(None)):
    model = convolutional()
    set_training_mode(model)
    batch = first_batch(model, replace(settings, accumulate=1))
    batch = batch.rows(rows.start or 0, rows.stop or len(batch.frames))
    with checkpointed(model, settings.activation_checkpointing):
        find_gradients(model, batch, settings, step=0)
    return statistics(model)


def test_a_plain_step_learns_what_one_pass_does():
    model = convolutional()
    set_training_mode(model)
    frames = first_batch(model, SETTINGS).frames

    model.encode_video(as_input(frames, model.config.preprocess, model.device))

    expected, count = statistics(model)
    found, times = after_a_step(SETTINGS)
    assert count == times == 1
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_activation_checkpointing_learns_the_same_to_the_bit():
    expected, _ = after_a_step(SETTINGS)

    found, times = after_a_step(replace(SETTINGS, activation_checkpointing=True))

    assert times == 1
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_parts_learn_their_mean_once(checkpointing):
    settings = replace(SETTINGS, accumulate=2, activation_checkpointing=checkpointing)
    halves = [after_a_step(SETTINGS, rows)[0] for rows in (slice(0, 2), slice(2, 4))]

    found, times = after_a_step(settings)

    assert times == 1
    torch.testing.assert_close(found, (halves[0] + halves[1]) / 2)


def a_rank(folder, stop_at=None, settings=SHORT):
    def stop(line):
        if line["step"] == stop_at:
            signal.raise_signal(signal.SIGTERM)

    model = convolutional()
    try:
        run(folder, settings, model=model, report=stop)
    except Stopped:
        return None
    return fingerprint(model)


def test_processes_learn_the_same_and_go_on_to_the_same_bits(tmp_path):
    here, there = on_ranks(2, a_rank, tmp_path / "whole")
    assert here == there

    assert on_ranks(2, a_rank, tmp_path / "broken", 3) == [None, None]
    assert on_ranks(2, a_rank, tmp_path / "broken") == [here, here]


def test_two_processes_are_one_with_two_parts(tmp_path):
    on_ranks(2, a_rank, tmp_path / "two")
    run(tmp_path / "parts", replace(SHORT, accumulate=2), model=convolutional())

    two, parts = (read_tensors(tmp_path / name / STATE) for name in ("two", "parts"))
    for name in two:
        if "running_" in name:
            torch.testing.assert_close(two[name], parts[name], rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"activation_checkpointing": True}])
def test_a_step_that_is_not_finite_leaves_no_trace(tmp_path, more):
    """A NaN in the statistics would stay there, and nothing would be saved any more."""
    settings = replace(SHORT, **more)
    bad = Colours(poison=[(0, 1), (1, 1)])

    _, result = run(tmp_path, settings, source=bad, model=(model := convolutional()))

    assert result.skipped in (1, 2)
    assert result.rollbacks == 0
    found, times = statistics(model)
    assert torch.isfinite(found).all()
    assert times == result.steps - result.skipped
    saved = read_tensors(tmp_path / STATE)
    assert all(torch.isfinite(v).all() for v in saved.values())
    [count] = {int(v) for name, v in saved.items() if name.endswith("batches_tracked")}
    assert count == times


def test_a_step_that_is_given_up_leaves_no_trace(tmp_path):
    settings, calls = replace(SHORT, accumulate=2), []

    def stop(*_):
        calls.append(len(calls))
        if len(calls) == 7:
            signal.raise_signal(signal.SIGTERM)

    model = convolutional()
    model.post.register_forward_hook(stop)
    with pytest.raises(Stopped) as stopped:
        run(tmp_path / "stopped", settings, model=model)

    assert (len(calls), stopped.value.step) == (7, 1)  # in the middle of the second step
    again, _ = run(tmp_path / "stopped", settings, model=convolutional())
    assert again == run(tmp_path / "whole", settings, model=convolutional())[0]


def test_the_plan_says_what_batch_norms_see():
    parts = replace(SETTINGS, accumulate=2)
    model = convolutional()

    assert make_plan(parts, model, 22).normalised == 2
    assert make_plan(parts, model, 22, processes=2).normalised == 1
    told = "\n".join(make_plan(SETTINGS, model, 22, processes=2).lines())
    assert "batch norms 2 videos at a time, not all 4" in told
    assert make_plan(SETTINGS, model, 22).normalised is None
    assert make_plan(parts, small_model(), 22).normalised is None
    frozen = replace(parts, train="prompts")
    assert (
        make_plan(frozen, small_model(vision=CONVOLUTIONAL, post="transf"), 22).normalised is None
    )


def test_averaged_weights_have_averaged_statistics():
    """The newest statistics are those of other weights."""
    model = convolutional()
    average = Average(model, 0.75)
    norms = [module for module in model.modules() if hasattr(module, "running_var")]
    with torch.no_grad():
        for norm in norms:
            norm.running_mean.add_(4.0)
            norm.running_var.add_(8.0)
            norm.num_batches_tracked.add_(3)
    newest = fingerprint(model)

    average.update(model)

    with average.in_place_of(model):
        for norm in norms:
            torch.testing.assert_close(norm.running_mean, torch.full_like(norm.running_mean, 1.0))
            torch.testing.assert_close(norm.running_var, torch.full_like(norm.running_var, 3.0))
            assert norm.num_batches_tracked == 3
    assert fingerprint(model) == newest


def test_averaged_statistics_are_saved_and_go_on_to_the_same_bits(tmp_path):
    settings = replace(SHORT, ema=0.5)
    seen, model = [], convolutional()

    def look(model):
        seen.append(fingerprint(model))
        return {"n": float(len(seen))}

    whole, _ = run(tmp_path / "whole", settings, model=model, evaluate=look)
    run(tmp_path / "plain", SHORT, model=(newest := convolutional()))
    assert whole == seen[-1] == fingerprint(load_folder(tmp_path / "whole" / "last"))
    assert not torch.equal(statistics(model)[0], statistics(newest)[0])

    assert a_rank(tmp_path / "broken", 3, settings) is None
    state = tmp_path / "broken" / STATE
    assert run(tmp_path / "broken", settings, model=convolutional())[0] == whole
    names = [name for name in read_tensors(state) if name.startswith("average.")]
    assert any("running_mean" in name for name in names)


def test_a_state_without_averaged_statistics_goes_on_with_the_newest():
    model = convolutional()
    average = Average(model, 0.5)
    weights = {n: v.clone() for n, v in average.values.items() if "running_" not in n}
    with torch.no_grad():
        for value in average.values.values():
            value.fill_(7.0)

    average.load(weights, model)

    state = model.state_dict()
    for name, value in average.values.items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
