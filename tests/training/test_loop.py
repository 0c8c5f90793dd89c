"""A run: it learns, it writes what it promises, and it refuses what does not fit."""

import json
import math
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from actionclip.config import parse, to_dict
from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.text import read_templates
from actionclip.model.weights.files import read_tensors
from actionclip.model.weights.folder import load_folder
from actionclip.training import OptimConfig, ScheduleConfig, TrainConfig
from actionclip.training.run.folder import write_toml
from actionclip.training.run.state import STATE, read_progress, save_state
from actionclip.video.transforms import normalise
from training_runs import (
    SERVER,
    SETTINGS,
    Colours,
    dropping_model,
    fingerprint,
    metrics,
    run,
    small_model,
)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder)[0]


@pytest.fixture
def finished(one_run, tmp_path):
    """The folder of a finished run to do harm to."""
    return shutil.copytree(one_run[0], tmp_path / "finished")


def test_a_model_learns_its_labels(tmp_path):
    source, model = Colours(30), small_model()
    settings = replace(
        SETTINGS,
        optim=OptimConfig(lr=5e-3, weight_decay=0.0),
        batch_size=6,
        save_every=None,
        schedule=ScheduleConfig(epochs=10, warmup_epochs=1),
    )

    def accuracy(model):
        frames = torch.stack([source[index, 99].frames for index in range(30)])
        with torch.no_grad():
            video = model.encode_video(normalise(frames, model.config.preprocess))
            text = model.encode_text([f"a video of {label}" for label in source.labels])
        right = (video @ text.T).argmax(1) == torch.arange(30) % 3
        return {"top1": right.double().mean().item()}

    _, result = run(tmp_path, settings, source, model, evaluate=accuracy)

    losses = list(metrics(tmp_path).values())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert result.steps == 50
    assert result.best == max(scores["top1"] for scores in metrics(tmp_path, "scores").values())
    assert accuracy(model)["top1"] > 0.9
    assert accuracy(load_folder(tmp_path / "best"))["top1"] == result.best


def test_the_folder_of_a_run_says_what_was_done(tmp_path):
    weights, result = run(tmp_path, evaluate=lambda model: {"score": 1.0})

    settings = parse(TrainConfig, tomllib.loads((tmp_path / "config.toml").read_text()), source="")
    assert settings == SETTINGS
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__
    assert list(metrics(tmp_path)) == list(range(1, 16))
    assert metrics(tmp_path, "lr")[1] == pytest.approx(1e-3 * 0.5 / 5)
    for name in ("last", "best"):
        model = load_folder(tmp_path / name)
        assert model.config.labels == Colours.labels
        assert "of 15 steps of 4 videos" in (tmp_path / name / "README.md").read_text()
    assert fingerprint(load_folder(tmp_path / "last")) == weights
    assert (result.steps, result.best, result.best_step) == (15, 1.0, 5)
    assert not list(tmp_path.rglob(".actionclip-writing-*"))


def test_a_finished_run_is_not_trained_again(finished, one_run):
    before = (finished / STATE).read_bytes()

    again, result = run(finished, model=dropping_model(9))

    assert again == one_run[1]
    assert result.steps == 15
    assert (finished / STATE).read_bytes() == before


def test_a_model_folder_that_a_kill_prevented_is_written_by_the_next_start(finished, one_run):
    shutil.rmtree(finished / "last")

    run(finished)

    assert fingerprint(load_folder(finished / "last")) == one_run[1]


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)

    run(tmp_path)

    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("settings", "source", "message"),
    [
        (replace(SETTINGS, batch_size=2), Colours(), "batch_size was 4 and is 2"),
        (replace(SETTINGS, clip_norm=1.0), Colours(), "clip_norm was 'not set' and is 1.0"),
        (replace(SETTINGS, optim=OptimConfig()), Colours(), r"optim.lr was 0.001 and is 5e-06"),
        (SETTINGS, Colours(21), "begun with 22 videos, and now there are 21"),
    ],
)
def test_another_run_in_the_folder_is_not_continued(finished, settings, source, message):
    with pytest.raises(ActionCLIPError, match=message):
        run(finished, settings, source)


def test_another_model_does_not_fit_the_state(finished):
    with pytest.raises(ActionCLIPError, match="does not fit the model"):
        run(finished, model=small_model(post="transf"))


def test_neither_worker_processes_nor_saves_change_the_weights(tmp_path, one_run):
    settings = replace(SETTINGS, save_every=None, log_every=5, workers=2)

    weights, _ = run(tmp_path, settings)

    assert weights == one_run[1]
    assert list(metrics(tmp_path)) == [5, 10, 15]
    assert run(tmp_path)[0] == weights  # these settings may change when a run goes on


@pytest.mark.parametrize("damage", [b"", b"not a state", None])
def test_a_damaged_state_is_an_error_and_not_a_new_start(finished, damage):
    path = finished / STATE
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)

    with pytest.raises(ActionCLIPError, match=r"training\.safetensors cannot be read"):
        run(finished)


def stop_after(step):
    def stop(line):
        if line["step"] == step:
            raise KeyboardInterrupt

    return stop


