import csv
import json

import av
import pytest
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.data.synthetic import dataset
from actionclip.data.synthetic.dataset import Recipe, write_dataset
from actionclip.errors import ActionCLIPError

ACTIONS = ("walking", "waving one hand")
RECIPE = Recipe(ACTIONS, 64, 48, seconds=0.5, fps=8.0)


def rows(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_data_set_has_folders_of_actions_and_a_manifest(tmp_path):
    done = write_dataset(tmp_path / "set", RECIPE, 20)

    found = rows(tmp_path / "set")
    assert (done.rendered, done.kept) == (20, 0)
    assert found[1]["path"] == "waving_one_hand/000001.mp4"
    assert [row["label"] for row in found] == list(ACTIONS) * 10
    assert len({row["caption"] for row in found}) > 15
    splits = [row["split"] for row in found]
    assert [splits.count(name) for name in ("train", "val", "test")] == [16, 2, 2]
    for row in found:
        with av.open(str(tmp_path / "set" / row["path"])) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.frames) == (64, 48, 4)


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not(tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    write_dataset(whole, RECIPE, 4)
    real, written = dataset.write_clip, []

    def breaks(path, *arguments, **options):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, *arguments, **options)

    monkeypatch.setattr(dataset, "write_clip", breaks)
    with pytest.raises(ActionCLIPError, match="No space left"):
        write_dataset(stopped, RECIPE, 4)
    monkeypatch.setattr(dataset, "write_clip", real)
    kept = written[0].stat().st_mtime_ns

    done = write_dataset(stopped, RECIPE, 4)

    assert (done.rendered, done.kept) == (2, 2)
    assert written[0].stat().st_mtime_ns == kept
    assert rows(whole) == rows(stopped)
    assert [p.relative_to(whole) for p in sorted(whole.rglob("*"))] == [
        p.relative_to(stopped) for p in sorted(stopped.rglob("*"))
    ]
    for row in rows(whole):
        assert (whole / row["path"]).read_bytes() == (stopped / row["path"]).read_bytes()


def test_clips_of_another_recipe_are_not_mixed_in(tmp_path):
    write_dataset(tmp_path, RECIPE, 1)

    with pytest.raises(ActionCLIPError, match="other settings"):
        write_dataset(tmp_path, Recipe(ACTIONS, 64, 48, seconds=0.5, fps=8.0, seed=1), 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--actions", "walking, flyng"], "flyng"),
        (["--size", "33x32"], "33x32"),
        (["--size", "large"], "large"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tmp_path, arguments, said):
    result = CliRunner().invoke(app, ["data", "synth", str(tmp_path / "set"), *arguments])

    assert isinstance(result.exception, ActionCLIPError)
    assert said in str(result.exception)
    assert not (tmp_path / "set").exists()


def test_the_command_prints_where_the_manifest_is(tmp_path):
    options = ["--clips", "2", "--size", "64x48", "--seconds", "0.5", "--fps", "8", "--json"]
    command = ["data", "synth", str(tmp_path), "--actions", "boxing, bowing", *options]

    first = CliRunner().invoke(app, command)
    again = CliRunner().invoke(app, command)

    assert first.exit_code == 0, first.output
    summary = json.loads(first.stdout)
    assert (summary["clips"], summary["rendered"], summary["kept"]) == (2, 2, 0)
    assert json.loads(again.stdout)["kept"] == 2
    assert [row["label"] for row in rows(tmp_path)] == ["boxing", "bowing"]
