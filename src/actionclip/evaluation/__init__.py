"""How good is a model: the protocols of the field, numbers with intervals, reports.

The names below are the public ones; they are imported when first used, because importing torch
takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actionclip.evaluation.protocols import PROTOCOLS
    from actionclip.evaluation.run import Evaluation, evaluate

_HOMES = {
    "PROTOCOLS": "actionclip.evaluation.protocols",
    "Evaluation": "actionclip.evaluation.result",
    "evaluate": "actionclip.evaluation.run",
}

__all__ = ["PROTOCOLS", "Evaluation", "evaluate"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'actionclip.evaluation' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