def test_the_best_is_the_best_of_one_measure(tmp_path):
    """top1 counts from 0 to 1 and so does mAP; what one has reached says nothing of the other."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, evaluate=lambda model: {"top1": 0.9}, report=stop_after(7))
    scores = iter([0.5, 0.4])

    _, result = run(tmp_path, evaluate=lambda model: {"mAP": next(scores)})

    assert (result.best, result.best_step) == (0.5, 10)
    assert "0.5000" in (tmp_path / "best" / "README.md").read_text()


def test_a_state_that_does_not_say_how_its_best_was_measured_counts_as_before(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, evaluate=lambda model: {"top1": 0.9}, report=stop_after(7))
    tensors = read_tensors(tmp_path / STATE)
    told = vars(read_progress(tensors))
    del told["best_by"]
    tensors["progress"] = torch.tensor(list(json.dumps(told).encode()), dtype=torch.uint8)
    save_state(tensors, tmp_path)
    scores = iter([{"top1": 0.5}, {"mAP": 0.4}])

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, evaluate=lambda model: next(scores), report=stop_after(12))
    assert read_progress(read_tensors(tmp_path / STATE)).best == 0.9
    _, result = run(tmp_path, evaluate=lambda model: next(scores))

    assert (result.best, result.best_step) == (0.4, 15)


def test_a_damaged_config_is_an_error(finished):
    (finished / "config.toml").write_text("= 3")

    with pytest.raises(ActionCLIPError, match=r"config\.toml cannot be read"):
        run(finished)


def hold(folder, ready, done):
    from actionclip.config import to_dict
    from actionclip.training.run.folder import Record, RunFolder

    files = RunFolder(folder, Record(to_dict(SETTINGS)))
    ready.set()
    done.wait(60)
    files.close()


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    ready, done = SERVER.Event(), SERVER.Event()
    holder = SERVER.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(60)

    with pytest.raises(ActionCLIPError, match=f"Another process is training .* {holder.pid} "):
        run(tmp_path)

    holder.kill()  # and a lock does not outlive its holder
    holder.join()
    assert run(tmp_path)[1].steps == 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"accumulate": 0},
        {"ema": 1.0},
        {"clip_norm": 0.0},
        {"save_minutes": -1.0},
        {"seed": -1},
        {"sharpness": math.nan},
        {"log_every": 0},
    ],
)
def test_settings_that_could_only_be_a_mistake_are_refused(wrong):
    with pytest.raises(ActionCLIPError, match=next(iter(wrong))):
        TrainConfig(**wrong)


@pytest.mark.parametrize("wrong", [("a video",), ("a video of {}", "{} {}"), "authors17"])
def test_sentences_without_a_place_for_the_label_are_refused(wrong):
    with pytest.raises(ActionCLIPError, match="template"):
        TrainConfig(templates=wrong)


def test_a_set_of_templates_may_be_named(tmp_path):
    run(tmp_path / "named", replace(SETTINGS, templates="authors16"))
    run(tmp_path / "written", replace(SETTINGS, templates=read_templates("authors16")))

    assert metrics(tmp_path / "named") == metrics(tmp_path / "written")


def test_any_settings_survive_toml():
    table = {
        "a": True,
        "b": 1e-8,
        "c": 'quotes " and \\ and \n and ü and \x7f',
        "d": (1.5, 2.0),
        "t": {"u": {"v": [], "w": ("x",)}, "n": 3},
    }

    assert tomllib.loads(write_toml({**table, "none": None})) == {
        **table,
        "d": [1.5, 2.0],
        "t": {"u": {"v": [], "w": ["x"]}, "n": 3},
    }
    settings = replace(SETTINGS, templates=("{} – a “video”",), ema=0.5)
    text = write_toml(to_dict(settings))
    assert parse(TrainConfig, tomllib.loads(text), source="") == settings


@pytest.mark.parametrize(
    ("rate", "clips"),
    [(1e38, 8), (1e25, 4)],
    ids=["infinite weights", "finite weights, of which nothing finite comes"],
)
def test_a_run_that_diverges_in_its_last_steps_does_not_look_finished(tmp_path, rate, clips):
    """Too late for a rollback: the last save is of weights from before, and the model is broken."""
    wild = OptimConfig(optimiser="sgd", lr=rate, momentum=0.0, weight_decay=1e3)
    settings = replace(
        SETTINGS, optim=wild, save_every=None, schedule=ScheduleConfig(epochs=1, warmup_epochs=0)
    )
    model = small_model()

    with pytest.raises(ActionCLIPError, match="not finite after the last step") as found:
        run(tmp_path, settings, source=Colours(clips), model=model)

    assert "step 0" in str(found.value)
    saved = load_folder(tmp_path / "last")
    assert fingerprint(saved) == fingerprint(model) == fingerprint(small_model())


@pytest.mark.parametrize("parts", [1, 2])
def test_the_end_of_a_run_says_what_its_last_weights_make_of_the_last_batch(tmp_path, parts):
    last = ScheduleConfig(epochs=1, warmup_epochs=0, decay="multistep", milestones=2)
    settings = replace(SETTINGS, schedule=last, batch_size=8, accumulate=parts)
    good, bad = (replace(settings, optim=OptimConfig(lr=rate)) for rate in (1e-3, 10.0))

    _, fine = run(tmp_path / "good", good, model=small_model())
    _, wild = run(tmp_path / "bad", bad, model=small_model())

    before = metrics(tmp_path / "good")[fine.steps]
    assert fine.end_loss < before < fine.end_chance < math.log(8)
    assert (fine.is_chance, wild.is_chance) == (False, True)
    assert run(tmp_path / "bad", bad, model=small_model())[1].end_loss == wild.end_loss
