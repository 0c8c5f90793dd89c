"""The scores of a model while it is trained: a protocol of the field on the recipe's test clips."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from actionclip.data.manifest import Manifest
from actionclip.data.splits import fingerprint
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.protocols import Choices, find_protocol
from actionclip.evaluation.run import evaluate, views_of
from actionclip.model.actionclip import ActionCLIP
from actionclip.training.recipes.data import read_rows
from actionclip.training.recipes.settings import EvaluationSettings, Recipe


@dataclass(frozen=True)
class RecipeTest:
    """The test of a recipe: an `Evaluate`."""

    settings: EvaluationSettings
    data: Manifest | Mapping[str, Manifest]
    decoders: int | None = None

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
        find_protocol(settings.protocol).parts(data, Choices(split, settings.seed))
    except ActionCLIPError as error:
        raise ActionCLIPError(
            f"[evaluation] cannot be done: {error.what}", expected=error.expected, hint=error.hint
        ) from None

    return RecipeTest(settings, data, recipe.data.decoders)


def _tested(recipe: Recipe) -> Manifest | Mapping[str, Manifest]:
    """The data, in parts where training had only one of them."""
    assert recipe.evaluation is not None
    rows = read_rows(recipe.evaluation if recipe.evaluation.path else recipe.data)
    parts = {} if rows.drawn is None else rows.drawn.manifests
    return parts if len(parts) > 1 else rows.manifest
