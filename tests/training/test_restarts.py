"""Processes that `torchrun` starts: how they meet, also again after one of them was killed."""

import os
import shutil
import signal
import time
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.model.weights.folder import load_folder
from actionclip.training import ranks
from actionclip.training.ranks import join
from actionclip.training.run import loop
from actionclip.training.run.state import STATE
from training_runs import (
    SETTINGS,
    Colours,
    fingerprint,
    free_port,
    metrics,
    on_ranks,
    run,
    small_model,
    torchrun,
)

PROGRAM = """
import os, pathlib, signal, sys
import torch
from training_runs import Colours, fingerprint, run, small_model

folder, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rank, restart = (int(os.environ[name]) for name in ("RANK", "TORCHELASTIC_RESTART_COUNT"))
torch.set_num_threads(1)
calls = 0


class Deadly(Colours):
    def __getitem__(self, key):
        global calls
        calls += 1
        victim = restart < kills and rank == (seed + restart) % 2
        # two calls are a step, and the steps before all kills together are fewer than there are
        if victim and calls == 5 + (7 * seed + 5 * restart) % 4:
            pathlib.Path(f"{folder}-killed-{restart}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


run(pathlib.Path(folder), source=Deadly(), model=small_model())
"""


def train_on_a_rank(folder):
    return run(folder, model=small_model())[0]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    first, second = on_ranks(2, train_on_a_rank, folder)
    assert first == second
    return folder, first


@pytest.mark.parametrize(
    ("seed", "kills"),
    [(0, 1), *(pytest.param(seed, 3, marks=pytest.mark.slow) for seed in range(1, 4))],
)
def test_a_rank_that_is_killed_costs_nothing_but_time(tmp_path, undisturbed, seed, kills):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run_folder = tmp_path / "run"
    options = ["--nproc-per-node=2", f"--max-restarts={kills}", "--monitor-interval=0.1"]

    done = torchrun(*options, program, run_folder, seed, kills)

    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("run-killed-*"))) == kills, done.stderr
    assert fingerprint(load_folder(run_folder / "last")) == undisturbed[1]
    assert metrics(run_folder) == metrics(undisturbed[0])


def test_a_process_chooses_its_gpu_before_it_meets_the_others(monkeypatch):
    """Else objects would be sent by way of the first GPU in all of them, which NCCL refuses."""
    device, calls = torch.device("cuda:1"), []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: calls.append(("chosen", chosen)))
    monkeypatch.setattr(
        dist, "init_process_group", lambda **options: calls.append(("met", options["device_id"]))
    )

    assert join(device)

    assert calls == [("chosen", device), ("met", device)]


def train_in_own_folder(root):
    """What a process is told that has a disk of its own."""
    ranks.SEEN_LATE = 0.0
    with pytest.raises(ActionCLIPError) as refusal:
        run(root / f"machine{os.environ['RANK']}", model=small_model())
    return str(refusal.value)


@pytest.mark.parametrize("copied", ["nothing", "settings", "an older state"])
def test_processes_that_do_not_see_one_folder_are_refused(tmp_path, copied):
    """They would start from different weights, and go back to different ones."""
    first, second = tmp_path / "machine0", tmp_path / "machine1"

    def stop(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    if copied != "nothing":
        with pytest.raises(KeyboardInterrupt):
            run(first, model=small_model(), report=stop)
        shutil.copytree(first, second)
        if copied == "settings":
            (second / STATE).unlink()
        else:
            run(first, model=small_model())

    said = on_ranks(2, train_in_own_folder, tmp_path)

    name = "config.toml" if copied == "nothing" else STATE
    for rank, answer in enumerate(said):
        assert f"sees the same {tmp_path / f'machine{rank}' / name}" in answer
        assert "every machine, must see the folder of the run" in answer


def join_again(port, restart):
    """Join as torchrun's processes do after some restarts; the first one comes late."""
    os.environ.update(
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_RESTART_COUNT=str(restart),
        LOCAL_WORLD_SIZE="2",
        MASTER_PORT=str(port),
    )
    if os.environ["RANK"] == "0":
        time.sleep(0.5 * restart)
    assert join(torch.device("cpu"))
    value = torch.ones(1)
    dist.all_reduce(value)
    return value.item()


def test_after_a_restart_the_addresses_of_the_killed_are_not_used():
    port = free_port()
    # kept by the agent: what the first start wrote in it is still there for the second
    store = dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)

    assert on_ranks(2, join_again, port, 0) == [2, 2]
    assert on_ranks(2, join_again, port, 1) == [2, 2]

    del store


