"""Numbers that no model and no generator can have."""

import math

import pytest

from actionclip.errors import ActionCLIPError
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.weights.folder import load_folder, save
from actionclip.training.recipes.reading import read_recipe
from recipes_for_tests import write_recipe
from training_runs import small_model


@pytest.mark.parametrize("scale", [math.nan, math.inf, 0.0, -100.0])
def test_a_cosine_is_multiplied_by_a_number_above_zero(scale):
    with pytest.raises(ActionCLIPError, match=f"scale is {scale}"):
        ModelConfig(backbone=BackboneConfig(name="none", architecture={}), scale=scale)


def test_a_folder_whose_scale_is_true_is_refused(tmp_path):
    path = save(small_model(), tmp_path / "model") / "config.json"
    path.write_text(path.read_text().replace('"scale": null', '"scale": true'))

    with pytest.raises(ActionCLIPError, match="scale: It is true, and a number"):
        load_folder(tmp_path / "model")


@pytest.mark.parametrize("name", ["training.seed", "model.seed", "data.synthetic.seed"])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_is_none_is_refused_when_the_recipe_is_read(tmp_path, name, seed):
    people = {"synthetic": {"frames": 2}}
    path = write_recipe(tmp_path / "a.toml", model={"name": "tiny"}, data=people)
    read_recipe(path, [f"{name}={2**63 - 1}"])

    with pytest.raises(ActionCLIPError, match=rf"seed is {seed}\. A seed from 0") as error:
        read_recipe(path, [f"{name}={seed}"])

    assert name.removeprefix("training.") in str(error.value)
