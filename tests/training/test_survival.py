"""What may happen to a run: kills, signals, a full disk, numbers that are none."""

import errno
import json
import math
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.model.weights import files
from actionclip.model.weights.files import read_tensors
from actionclip.model.weights.folder import load_folder
from actionclip.training import ScheduleConfig, Stopped
from actionclip.training.run.batches import order
from actionclip.training.run.folder import RunFolder
from actionclip.training.run.state import STATE, read_progress
from training_runs import (
    SERVER,
    SETTINGS,
    Colours,
    dropping_model,
    fingerprint,
    metrics,
    on_ranks,
    run,
    run_in_process,
    small_model,
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing happened to: its folder and the fingerprint of its weights."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, run(folder)[0]


def assert_as_undisturbed(folder, weights, undisturbed):
    assert weights == undisturbed[1]
    assert metrics(folder) == metrics(undisturbed[0])
    assert fingerprint(load_folder(folder / "last")) == weights
    assert not list(folder.rglob(".actionclip-writing-*"))


@pytest.mark.parametrize("step", [1, 5, 8, 15])
def test_a_run_that_broke_off_goes_on_to_the_same_bits(tmp_path, undisturbed, step):
    class Crash(Exception):
        pass

    def crash(line):
        if line["step"] == step:
            raise Crash

    with pytest.raises(Crash):
        run(tmp_path, report=crash)
    weights, result = run(tmp_path, model=dropping_model(step))

    assert result.steps == 15
    assert_as_undisturbed(tmp_path, weights, undisturbed)


def steps_logged(folder):
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def kill_once(folder, rng):
    """Go on with a run and kill it at a random moment; False if it came to its end first."""
    process = SERVER.Process(target=run_in_process, args=(folder, 0.002))
    process.start()
    aim = min(steps_logged(folder) + rng.integers(0, 5), 15)
    while steps_logged(folder) < aim and process.exitcode is None:
        time.sleep(0.002)
    process.join(rng.uniform(0, 0.1))
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_a_run_that_is_killed_three_times_ends_with_the_same_bits(tmp_path, undisturbed):
    rng = np.random.default_rng(1)
    assert sum(kill_once(tmp_path, rng) for _ in range(4)) >= 3

    weights, _ = run(tmp_path)

    assert_as_undisturbed(tmp_path, weights, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path, undisturbed, seed):
    rng = np.random.default_rng(100 + seed)
    kills = sum(kill_once(tmp_path, rng) for _ in range(5))

    weights, _ = run(tmp_path)

    assert kills >= 2
    assert_as_undisturbed(tmp_path, weights, undisturbed)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130)],
)
def test_a_signal_saves_and_ends_the_process_soon(tmp_path, undisturbed, number, code):
    settings = replace(SETTINGS, save_every=None, save_minutes=None)
    process = SERVER.Process(target=run_in_process, args=(tmp_path, 0.01, settings))
    process.start()
    while not (tmp_path / "metrics.jsonl").is_file() or len(metrics(tmp_path)) < 2:
        assert process.exitcode is None
        time.sleep(0.005)

    asked = time.monotonic()
    os.kill(process.pid, number)
    process.join(15)

    assert process.exitcode == code
    assert time.monotonic() - asked < 15
    progress = read_progress(read_tensors(tmp_path / STATE))
    assert progress.step == max(metrics(tmp_path))  # no step is lost
    weights, _ = run(tmp_path, settings)
    assert_as_undisturbed(tmp_path, weights, undisturbed)


def test_a_stop_is_an_exit_with_the_code_of_the_signal(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        run(tmp_path, report=lambda line: signal.raise_signal(signal.SIGTERM))

    assert stopped.value.code == 143
    assert stopped.value.step == 1
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("step", "saved"), [(6, True), (7, False), (8, False)])
def test_a_stop_says_whether_all_is_saved(tmp_path, step, saved):
    """Between bad steps it is not: the run goes on from the save before them."""
    poison = {clips_of(step)[1] for step in (7, 8)}

    def stop(line):
        if line["step"] == step:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        run(tmp_path, source=Colours(poison=poison), report=stop)

    assert (stopped.value.step, stopped.value.saved) == (step, saved)
    assert read_progress(read_tensors(tmp_path / STATE)).step == (step if saved else 6)


