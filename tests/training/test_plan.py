"""What is said of a training before it begins: steps, memory and time."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from actionclip.training import DistillConfig, LoraConfig, plan
from actionclip.training.plan import Cost, make_plan, measure_cost
from training_runs import SETTINGS, Colours, run, small_model


def test_the_plan_is_what_the_run_does(tmp_path):
    model = small_model(post="transf")

    found = make_plan(SETTINGS, model, len(Colours()), measure=True)

    assert (found.steps, found.left_out) == (15, 2)
    assert sum(found.trained.values()) == found.parameters
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.state_bytes >= 16 * found.parameters
    assert found.memory_bytes > found.state_bytes
    assert 0 < found.seconds < 600
    assert run(tmp_path, model=model)[1].steps == found.steps
    text = "\n".join(found.lines())
    assert "15 = 3 epochs x 5" in text
    assert "2 sit out each epoch" in text


def test_the_plan_sees_what_is_frozen_and_what_checkpointing_saves():
    model = small_model(post="transf")
    plain = make_plan(SETTINGS, model, 22, measure=True)
    saving = make_plan(replace(SETTINGS, activation_checkpointing=True), model, 22, measure=True)

    frozen = make_plan(replace(SETTINGS, train="prompts"), model, 22)

    assert saving.memory_bytes < plain.memory_bytes
    assert frozen.trained["text"] == frozen.trained["visual"] == 0 < frozen.trained["prompt"]
    assert frozen.seconds is None
    assert "and the activations" in "\n".join(frozen.lines())


@pytest.mark.parametrize("parts", [1, 2])
def test_the_plan_counts_the_teacher(monkeypatch, parts):
    """Each video is encoded once more, without gradients, by a model that is there once more."""
    model = small_model(post="transf")
    plain = make_plan(replace(SETTINGS, accumulate=parts), model, 22, measure=True)
    taught = replace(SETTINGS, accumulate=parts, distill=DistillConfig(video=1.0))
    weights = sum(t.nbytes for t in [*model.parameters(), *model.buffers()])

    assert make_plan(taught, model, 22).state_bytes == plain.state_bytes + weights
    own = small_model(inner="shift")
    with_adapters = replace(taught, lora=LoraConfig())
    without = replace(with_adapters, distill=DistillConfig())
    added = make_plan(with_adapters, own, 22).state_bytes - make_plan(without, own, 22).state_bytes
    assert added == sum(t.nbytes for t in [*own.parameters(), *own.buffers()])

    measured = make_plan(taught, model, 22, measure=True)
    assert measured.memory_bytes == plain.memory_bytes + weights
    cost = Cost(seconds=3.0, activation_bytes=0, teacher_seconds=1.0)
    monkeypatch.setattr(plan, "measure_cost", lambda *_: cost)
    per_video = make_plan(taught, model, 22, measure=True).seconds / (4 * 15)
    assert per_video == pytest.approx(4.0 if parts == 1 else 5.0)


@pytest.mark.parametrize("terms", [{}, {"video": 1.0}, {"text": 1.0}])
def test_the_teachers_time_is_that_of_what_it_encodes(terms, monkeypatch):
    model, seen = small_model(), []
    for name in ("encode_video", "encode_text"):
        usual = getattr(model, name)

        def counted(*inputs, usual=usual, name=name):
            seen.append((name, torch.is_grad_enabled()))
            return usual(*inputs)

        monkeypatch.setattr(model, name, counted)

    cost = measure_cost(replace(SETTINGS, distill=DistillConfig(**terms)), model)

    taught = {name for name, with_gradients in seen if not with_gradients}
    assert taught == {f"encode_{term}" for term in terms}
    assert (cost.teacher_seconds > 0) == bool(terms)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_plan_measures_a_step_as_it_is_done(monkeypatch, compiled):
    model, found = small_model(), []
    usual = model.encode_video

    def looked_at(frames):
        found.append("forward" in vars(model.backbone.clip.visual.transformer.resblocks[0].attn))
        return usual(frames)

    monkeypatch.setattr(model, "encode_video", looked_at)

    measure_cost(replace(SETTINGS, compile=compiled), model)

    assert set(found) == {not compiled}  # what is slow on a CPU is done another way


@pytest.mark.parametrize(("batch", "parts", "processes"), [(4, 4, 1), (8, 2, 2), (16, 2, 1)])
def test_the_plan_encodes_no_more_videos_at_once_than_the_training(
    monkeypatch, batch, parts, processes
):
    model, seen = small_model(), []
    usual = model.encode_video
    monkeypatch.setattr(model, "encode_video", lambda x: seen.append(len(x)) or usual(x))
    settings = replace(SETTINGS, batch_size=batch, accumulate=parts)

    make_plan(settings, model, 22, processes=processes, measure=True)

    assert max(seen) == min(4, batch // processes // parts)


MEASURED = """
import json, pathlib, sys
import torch
from actionclip.training import Example, ScheduleConfig, TrainConfig, make_plan, train
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.settings import ModelSettings

