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


STAGES = ("tiny-1-pretrain", "tiny-2-prompt", "tiny-3-finetune")


def test_three_stages_one_after_the_other(tmp_path):
    """Each starts where the one before it ended, and learns."""
    start: list[str] = []
    ended: dict[str, torch.Tensor] = {}
    for stage in STAGES:
        recipe = read_recipe(RECIPES / f"{stage}.toml", [*SHORT, *start])
        with Run.prepare(recipe) as run:
            begun = {name: value.clone() for name, value in run.model.state_dict().items()}
            assert run.train(tmp_path / stage).steps == 2
        for name, value in ended.items():
            assert torch.equal(begun[name], value), f"{stage} starts with another {name}"
        model = load_folder(tmp_path / stage / "last")
        ended = model.state_dict()
        stem = "backbone.clip.visual.trunk.stem.conv.weight"
        assert not torch.equal(begun[stem], ended[stem])
        assert model.backbone.motion
        start = [f"model.name={tmp_path / stage / 'last'}"]

    assert model.config.sampling.spacing == 0.125
    assert model.config.prompts.post == "transf"


def test_what_is_rendered_must_be_what_the_model_looks_at():
    recipe = read_recipe(RECIPES / "tiny-1-pretrain.toml", ["data.synthetic.size=64"])

    with pytest.raises(ActionCLIPError, match="1 frames of 64 pixels"):
        Run.prepare(recipe)


def test_one_source_of_data():
    with pytest.raises(ActionCLIPError, match="path and synthetic"):
        read_recipe(RECIPES / "tiny-1-pretrain.toml", ["data.path=clips"])
