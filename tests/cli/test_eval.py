"""`actionclip eval`, run in this process on small files with the model that is always there."""

import json
import sys
from functools import partial

import pytest

from actionclip.errors import ActionCLIPError
from sample_videos import write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set with a folder for each class, and one file that is no video."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("hop/a.mp4", "hop/b.mp4", "run/c.mp4", "run/d.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, frames=6, size=(48, 64), seed=seed)
    return folder


@pytest.fixture
def run(command_line):
    return partial(command_line, "eval")


def test_a_table_and_a_folder_and_a_comparison(run, folder, tmp_path):
    arguments = ("tiny", "--data", folder, "--protocol", "zero-shot", "--workers", "1")
    result = run(*arguments, "--views", "2x3", "--out", "first")

    assert result.exit_code == 0, result.output
    assert "protocol  zero-shot: Test clips of one split" in result.stdout
    assert "clips     4 clips, 2 labels" in result.stdout
    assert "views     2x3 of 12 frames, fp32" in result.stdout
    assert "top-1" in result.stdout
    assert "top-2 stands for top-5" in result.stdout
    assert "Everything is in first" in result.stderr
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {
        *("results.json", "clips.csv", "per_class.csv", "scores.npz", "vectors"),
        *("confusion.csv", "confusion.png", "reliability.png", "mistakes.html"),
    }

    again = run(*arguments, "--template", "a person {}", "--out", "second", "--json")
    row = json.loads(again.stdout)
    assert (row["protocol"], row["clips"], row["adds_up"]) == ("zero-shot", 4, True)
    assert row["settings"]["views"] == "3x1"

    compared = run("--compare", "first", "second")
    assert compared.exit_code == 0
    assert "top-1 of 4 clips" in compared.stdout
    assert json.loads(run("--compare", "first", "first", "--json").stdout)["could_be_chance"]
    plain = run("--compare", "first", "second", "--draws", "0").stdout
    assert "difference" in plain
    assert "chance" not in plain
    row = json.loads(run("--compare", "first", "second", "--draws", "0", "--json").stdout)
    assert (row["could_be_chance"], row["difference"]["low"]) == (None, None)


def test_labels_through_a_pipe_are_read_once(run, folder, pipe):
    words = pipe("hop\nrun\nsit\n")
    result = run("tiny", "--data", folder, "--workers", "1", "--labels", words)

    assert result.exit_code == 0
    assert "4 clips, 3 labels" in result.stdout


def test_a_bad_file_is_listed_and_the_exit_code_is_3(run, folder, tmp_path):
    (tmp_path / "m.csv").write_text(
        f"path,label\n{folder}/hop/a.mp4,hop\n{folder}/run/c.mp4,run\nbad.mp4,run\n"
    )
    (tmp_path / "bad.mp4").write_bytes(b"this is no video")

    result = run("tiny", "--data", "m.csv", "--workers", "1", "--out", "out")

    assert result.exit_code == 3
    assert "1 clip of 3 could not be read and counted as wrong" in result.stdout
    assert "not read: bad.mp4: unreadable" in result.stderr
    assert (tmp_path / "out" / "failures.csv").is_file()


def test_another_protocol_leaves_no_picture_of_the_first(run, folder, tmp_path):
    """The vectors are of the same clips and serve both."""
    arguments = ("tiny", "--data", folder, "--workers", "1", "--out", "out", "--draws", "10")
    first = run(*arguments, "--protocol", "zero-shot")
    assert first.exit_code == 0, first.output
    assert (tmp_path / "out" / "confusion.png").is_file()
    assert "class  clips  right\n" in first.stdout

    result = run(*arguments, "--protocol", "multi-label")

    assert result.exit_code == 0, result.output
    assert "class  clips  average precision\n" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *("results.json", "clips.csv", "per_class.csv", "scores.npz", "vectors"),
        "mistakes.html",
    }


