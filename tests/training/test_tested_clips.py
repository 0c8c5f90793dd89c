"""Clips that are tested and trained on, too: scores of them say little, and that is said."""

import csv

import pytest

from actionclip.training import Run, read_recipe
from recipes_for_tests import render_people, small_recipe


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The manifest of six rendered clips, all of the split train."""
    return render_people(tmp_path_factory.mktemp("people"), 6)


def rows_of(people):
    return [
        (str(people.parent / row["path"]), row["label"])
        for row in csv.DictReader(people.read_text().splitlines())
    ]


def manifest(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "start", "end"), *rows])
    return path


def notes(tmp_path, data, **evaluation):
    path = small_recipe(tmp_path / "a.toml", data, evaluation={"protocol": "zero-shot"})
    changes = [f"evaluation.{key}={value}" for key, value in evaluation.items()]
    with Run.prepare(read_recipe(path, changes)) as run:
        return [note for note in run.data.notes if "trained on too" in note]


def test_a_data_set_without_splits_is_trained_and_tested_on(tmp_path, people):
    data = manifest(tmp_path / "all.csv", [(*row, "", "", "") for row in rows_of(people)])

    [note] = notes(tmp_path, data)

    assert note.startswith("6 of the 6 clips that [evaluation] tests are trained on too")


def test_only_the_clips_that_are_in_both_count(tmp_path, people):
    rows = rows_of(people)
    data = manifest(tmp_path / "train.csv", [(*row, "train", "", "") for row in rows[:4]])
    other = manifest(tmp_path / "test.csv", [(*row, "test", "", "") for row in rows[3:]])

    [note] = notes(tmp_path, data, path=other)

    assert note.startswith("1 of the 3 clips")


def test_splits_and_other_stretches_of_a_film_are_other_clips(tmp_path, people):
    rows = rows_of(people)
    apart = [(*row, ("train", "test")[n > 3], "", "") for n, row in enumerate(rows)]
    cut = [(*row, "train", 0.0, 0.4) for row in rows]
    cut += [(*row, "test", 0.4, 0.8) for row in rows]

    assert notes(tmp_path, manifest(tmp_path / "apart.csv", apart)) == []
    assert notes(tmp_path, manifest(tmp_path / "cut.csv", cut)) == []
    overlapping = [*cut, (*rows[0], "test", 0.3, 0.5)]
    [note] = notes(tmp_path, manifest(tmp_path / "overlapping.csv", overlapping))
    assert note.startswith("1 of the 7 clips")
