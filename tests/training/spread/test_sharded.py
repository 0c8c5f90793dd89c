"""Weights shared out over two processes: the same training, and states for any number of them."""

import itertools
import os
import signal
import weakref
from dataclasses import replace
from unittest import mock

import pytest
import torch
from torch.distributed.tensor import DTensor

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder
from actionclip.training import (
    LoraConfig,
    OptimConfig,
    Run,
    ScheduleConfig,
    Stopped,
    read_recipe,
)
from actionclip.training.run import loop
from actionclip.training.spread.sharded import shard
from recipes_for_tests import render_people, small_recipe
from training_runs import SETTINGS, fingerprint, metrics, on_ranks, run, small_model

SHARED = replace(
    SETTINGS,
    sharded=True,
    accumulate=2,
    clip_norm=0.5,
    ema=0.5,
    optim=OptimConfig(lr=1e-3, weight_decay=0.0),
    schedule=ScheduleConfig(epochs=2, warmup_epochs=0),
)


def held(model):
    """The share of the parameters that this process holds."""
    parts = [p.to_local() if hasattr(p, "to_local") else p for p in model.parameters()]
    return sum(p.numel() for p in parts) / sum(p.numel() for p in model.parameters())


def train_shared(folder, stop_at=None, settings=SHARED):
    def stop(line):
        if line["step"] == stop_at:
            signal.raise_signal(signal.SIGTERM)

    model = small_model(post="transf")
    try:
        run(folder, settings, model=model, report=stop, evaluate=lambda model: {"all": held(model)})
    except Stopped:
        return None
    assert not any(hasattr(p, "to_local") for p in model.parameters())
    return fingerprint(model)


def embeddings(folder):
    model = load_folder(folder / "last")
    frames = torch.rand(4, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.encode_video(frames), model.encode_text(["a dog", "two cats"])


def assert_close(here, there):
    """Not weight by weight: the bias of the keys has no effect and moves by rounding alone."""
    for ours, theirs in zip(embeddings(here), embeddings(there), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert metrics(here) == pytest.approx(metrics(there), rel=1e-5)
    assert metrics(here, "gradient") == pytest.approx(metrics(there, "gradient"), rel=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    train_shared(folder)
    return folder


def test_shared_out_weights_learn_as_whole_ones_do(tmp_path, alone):
    first, second = on_ranks(2, train_shared, tmp_path)

    assert first == second == fingerprint(load_folder(tmp_path / "last"))
    assert_close(tmp_path, alone)
    assert metrics(tmp_path, "scores") == metrics(alone, "scores")
    assert {scores["all"] for scores in metrics(alone, "scores").values()} == {1.0}
    assert (
        load_folder(tmp_path / "best").state_dict().keys()
        == small_model(post="transf").state_dict().keys()
    )


def train_watched(folder):
    """The share of the weights that the first process holds after each step, and the most bytes of
    tensors put together that were there at the same time.
    """
    shared, shares, together, most = [], [], [], [0]
    put_together = DTensor.full_tensor

    def sharing(model):
        shared.append(shard(model))
        return shared[0]

    def watched(tensor):
        found = put_together(tensor)
        together.append(weakref.ref(found))
        most.append(sum(t.nbytes for alive in together if (t := alive()) is not None))
        return found

    with (
        mock.patch.object(loop, "shard", sharing),
        mock.patch.object(DTensor, "full_tensor", watched),
    ):
        run(folder, SHARED, report=lambda line: shares.append(held(shared[0])))
    return shares, max(most)


def test_a_process_holds_its_share_and_only_the_first_puts_all_of_it_together(tmp_path):
    (shares, first), (_, second) = on_ranks(2, train_watched, tmp_path)

    assert len(shares) == 10
    assert max(shares) < 0.6
    sizes = [p.nbytes for p in small_model().parameters()]
    assert second == max(sizes)
    assert first > 3 * sum(sizes)  # weights, both moments and averages, for a file


def train_disagreeing(folder):
    """The first process finds the model better and better, the second worse and worse."""
    scores = itertools.count() if os.environ["RANK"] == "0" else itertools.count(9, -1)
    run(folder, SHARED, evaluate=lambda model: {"top1": float(next(scores))})


def test_processes_that_measure_differently_agree_on_what_is_best(tmp_path):
    on_ranks(2, train_disagreeing, tmp_path)

    assert [one["top1"] for one in metrics(tmp_path, "scores").values()] == [0.0, 1.0]
    assert "1.0000" in (tmp_path / "best" / "README.md").read_text()


def train_by_recipe(recipe, folder):
    with Run.prepare(read_recipe(recipe)) as prepared:
        prepared.train(folder)


def test_shared_out_weights_are_tested_as_whole_ones_are(tmp_path):
    """Not all processes encode equally often: nine clips are one block, and the first has it."""
    settings = {"sharded": True, "ema": 0.5, "schedule": {"epochs": 2, "warmup_epochs": 0}}
    clips = render_people(tmp_path / "people", 9)
    tested = {"split": "train"}
    recipe = small_recipe(tmp_path / "a.toml", clips, training=settings, evaluation=tested)

    on_ranks(2, train_by_recipe, recipe, tmp_path / "two")

    train_by_recipe(recipe, tmp_path / "one")
    found, expected = (metrics(tmp_path / name, "scores") for name in ("two", "one"))
    assert len(found) == len(expected) == 2
    assert all(found[step] == pytest.approx(expected[step], rel=1e-4) for step in expected)


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(tmp_path, alone):
    assert on_ranks(2, train_shared, tmp_path, 6) == [None, None]

    train_shared(tmp_path)

    assert_close(tmp_path, alone)


@pytest.mark.slow
def test_two_processes_go_on_where_one_or_whole_weights_stopped(tmp_path, alone):
    assert train_shared(tmp_path / "one", 3) is None
    whole = replace(SHARED, sharded=False)
    assert on_ranks(2, train_shared, tmp_path / "whole", 3, whole) == [None, None]
    undisturbed = on_ranks(2, train_shared, tmp_path / "undisturbed")
    stopped = tmp_path / "stopped"
    assert on_ranks(2, train_shared, stopped, 7) == [None, None]

    on_ranks(2, train_shared, tmp_path / "one")
    on_ranks(2, train_shared, tmp_path / "whole")
    again = on_ranks(2, train_shared, stopped)

    assert_close(tmp_path / "one", alone)
    assert_close(tmp_path / "whole", alone)
    assert again == undisturbed  # to the bit where the number of processes is the same


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ActionCLIPError, match="neither lora nor compile"):
        replace(SHARED, lora=LoraConfig())
    with pytest.raises(ActionCLIPError, match="compile is True"):
        replace(SHARED, compile=True)