torch.set_num_threads(1)
vision = {"image_size": 64, "patch_size": 8, "width": 256, "layers": 6, "head_width": 64}
text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
towers = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}
model = build_model(ModelSettings(architecture=towers, sampling={"frames": 8}))


class Noise:
    labels = ("a", "b")

    def __len__(self):
        return 8

    def __getitem__(self, key):
        draws = torch.Generator().manual_seed(key[0])
        frames = torch.randint(0, 255, (8, 3, 64, 64), generator=draws, dtype=torch.uint8)
        return Example(frames, key[0] % 2)


settings = TrainConfig(
    batch_size=4, accumulate=int(sys.argv[2]), schedule=ScheduleConfig(epochs=1, warmup_epochs=0)
)
plan = make_plan(settings, model, 8, measure=True)
train(settings, model, Noise(), sys.argv[1])
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps([plan.lines()[3], int(status.split("VmHWM:")[1].split()[0]) / 2**20]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
@pytest.mark.parametrize("parts", [1, 4])
def test_the_planned_memory_is_within_a_quarter_of_what_a_process_takes(tmp_path, parts):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(parts)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    line, most = json.loads(done.stdout)
    planned = float(line.split()[2])
    assert line == f"memory      about {planned:.2f} GiB in each process"
    assert planned == pytest.approx(most, rel=0.25)


def out_of_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("encode", [out_of_memory, lambda _: torch.empty(2**48)])
def test_where_memory_does_not_suffice_the_plan_says_so(monkeypatch, encode):
    model = small_model().train()
    monkeypatch.setattr(model, "encode_video", encode)

    found = make_plan(SETTINGS, model, 22, measure=True)

    assert (found.too_many, found.memory_bytes, found.seconds) == (4, None, None)
    said = "\n".join(found.lines())
    assert "memory      more than there is here: 0.0" in said
    assert "the activations of 4 videos at once" in said
    assert "time " not in said
    assert model.training


def broken(_):
    raise RuntimeError("The size of tensor a must match.")


def test_an_error_that_is_not_about_memory_stops_the_plan(monkeypatch):
    model = small_model()
    monkeypatch.setattr(model, "encode_video", broken)

    with pytest.raises(RuntimeError, match="must match"):
        make_plan(SETTINGS, model, 22, measure=True)


def test_the_plan_shares_out_what_a_sharded_run_does():
    model = small_model(post="transf")
    alone, taught = (
        replace(SETTINGS, sharded=True, distill=DistillConfig(video=weight)) for weight in (0, 1)
    )
    weights = sum(t.nbytes for t in [*model.parameters(), *model.buffers()])
    whole = make_plan(SETTINGS, model, 22).state_bytes

    assert make_plan(alone, model, 22).state_bytes == whole
    # the model itself waits in the memory of the processor, which is where this one trains
    assert make_plan(alone, model, 22, processes=2).state_bytes == whole // 2 + weights
    assert make_plan(taught, model, 22, processes=2).state_bytes == whole // 2 + 2 * weights
    assert make_plan(SETTINGS, model, 22, processes=2).state_bytes == whole


def test_the_plan_says_when_averages_are_mostly_the_start():
    model = small_model()

    long = "\n".join(make_plan(replace(SETTINGS, ema=0.999), model, 22).lines())
    short = "\n".join(make_plan(replace(SETTINGS, ema=0.5), model, 22).lines())

    assert "averages    99% of them are still the start after 15 steps" in long
    assert "averages" not in short
