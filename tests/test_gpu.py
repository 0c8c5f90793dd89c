"""What a GPU changes: the speed, and numbers in their last places. Skipped where there is none."""

from dataclasses import replace

import pytest
import torch

import actionclip
from actionclip.training.fewshot.learning import learn_few_shots
from actionclip.training.ranks import Ranks
from actionclip.training.run.batches import Batches, Texts
from actionclip.training.run.step import find_gradients
from actionclip.training.spread.compiled import compiled
from actionclip.training.trained import choose_trained, set_training_mode
from sample_videos import write_video
from training_runs import SETTINGS, Colours, metrics, run, small_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

LABELS = ["jumping jacks", "running", "bending down"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "0.mp4", seed=0, frames=60)


@pytest.mark.parametrize(("precision", "cosine"), [("fp32", 0.99999), ("bf16", 0.999)])
def test_a_video_has_the_embedding_it_has_on_a_cpu(clip, precision, cosine):
    with actionclip.load("tiny", device="cpu", workers=1) as there:
        expected = there.embed_video(clip)
    with actionclip.load("tiny", device="cuda", precision=precision, workers=1) as here:
        found = here.embed_video(clip)
        assert here.device.type == "cuda"

    assert torch.dot(found.cpu(), expected).item() > cosine


def test_a_gpu_is_taken_where_there_is_one(clip):
    with actionclip.load("tiny", workers=1) as here:
        assert here.device.type == "cuda"
        answers = here.classify(clip, LABELS)
    with actionclip.load("tiny", device="cpu", workers=1) as there:
        expected = {score.label: score.score for score in there.classify(clip, LABELS)}

    assert {score.label: score.score for score in answers} == pytest.approx(expected, abs=0.01)


def gradients(device, **settings):
    settings = replace(SETTINGS, **settings)
    model = small_model(post="transf").to(device)
    choose_trained(model, settings)
    set_training_mode(model)
    source = Colours()
    texts = Texts(model, source.labels, settings)
    batch = next(Batches(source, texts, settings, Ranks()).epoch(0))
    assert batch.frames.is_pinned() == (device == "cuda")
    with compiled(model, settings.compile):
        loss = find_gradients(model, batch, settings, step=0)
    return loss.item(), {name: p.grad.cpu() for name, p in model.named_parameters()}


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2}, {"activation_checkpointing": True}])
def test_a_step_has_the_gradient_it_has_on_a_cpu(settings):
    loss, expected = gradients("cpu")
    found_loss, found = gradients("cuda", **settings)

    assert found_loss == pytest.approx(loss, rel=1e-3)
    for name, gradient in expected.items():
        size = gradient.norm().item()
        assert (found[name] - gradient).norm().item() <= 0.02 * size + 1e-6, name


def test_bfloat16_is_close_on_a_gpu_too():
    loss, _ = gradients("cpu")

    assert gradients("cuda", precision="bf16")[0] == pytest.approx(loss, rel=0.05)


def test_a_few_shots_teach_a_model_on_a_gpu(tmp_path):
    for label in ("hop", "run"):
        for seed in range(2):
            write_video(tmp_path / label / f"{seed}.mp4", seed=seed, frames=12, size=(64, 96))
    with actionclip.load("tiny", device="cuda", workers=1) as here:
        found = learn_few_shots(tmp_path, here.model, workers=1)

    assert found.clips == 4
    assert {p.device.type for p in here.model.parameters()} == {"cuda"}


class Halt(Exception):
    """The machine has gone."""


def test_a_run_that_broke_off_on_a_gpu_goes_on_there(tmp_path):
    def on_gpu():
        return small_model(post="transf").to("cuda")

    def break_off(line):
        if line["step"] == 8:
            raise Halt

    run(tmp_path / "whole", model=on_gpu())
    with pytest.raises(Halt):
        run(tmp_path / "broken", model=on_gpu(), report=break_off)
    run(tmp_path / "broken", model=on_gpu())

    whole, broken = metrics(tmp_path / "whole"), metrics(tmp_path / "broken")
    assert broken.keys() == whole.keys()
    assert list(broken.values()) == pytest.approx(list(whole.values()), rel=0.01)
    assert list(whole.values())[-1] < next(iter(whole.values()))
