"""A model learns from videos: the loss, the optimiser and its schedule, and a run that resumes.

The names below are the public ones; they are imported when first used, because importing torch
takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actionclip.training.adapt.interpolation import interpolate, interpolate_folders
    from actionclip.training.adapt.lora import LoraConfig
    from actionclip.training.adapt.retention import Retention, retention
    from actionclip.training.adapt.teacher import DistillConfig
    from actionclip.training.fewshot.learning import FewShotConfig, learn_few_shots
    from actionclip.training.loss import contrastive_loss, info_nce
    from actionclip.training.optimiser import OptimConfig, build_optimizer
    from actionclip.training.plan import Plan, make_plan
    from actionclip.training.recipes.reading import read_recipe
    from actionclip.training.recipes.running import Run
    from actionclip.training.recipes.settings import Recipe
    from actionclip.training.run.batches import ClipSource, Example
    from actionclip.training.run.loop import TrainResult, train
    from actionclip.training.run.signals import Stopped
    from actionclip.training.schedule import ScheduleConfig
    from actionclip.training.settings import TrainConfig
    from actionclip.training.spread.on_cpu import keep_freed_memory

_HOMES = {
    "ClipSource": "actionclip.training.run.batches",
    "DistillConfig": "actionclip.training.adapt.teacher",
    "Example": "actionclip.training.run.batches",
    "FewShotConfig": "actionclip.training.fewshot.learning",
    "LoraConfig": "actionclip.training.adapt.lora",
    "OptimConfig": "actionclip.training.optimiser",
    "Plan": "actionclip.training.plan",
    "Recipe": "actionclip.training.recipes.settings",
    "Run": "actionclip.training.recipes.running",
    "Retention": "actionclip.training.adapt.retention",
    "ScheduleConfig": "actionclip.training.schedule",
    "Stopped": "actionclip.training.run.signals",
    "TrainConfig": "actionclip.training.settings",
    "TrainResult": "actionclip.training.run.loop",
    "build_optimizer": "actionclip.training.optimiser",
    "contrastive_loss": "actionclip.training.loss",
    "info_nce": "actionclip.training.loss",
    "interpolate": "actionclip.training.adapt.interpolation",
    "interpolate_folders": "actionclip.training.adapt.interpolation",
    "keep_freed_memory": "actionclip.training.spread.on_cpu",
    "learn_few_shots": "actionclip.training.fewshot.learning",
    "make_plan": "actionclip.training.plan",
    "read_recipe": "actionclip.training.recipes.reading",
    "retention": "actionclip.training.adapt.retention",
    "train": "actionclip.training.run.loop",
}

__all__ = [
    "ClipSource",
    "DistillConfig",
    "Example",
    "FewShotConfig",
    "LoraConfig",
    "OptimConfig",
    "Plan",
    "Recipe",
    "Retention",
    "Run",
    "ScheduleConfig",
    "Stopped",
    "TrainConfig",
    "TrainResult",
    "build_optimizer",
    "contrastive_loss",
    "info_nce",
    "interpolate",
    "interpolate_folders",
    "keep_freed_memory",
    "learn_few_shots",
    "make_plan",
    "read_recipe",
    "retention",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'actionclip.training' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
