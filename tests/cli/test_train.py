"""`actionclip train`, from the command line to the model folder, whatever happens on the way."""

import contextlib
import errno
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from actionclip.cli import main
from actionclip.errors import ActionCLIPError
from actionclip.model.weights import files
from actionclip.model.weights.files import read_tensors
from actionclip.model.weights.folder import load_folder
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.testing import make_evaluate
from actionclip.training.run import loop
from actionclip.training.run.state import STATE, read_progress
from actionclip.training.spread import on_cpu
from recipes_for_tests import failures_in, render_people, small_recipe, write_recipe
from training_runs import SERVER, fingerprint, metrics, on_ranks

EPOCHS = 5
STEPS = 3 * EPOCHS


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe for 24 steps on twelve rendered clips."""
    folder = tmp_path_factory.mktemp("recipe")
    people = render_people(folder / "people", 12).parent
    schedule = {"epochs": EPOCHS, "warmup_epochs": 1}
    return small_recipe(folder / "small.toml", people, training={"schedule": schedule})


def typed(recipe, out, *more):
    """Run the command in this process; what it ends with."""
    arguments = ["actionclip", "train", str(recipe), "--out", str(out), *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        try:
            main()
        except SystemExit as end:
            return end.code or 0
    return 0


def typed_elsewhere(recipe, out, log, more=()):
    """The same in a process of its own, which ends with the command's code."""
    torch.set_num_threads(1)
    with Path(log).open("a") as file, contextlib.redirect_stderr(file):
        code = typed(recipe, out, *more)
    sys.exit(code)


def started(recipe, out, *more):
    log = Path(f"{out}.log")
    process = SERVER.Process(target=typed_elsewhere, args=(recipe, out, log, more))
    process.start()
    return process, log


def test_a_recipe_that_only_tests_says_the_command_that_does_it(command_line, tmp_path):
    people = render_people(tmp_path / "my people", 6)
    path = write_recipe(
        tmp_path / "test.toml",
        purpose="evaluate",
        model={
            "name": "tiny",
            "templates": ["someone is {}", "it's {}"],
            "ensemble": "embeddings",
            "clean_labels": False,
            "sampling": {"frames": 2, "rule": "spaced", "spacing": 0.25},
        },
        data={"path": str(people), "layout": "manifest", "decoders": 1},
        evaluation={
            **{"protocol": "zero-shot-half-classes", "split": "train"},
            **{"seed": 3, "views": "2x3"},
        },
    )

    with pytest.raises(ActionCLIPError, match="This recipe trains nothing") as error:
        command_line("train", path)

    said = "Test the model with: actionclip "
    assert error.value.hint.startswith(said)
    words = shlex.split(error.value.hint.removeprefix(said))
    more = ("--json", "--draws", "0", "--workers", "1", "--precision", "fp32")
    result = command_line(*words, *more)
    assert result.exit_code == 0, result.output
    recipe = read_recipe(path)
    model = build_model(recipe.model)
    expected = make_evaluate(recipe, model)(model)
    row = json.loads(result.stdout)
    for name, value in expected.items():
        assert row["summary"][name]["value"] == pytest.approx(value, abs=1e-5), name
    assert row["settings"]["views"] == "2x3"


@pytest.mark.parametrize("checkpointing", [False, True])
def test_freed_memory_is_kept_where_speed_is_wanted_and_not_memory(
    recipe, tmp_path, monkeypatch, checkpointing
):
    asked = []
    monkeypatch.setattr(on_cpu, "keep_freed_memory", lambda: asked.append("kept"))
    change = f"training.activation_checkpointing={str(checkpointing).lower()}"

    assert typed(recipe, tmp_path / "run", "--dry-run", "--set", change) == 0

    assert asked == ([] if checkpointing else ["kept"])


