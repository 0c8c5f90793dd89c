"""What a run is tested on: clips that it learns from, and files that cannot be read."""

import csv

import pytest
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.errors import ActionCLIPError
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from recipes_for_tests import failures_in, render_people, small_recipe


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder of twelve rendered clips."""
    return render_people(tmp_path_factory.mktemp("people"), 12).parent


def split_up(folder, people, tested):
    """A manifest in which some of the clips are set aside."""
    rows = list(csv.DictReader((people / "manifest.csv").read_text().splitlines()))
    path = folder / "clips.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(("path", "label", "split"))
        for number, row in enumerate(rows):
            split = "test" if number >= len(rows) - tested else "train"
            csv.writer(file).writerow((people / row["path"], row["label"], split))
    return path


ONE_EPOCH = {"training": {"schedule": {"epochs": 1, "warmup_epochs": 0}}}


def test_a_test_on_clips_that_are_trained_on_is_called_one(tmp_path, people):
    whole = small_recipe(tmp_path / "a.toml", people, evaluation={"split": "train"}, **ONE_EPOCH)
    apart = small_recipe(
        tmp_path / "b.toml", split_up(tmp_path, people, 3), evaluation={}, **ONE_EPOCH
    )
    said = "All 12 clips that [evaluation] tests are trained on, too, so its scores are too good."

    done = CliRunner().invoke(app, ["train", str(whole), "--out", str(tmp_path / "run")])

    assert done.exit_code == 0, done.output
    assert f"note: {said} `actionclip data split` sets clips aside." in done.stderr
    assert said in (tmp_path / "run" / "best" / "README.md").read_text()
    with Run.prepare(read_recipe(apart)) as run:
        assert not any("trained on, too" in note for note in run.data.notes)
        run.train(tmp_path / "other")
    assert "trained on, too" not in (tmp_path / "other" / "best" / "README.md").read_text()
    changes = [f"evaluation.path={people}", "evaluation.split=train"]
    with Run.prepare(read_recipe(apart, changes)) as run:
        assert any(note.startswith("9 of the 12 clips that") for note in run.data.notes)


def test_a_card_names_the_data_and_not_where_they_lie(tmp_path, people):
    recipe = small_recipe(tmp_path / "a.toml", people, **ONE_EPOCH)

    done = CliRunner().invoke(app, ["train", str(recipe), "--out", str(tmp_path / "run")])

    assert done.exit_code == 0, done.output
    assert f"12 clips with 3 labels of {people.name}: {people}\n" in done.stderr
    card = (tmp_path / "run" / "last" / "README.md").read_text()
    assert f"Trained on 12 clips with 3 labels of {people.name}" in card
    assert str(tmp_path) not in card
    assert str(people.parent) not in card


def test_files_of_a_test_that_cannot_be_read_are_told_and_do_not_end_the_run(tmp_path):
    people = render_people(tmp_path / "people", 12).parent
    clips = split_up(tmp_path, people, 3)
    tested = [row["path"] for row in csv.DictReader(clips.read_text().splitlines())][-3:]
    for path in tested[:2]:
        (tmp_path / path).write_bytes(b"this is not a video" * 99)
    recipe = small_recipe(tmp_path / "a.toml", clips, evaluation={})
    out = tmp_path / "run"

    done = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out)])

    assert done.exit_code == 0, done.output
    assert f"2 clips could not be read: see {out}/failures.csv" in done.stderr
    assert "2 of them are of [evaluation], and wrong there." in done.stderr
    assert sorted(row["path"] for row in failures_in(out)) == sorted(tested[:2])


def test_a_split_that_is_not_there_is_named_as_a_recipe_names_it(tmp_path, people):
    clips = split_up(tmp_path, people, 3)
    recipe = small_recipe(tmp_path / "a.toml", clips, evaluation={"split": "val"}, **ONE_EPOCH)

    with pytest.raises(ActionCLIPError, match=r"no clip with labels in 'val'") as error:
        Run.prepare(read_recipe(recipe))

    assert error.value.hint == "Name the split to test on with evaluation.split."
