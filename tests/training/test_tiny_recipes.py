"""The stages of `tiny`, on clips that are rendered while training."""

from pathlib import Path

import pytest
import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = ("training.batch_size=4", "data.synthetic.clips=8", "training.schedule.epochs=1")


def test_two_stages_one_after_the_other(tmp_path):
    first = read_recipe(RECIPES / "tiny-1-pretrain.toml", SHORT)
    with Run.prepare(first) as run:
        assert run.train(tmp_path / "one").steps == 2
    start = f"model.name={tmp_path / 'one' / 'last'}"
    second = read_recipe(RECIPES / "tiny-2-finetune.toml", [*SHORT, start])
    with Run.prepare(second) as run:
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        assert run.model.backbone.motion
        run.train(tmp_path / "two")

    pictures, clips = (load_folder(tmp_path / name / "last") for name in ("one", "two"))

    assert pictures.config.sampling.frames == 1
    assert clips.config.sampling.spacing == 0.125
    assert clips.config.backbone.motion
    stem = "backbone.clip.visual.trunk.stem.conv.weight"
    assert torch.equal(before[stem], pictures.state_dict()[stem]), "starts where the first ended"
    assert not torch.equal(before[stem], clips.state_dict()[stem]), "and learns"


def test_what_is_rendered_must_be_what_the_model_looks_at():
    recipe = read_recipe(RECIPES / "tiny-1-pretrain.toml", ["data.synthetic.size=64"])

    with pytest.raises(ActionCLIPError, match="1 frames of 64 pixels"):
        Run.prepare(recipe)


def test_one_source_of_data():
    with pytest.raises(ActionCLIPError, match="path and synthetic"):
        read_recipe(RECIPES / "tiny-1-pretrain.toml", ["data.path=clips"])
