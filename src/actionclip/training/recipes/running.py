"""From a recipe to a model folder: prepare, say what will happen, train, look back."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actionclip.config import to_dict
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.metrics import torchmetrics
from actionclip.evaluation.run import evaluate as test_on
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.folder import check_texts, is_model_folder, load_folder
from actionclip.training.adapt.retention import Retention, retention
from actionclip.training.plan import Plan, make_plan
from actionclip.training.ranks import launched
from actionclip.training.recipes.data import TrainingData, open_data
from actionclip.training.recipes.models import build_model, build_start
from actionclip.training.recipes.settings import RUN_MAY_CHANGE, Recipe
from actionclip.training.recipes.testing import RecipeTest, eval_command, make_evaluate, trained_on
from actionclip.training.recipes.watching import Watch
from actionclip.training.run.folder import BETWEEN, START, Record
from actionclip.training.run.loop import Evaluate, Report, TrainResult, train
from actionclip.training.settings import in_words

SPLITS = "splits"


@dataclass
class Run:
    """A recipe with its model and its data, ready to go. Also a context manager."""

    recipe: Recipe
    model: ActionCLIP
    data: TrainingData
    evaluate: Evaluate | None = None
    """What the model is tested with at the end of epochs."""

    @classmethod
    def prepare(cls, recipe: Recipe, device: str | torch.device | None = None) -> "Run":
        """Build the model and open the data.

        Args:
            recipe: what to do.
            device: where to train; None: the CPU.

        Raises:
            ActionCLIPError: for a model, data or a library that are not to be had.
        """
        if recipe.purpose == "evaluate":
            raise _only_evaluates(recipe)
        start = build_start(recipe.model)
        model = start.model
        evaluate = make_evaluate(recipe, model)
        data = open_data(recipe.data, model.config, recipe.training.seed)
        check_texts(data.source.labels)  # the model folder holds them
        if recipe.reports_retention and data.drawn and "novel" in data.drawn.manifests:
            torchmetrics()  # the novel classes are tested at the end
        data.notes = [*data.notes, *start.untrained]
        if evaluate is not None:
            evaluate = dataclasses.replace(evaluate, unread=data.failures.add_tested)
            if said := trained_on(evaluate, data.clips):
                data.notes += [f"{said} `actionclip data split` sets clips aside."]
        return cls(recipe, model if device is None else model.to(device), data, evaluate)

    def plan(self, *, measure: bool = True) -> Plan:
        """What training will do and cost; see `make_plan`."""
        clips = len(self.data.source)
        ranks = launched()
        return make_plan(
            self.recipe.training, self.model, clips, processes=ranks.world, measure=measure
        )

    @property
    def record(self) -> Record:
        """What the run folder says about the run."""
        data = dataclasses.replace(self.recipe.data, fingerprint=self.data.fingerprint)
        recipe = self.recipe
        model = dataclasses.replace(recipe.model, templates=in_words(recipe.model.templates))
        training = recipe.training.in_words
        said = dataclasses.replace(recipe, model=model, data=data, training=training)
        settings: Mapping[str, Any] = to_dict(said)
        about = f"{self.recipe.about.strip()} Trained on {self.data.about}.".strip()
        measure = ""
        if isinstance(self.evaluate, RecipeTest):
            measure = self.evaluate.measure
            about = f"{about} {trained_on(self.evaluate, self.data.clips)}".strip()
        earlier = {
            "data.fingerprint": self.data.unordered,
            "model.templates": recipe.model.templates,
            "training.templates": recipe.training.templates,
        }
        return Record(settings, RUN_MAY_CHANGE, about, earlier, measure)

    def train(
        self,
        folder: str | Path,
        *,
        report: Report | None = None,
    ) -> TrainResult:
        """Train, or go on with what was begun in a folder; see `actionclip.training.train`.

        Besides what `train` writes, the folder gets `failures.csv` (files that could not be read),
        `splits/` (what was drawn), `events/` (TensorBoard) and `curves.png`. Nothing is written
        into a folder that is refused: another run's, or one that another process trains in.
        """
        folder, ranks = Path(folder), launched()
        watch = Watch(folder, self.recipe.training, active=False)

        def when_open() -> None:
            """The folder is this run's. The other processes wait meanwhile."""
            watch.active = True
            self.data.failures.keep_in(folder)
            if self.data.drawn is not None:
                self.data.drawn.write(folder / SPLITS)

        if not ranks.is_first:
            self.data.failures.keep_in(folder, ranks.rank)
        with watch:
            return train(
                self.recipe.training,
                self.model,
                self.data.source,
                folder,
                evaluate=None if self.evaluate is None else watch.evaluating(self.evaluate),
                report=watch.reporting(report),
                record=dataclasses.replace(self.record, when_open=when_open),
            )

    def retention(self, folder: str | Path) -> Retention | None:
        """What the training cost, measured once it is over and written to `retention.json`.

        On the novel classes where the recipe drew base and novel ones, else on rendered people.
        None when the recipe wants no such report, or there was nothing to lose.
        """
        folder = Path(folder)
        if not self.recipe.reports_retention:
            return None
        model = self.model
        kept = load_folder(folder / START) if is_model_folder(folder / START) else None
        start = (build_model(self.recipe.model) if kept is None else kept).to(model.device)
        after = {"end": model}
        if self.recipe.training.interpolate is not None:
            after["interpolated"] = load_folder(folder / BETWEEN, device=model.device)
        novel = None if self.data.drawn is None else self.data.drawn.manifests.get("novel")
        found = retention(
            start,
            after,
            trained_labels=self.data.source.labels,
            accuracy=None if novel is None else lambda one: test_on(one, novel, draws=0).value,
            measured_on="" if novel is None else f"the {len(novel.classes)} novel classes",
        )
        found.write(folder)
        return found

    def close(self) -> None:
        """End the decoding processes."""
        self.data.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _only_evaluates(recipe: Recipe) -> ActionCLIPError:
    command, unsaid = eval_command(recipe)
    hint = f"Test the model with: {command}"
    if unsaid:
        hint += (
            f"\nIt has no option for {' and '.join(unsaid)}: there the model's own settings hold."
        )
    if recipe.model.architecture is not None:
        hint = "The model has random weights: name a trained one, without an architecture."
    return ActionCLIPError(
        "This recipe trains nothing.",
        expected="purpose = 'train'; its purpose is 'evaluate'.",
        hint=hint,
    )
