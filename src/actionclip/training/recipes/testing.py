"""The scores of a model while it is trained: a protocol of the field on the recipe's test clips."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from actionclip.data.manifest import Manifest
from actionclip.data.splits import fingerprint
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.protocols import Choices, find_protocol
from actionclip.evaluation.run import evaluate, parts_to_test, views_of
from actionclip.model.actionclip import ActionCLIP
from actionclip.training.recipes.data import Place, places, read_rows
from actionclip.training.recipes.settings import EvaluationSettings, Recipe


@dataclass(frozen=True)
class RecipeTest:
    """The test of a recipe: an `Evaluate`."""

    settings: EvaluationSettings
    data: Manifest | Mapping[str, Manifest]
    decoders: int | None = None
    clips: frozenset[Place] = frozenset()
    """What is tested."""
    unread: Callable[[Iterable[Mapping[str, str]]], object] = lambda rows: None
    """Told which files could not be read, each time it is tested."""

    def __call__(self, model: ActionCLIP) -> Mapping[str, float]:
        """The scores of a model by name."""
        found = evaluate(
            model,
            self.data,
            protocol=self.settings.protocol,
            views=self.settings.views or None,
            split=self.settings.split or None,
            seed=self.settings.seed,
            draws=0,
            reading={"workers": self.decoders},
        )
        self.unread([asdict(failure) for failure in found.failures])
        return {name: summary.value for name, summary in found.summary.items()}

    @property
    def measure(self) -> str:
        """What has to be the same for two scores to be compared, wherever the clips lie."""
        told = self.settings
        parts = {"": self.data} if isinstance(self.data, Manifest) else self.data
        marks = [[name, fingerprint(one), list(one.classes)] for name, one in parts.items()]
        mark = hashlib.sha256(json.dumps(marks).encode()).hexdigest()
        views, split = told.views or "own", told.split or "any"
        return f"{told.protocol} views={views} split={split} seed={told.seed} clips={mark}"


def make_evaluate(recipe: Recipe, model: ActionCLIP) -> RecipeTest | None:
    """What `train` calls at the end of epochs; None where the recipe has no `[evaluation]`.

    What cannot work is found out here, before the first step: the protocol, the views and the data
    are looked at.

    Args:
        recipe: its `[evaluation]` says how, its `[data]` on what, where that says nothing.
        model: what will be tested.

    Raises:
        ActionCLIPError: for data that is not there or does not fit the protocol.
    """
    settings = recipe.evaluation
    if settings is None:
        return None
    data = _tested(recipe)
    views, split = settings.views or None, settings.split or None
    try:
        views_of(model, views)
        choices = Choices(split, settings.seed)
        parts = parts_to_test(find_protocol(settings.protocol), data, choices, None)
    except ActionCLIPError as error:
        raise ActionCLIPError(
            f"[evaluation] cannot be done: {error.what}",
            expected=error.expected,
            hint=error.hint.replace("--split", "evaluation.split"),  # `train` has no such option
        ) from None
    clips = frozenset(place for part in parts for place in places(part.manifest))
    return RecipeTest(settings, data, recipe.data.decoders, clips)


def trained_on(test: RecipeTest, trained: frozenset[Place]) -> str:
    """A sentence where clips that are tested are trained on, too; else nothing."""
    both = len(test.clips & trained)
    if not both:
        return ""
    which = "All" if both == len(test.clips) else f"{both} of the"
    return (
        f"{which} {len(test.clips)} clips that [evaluation] tests are trained on, too, so its "
        "scores are too good."
    )


def _tested(recipe: Recipe) -> Manifest | Mapping[str, Manifest]:
    """The data, in parts where training had only one of them."""
    assert recipe.evaluation is not None
    rows = read_rows(recipe.evaluation if recipe.evaluation.path else recipe.data)
    parts = {} if rows.drawn is None else rows.drawn.manifests
    return parts if len(parts) > 1 else rows.manifest


def eval_command(recipe: Recipe) -> tuple[str, list[str]]:
    """The command that tests a model as a recipe says, and the settings it has no option for.

    Args:
        recipe: has `[evaluation]`, and a model that is named.
    """
    assert recipe.evaluation is not None
    told, model = recipe.evaluation, recipe.model
    data = told if told.path else recipe.data
    sampling = model.sampling or {}
    values = {
        "data": Path(data.path).expanduser(),
        "protocol": told.protocol,
        "layout": data.layout,
        "root": Path(data.root).expanduser() if data.root else "",
        "class-names": data.labels,
        "fold": data.fold if data.fold > 1 and find_protocol(told.protocol).takes_fold else "",
        "split": told.split,
        "views": told.views,
        "frames": sampling.get("frames", ""),
        "spacing": sampling.get("spacing", ""),
        "ensemble": model.ensemble or "",
        "seed": told.seed or "",
    }
    words = ["actionclip", "eval", model.name]
    words += [word for key, value in values.items() if value for word in (f"--{key}", str(value))]
    templates = [model.templates] if isinstance(model.templates, str) else model.templates
    words += [word for each in templates for word in ("--template", each)]
    if model.clean_labels is not None:
        words.append("--clean-labels" if model.clean_labels else "--raw-labels")
    words += ["--intervals"] * data.intervals
    return shlex.join(words), list(_without_option(recipe))


def _without_option(recipe: Recipe) -> Iterator[str]:
    """What a recipe says about a test and `actionclip eval` cannot be told."""
    assert recipe.evaluation is not None
    model, draw = recipe.model, recipe.data.draw
    yield from (f"model.{name}" for name in ("prompts", "scale") if getattr(model, name))
    said = {"frames", "spacing"} | ({"windows", "crops"} if recipe.evaluation.views else set())
    said |= {"rule"} if (model.sampling or {}).get("spacing") else set()
    for table in ("sampling", "preprocess"):
        yield from (f"model.{table}.{k}" for k in getattr(model, table) or {} if k not in said)
    if draw.protocol == "few-shot" and not recipe.evaluation.path:
        yield "data.draw"