@pytest.mark.parametrize("call", [2, 3, 4, 5, 8])
def test_a_stop_in_the_middle_of_a_step_gives_the_step_up(tmp_path, call):
    settings = replace(SETTINGS, accumulate=2, schedule=ScheduleConfig(epochs=1, warmup_epochs=0))
    model, calls = dropping_model(), []

    def stop(*_):
        calls.append(len(calls) + 1)
        if calls[-1] == call:
            signal.raise_signal(signal.SIGTERM)

    model.post.register_forward_hook(stop)
    with pytest.raises(Stopped) as stopped:
        run(tmp_path / "stopped", settings, model=model)

    # each step encodes 2 parts twice: the last call of a step is too late to give it up
    assert stopped.value.step == call // 4
    assert len(calls) == call
    assert run(tmp_path / "stopped", settings)[0] == run(tmp_path / "whole", settings)[0]


class FullDisk:
    """Every flush, rename and line counts as a write; those from number `first` on fail."""

    def __init__(self, patch, first):
        self.first, self.writes = first, 0
        for owner, name in (
            (files, "_flush"),
            (Path, "replace"),
            (Path, "touch"),
            (RunFolder, "log"),
        ):
            patch.setattr(owner, name, self.counted(getattr(owner, name), name))

    def counted(self, original, name):
        def write(*arguments, **more):
            self.writes += 1
            if self.writes >= self.first:
                error = OSError(errno.ENOSPC, "No space left on device")
                if name == "log":
                    raise StorageError(str(error))
                raise error
            return original(*arguments, **more)

        return write


SHORT = replace(SETTINGS, schedule=ScheduleConfig(epochs=1, warmup_epochs=0), save_every=2)


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_full_disk_at_any_write_leaves_the_state_before_whole(tmp_path, monkeypatch, stride):
    def evaluate(model):
        return {"score": 1.0}

    with monkeypatch.context() as patch:
        disk = FullDisk(patch, math.inf)
        expected, _ = run(tmp_path / "whole", SHORT, evaluate=evaluate)
    assert disk.writes > 60

    for first in range(1, disk.writes + 1, stride):
        folder = tmp_path / str(first)
        with monkeypatch.context() as patch:
            FullDisk(patch, first)
            with pytest.raises(StorageError, match="No space left on device"):
                run(folder, SHORT, evaluate=evaluate)
        if (folder / STATE).exists():
            read_progress(read_tensors(folder / STATE))
        weights, result = run(folder, SHORT, evaluate=evaluate)
        assert weights == expected, first
        assert result.best_step == 5
        assert metrics(folder) == metrics(tmp_path / "whole")
        assert fingerprint(load_folder(folder / "best")) == expected
        assert not list(folder.rglob(".actionclip-writing-*"))


