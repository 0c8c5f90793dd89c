"""Recipes: what a file says, what another one under it says, and what is refused."""

import csv
import json
import shutil
import sys
import tomllib
from dataclasses import replace

import pytest
import torch

from actionclip.data.manifest import read_manifest
from actionclip.data.shards import write_shards
from actionclip.errors import ActionCLIPError
from actionclip.model.weights.folder import load_folder, save
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.reading import read_recipe
from actionclip.training.recipes.running import Run
from actionclip.training.recipes.settings import DataSettings, ModelSettings
from actionclip.training.recipes.testing import RecipeTest, eval_command
from recipes_for_tests import (
    ARCHITECTURE,
    TWO_LAYERS,
    failures_in,
    render_people,
    small_recipe,
    write_recipe,
)
from training_runs import fingerprint, metrics, small_model


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder of twelve rendered clips."""
    return render_people(tmp_path_factory.mktemp("people"), 12).parent


def test_a_recipe_is_read_and_changed(tmp_path):
    path = small_recipe(tmp_path / "a.toml", "clips")

    recipe = read_recipe(
        path,
        ["training.optim.lr=5e-4", "model.templates=authors16", "data.path = other", "about=x y"],
    )

    assert recipe.training.optim.lr == 5e-4
    assert recipe.model.templates == "authors16"
    assert recipe.data.path == "other"
    assert recipe.about == "x y"
    assert recipe.training.schedule.epochs == 3


def test_a_label_that_is_no_text_is_refused_before_training(people, tmp_path):
    clips = sorted(people.glob("**/*.mp4"))
    for number, name in enumerate(("run", "caf\udce9")):
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(clips[number], tmp_path / "data" / name)
    recipe = read_recipe(small_recipe(tmp_path / "a.toml", tmp_path / "data"))

    with pytest.raises(ActionCLIPError, match=r"'caf.udce9', is not UTF-8"):
        Run.prepare(recipe)


def test_a_recipe_may_be_built_on_another(tmp_path):
    small_recipe(tmp_path / "base.toml", "clips", about="The base.")
    middle = {"training": {"seed": 7, "schedule": {"epochs": 9}}}
    write_recipe(tmp_path / "middle.toml", base="base.toml", **middle)
    write_recipe(tmp_path / "top.toml", base="middle.toml", training={"seed": 8})

    recipe = read_recipe(tmp_path / "top.toml")

    assert (recipe.training.seed, recipe.training.schedule.epochs) == (8, 9)
    assert recipe.training.schedule.warmup_epochs == 1
    assert recipe.about == "The base."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.optim.lrr=1", "training.optim.lrr: Unexpected keyword argument"),
        ("training.batch_size='many'", "training.batch_size: Input should be a valid integer"),
        ("training.optim.lr=true", "training.optim.lr: It is true, and a number"),
        ("training.batch_size=true", "training.batch_size: It is true, and a number"),
        ("training.optim.betas=[0.9, false]", "training.optim.betas.1: It is false, and a number"),
        ("training.distill.video=nan", "distill.video is nan"),
        ("training.distill.text=inf", "distill.text inf"),
        ("model.scale=nan", "scale is nan"),
        ("model.scale=0", "scale is 0"),
        ("modle.name=tiny", "modle: Unexpected keyword argument"),
        ("model.prompts.pots=transf", "No setting of model.prompts is called 'pots'"),
        ("training.batch_size=0", "batch_size is 0"),
        ("data.shards=a.tar", "[data] says path and shards"),
        ("data.path=", "[data] says nothing of path, shards and synthetic"),
        ("data.captions=true", "training.loss is 'kl' and the data has sentences"),
        ("training.workers=2", "Set data.decoders instead"),
        ("training.workers=-1", "workers is -1"),
        ("data.decoders=0", "data.decoders is 0"),
        ("data.synthetic.spacing=nan", "nan s apart"),
        ("data.most_failures=1.5", "A share below 1"),
        ("data.augment.magnitude=99", "of magnitude 99"),
        ("training.optim.lr.x=1", "and lr is no table"),
        ("nonsense", "table.key=value"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_file(tmp_path, change, said):
    path = small_recipe(tmp_path / "a.toml", "clips", training={"optim": {"lr": 1.0}})

    with pytest.raises(ActionCLIPError) as error:
        read_recipe(path, [change])

    assert said in str(error.value)
    if "--set is" not in said and "." in change and "lr.x" not in change:
        assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.draw.protocol=few-shot", "data.draw"),
        ("data.draw.shots=2", "data.draw"),
        ("data.split=val", "data.split"),
        ("data.layout=folders", "data.layout"),
        ("data.fold=2", "data.fold"),
    ],
)
@pytest.mark.parametrize("instead", ["data.shards=a.tar", "data.synthetic.clips=8"])
def test_settings_of_a_data_set_are_refused_where_there_is_none(tmp_path, change, said, instead):
    path = small_recipe(tmp_path / "a.toml", "clips", training={"loss": "info_nce"})
    shards, source = ["data.path=", instead], instead[5:].partition("=")[0].partition(".")[0]
    assert not read_recipe(path, shards).data.path

    with pytest.raises(ActionCLIPError, match=rf"{said} is set, and \[data\] says {source}"):
        read_recipe(path, [*shards, change])


@pytest.mark.parametrize(
    "change", ["layout=ucf101", "root=videos", "labels=ucf101", "fold=2", "intervals=true"]
)
def test_how_test_data_is_read_is_refused_where_there_is_none_of_its_own(tmp_path, change):
    path = small_recipe(tmp_path / "a.toml", "clips", evaluation={"views": "1x1"})
    own = "evaluation.path=others"
    assert read_recipe(path, [own, f"evaluation.{change}"]).evaluation.path == "others"

    name = change.partition("=")[0]
    with pytest.raises(ActionCLIPError, match=f"evaluation.{name} is set") as refusal:
        read_recipe(path, [f"evaluation.{change}"])

    assert refusal.value.hint == f"Set data.{name} instead, or give evaluation.path."


def test_files_that_are_no_recipes_are_refused(tmp_path):
    (tmp_path / "broken.toml").write_text("a = [")
    write_recipe(tmp_path / "one.toml", base="two.toml")
    write_recipe(tmp_path / "two.toml", base="one.toml")
    write_recipe(tmp_path / "three.toml", base=3)

    for name, said in (
        ("none.toml", "cannot be read"),
        ("broken.toml", "is not TOML"),
        ("one.toml", "built on itself"),
        ("three.toml", "base is 3"),
    ):
        with pytest.raises(ActionCLIPError, match=said):
            read_recipe(tmp_path / name)


TESTED = {"path": "lists of/u", "root": "v", "labels": "ucf101", "fold": 2, "layout": "ucf101"}


@pytest.mark.parametrize(
    ("tables", "words", "unsaid"),
    [
        ({}, "--data clips --protocol closed-set", []),
        (
            {"data": {"path": "", "shards": "a.tar"}, "evaluation": TESTED},
            "--data 'lists of/u' --protocol closed-set --layout ucf101 --root v "
            "--class-names ucf101 --fold 2",
            [],
        ),
        (
            {"data": {"path": "c", "intervals": True}, "model": {"templates": "authors16"}},
            "--data c --protocol closed-set --template authors16 --intervals",
            [],
        ),
        (
            {"model": {"scale": 9.0, "sampling": {"windows": 3}, "clean_labels": True}},
            "--data clips --protocol closed-set --clean-labels",
            ["model.scale", "model.sampling.windows"],
        ),
        (
            {"model": {"sampling": {"windows": 3}}, "evaluation": {"views": "2x1"}},
            "--data clips --protocol closed-set --views 2x1",
            [],
        ),
    ],
)
def test_the_command_that_tests_as_a_recipe_says(tmp_path, tables, words, unsaid):
    path = write_recipe(
        tmp_path / "a.toml",
        purpose="evaluate",
        model={"name": "tiny"} | tables.get("model", {}),
        data=tables.get("data", {"path": "clips"}),
        evaluation={"protocol": "closed-set"} | tables.get("evaluation", {}),
        training={"loss": "info_nce" if "shards" in tables.get("data", {}) else "kl"},
    )

    assert eval_command(read_recipe(path)) == (f"actionclip eval tiny {words}", unsaid)


def test_a_recipe_that_tests_random_weights_is_told_so(tmp_path):
    path = small_recipe(tmp_path / "a.toml", "clips", purpose="evaluate", evaluation={"seed": 1})

    with pytest.raises(ActionCLIPError, match="has random weights"):
        Run.prepare(read_recipe(path))


def test_random_towers_come_from_the_seed_alone():
    settings = ModelSettings(architecture=ARCHITECTURE, prompts={"post": "transf"})
    torch.manual_seed(5)

    first = build_model(settings)
    second = build_model(settings)

    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(build_model(replace(settings, seed=1)))
    assert first.config.preprocess.size == 32
    assert first.config.backbone.name == "custom"
    assert build_model(replace(settings, name="mine")).config.backbone.name == "mine"


def test_a_model_folder_keeps_its_settings_but_for_those_that_are_given(tmp_path):
    save(small_model(post="transf"), tmp_path / "model")

    model = build_model(
        ModelSettings(
            name=str(tmp_path / "model"),
            sampling={"frames": 5},
            preprocess={"resize": {"size": 18}},
            templates="authors16",
            scale=100.0,
        )
    )

    before = load_folder(tmp_path / "model")
    assert fingerprint(model) == fingerprint(before)
    assert model.config.prompts == before.config.prompts
    assert model.config.sampling.frames == 5
    assert model.config.preprocess.resize == replace(before.config.preprocess.resize, size=18)
    assert len(model.config.templates) == 16
    assert model.config.scale == 100.0


def test_prompts_are_put_around_towers_that_learnt_without(tmp_path):
    """Pre-train, then prompt: the paper's second step."""
    save(small_model(), tmp_path / "towers")
    settings = ModelSettings(
        name=str(tmp_path / "towers"), prompts={"post": "transf_cls"}, sampling={"frames": 4}
    )

    model = build_model(settings)

    towers = load_folder(tmp_path / "towers").backbone.state_dict()
    assert all(torch.equal(value, towers[k]) for k, value in model.backbone.state_dict().items())
    assert fingerprint(model) == fingerprint(build_model(settings))
    frames = torch.randn(2, 4, 3, 16, 16)
    assert model.encode_video(frames).shape == (2, 16)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "ViT-B-33"}, "ViT-B-32"),
        ({"architecture": {"embed_dim": 1}}, "without vision_cfg, text_cfg"),
        ({"name": "tiny", "preprocess": {"size": 64}}, "The image tower takes 80"),
        ({"name": "tiny", "prompts": {"post": "transfer"}}, "model.prompts"),
        ({"name": "tiny", "sampling": {"frames": "x"}}, "model.sampling"),
        ({"name": "tiny", "templates": "clip2"}, "clip28"),
        ({"name": "tiny", "prompts": {"position_std": -1.0}}, "prompts.position_std is -1.0"),
        ({"name": "tiny", "prompts": {"norm_eps": float("nan")}}, "prompts.norm_eps is nan"),
        ({"name": "tiny", "sampling": {"frames": True}}, "frames: It is true, and a number"),
    ],
)
def test_models_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ActionCLIPError) as error:
        build_model(ModelSettings(**settings))
    assert said in str(error.value)


