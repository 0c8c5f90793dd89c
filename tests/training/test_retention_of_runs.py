"""The report after `actionclip train`."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.model.weights.folder import save
from actionclip.training.adapt.retention import REPORT
from actionclip.training.recipes.reading import read_recipe
from recipes_for_tests import render_people, small_recipe, write_recipe
from training_runs import small_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    manifest = render_people(tmp_path_factory.mktemp("people"))
    lines = manifest.read_text().splitlines()
    tests = [line.replace(",train", ",test") for line in lines[-3:]]
    manifest.write_text("\n".join([*lines[:-3], *tests]) + "\n")
    return manifest


def recipe_for(folder, clips, **data):
    save(small_model(), folder / "start")
    return write_recipe(
        folder / "tune.toml",
        model={"name": str(folder / "start")},
        data={"path": str(clips), "decoders": 1, **data},
        training={
            "batch_size": 4,
            "interpolate": 0.5,
            "schedule": {"epochs": 1, "warmup_epochs": 0},
        },
    )


def test_a_fine_tuning_says_what_it_cost(tmp_path, clips):
    recipe = recipe_for(tmp_path, clips)

    words = ["train", recipe, "--out", tmp_path / "run", "--set", "training.optim.lr=0.01"]
    done = CliRunner().invoke(app, [str(word) for word in words])

    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "run" / REPORT).read_text())
    assert list(report["models"]) == ["start", "end", "interpolated"]
    assert "56 actions that are not among the trained labels" in report["measured_on"]
    drift = {name: kept["text_drift"] for name, kept in report["models"].items()}
    assert drift["start"] < 1e-6 < drift["interpolated"] < drift["end"]
    assert "text embeddings moved by" in done.stderr


def test_novel_classes_are_asked_for_where_a_recipe_draws_them(tmp_path, clips):
    recipe = recipe_for(tmp_path, clips, draw={"protocol": "base-to-novel", "shots": 2})

    words = ["train", recipe, "--out", tmp_path / "run"]
    done = CliRunner().invoke(app, [str(word) for word in words])

    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "run" / REPORT).read_text())
    assert report["measured_on"] == "the 1 novel classes"
    assert report["models"]["end"]["accuracy"] == 1.0  # a single class competes with nobody


def test_where_there_was_nothing_to_lose_nothing_is_reported(tmp_path, clips):
    recipe = read_recipe(small_recipe(tmp_path / "scratch.toml", clips), ())
    tuned = read_recipe(recipe_for(tmp_path, clips), ())

    assert not recipe.reports_retention
    assert tuned.reports_retention
    assert not replace(tuned, retention=False).reports_retention