@pytest.fixture(scope="module")
def undisturbed(recipe, tmp_path_factory):
    """A run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    process, _ = started(recipe, out)
    process.join()
    assert process.exitcode == 0
    return out


def assert_as_undisturbed(out, undisturbed):
    weights, expected = (fingerprint(load_folder(each / "last")) for each in (out, undisturbed))
    assert weights == expected
    assert metrics(out) == metrics(undisturbed)


def steps_logged(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def test_a_dry_run_says_the_plan_and_does_nothing(recipe, tmp_path, capsys):
    assert typed(recipe, tmp_path / "run", "--dry-run") == 0
    said = capsys.readouterr()
    assert typed(recipe, tmp_path / "run", "--dry-run", "--json", "--set", "training.seed=3") == 0
    plan = json.loads(capsys.readouterr().out)

    for words in ("12 clips with 3 labels", f"{STEPS} = {EPOCHS} epochs x 3", "GiB", "time"):
        assert words in said.err
    assert said.out == ""
    assert (plan["clips"], plan["steps"], plan["batch_size"]) == (12, STEPS, 4)
    assert plan["seconds"] > 0
    assert not (tmp_path / "run").exists()


def test_a_run_from_the_command_line(recipe, tmp_path, capsys, undisturbed):
    assert typed(recipe, tmp_path / "run", "--json") == 0
    said = capsys.readouterr()

    line = json.loads(said.out)
    assert line["steps"] == STEPS
    assert line["model"] == str(tmp_path / "run" / "last")
    assert line["failed_files"] == 0
    assert f"step {STEPS} of {STEPS}: loss" in said.err
    assert_as_undisturbed(tmp_path / "run", undisturbed)

    assert typed(recipe, tmp_path / "run") == 0  # nothing is left to do
    said = capsys.readouterr()
    assert "(goes on)" in said.err
    assert said.out == f"actionclip classify VIDEO --model {tmp_path / 'run' / 'last'}\n"


def kill_once(recipe, out, rng):
    """Go on with a run and kill it at a random step; False if it came to its end first."""
    process, _ = started(recipe, out)
    aim = steps_logged(out) + rng.integers(0, 6)
    while steps_logged(out) < aim and process.exitcode is None:
        time.sleep(0.002)
    process.join(rng.uniform(0, 0.05))
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    "kills", [3, *(pytest.param(5, marks=pytest.mark.slow, id=f"five-{i}") for i in range(4))]
)
def test_a_command_that_is_killed_and_repeated_ends_with_the_same_bits(
    recipe, tmp_path, undisturbed, kills, request
):
    out = tmp_path / "run"
    rng = np.random.default_rng(list(request.node.callspec.id.encode()))

    killed = 0
    while killed < kills:
        if kill_once(recipe, out, rng):
            killed += 1
        else:  # it came to its end first: look at that too, and begin again
            assert_as_undisturbed(out, undisturbed)
            shutil.rmtree(out)
    process, _ = started(recipe, out)
    process.join()

    assert process.exitcode == 0
    assert_as_undisturbed(out, undisturbed)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_signal_saves_says_so_and_ends_soon(recipe, tmp_path, undisturbed, number, code):
    out = tmp_path / "run"
    quiet = ("--set", "training.save_every=1000")
    process, log = started(recipe, out, *quiet)
    while steps_logged(out) < 2:
        assert process.exitcode is None
        time.sleep(0.002)

    asked = time.monotonic()
    os.kill(process.pid, number)
    process.join(15)

    assert process.exitcode == code
    assert time.monotonic() - asked < 15
    step = read_progress(read_tensors(out / STATE)).step
    assert f"Stopped after step {step}" in log.read_text()
    assert "The same command goes on" in log.read_text()
    process, _ = started(recipe, out, *quiet)
    process.join()
    assert_as_undisturbed(out, undisturbed)


def typed_on_a_full_disk(recipe, out, log, after):
    """The command, with a disk that is full after so many files were flushed."""
    flush, flushed = files._flush, []

    def full(path):
        flushed.append(path)
        if len(flushed) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_flush", full)
        typed_elsewhere(recipe, out, log)


def test_a_full_disk_leaves_the_state_before(recipe, tmp_path, undisturbed):
    out, log = tmp_path / "run", tmp_path / "log"
    process = SERVER.Process(target=typed_on_a_full_disk, args=(recipe, out, log, 30))
    process.start()
    process.join()

    assert process.exitcode == 5
    assert "No space left on device" in log.read_text()
    assert 0 < read_progress(read_tensors(out / STATE)).step < STEPS
    process, _ = started(recipe, out)
    process.join()
    assert_as_undisturbed(out, undisturbed)


def test_files_that_cannot_be_read_are_reported_and_too_many_end_the_run(recipe, tmp_path, capsys):
    people = render_people(tmp_path / "people", 12).parent
    broken = sorted(people.rglob("*.mp4"))[:2]
    for path in broken:
        path.write_bytes(b"no video")
    here = ("--set", f"data.path={people}", "--set", "training.schedule.epochs=2")

    assert typed(recipe, tmp_path / "run", *here) == 2
    said = capsys.readouterr().err
    assert "of 12 clips could not be read" in said
    assert "unreadable" in said
    more = ("--set", "data.most_failures=0.2")
    assert typed(recipe, tmp_path / "run", *here, *more) == 0
    assert "2 clips could not be read: see" in capsys.readouterr().err
    assert {row["path"] for row in failures_in(tmp_path / "run")} == {
        str(path.relative_to(people)) for path in broken
    }
    assert len(metrics(tmp_path / "run")) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.optim.lrr=1", "training.optim.lrr"),
        ("data.path=nowhere", "no file or folder 'nowhere'"),
        ("training.batch_size=64", "There are 12 videos to train on"),
        ("model.architecture=ViT-B-99", "ViT-B-"),
    ],
)
def test_a_mistake_is_a_message(recipe, tmp_path, capsys, change, said):
    assert typed(recipe, tmp_path / "run", "--set", change) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


def on_a_rank(recipe, out):
    return typed(recipe, out, "--quiet")


def test_steps_that_were_lost_are_told(recipe, tmp_path, capsys, monkeypatch):
    out, usual = tmp_path / "run", loop.find_gradients

    def find_gradients(model, batch, settings, step, *more):
        return usual(model, batch, settings, step, *more) * (math.nan if 4 < step < 11 else 1.0)

    monkeypatch.setattr(loop, "find_gradients", find_gradients)

    assert typed(recipe, out) == 0

    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert sum("rolled_back_to" in line for line in lines) == 2
    said = capsys.readouterr().err
    assert "2 times the last save was taken again, at half the rate" in said


def test_a_run_that_goes_on_elsewhere_says_what_is_another(
    recipe, undisturbed, tmp_path, capsys, monkeypatch
):
    out = shutil.copytree(undisturbed, tmp_path / "run")
    typed(recipe, out, "--dry-run")
    assert "started with" not in capsys.readouterr().err

    began = json.loads((out / "environment.json").read_text())
    began["versions"]["torch"] = "2.0.0"
    (out / "environment.json").write_text(json.dumps(began))
    monkeypatch.setenv("WORLD_SIZE", "2")
    typed(recipe, out, "--dry-run")

    said = capsys.readouterr().err
    assert f"note: The run was started with torch 2.0.0 and now {torch.__version__}, " in said
    assert "processes 1 and now 2: it goes on, and its weights may differ" in said


def test_a_run_that_is_nowhere_at_its_end_fails(recipe, tmp_path, capsys):
    """Its weights are finite at times, and make nothing finite of a video."""
    out = tmp_path / "run"

    assert typed(recipe, out, "--set", "training.optim.lr=1e30") == 2

    back = (out / "metrics.jsonl").read_text().count("rolled_back_to")
    assert back > 1
    assert f"not finite after the last step, 15, and {back} rollbacks" in capsys.readouterr().err


def test_a_run_that_ends_no_better_than_chance_says_so(recipe, tmp_path, capsys):
    wild = ["--set", "training.optim.lr=10.0", "--set", "training.schedule.decay='multistep'"]

    assert typed(recipe, tmp_path / "wild", *wild) == 0
    said = capsys.readouterr().err
    assert typed(recipe, tmp_path / "tame") == 0

    assert "note: the newest weights make of the last batch a loss of " in said
    assert "no better than chance (" in said
    assert "lower training.optim.lr" in said
    assert "better than chance" not in capsys.readouterr().err


def test_two_processes_train_what_one_trains(recipe, tmp_path, undisturbed):
    assert on_ranks(2, on_a_rank, recipe, tmp_path / "run") == [0, 0]

    ours, alone = metrics(tmp_path / "run"), metrics(undisturbed)
    assert list(ours) == list(alone)
    np.testing.assert_allclose(list(ours.values()), list(alone.values()), rtol=1e-4)
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_torchrun_starts_it(recipe, tmp_path, undisturbed):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "actionclip", "train", str(recipe)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("actionclip classify") == 1
    assert done.stderr.count("folder ") == 1
    np.testing.assert_allclose(
        list(metrics(tmp_path / "run").values()), list(metrics(undisturbed).values()), rtol=1e-4
    )