def test_a_recipe_becomes_a_run_folder(tmp_path, people):
    path = small_recipe(tmp_path / "a.toml", people, about="A try.")
    scores = iter([0.25, 0.75, 0.5])

    with Run.prepare(read_recipe(path)) as run:
        run.evaluate = lambda model: {"top1": next(scores)}
        plan = run.plan(measure=False)
        result = run.train(tmp_path / "run")

    assert (plan.clips, plan.steps) == (12, 9)
    assert (result.steps, result.best, result.best_step) == (9, 0.75, 6)
    folder = tmp_path / "run"
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert list((folder / "events").glob("events.out.tfevents.*"))
    card = (folder / "best" / "README.md").read_text()
    for said in ("A try.", "12 clips with 3 labels", "6 of 9 steps of 4 videos", "0.7500"):
        assert said in card
    assert (folder / "last" / "labels.txt").read_text().split("\n")[0] == "running"
    assert len(json.loads((folder / "environment.json").read_text())["versions"]) > 3
    assert len(metrics(folder)) == 9
    # the folder's settings are a recipe
    written = read_recipe(folder / "config.toml")
    mark = tomllib.loads((folder / "config.toml").read_text())["data"]["fingerprint"]
    assert written.data.fingerprint == mark
    assert len(mark) == 64
    # it is no model, and the error names those in it
    with pytest.raises(ActionCLIPError, match="is not a model folder") as error:
        build_model(ModelSettings(name=str(folder)))
    assert error.value.hint.endswith(f"Name one: {folder / 'best'}, {folder / 'last'}.")


