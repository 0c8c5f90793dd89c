"""Every recipe runs: two steps on a small copy of its data, laid out as the real one is."""

import math
import re
from pathlib import Path

import pytest

from actionclip.training import train
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from actionclip.training.recipes.testing import eval_command, make_evaluate
from data_sets_on_disk import LAID, render_clips
from recipes_for_tests import TWO_LAYERS

RECIPES = sorted(
    path
    for path in (Path(__file__).parents[2] / "recipes").glob("*.toml")
    if not path.name.startswith("tiny-")  # on rendered people; they have tests of their own
)
TRAINED = [path for path in RECIPES if read_recipe(path).purpose == "train"]
TESTED = [path for path in RECIPES if path not in TRAINED]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """The folder of a data set by the path in a recipe; laid out when it is first asked for."""
    folder, laid = tmp_path_factory.mktemp("data"), {}

    def lay(path):
        name = Path(path).name
        if name not in laid:
            clips = laid.setdefault("", None) or render_clips(folder)
            laid[""] = clips
            LAID[name](folder / name, clips)
            laid[name] = folder / name
        return laid[name]

    return lay


def changed(path, on_disk, *changes):
    """The recipe on the small copy of its data."""
    plain = read_recipe(path)
    return read_recipe(path, [f"data.path={on_disk(plain.data.path)}", "data.decoders=1", *changes])


def two_steps(path, on_disk, *changes):
    """The recipe with as many videos in a batch as make two steps."""
    plain = read_recipe(path)
    size = 2 if plain.data.draw.protocol == "base-to-novel" else 4  # half of the classes
    few = [
        f"training.batch_size={size}",
        f"training.accumulate={min(plain.training.accumulate, 2)}",
    ]
    once = ["training.schedule.epochs=1", "training.schedule.warmup_epochs=0"]
    return changed(path, on_disk, *few, *once, *changes)


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_a_recipe_runs_for_two_steps(path, on_disk, tmp_path):
    with Run.prepare(two_steps(path, on_disk, TWO_LAYERS)) as run:
        result = train(
            run.recipe.training,
            run.model,
            run.data.source,
            tmp_path / "run",
            evaluate=run.evaluate,
            record=run.record,
        )
        failed = run.data.failures.listed()

    assert result.steps == 2
    assert result.best is not None
    assert math.isfinite(result.best)
    assert failed == []


@pytest.mark.parametrize("path", TESTED, ids=lambda path: path.stem)
def test_a_recipe_that_only_tests_does(path, on_disk):
    recipe = changed(path, on_disk, TWO_LAYERS)
    model = build_model(recipe.model)

    scores = make_evaluate(recipe, model)(model)

    assert 0 <= scores["top1"] <= 1


def test_what_was_not_drawn_for_training_is_tested_too(on_disk, monkeypatch, tmp_path):
    """Trained on the base classes; the novel ones are in the draw and not in the training data."""
    monkeypatch.setenv("ACTIONCLIP_CACHE", str(tmp_path))  # what is kept is not asked for again
    [path] = [path for path in TRAINED if path.stem == "base-to-novel-k400"]
    recipe = changed(path, on_disk, TWO_LAYERS)
    model = build_model(recipe.model)
    evaluate = make_evaluate(recipe, model)
    with Run.prepare(recipe) as run:
        base, novel = (set(part.classes) for part in run.data.drawn.manifests.values())
        assert set(run.data.source.labels) == base

    asked: list[set[str]] = []
    encode = model.encode_text
    model.encode_text = lambda texts, **how: (asked.append(set(texts)), encode(texts, **how))[1]
    evaluate(model)

    said = " ".join(text for texts in asked for text in texts)
    assert all(name in said for name in base | novel)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["k400-b32-8f", "k400-b16-8f"])
def test_a_recipe_runs_at_its_real_size(name, on_disk, tmp_path):
    [path] = [path for path in TRAINED if path.stem == name]
    real = read_recipe(path).model.name.split("/")[0] + "-quickgelu"
    recipe = two_steps(path, on_disk, f"model.architecture={real}")
    with Run.prepare(recipe) as run:
        result = train(run.recipe.training, run.model, run.data.source, tmp_path / "run")

    assert result.steps == 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_head_of_a_recipe_says_command_hours_and_score(path):
    head = path.read_text().partition("\n\n")[0]

    assert all(line.startswith("#") for line in head.splitlines())
    command = re.search(r"^#     ((?:torchrun .*-m )?actionclip .*)$", head, re.MULTILINE)
    assert command
    assert re.search(r"^# hours   .*(estimated|cited|measured)", head, re.MULTILINE | re.DOTALL)
    assert re.search(r"^# score   \S", head, re.MULTILINE)
    recipe = read_recipe(path)
    if recipe.purpose == "train":
        assert command[1].endswith(f"recipes/{path.name}")
    else:
        assert f"--protocol {recipe.evaluation.protocol}" in command[1]
        assert f"--data {recipe.data.path}" in command[1]
        assert command[1] == eval_command(recipe)[0]
    assert recipe.about


def test_the_recipes_say_what_the_authors_do():
    recipes = {path.stem: read_recipe(path) for path in RECIPES}

    k400 = recipes["k400-b16-32f"]
    assert k400.model.name == "ViT-B-16/openai"
    assert (k400.model.sampling["frames"], k400.model.prompts["post"]) == (32, "transf")
    assert (k400.training.batch_size, k400.training.optim.lr) == (128, 5e-6)
    assert (k400.data.augment.operations, k400.data.augment.magnitude) == (2, 9)
    assert k400.data.random_frames
    assert not recipes["ssv2"].data.augment.flip
    assert not recipes["ucf101"].data.random_frames
    assert (recipes["ucf101"].training.batch_size, recipes["hmdb51"].training.batch_size) == (
        32,
        64,
    )
    assert recipes["ablation-text-frozen"].training.fix_text
    assert recipes["ablation-label-only"].model.templates == ("{}",)
    prompts = {
        tuple(recipe.model.prompts.get(part, "none") for part in ("pre", "inner", "post"))
        for name, recipe in recipes.items()
        if name.startswith("ablation-")
    }
    assert prompts == {
        *(("none", "none", post) for post in ("transf", "meanp", "conv1d", "lstm", "transf_cls")),
        ("joint", "none", "meanp"),
        ("none", "shift", "meanp"),
    }