def test_counts_that_do_not_add_up_end_with_4(run, folder, monkeypatch):
    from actionclip.evaluation import Evaluation

    monkeypatch.setattr(Evaluation, "adds_up", False)

    result = run("tiny", "--data", folder, "--workers", "1", "--draws", "0")

    assert result.exit_code == 4
    assert "do not add up" in result.stderr


def test_three_folds_are_printed_each_and_together(run, folder, tmp_path):
    for fold in (1, 2, 3):
        (tmp_path / f"split{fold}.csv").write_text(
            f"path,label\n{folder}/hop/a.mp4,hop\n{folder}/run/{'cdc'[fold - 1]}.mp4,run\n"
        )
    data = [word for fold in (1, 2, 3) for word in ("--data", f"split{fold}.csv")]

    result = run("tiny", *data, "--protocol", "zero-shot-3-splits", "--workers", "1")

    assert result.exit_code == 0, result.output
    assert "3 clips in 3 parts" in result.stdout
    for name in ("split1", "split2", "split3"):
        assert name in result.stdout
    assert "±" in result.stdout


def test_several_parts_with_several_labels_are_compared(run, folder, tmp_path):
    for name, clips in (("one", "ac"), ("two", "bd")):
        rows = f"{folder}/hop/{clips[0]}.mp4,hop\n{folder}/run/{clips[1]}.mp4,hop|run\n"
        (tmp_path / f"{name}.csv").write_text(f"path,labels\n{rows}")
    data = ("--data", "one.csv", "--data", "two.csv", "--protocol", "multi-label")
    for words, out in (("{}", "first"), ("a person {}", "second")):
        result = run("tiny", *data, "--workers", "1", "--template", words, "--out", out)
        assert result.exit_code == 0, result.output

    compared = run("--compare", "first", "second")

    assert compared.exit_code == 0, compared.output
    assert "mAP of 4 clips, the mean of 2 parts" in compared.stdout
    row = json.loads(run("--compare", "first", "second", "--json").stdout)
    assert [part["name"] for part in row["parts"]] == ["one", "two"]
    means = [json.loads((tmp_path / n / "results.json").read_text())["value"] for n in ("first",)]
    assert row["before"] == pytest.approx(means[0], abs=1e-5)


def test_what_is_not_installed_is_missed_before_a_download(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional", None)

    with pytest.raises(ActionCLIPError, match="needs torchmetrics, which is not installed"):
        run("ViT-B-32/openai", "--data", folder, "--protocol", "zero-shot")


@pytest.mark.parametrize(
    ("protocol", "arguments", "message"),
    [
        ("zero-shot-3-splits", ["--fold", "2"], "fold 2 was given, and zero-shot-3-splits tests"),
        ("zero-shot-full", ["--fold", "1"], "fold 1 was given, and zero-shot-full tests"),
        ("zero-shot-full", ["--split", "test"], "'test' was given, and zero-shot-full has no"),
        ("closed-set", ["--base", "hop"], "Base classes were given, and closed-set has none"),
    ],
)
def test_what_a_protocol_does_not_use_is_refused(run, folder, protocol, arguments, message):
    with pytest.raises(ActionCLIPError, match=message):
        run("ViT-B-32/openai", "--data", folder, "--protocol", protocol, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny"], "No data set was given"),
        (["tiny", "--protocol", "zero-shoot"], "Did you mean 'zero-shot'"),
        # before it is downloaded
        (["ViT-B-32/openai", "--views", "10x2"], "CLIPSxCROPS"),
        (["ViT-B-32/openai", "--split", "holdout"], "in 'holdout'"),
        (["ViT-B-32/openai", "--labels", ","], "holds no label"),
        (["ViT-B-32/openai", "--template", "a video"], "A template has {} once"),
        (["ViT-B-32/openai", "--base", "base.txt"], "Cannot read base.txt"),
    ],
)
def test_what_cannot_be_tested(run, folder, arguments, message):
    data = [] if len(arguments) == 1 else ["--data", folder]

    with pytest.raises(ActionCLIPError, match=message):
        run(*arguments, *data)