def test_a_run_goes_on_with_its_own_recipe_and_data_only(tmp_path, people):
    path = small_recipe(tmp_path / "a.toml", people)
    with Run.prepare(read_recipe(path)) as run:
        run.train(tmp_path / "run")

    def again(*changes):
        with Run.prepare(read_recipe(path, changes)) as run:
            return run.train(tmp_path / "run")

    with pytest.raises(ActionCLIPError, match=r"model\.sampling\.frames was 2 and is 3"):
        again("model.sampling.frames=3")
    with pytest.raises(ActionCLIPError, match=r"training\.optim\.lr was 0\.001 and is 0\.01"):
        again("training.optim.lr=0.01")
    with pytest.raises(ActionCLIPError, match=r"data\.draw\.protocol was 'all'"):
        again("data.draw.protocol=few-shot", "data.draw.shots=2")
    fewer = tmp_path / "fewer"
    render_people(fewer, 9)
    with pytest.raises(ActionCLIPError, match=r"data\.fingerprint was"):
        again(f"data.path={fewer}")
    moved = tmp_path / "moved"
    render_people(moved, 12)
    assert again(f"data.path={moved}", "data.decoders=2", "training.log_every=2").steps == 9


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ((), (0.9, 3)),
        (("evaluation.views=1x1",), (0.5, 6)),
        (("evaluation.protocol=zero-shot",), (0.5, 6)),
        (("evaluation.path=OTHER",), (0.5, 6)),
        (("evaluation.path=MOVED",), (0.9, 3)),
    ],
)
def test_the_best_is_not_compared_with_numbers_of_another_test(
    tmp_path, people, monkeypatch, changes, best
):
    render_people(tmp_path / "other", 9)
    shutil.copytree(people, tmp_path / "moved")
    changes = [
        change.replace("OTHER", str(tmp_path / "other")).replace("MOVED", str(tmp_path / "moved"))
        for change in changes
    ]
    path = small_recipe(
        tmp_path / "a.toml", people, evaluation={"path": str(people), "split": "train"}
    )

    def go_on(changes, scores, stop=None):
        def interrupt(line):
            if line["step"] == stop:
                raise InterruptedError

        with Run.prepare(read_recipe(path, changes)) as run:
            monkeypatch.setattr(RecipeTest, "__call__", lambda *_: {"top1": scores.pop(0)})
            return run.train(tmp_path / "run", report=interrupt)

    with pytest.raises(InterruptedError):
        go_on([], [0.9], stop=4)

    result = go_on(changes, [0.5, 0.4])

    assert (result.best, result.best_step) == best


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": {"protocol": "zero-shot", "split": "train"}},
        {"data": {"draw": {"protocol": "base-to-novel", "shots": 2}}},  # tested at the end
    ],
)
def test_what_a_test_needs_is_missed_before_the_first_step(tmp_path, people, monkeypatch, changes):
    save(small_model(), tmp_path / "start")
    rows = list(csv.DictReader((people / "manifest.csv").read_text().splitlines()))
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerow(("path", "label", "split"))
        for number, row in enumerate(rows):
            split = "test" if number >= len(rows) // 2 else "train"
            csv.writer(file).writerow((people / row["path"], row["label"], split))
    tables = {"model": {"name": str(tmp_path / "start")}, **changes}
    tables["data"] = {"path": str(tmp_path / "clips.csv"), **changes.get("data", {})}
    path = write_recipe(tmp_path / "a.toml", **tables)
    monkeypatch.setitem(sys.modules, "torchmetrics.functional", None)

    with pytest.raises(ActionCLIPError, match="needs torchmetrics, which is not installed"):
        Run.prepare(read_recipe(path))


