"""Processes that `torchrun` starts: how they meet, also again after one of them was killed."""

import os
import shutil
import time

import pytest
import torch
import torch.distributed as dist

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder
from actionclip.training import ranks
from actionclip.training.ranks import join
from actionclip.training.run.state import STATE
from training_runs import fingerprint, free_port, metrics, on_ranks, run, small_model, torchrun

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