def clips_of(step, settings=SETTINGS, clips=22):
    """The videos, with their epoch, that a step sees."""
    epoch, k = divmod(step - 1, clips // settings.batch_size)
    return [(i, epoch) for i in order(clips, settings.batch_size, settings.seed, epoch)[k].tolist()]


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(tmp_path):
    poison = {clips_of(7)[0]}
    weights = {}

    def look(line):
        weights[line["step"]] = fingerprint(model)

    model = dropping_model()
    _, result = run(tmp_path, source=Colours(poison=poison), model=model, report=look)

    assert (result.skipped, result.rollbacks) == (1, 0)
    assert metrics(tmp_path, "skipped") == {7: True}
    assert weights[7] == weights[6] != weights[8]
    assert metrics(tmp_path)[7] is None


def test_bad_steps_that_are_not_in_a_row_are_only_skipped(tmp_path):
    poison = {clips_of(step)[2] for step in (6, 7, 9, 10, 12)}

    _, result = run(tmp_path, source=Colours(poison=poison))

    assert (result.skipped, result.rollbacks) == (5, 0)


def test_after_three_bad_steps_in_a_row_the_last_save_is_taken_at_half_the_rate(tmp_path):
    poison = {clips_of(step)[1] for step in (6, 7, 8)}
    weights = {}

    def look(line):
        weights[line["step"]] = fingerprint(model)

    model = dropping_model()
    settings = replace(SETTINGS, save_every=None, save_minutes=None)  # saved at steps 5, 10 and 15
    first, result = run(tmp_path, settings, Colours(poison=poison), model, report=look)

    assert (result.skipped, result.rollbacks) == (3, 1)
    assert metrics(tmp_path, "rolled_back_to") == {8: 5}
    undisturbed = tmp_path / "undisturbed"
    run(undisturbed, settings)
    halves = {
        step: metrics(tmp_path, "lr")[step] / rate
        for step, rate in metrics(undisturbed, "lr").items()
    }
    assert [halves[step] for step in (5, 8, 9, 15)] == [1, 1, 0.5, 0.5]
    # and all that survives a crash
    again = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        run(again, settings, Colours(poison=poison), report=crash_at(9))
    assert run(again, settings, Colours(poison=poison))[0] == first


@pytest.mark.parametrize("bad", [(9, 10, 11), (10, 11, 12)])
@pytest.mark.parametrize("save_every", [None, 1])
def test_what_bad_steps_leave_is_not_saved_over_what_they_go_back_to(tmp_path, bad, save_every):
    """Step 10 ends an epoch: weights that are finite may still be the reason for a bad step."""
    poison = {clips_of(step)[1] for step in bad}
    settings = replace(SETTINGS, save_every=save_every, save_minutes=None)

    _, result = run(tmp_path, settings, Colours(poison=poison))

    assert (result.skipped, result.rollbacks) == (3, 1)
    good = bad[0] - 1 if save_every else 5
    assert metrics(tmp_path, "rolled_back_to") == {bad[-1]: good}


def test_a_run_that_ends_with_a_bad_step_is_saved(tmp_path):
    model, _ = run(tmp_path, source=Colours(poison={clips_of(15)[0]}))

    assert read_progress(read_tensors(tmp_path / STATE)).step == 15
    assert fingerprint(load_folder(tmp_path / "last")) == model


def test_before_the_first_save_a_rollback_goes_to_the_start(tmp_path):
    poison = {clips_of(step)[0] for step in (2, 3, 4)}
    settings = replace(SETTINGS, save_every=None, save_minutes=None)

    run(tmp_path, settings, Colours(poison=poison))

    assert metrics(tmp_path, "rolled_back_to") == {4: 0}


def crash_at(step):
    def crash(line):
        if line["step"] == step:
            raise KeyboardInterrupt

    return crash


def test_a_training_that_goes_on_diverging_is_an_error(tmp_path):
    class Poison(Colours):
        def __getitem__(self, key):
            example = super().__getitem__(key)
            return replace(example, frames=torch.full_like(example.frames.float(), torch.inf))

    settings = replace(SETTINGS, schedule=ScheduleConfig(epochs=9, warmup_epochs=1))
    with pytest.raises(ActionCLIPError, match="diverged again at step 18, after 5 rollbacks"):
        run(tmp_path, settings, Poison())
    assert read_progress(read_tensors(tmp_path / STATE)).rollbacks == 5


def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path):
    scores = iter([0.5, math.nan, 0.4])

    _, result = run(tmp_path, evaluate=lambda model: {"score": next(scores)})

    assert (result.best, result.best_step) == (0.5, 5)
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[11])["scores"] == {
        "score": None
    }


def train_on_a_rank(folder, stop_at=None):
    """Train as torchrun would have it; the fingerprint, or None if the run was stopped."""

    def stop(line):
        if line["step"] == stop_at:
            signal.raise_signal(signal.SIGTERM)

    try:
        return run(folder, model=small_model(), report=stop)[0]
    except Stopped:
        return None


def test_two_processes_train_the_same_model_and_one_can_go_on(tmp_path):
    alone, stopped = tmp_path / "alone", tmp_path / "stopped"
    run(alone, model=small_model())

    # stopped by a signal that only the first process gets
    assert on_ranks(2, train_on_a_rank, stopped, 7) == [None, None]
    assert max(metrics(stopped)) == 7
    run(stopped, model=small_model())

    np.testing.assert_allclose(
        list(metrics(stopped).values()), list(metrics(alone).values()), rtol=1e-5
    )


@pytest.mark.slow
def test_one_process_can_be_joined_by_another_and_two_are_as_exact_as_one(tmp_path):
    alone, joined, two = tmp_path / "alone", tmp_path / "joined", tmp_path / "two"
    run(alone, model=small_model())
    with pytest.raises(KeyboardInterrupt):
        run(joined, model=small_model(), report=crash_at(8))

    on_ranks(2, train_on_a_rank, joined)
    expected = on_ranks(2, train_on_a_rank, two)
    assert expected[0] == expected[1]
    shutil.rmtree(two)
    assert on_ranks(2, train_on_a_rank, two, 4) == [None, None]
    again = on_ranks(2, train_on_a_rank, two)

    np.testing.assert_allclose(
        list(metrics(joined).values()), list(metrics(alone).values()), rtol=1e-5
    )
    assert again == expected