def test_what_is_drawn_is_written_down(tmp_path, people):
    path = small_recipe(
        tmp_path / "a.toml",
        people,
        data={"draw": {"protocol": "few-shot", "shots": 2, "seed": 5}},
        training={"batch_size": 2, "schedule": {"epochs": 1, "warmup_epochs": 0}},
    )
    with Run.prepare(read_recipe(path)) as run:
        assert len(run.data.source) == 6
        run.train(tmp_path / "run")

    record = json.loads((tmp_path / "run" / "splits" / "splits.json").read_text())
    assert record["protocol"] == "few-shot"
    assert record["seed"] == 5


def contents(folder):
    """Every file of a run but the lock, byte for byte, and when it was written."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_run_that_is_refused_leaves_the_folder_as_it_is(tmp_path, people):
    path = small_recipe(
        tmp_path / "a.toml",
        people,
        data={"draw": {"protocol": "few-shot", "shots": 2, "seed": 0}},
        training={"batch_size": 2, "schedule": {"epochs": 1, "warmup_epochs": 0}},
    )
    with Run.prepare(read_recipe(path)) as run:
        run.train(tmp_path / "run")
    before = contents(tmp_path / "run")

    with (
        Run.prepare(read_recipe(path, ["data.draw.seed=5"])) as run,
        pytest.raises(ActionCLIPError, match=r"data\.draw\.seed was 0 and is 5"),
    ):
        run.train(tmp_path / "run")

    assert contents(tmp_path / "run") == before
    assert tmp_path / "run" / "splits" / "splits.json" in before


def broken(folder, *numbers):
    """Make some clips of a folder unreadable; returns what they were."""
    paths = sorted(folder.rglob("*.mp4"))
    before = {paths[number]: paths[number].read_bytes() for number in numbers}
    for path in before:
        path.write_bytes(b"this is not a video" * 99)
    return before


def test_a_run_with_too_many_bad_files_fails_as_often_as_it_is_started(tmp_path, people):
    shutil.copytree(people, tmp_path / "people")
    broken(tmp_path / "people", 1, 2, 3)
    path = small_recipe(
        tmp_path / "a.toml",
        tmp_path / "people",
        data={"most_failures": 0.2},
        training={"save_every": 100},  # it fails in its first epoch, so each start is the same
    )
    said = []

    for _ in range(3):
        with (
            Run.prepare(read_recipe(path)) as run,
            pytest.raises(ActionCLIPError, match="3 of 12 clips") as error,
        ):
            run.train(tmp_path / "run")
        said.append(str(error.value))

    assert said[1] == said[2] == said[0]
    assert len(failures_in(tmp_path / "run")) == 3


def test_a_run_goes_on_with_files_that_were_repaired(tmp_path, people):
    shutil.copytree(people, tmp_path / "people")
    were = broken(tmp_path / "people", 1, 2)
    path = small_recipe(tmp_path / "a.toml", tmp_path / "people", data={"most_failures": 0.2})

    def interrupt(line):
        if line["step"] == 4:
            raise InterruptedError

    with Run.prepare(read_recipe(path)) as run, pytest.raises(InterruptedError):
        run.train(tmp_path / "run", report=interrupt)
    assert len(run.data.failures.listed()) == 2
    for clip, content in were.items():
        clip.write_bytes(content)
    broken(tmp_path / "people", 3)

    with Run.prepare(read_recipe(path)) as run:
        assert run.train(tmp_path / "run").steps == 9
    assert len(run.data.failures.listed()) == 3


def test_a_split_that_is_not_there_is_refused():
    from actionclip.training.recipes.data import read_rows

    with pytest.raises(ActionCLIPError, match="no file or folder"):
        read_rows(DataSettings(path="nowhere"))


def test_the_towers_of_any_recipe_can_be_replaced(tmp_path):
    path = write_recipe(tmp_path / "a.toml", model={"name": "ViT-B-16/openai"}, data={"path": "x"})

    recipe = read_recipe(path, [TWO_LAYERS])

    assert build_model(recipe.model).config.backbone.name == "ViT-B-16/openai"
    assert build_model(recipe.model).backbone.image_size == 32


@pytest.mark.parametrize(
    ("label", "flip", "said"),
    [
        ("Pushing something from left to right", True, True),
        ("Pushing something from left to right", False, False),
        ("Brightening a leftover", True, False),
    ],
)
def test_a_run_says_where_it_mirrors_left_and_right(tmp_path, label, flip, said):
    table = render_people(tmp_path / "people", 6)
    table.write_text(table.read_text().replace(",walking,", f",{label},"))
    recipe = small_recipe(tmp_path / "a.toml", table)

    with Run.prepare(read_recipe(recipe, [f"data.augment.flip={str(flip).lower()}"])) as run:
        notes = [note for note in run.data.notes if "mirrored" in note]

    assert bool(notes) == said
    assert all("said of 2 tells" in note and repr(label) in note for note in notes)


@pytest.mark.parametrize("flip", [True, False])
def test_a_run_says_where_it_mirrors_left_and_right_of_shards(tmp_path, flip, monkeypatch):
    manifest = read_manifest(render_people(tmp_path / "people", 6))
    captions = ["Someone walks to the left.", "Someone waves.", "Someone leaves."] * 2
    rows = tuple(replace(r, caption=c) for r, c in zip(manifest.rows, captions, strict=True))
    write_shards(replace(manifest, rows=rows), tmp_path / "shards", pairs_each=4)
    recipe = small_recipe(
        tmp_path / "a.toml",
        "",
        data={"shards": f"{tmp_path}/shards/*.tar", "augment": {"flip": flip}},
        training={"loss": "info_nce"},
    )

    def notes():
        with Run.prepare(read_recipe(recipe)) as run:
            return [note for note in run.data.notes if "mirrored" in note]

    assert len(notes()) == flip
    assert all("of 2 tells left or right, for example 'Someone walks" in each for each in notes())
    monkeypatch.setattr("actionclip.training.recipes.data.LOOKED_AT", 2)  # the first and the fourth
    assert all("said of 2 of 2 that were looked at tells" in each for each in notes())
