"""The public call on real files."""

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import actionclip
from actionclip.data.manifest import Manifest, Row
from actionclip.encoding.encoder import VideoEncoder
from actionclip.encoding.questions import ask
from actionclip.errors import ActionCLIPError
from actionclip.evaluation import evaluate
from actionclip.evaluation.metrics import Sheet
from actionclip.evaluation.run import views_of
from actionclip.video.settings import Resize
from evaluation.data_sets import CLASSES, make_clips, two_layers
from evaluation.sheets import evaluation_of
from sample_videos import write_video
from training_runs import torchrun


@pytest.fixture(scope="module")
def recognizer(model):
    with actionclip.Recognizer(model, workers=1) as recognizer:
        yield recognizer


def as_numbers(evaluation):
    return {name: each.value for name, each in evaluation.summary.items()}


def test_scores_are_those_of_classify(recognizer, manifest):
    found = evaluate(recognizer, manifest)

    sheet = found.parts[0].sheet
    assert [row.split for row in sheet.rows] == ["test"] * 8
    for row, scores in zip(sheet.rows, sheet.scores, strict=True):
        answer = recognizer.classify(manifest.path_of(row), list(CLASSES), top_k=None)
        expected = {score.label: score.score for score in answer}
        assert dict(zip(CLASSES, scores.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert found.value == pytest.approx(np.mean(sheet.scores.argmax(axis=1) == sheet.truth))
    assert found.adds_up
    assert (found.clips, found.answered, found.failures) == (8, 8, [])


def test_views_are_averaged_and_nothing_is_done_twice(recognizer, manifest):
    one = evaluate(recognizer, manifest, views="1x1")
    many = evaluate(recognizer, manifest, views="10x3")

    assert (one.settings["views"], many.settings["views"]) == ("1x1", "10x3")
    row = many.parts[0].sheet.rows[0]
    answer = recognizer.classify(
        manifest.path_of(row), list(CLASSES), top_k=None, windows=10, crops=3
    )
    expected = {score.label: score.score for score in answer}
    found = dict(zip(CLASSES, many.parts[0].sheet.scores[0].tolist(), strict=True))
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("mode", "size", "same"),
    [("squash", 32, True), ("longest", 32, True), ("squash", 40, False), ("shortest", 32, False)],
)
def test_crops_that_are_one_and_the_same_are_said_to_be(manifest, mode, size, same):
    model = two_layers()
    preprocess = replace(model.config.preprocess, resize=Resize(mode=mode, size=size))
    model.config = replace(model.config, preprocess=preprocess)

    one, three = (evaluate(model, manifest, views=each, draws=0) for each in ("1x1", "1x3"))

    [told, untold] = (found.parts[0].numbers.notes for found in (three, one))
    assert any("The 3 crops are one and the same" in note for note in told) == same
    assert not any("crops are one" in note for note in untold)
    scores = [found.parts[0].sheet.scores for found in (one, three)]
    assert np.allclose(*scores, atol=1e-6) == same


@pytest.mark.parametrize("views", ["10", "0x1", "10x2", "axb", "1x1x1"])
def test_views_of_another_spelling_are_refused(model, manifest, views):
    with pytest.raises(ActionCLIPError, match="CLIPSxCROPS"):
        evaluate(model, manifest, views=views)


def test_a_network_in_training_is_left_in_training(manifest):
    model = two_layers(post="transf").train()

    found = evaluate(model, manifest, reading=ONE, draws=0)

    assert model.training
    assert as_numbers(found) == as_numbers(evaluate(model.eval(), manifest, reading=ONE, draws=0))


def test_a_file_that_cannot_be_read_counts_as_wrong(model, tmp_path):
    data = make_clips(tmp_path, count=4)
    (tmp_path / "02.mp4").write_bytes(b"this is no video")
    rows = (*(replace(row, split="test") for row in data.rows), Row("gone.mp4", ("run",)))
    data = replace(data, rows=tuple(replace(row, split="test") for row in rows))

    found = evaluate(model, data, reading=ONE, views="1x1")

    assert [(f.path, f.code) for f in found.failures] == [
        ("02.mp4", "unreadable"),
        ("gone.mp4", "unreadable"),
    ]
    assert (found.clips, found.answered, found.adds_up) == (5, 3, True)
    assert found.parts[0].sheet.read.tolist() == [True, True, False, True, False]
    assert found.summary["top4"].value == 3 / 5
    assert "2 clips of 5 could not be read and counted as wrong." in found.parts[0].numbers.notes


def test_every_clip_counts_whatever_the_batch(model, tmp_path):
    """The authors' code drops the last batch; 21 clips are more than one block of 16."""
    rows = []
    for number in range(21):
        path = write_video(tmp_path / f"{number}.mp4", frames=4, size=(32, 32), seed=number)
        rows.append(Row(path.name, (CLASSES[number % 4],)))

    found = evaluate(model, Manifest(tuple(rows), CLASSES, tmp_path), reading=ONE)

    assert found.clips == len(found.parts[0].sheet.rows) == 21
    assert found.parts[0].sheet.read.all()


def test_three_splits_have_a_mean_and_a_deviation(model, manifest):
    parts = [manifest.rows[:6], manifest.rows[3:9], manifest.rows[6:]]
    folds = {
        f"split {n}": replace(manifest, rows=tuple(replace(row, split="test") for row in rows))
        for n, rows in enumerate(parts, start=1)
    }
    seen = []

    found = evaluate(model, folds, protocol="zero-shot-3-splits", reading=ONE, seen=seen.append)

    each = [part.numbers.metrics["top1"].value for part in found.parts]
    assert len(each) == 3
    assert found.value == pytest.approx(np.mean(each))
    assert found.summary["top1"].deviation == pytest.approx(np.std(each, ddof=1))
    assert len(seen) == found.clips == 12


def test_base_to_novel_gives_the_harmonic_mean(model, manifest):
    found = evaluate(model, manifest, protocol="base-to-novel", reading=ONE)

    base, novel = (part.numbers.metrics["top1"].value for part in found.parts)
    assert found.value == pytest.approx(2 * base * novel / (base + novel) if base + novel else 0)
    assert next(iter(found.summary)) == "harmonic_mean"
    assert found.summary["base top1"].value == base
    assert [part.sheet.classes for part in found.parts] == [("hop", "run"), ("sit", "wave")]


def base_and_novel(groups, hits=None):
    """Forty clips of each; where a base clip is right the novel one at its place is wrong."""
    mixed = np.arange(40) % 5 < 3
    parts = []
    for name, right in zip(("base", "novel"), hits or (mixed, ~mixed), strict=True):
        rows = tuple(
            Row(f"{name}/{n}.mp4", ("a",), group=groups.format(name=name, n=n)) for n in range(40)
        )
        scores = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        parts.append(Sheet(name, ("a", "b"), rows, scores))
    return evaluation_of(*parts, protocol="base-to-novel").summary["harmonic_mean"]


def test_the_interval_of_the_harmonic_mean_draws_base_and_novel_apart():
    """As many clips of each must not make the same draw twice: 0.6 and 0.4 vary on their own."""
    found = base_and_novel("")

    assert found.value == pytest.approx(0.48)
    assert found.low < 0.40
    assert found.high > 0.54


def test_a_recording_of_base_and_novel_clips_is_drawn_once():
    """What is won on base is then lost on novel: the mean of the two is never above one half."""
    found = base_and_novel("recording {n}")

    assert found.low < found.value < found.high <= 0.5 + 1e-9


@pytest.mark.parametrize(("base", "novel"), [("mixed", "none"), ("none", "none"), ("all", "all")])
def test_a_part_of_which_all_or_none_is_right_does_not_make_the_mean_certain(base, novel):
    """No right answer to forty novel clips does not promise that no other would be right."""
    kinds = {"none": np.zeros(40, bool), "mixed": np.arange(40) % 5 < 3, "all": np.ones(40, bool)}

    found = base_and_novel("", (kinds[base], kinds[novel]))

    assert found.value == (1 if base == "all" else 0)
    assert found.high - found.low > 0.05
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_few_shot_says_how_many(model, manifest):
    assert evaluate(model, manifest, protocol="few-shot", reading=ONE).settings["shots"] == 1


def test_several_labels_a_clip(model, manifest):
    rows = tuple(replace(row, labels=(row.labels[0], "extra")) for row in manifest.rows)
    data = replace(manifest, rows=rows, classes=(*CLASSES, "extra"))

    found = evaluate(model, data, protocol="multi-label", reading=ONE)

    assert list(found.summary) == ["map"]
    assert 0 < found.value <= 1
    assert found.settings["activation"] == "none"
    sheet = found.parts[0].sheet
    assert sheet.targets.sum() == 16
    question = ask(model, sheet.classes, look_alikes=False)
    assert np.abs(sheet.scores).max() <= question.scale + 1e-3


def test_other_labels_may_compete(model, manifest):
    found = evaluate(model, manifest, ["swim", "Wave", "run", "sit", "hop"], reading=ONE)

    assert found.parts[0].sheet.classes == ("swim", "Wave", "run", "sit", "hop")
    with pytest.raises(ActionCLIPError, match="decides itself"):
        evaluate(model, manifest, ["run"], protocol="base-to-novel")


def test_rows_will_do_in_place_of_a_manifest(model, tmp_path):
    paths = [write_video(tmp_path / f"{n}.mp4", frames=4, size=(32, 32), seed=n) for n in (0, 1)]
    rows = [Row(str(path), (label,)) for path, label in zip(paths, ("run", "hop"), strict=True)]

    assert evaluate(model, rows, reading=ONE).clips == 2


@pytest.mark.parametrize("kind", [Path, str])
def test_a_path_will_do_as_on_the_command_line(model, tmp_path, kind):
    for label in ("run", "hop"):
        (tmp_path / label).mkdir()
        write_video(tmp_path / label / "0.mp4", frames=4, size=(32, 32))

    found = evaluate(model, kind(tmp_path), reading=ONE)

    assert found.clips == 2
    assert [row.labels for row in found.parts[0].sheet.rows] == [("hop",), ("run",)]


def test_what_is_not_installed_is_missed_before_anything_is_encoded(
    model, manifest, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional", None)

    with pytest.raises(ActionCLIPError, match="needs torchmetrics, which is not installed"):
        evaluate(model, manifest, folder=tmp_path / "results", reading=ONE)

    assert not (tmp_path / "results").exists()


def test_what_decided_the_numbers_is_written_down(model, manifest):
    described = {label: [f"someone does {label}"] for label in manifest.classes}

    plain = evaluate(model, manifest, reading=ONE).settings
    other = evaluate(
        model, manifest, reading=ONE, templates=["a {}", "{}!"], split="train", clean_labels=True
    ).settings
    told = evaluate(model, manifest, reading=ONE, descriptions=described).settings

    assert plain["templates"] == list(model.config.templates)
    assert (plain["splits"], other["splits"]) == ({"all": ["test"]}, {"all": ["train"]})
    assert (other["templates"], other["clean_labels"]) == (["a {}", "{}!"], True)
    assert plain["descriptions"] is None
    assert {label: list(told["descriptions"][label]) for label in described} == described
    json.dumps([plain, other, told])


ONE = {"workers": 1}
WORKER = """
import sys, json, hashlib
sys.path.insert(0, {tests!r})
import torch, torch.distributed as dist
from pathlib import Path
from actionclip.data.manifest import read_manifest
from actionclip.evaluation import evaluate
from actionclip.evaluation.run import views_of
from evaluation.data_sets import two_layers
dist.init_process_group("gloo")
torch.set_num_threads(1)
seen = []
found = evaluate(
    two_layers(post="transf"), read_manifest(Path({manifest!r})), views="2x1",
    reading={{"workers": 1}}, seen=seen.append,
)
text = hashlib.sha256(found.parts[0].sheet.scores.tobytes()).hexdigest()
said = json.dumps([dist.get_rank(), len(seen), text, found.value])
Path({manifest!r} + f".{{dist.get_rank()}}").write_text(said)  # their lines on stdout may mix
dist.destroy_process_group()
"""


def test_a_share_of_the_blocks_gives_the_same_bits(model, manifest, monkeypatch):
    """What each of three processes would do, one after the other."""
    from actionclip.evaluation import clips

    monkeypatch.setattr(clips, "BLOCK", 2)
    monkeypatch.setattr(clips, "frames_at_once", lambda model: 8)
    encoder = VideoEncoder(model, workers=1)
    views, sources = views_of(model, None), [manifest.source(row) for row in manifest.rows]
    alone = clips.encode_clips(encoder, sources, views)
    shares = {}
    monkeypatch.setattr(clips, "_gathered", lambda done: shares.update(done) or dict(shares))
    for rank in (2, 1, 0):
        monkeypatch.setattr(clips, "_ranks", lambda rank=rank: (rank, 3))
        seen = []
        with contextlib.suppress(KeyError):  # until all shares are there
            together = clips.encode_clips(encoder, sources, views, seen=seen.append)
        assert len(seen) == 4
    encoder.close()

    assert len(together) == len(alone) == 12
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.views, other.views)


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(model, tmp_path):
    from actionclip.data.manifest import write_manifest

    rows = []
    for number in range(40):
        if number < 5:
            write_video(tmp_path / f"{number}.mp4", frames=6, size=(32, 40), seed=number)
        rows.append(Row(f"{number % 5}.mp4", (CLASSES[number % 4],), start=None, group=f"{number}"))
        if number >= 5:
            (tmp_path / f"{number}.mp4").hardlink_to(tmp_path / f"{number % 5}.mp4")
            rows[-1] = replace(rows[-1], path=f"{number}.mp4")
    data = Manifest(tuple(rows), CLASSES, tmp_path)
    write_manifest(data, tmp_path / "m.csv")
    script = tmp_path / "worker.py"
    tests = str(Path(__file__).parents[1])
    script.write_text(WORKER.format(tests=tests, manifest=str(tmp_path / "m.csv")))

    done = torchrun("--nproc-per-node=2", script)
    assert done.returncode == 0, done.stderr
    said = [json.loads((tmp_path / f"m.csv.{rank}").read_text()) for rank in (0, 1)]
    torch.set_num_threads(1)
    alone = evaluate(model, data, views="2x1", reading=ONE)

    import hashlib

    bits = hashlib.sha256(alone.parts[0].sheet.scores.tobytes()).hexdigest()
    assert [rank for rank, *_ in said] == [0, 1]
    assert sum(count for _, count, *_ in said) == 40
    assert min(count for _, count, *_ in said) > 0
    assert {(text, value) for *_, text, value in said} == {(bits, alone.value)}


def test_a_stretch_of_a_video_is_a_clip(model, tmp_path):
    """Two stretches of one file have scores of their own: those of files with just these frames."""
    whole = write_video(tmp_path / "whole.mp4", frames=24, fps=12, size=(32, 32))
    rows = (
        Row("whole.mp4", ("run",), start=0.0, end=1.0),
        Row("whole.mp4", ("hop",), start=1.0, end=2.0),
        Row("whole.mp4", ("hop",)),
    )

    found = evaluate(model, Manifest(rows, CLASSES, tmp_path), reading=ONE)

    first, second, both = found.parts[0].sheet.scores
    with av.open(str(whole)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with actionclip.Recognizer(model, workers=1) as recognizer:
        for scores, part in ((first, frames[:12]), (second, frames[12:]), (both, frames)):
            answer = {s.label: s.score for s in recognizer.classify(part, list(CLASSES))}
            assert [answer[name] for name in CLASSES] == pytest.approx(scores.tolist(), abs=1e-5)
    assert found.clips == 3