class Unreadable(Colours):
    """In the second epoch the second process cannot read its videos."""

    def __getitem__(self, key):
        if key[1] == 1 and os.environ["RANK"] == "1":
            raise ActionCLIPError("3 of 22 files could not be read:\n  a.avi", hint="Mend them.")
        return super().__getitem__(key)


def fail_on_a_rank(what, folder, sharded):
    """How a training ends of which one process fails, and the weights of the caller's model."""
    rank, model, calls = os.environ["RANK"], small_model(), []

    def at_third(error):
        calls.append(error)
        if len(calls) == 3:
            raise error

    if what == "full disk" and rank == "0":
        loop.save_state = lambda *_: at_third(StorageError("The disk is full.", hint="Free some."))
    if what == "no memory" and rank == "1":
        error = torch.OutOfMemoryError("Tried to allocate 2 GiB.")
        model.post.register_forward_hook(lambda *_: at_third(error))
    source, said = Unreadable() if what == "unreadable" else Colours(), ""
    try:
        run(folder, replace(SETTINGS, sharded=sharded), source, model)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    plain = not any(hasattr(value, "to_local") for value in model.state_dict().values())
    return said, plain and not model.training and fingerprint(model)


@pytest.mark.parametrize(
    ("what", "rank", "own", "others"),
    [
        (
            "unreadable",
            1,
            "ActionCLIPError: 3 of 22 files could not be read:\n  a.avi Mend them.",
            "ActionCLIPError: Process 1 of 2 ended the training: 3 of 22 files could not be read. "
            "Mend them.",
        ),
        (
            "full disk",
            0,
            "StorageError: The disk is full. Free some.",
            "StorageError: Process 0 of 2 ended the training: The disk is full. Free some.",
        ),
        (
            "no memory",
            1,
            "ActionCLIPError: The memory of this GPU does not suffice for the training.",
            "ActionCLIPError: Process 1 of 2 ended the training: The memory of this GPU does not "
            "suffice for the training.",
        ),
    ],
)
def test_an_error_of_one_process_is_one_of_all(tmp_path, what, rank, own, others):
    answers = on_ranks(2, fail_on_a_rank, what, tmp_path, False)

    assert answers[rank][0].startswith(own)
    assert answers[1 - rank][0].startswith(others)


def test_shared_out_weights_of_a_run_that_failed_are_those_of_its_last_save(tmp_path):
    answers = on_ranks(2, fail_on_a_rank, "unreadable", tmp_path, True)

    assert "Process 1 of 2 ended the training: 3 of 22" in answers[0][0]
    saved = fingerprint(load_folder(tmp_path / "last"))
    assert [weights for _, weights in answers] == [saved, saved]
    assert saved != fingerprint(small_model())


class Killed(Colours):
    """In the second epoch the second process is killed."""

    def __getitem__(self, key):
        if key[1] == 1 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(key)


def lose_another(folder):
    with pytest.raises(ActionCLIPError) as lost:
        run(folder, source=Killed(), model=small_model())
    return str(lost.value)


def test_a_process_that_was_killed_is_said_to_be_gone(tmp_path):
    [said] = on_ranks(2, lose_another, tmp_path, killed=1)

    assert "Another process of this training is gone" in said
    assert "The same command goes on from the last save." in said
