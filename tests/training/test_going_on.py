"""With what data and sentences a run goes on, and with what others it does not."""

import shutil
from dataclasses import replace

import pytest

from actionclip.data.manifest import read_manifest
from actionclip.data.shards import write_shards
from actionclip.errors import ActionCLIPError
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from recipes_for_tests import render_people, small_recipe


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
