"""With what data and sentences a run goes on, and with what others it does not."""

import json
import shutil
import tomllib
from dataclasses import replace

import pytest

from actionclip.data.manifest import read_manifest, write_manifest
from actionclip.data.shards import write_shards
from actionclip.data.splits import fingerprint
from actionclip.errors import ActionCLIPError
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from actionclip.training.run.folder import write_toml
from recipes_for_tests import render_people, small_recipe
from training_runs import SETTINGS, metrics
from training_runs import run as train_colours


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The manifest of twelve rendered clips."""
    return render_people(tmp_path_factory.mktemp("people"), 12)


def start(recipe, folder, stop=4, changes=()):
    """Train up to a step, as if the process had died then; None: to the end."""

    def interrupt(line):
        if line["step"] == stop:
            raise InterruptedError

    with Run.prepare(read_recipe(recipe, changes)) as run:
        try:
            return run.train(folder, report=interrupt)
        except InterruptedError:
            return None


def written(folder):
    """The settings that a run has written down."""
    return tomllib.loads((folder / "config.toml").read_text())


def test_shards_may_have_moved_but_not_changed(people, tmp_path):
    manifest = read_manifest(people)
    write_shards(manifest, tmp_path / "here", pairs_each=5)
    recipe = small_recipe(
        tmp_path / "a.toml",
        "",
        data={"shards": str(tmp_path / "here" / "*.tar")},
        training={"loss": "info_nce"},
    )
    start(recipe, tmp_path / "run")
    shutil.move(tmp_path / "here", tmp_path / "there")
    turned = replace(manifest, rows=(*manifest.rows[1:], manifest.rows[0]))
    write_shards(turned, tmp_path / "other", pairs_each=5)

    with pytest.raises(ActionCLIPError, match=r"data\.fingerprint was"):
        start(recipe, tmp_path / "run", None, [f"data.shards={tmp_path}/other/*.tar"])
    result = start(recipe, tmp_path / "run", None, [f"data.shards={tmp_path}/there/*.tar"])

    assert result.steps == 9


@pytest.fixture
def turned(people, tmp_path):
    """A manifest of the same rows, the last one first."""
    manifest = read_manifest(people)
    rows = (manifest.rows[-1], *manifest.rows[:-1])
    write_manifest(replace(manifest, rows=rows), tmp_path / "turned.csv")
    return tmp_path / "turned.csv"


def test_a_run_goes_on_with_its_clips_in_their_order_only(people, turned, tmp_path):
    """Which clips a step sees is a matter of their numbers."""
    recipe = small_recipe(tmp_path / "a.toml", people)
    start(recipe, tmp_path / "run")

    with pytest.raises(ActionCLIPError, match=r"data\.fingerprint was"):
        start(recipe, tmp_path / "run", None, [f"data.path={turned}"])

    assert start(recipe, tmp_path / "run", None).steps == 9


def test_a_run_goes_on_with_its_captions_only(people, tmp_path):
    manifest = read_manifest(people)
    said = [replace(row, caption=row.caption + "!") for row in manifest.rows]
    write_manifest(replace(manifest, rows=tuple(said)), tmp_path / "said.csv")
    captions = {"data": {"captions": True}, "training": {"loss": "info_nce"}}
    recipe = small_recipe(tmp_path / "a.toml", people, **captions)
    start(recipe, tmp_path / "run")

    with pytest.raises(ActionCLIPError, match=r"data\.fingerprint was"):
        start(recipe, tmp_path / "run", None, [f"data.path={tmp_path / 'said.csv'}"])


def test_a_run_whose_mark_says_nothing_of_an_order_goes_on_and_gets_one_that_does(
    people, turned, tmp_path
):
    recipe = small_recipe(tmp_path / "a.toml", people)
    start(recipe, tmp_path / "run")
    marked = written(tmp_path / "run")["data"]["fingerprint"]
    before = written(tmp_path / "run")
    before["data"]["fingerprint"] = fingerprint(read_manifest(people))
    (tmp_path / "run" / "config.toml").write_text(write_toml(before))

    start(recipe, tmp_path / "run", 6)

    assert written(tmp_path / "run")["data"]["fingerprint"] == marked
    with pytest.raises(ActionCLIPError, match=r"data\.fingerprint was"):
        start(recipe, tmp_path / "run", None, [f"data.path={turned}"])


def test_a_recipe_may_ask_for_clips_in_an_order_or_in_any(people, turned, tmp_path):
    recipe = small_recipe(tmp_path / "a.toml", people)
    start(recipe, tmp_path / "run")
    marked = written(tmp_path / "run")["data"]["fingerprint"]

    for mark in (marked, fingerprint(read_manifest(people))):
        Run.prepare(read_recipe(recipe, [f"data.fingerprint={json.dumps(mark)}"])).close()
    asked = [f"data.path={turned}", f"data.fingerprint={json.dumps(marked)}"]
    with pytest.raises(ActionCLIPError, match="another order"):
        Run.prepare(read_recipe(recipe, asked))


SENTENCES = "a clip of {}\nsomebody is {}\n"


def with_sentences(people, folder, table):
    """A file of sentences and a recipe that names it."""
    file = folder / "sentences.txt"
    file.write_text(SENTENCES)
    return file, small_recipe(folder / "a.toml", people, **{table: {"templates": str(file)}})


@pytest.mark.parametrize("table", ["model", "training"])
def test_a_run_goes_on_with_its_sentences_only(people, tmp_path, table):
    """What a file says is what counts, and not what it is called."""
    file, recipe = with_sentences(people, tmp_path, table)
    start(recipe, tmp_path / "run")

    file.write_text("nobody is {}\na clip of {}\n")
    with pytest.raises(ActionCLIPError, match=rf"{table}\.templates was \['a clip of .*nobody is"):
        start(recipe, tmp_path / "run", None)

    file.rename(tmp_path / "other.txt").write_text(SENTENCES)
    moved = [f"{table}.templates={tmp_path / 'other.txt'}"]
    assert start(recipe, tmp_path / "run", None, moved).steps == 9
    # the settings are a recipe that needs no such file
    assert start(tmp_path / "run" / "config.toml", tmp_path / "again", None).steps == 9
    assert metrics(tmp_path / "again") == metrics(tmp_path / "run")


@pytest.mark.parametrize("table", ["model", "training"])
def test_a_run_that_wrote_the_name_of_a_file_down_goes_on(people, tmp_path, table):
    file, recipe = with_sentences(people, tmp_path, table)
    start(recipe, tmp_path / "run")
    before = written(tmp_path / "run")
    before[table]["templates"] = str(file)
    (tmp_path / "run" / "config.toml").write_text(write_toml(before))

    start(recipe, tmp_path / "run", 6)

    assert written(tmp_path / "run")[table]["templates"] == SENTENCES.splitlines()
    assert start(recipe, tmp_path / "run", None).steps == 9


def test_a_run_without_a_recipe_goes_on_with_its_sentences_only(tmp_path):
    file = tmp_path / "sentences.txt"
    file.write_text(SENTENCES)
    train_colours(tmp_path / "run", replace(SETTINGS, templates=str(file)))
    train_colours(tmp_path / "run", replace(SETTINGS, templates=tuple(SENTENCES.splitlines())))

    file.write_text(SENTENCES + "".join(f"{number} {{}}\n" for number in range(99)))

    with pytest.raises(ActionCLIPError, match="templates was") as error:
        train_colours(tmp_path / "run", replace(SETTINGS, templates=str(file)))
    assert "95 more" in str(error.value)
    assert len(str(error.value)) < 999
