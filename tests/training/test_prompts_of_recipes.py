"""What the visual prompts of a trained model know when a recipe starts from it."""

import pytest
import torch

from actionclip.model.weights.folder import save
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from actionclip.training.recipes.settings import ModelSettings
from recipes_for_tests import render_people, write_recipe
from training_runs import small_model


def trained(folder, **prompts):
    """A model folder whose visual prompts have learnt something; returns their numbers."""
    model = small_model(**prompts)
    for name, parameter in model.named_parameters():
        if not name.startswith("backbone."):
            torch.nn.init.normal_(parameter)
    save(model, folder)
    return prompts_of(model)


def prompts_of(model):
    return {n: t for n, t in model.state_dict().items() if not n.startswith("backbone.")}


def kept(before, after):
    """The names of the numbers that are still there."""
    return {n for n, t in after.items() if n in before and torch.equal(before[n], t)}


@pytest.mark.parametrize(
    ("start", "change"),
    [
        ({"post": "transf"}, {"inner": "shift"}),
        ({"post": "transf"}, {"norm_eps": 1e-5}),
        ({"post": "transf"}, {"positions": 77, "position_std": 0.5}),
        ({"post": "conv1d", "inner": "shift"}, {"inner": "none"}),
        ({"post": "transf_cls"}, {"inner": "shift"}),
    ],
)
def test_prompts_that_do_not_change_keep_what_they_learnt(tmp_path, start, change):
    before = trained(tmp_path / "model", **start)

    model = build_model(ModelSettings(name=str(tmp_path / "model"), prompts=change))

    assert kept(before, prompts_of(model)) == set(before)
    for name, value in change.items():
        assert getattr(model.config.prompts, name) == value


def test_only_what_has_another_shape_starts_untrained(tmp_path):
    before = trained(tmp_path / "model", post="transf")
    table = "post.frame_position_embeddings.weight"

    model = build_model(ModelSettings(name=str(tmp_path / "model"), prompts={"positions": 9}))

    assert kept(before, prompts_of(model)) == set(before) - {table}
    assert model.state_dict()[table].shape == (9, 16)


@pytest.mark.parametrize(
    ("start", "change"),
    [
        ({"post": "conv1d"}, {"prompts": {"post": "conv1d_authors"}}),  # the same names and shapes
        ({"post": "transf_cls"}, {"sampling": {"frames": 5}}),
        ({"post": "transf_cls"}, {"prompts": {"positions": 5}, "sampling": {"frames": 5}}),
        ({"pre": "joint"}, {"sampling": {"frames": 5}}),
        ({"post": "transf"}, {"prompts": {"heads": 2}}),
    ],
)
def test_prompts_of_another_kind_or_for_other_frames_start_untrained(tmp_path, start, change):
    before = trained(tmp_path / "model", **start)

    model = build_model(ModelSettings(name=str(tmp_path / "model"), **change))

    assert not kept(before, prompts_of(model))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": {"post": "conv1d"}}, ["The post-network visual prompt 'conv1d' starts"]),
        ({"prompts": {"post": "meanp", "pre": "joint"}}, ["The pre-network visual prompt 'joint'"]),
        ({"prompts": {"positions": 9}}, ["Of the post-network visual prompt 'transf', what"]),
        ({"prompts": {"inner": "shift"}}, []),
        ({"prompts": {"post": "meanp"}}, []),
        ({"prompts": {"norm_eps": 1e-5}}, []),
        ({}, []),
    ],
)
def test_a_run_says_which_prompts_start_untrained(tmp_path, change, said):
    trained(tmp_path / "model", post="transf")
    model = {"name": str(tmp_path / "model"), **change}
    data = {"path": str(render_people(tmp_path / "people", 3)), "decoders": 1}
    path = write_recipe(tmp_path / "a.toml", model=model, data=data)

    with Run.prepare(read_recipe(path)) as run:
        notes = [note for note in run.data.notes if "untrained" in note]

    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))
