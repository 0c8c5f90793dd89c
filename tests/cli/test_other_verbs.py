"""The verbs beside `classify`, run in this process on real files."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import forked
from actionclip.cli import options
from actionclip.data.synthetic import clips as synthetic
from actionclip.errors import ActionCLIPError, StorageError
from sample_videos import write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(2):
        write_video(folder / f"{seed}.mp4", seed=seed)
    (folder / "bad.mp4").write_bytes(b"this is no video")
    return folder


@pytest.fixture
def run(command_line):
    return command_line


def test_embed_writes_the_same_vectors_as_npz_and_parquet(run, folder, tmp_path):
    for name in ("all.npz", "all.parquet"):
        result = run("embed", folder, "-o", name, "--model", "tiny", "--workers", "1")
        assert result.exit_code == 3, result.output
        assert "1 failed" in result.stderr

    arrays = np.load(tmp_path / "all.npz")
    table = parquet.read_table(tmp_path / "all.parquet").to_pydict()
    assert arrays["source"].tolist() == table["source"]
    assert [source[-5:] for source in table["source"]] == ["0.mp4", "1.mp4"]
    np.testing.assert_allclose(arrays["embedding"], table["embedding"], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(arrays["embedding"], axis=1), 1, atol=1e-5)
    assert arrays["seconds"] == pytest.approx([2.0, 2.0], abs=0.01)
    assert arrays["frames"].tolist() == [36, 36]


def test_embed_refuses_what_it_could_not_write(run, folder):
    with pytest.raises(ActionCLIPError, match=r"\.npz or \.parquet"):
        run("embed", folder, "-o", "all.txt", "--model", "tiny")
    with pytest.raises(StorageError, match="there is no folder"):
        run("embed", folder, "-o", "nowhere/all.npz", "--model", "tiny")


@pytest.mark.parametrize(
    "words",
    [
        "train recipe.toml --out",
        "eval tiny --data set --out",
        "calibrate tiny --data set --out",
        "fewshot set --out",
        "interpolate before after --out",
        "convert checkpoint.pt",
        "timeline film.mp4 --labels running --save-all",
        "timeline film.mp4 --labels running --explain",
        "data split set few-shot --output",
        "data shards set --output",
        "data synth",
        "demo --folder",
        "serve --uploads",
    ],
)
def test_a_folder_that_is_a_file_is_said_before_any_work(run, tmp_path, words):
    """None of the other things named is there, so that whatever was done first would complain."""
    (tmp_path / "notes.txt").write_text("mine")

    refused = run(*words.split(), "notes.txt")

    assert refused.exit_code == 2
    assert "'notes.txt' is a file." in " ".join(refused.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_check_of_no_labels_is_refused(command_line):
    with pytest.raises(ActionCLIPError, match="--check looks at labels, and there are none"):
        command_line("labels", "--check", "--model", "tiny")


@pytest.mark.parametrize("words", [(), ("ucf101",)])
def test_a_model_that_labels_would_not_ask_is_refused(command_line, words):
    with pytest.raises(ActionCLIPError, match="Nothing here asks the model"):
        command_line("labels", *words, "--model", "tiny")


def test_labels_lists_the_sets_and_shows_one(run):
    listed = run("labels").stdout
    shown = run("labels", "kinetics400").stdout.splitlines()

    assert {"kinetics400", "ucf101", "hmdb51"} <= set(listed.split())
    assert len(shown) == 400
    assert shown[0] == "abseiling"


def test_labels_check_names_duplicates(run):
    good = run("labels", "walking, jumping jacks", "--check", "--model", "tiny")
    bad = run("labels", "BrushHair, brush_hair, yoga", "--check", "--model", "tiny")

    assert good.exit_code == 0
    assert bad.exit_code == 3
    assert "'BrushHair' = 'brush_hair'" in bad.stdout


def test_models_lists_names_with_their_size(run):
    rows = [
        json.loads(line)
        for line in run("models", "ViT-B-32/openai", "--json").stdout.split("\n")
        if line
    ]
    listed = run("models").stdout.splitlines()

    (row,) = [row for row in rows if row["name"] == "ViT-B-32/openai"]
    assert {"name", "parameters", "frames", "size", "source", "licence", "cached"} <= set(row)
    assert row["parameters"] == 151_277_313
    assert row["cached"] is False
    assert len(listed) > 150
    assert any(line.startswith("tiny\t") for line in listed)


def test_models_says_when_nothing_is_called_so(run):
    result = run("models", "ViT-Z-99")

    assert result.exit_code == 2
    assert "ViT-Z-99" in result.stderr


def test_models_says_when_none_of_those_called_so_is_here(run):
    result = run("models", "openai", "--cached")

    assert result.exit_code == 2
    assert "models called like 'openai' is here" in result.stderr
    assert "first used" in result.stderr


def test_doctor_says_what_works(run):
    report = json.loads(run("doctor", "--json").stdout)

    assert report["versions"]["actionclip"]
    assert report["codecs"]["h264"] == "works"
    assert report["codecs"]["vp9"] == "works"
    assert set(report) == {
        "versions",
        "devices",
        "codecs",
        "decoding sandbox",
        "storage",
        "troubles",
    }


def test_demo_renders_clips_and_says_what_happens(run, tmp_path):
    """And the command that it shows can be typed."""
    result = run("demo", "--folder", "my clips")

    clips = sorted((tmp_path / "my clips").glob("*.mp4"))
    assert result.exit_code == 0
    assert len(clips) >= 5
    for clip in clips:
        assert clip.name in result.stdout
        assert clip.with_suffix(".png").is_file()
    assert result.stdout.count("%") == 3 * len(clips)
    (line,) = [line for line in result.stderr.splitlines() if "Your turn" in line]
    words = shlex.split(line.partition(": ")[2])[1:]
    assert words[1] == "my clips/walking.mp4"
    answered = run(*words)
    assert (answered.exit_code, len(answered.stdout.splitlines())) == (0, 4)


def test_a_demo_whose_clips_cannot_be_read_says_so(run, monkeypatch, tmp_path):
    """As where a video library fits neither the machine nor us."""
    render = synthetic.demo_clips

    def broken(folder):
        clips = render(folder)
        clips[1][0].write_bytes(b"no video")
        return clips

    monkeypatch.setattr(synthetic, "demo_clips", broken)

    result = run("demo")

    assert len(list((tmp_path / "demo").glob("*.mp4"))) == 6
    assert result.exit_code == 3
    assert "1 of 6 clips could not be read: actionclip doctor says more." in result.stderr


def test_a_mistake_is_three_lines_and_exit_code_2(tmp_path):
    words = ["classify", "x.mp4", "--labels", "a, b", "--model", "tinny"]

    result = forked.run(*words, cwd=tmp_path)

    assert result.returncode == 2
    assert result.stdout == b""
    assert b"Traceback" not in result.stderr
    assert result.stderr.startswith(b"error: ")
    assert b"Did you mean 'tiny'" in result.stderr


def main(*arguments, cwd):
    """The installed program, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-c", "from actionclip.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def test_a_misspelt_option_or_verb_is_a_usage_error(tmp_path):
    assert main("clasify", cwd=tmp_path).returncode == 2
    assert "classify" in main("clasify", cwd=tmp_path).stderr
    assert main("classify", "x.mp4", "--lables", "a", cwd=tmp_path).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_exit_code_5(tmp_path):
    program = "from actionclip.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", program, "labels", "kinetics400"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert run.returncode == 5
    assert "the disk is full" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_list_of_labels_does_not_wait_for_torch(tmp_path):
    (tmp_path / "mine.txt").write_text("juggling\nskating\n")
    program = """
import sys
from actionclip.cli import main
try:
    main()
finally:
    print(sorted({"torch", "numpy", "av"} & set(sys.modules)))
"""
    for name, last in (("kinetics400", "zumba"), ("mine.txt", "skating")):
        shown = subprocess.run(
            [sys.executable, "-c", program, "labels", name],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
        assert shown.stdout.splitlines()[-2:] == [last, "[]"]


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    """As torchrun counts them on this machine, not among all machines."""
    assert options.own_gpu() is None
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert options.own_gpu() == "cuda:1"


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux can tell")
def test_doctor_leaves_the_process_as_it_was_scheduled(run):
    """SVT-AV1 makes real-time threads of those of root; a browser then starves beside them."""
    run("doctor")

    assert os.sched_getscheduler(0) not in (os.SCHED_FIFO, os.SCHED_RR)
