"""A frozen teacher: what it adds to the loss, and runs that go on with it."""

from dataclasses import replace

import pytest
import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder
from actionclip.training import OptimConfig, ScheduleConfig
from actionclip.training.adapt.teacher import DistillConfig, Teacher, distillation
from actionclip.training.ranks import Ranks
from actionclip.training.run.batches import Batches, Texts
from actionclip.training.run.step import find_gradients
from actionclip.video.transforms import as_input
from training_runs import (
    SETTINGS,
    Colours,
    dropping_model,
    fingerprint,
    metrics,
    on_ranks,
    run,
    small_model,
)

TAUGHT = replace(SETTINGS, distill=DistillConfig(video=2.0, text=0.5))


def first_batch(model, settings):
    source = Colours()
    texts = Texts(model, source.labels, settings)
    return next(Batches(source, texts, settings, Ranks()).epoch(0))


def gradients(settings, teacher_seed=7):
    model = small_model(post="transf")
    batch = first_batch(model, settings)
    teacher = Teacher(small_model(teacher_seed), settings.distill)
    loss = find_gradients(
        model, batch, settings, 0, teacher=teacher if settings.distill.is_on else None
    )
    return loss, {name: p.grad for name, p in model.named_parameters()}, batch


@pytest.mark.parametrize("distance", ["cosine", "mse"])
def test_the_term_is_the_weighted_distance_to_the_teacher(distance):
    settings = replace(TAUGHT, distill=replace(TAUGHT.distill, distance=distance))
    plain, _, batch = gradients(SETTINGS)
    loss, _, _ = gradients(settings)

    with torch.no_grad():
        student, teacher = small_model(post="transf"), small_model(7)
        frames = as_input(batch.frames, student.config.preprocess, student.device)
        video, other = (m.encode_video(frames) for m in (student, teacher))
        text, words = (m.encode_text(batch.tokens) for m in (student, teacher))
    if distance == "cosine":
        terms = [(1 - (a * b).sum(1)).mean() for a, b in ((video, other), (text, words))]
    else:
        terms = [((a - b) ** 2).sum(1).mean() for a, b in ((video, other), (text, words))]
    assert loss.item() == pytest.approx((plain + 2 * terms[0] + 0.5 * terms[1]).item(), rel=1e-5)


def test_a_teacher_that_is_the_student_adds_nothing():
    teacher = Teacher(small_model(), DistillConfig(video=1.0, text=1.0))
    batch = first_batch(small_model(), SETTINGS)
    student = small_model()

    taught = teacher.embed(batch.frames, batch.tokens, "fp32")
    term = distillation(
        teacher.settings,
        student.encode_video(as_input(batch.frames, student.config.preprocess, student.device)),
        student.encode_text(batch.tokens),
        taught,
    )

    assert term.item() == pytest.approx(0, abs=1e-6)
    assert not any(p.requires_grad for p in teacher.model.parameters())
    assert teacher.embed(batch.frames, batch.tokens, "bf16")[0].dtype == torch.float32


def test_a_batch_in_parts_has_the_gradient_of_the_whole():
    loss, whole, _ = gradients(TAUGHT)
    parts_loss, parts, _ = gradients(replace(TAUGHT, accumulate=2))

    assert parts_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_a_strong_teacher_keeps_the_model_near_its_start(tmp_path):
    settings = replace(SETTINGS, optim=OptimConfig(lr=5e-3), save_every=None)
    frames = torch.rand(6, 2, 3, 16, 16)

    def moved(name, settings):
        model = small_model()
        with torch.no_grad():
            before = model.encode_video(frames)
        run(tmp_path / name, settings, model=model)
        with torch.no_grad():
            return (1 - (model.encode_video(frames) * before).sum(1)).mean().item()

    free = moved("free", settings)
    held = moved("held", replace(settings, distill=DistillConfig(video=50.0)))

    assert held < 0.5 * free
    assert not (tmp_path / "free" / "start").exists()


def test_a_run_with_a_teacher_goes_on_to_the_same_bits(tmp_path):
    def crash(line):
        if line["step"] == 8:
            raise KeyboardInterrupt

    whole, _ = run(tmp_path / "whole", TAUGHT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", TAUGHT, report=crash)
    # what the next process builds has other numbers, and the teacher is still the start
    weights, _ = run(tmp_path / "broken", TAUGHT, model=dropping_model(5))

    assert weights == whole
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole")
    assert whole != run(tmp_path / "without")[0]


def test_a_start_that_is_gone_is_an_error(tmp_path):
    short = replace(TAUGHT, schedule=ScheduleConfig(epochs=1, warmup_epochs=0))
    run(tmp_path, short)
    (tmp_path / "start" / "config.json").unlink()

    with pytest.raises(ActionCLIPError, match=r"no model folder .*start"):
        run(tmp_path, short)
    with pytest.raises(ActionCLIPError, match=r"distill\.video is -1"):
        DistillConfig(video=-1.0)


def losses_of_a_rank(folder):
    run(folder, TAUGHT, model=small_model())
    return metrics(folder)


def test_two_processes_have_the_loss_of_one(tmp_path):
    run(tmp_path / "alone", TAUGHT, model=small_model())

    found, _ = on_ranks(2, losses_of_a_rank, tmp_path / "two")

    alone = metrics(tmp_path / "alone")
    assert found == pytest.approx(alone, rel=1e-5)
    assert fingerprint(load_folder(tmp_path / "two" / "start")) == fingerprint(small_model())
