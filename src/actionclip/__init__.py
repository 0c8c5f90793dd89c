"""Says what people do in a video, in words you choose.

>>> import actionclip
>>> model = actionclip.load("tiny")
>>> scores = model.classify("holiday.mp4", ["waving one hand", "running"])  # doctest: +SKIP

The names below are the public ones; they are imported when first used, because importing torch
takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actionclip.errors import ActionCLIPError
    from actionclip.inference.loading import load, push_to_hub, save
    from actionclip.inference.recognizer import Recognizer
    from actionclip.inference.results import VideoResult
    from actionclip.model.actionclip import ActionCLIP
    from actionclip.model.scoring import Score
    from actionclip.model.zoo.catalogue import catalogue
    from actionclip.video.outcomes import Outcome, VideoError
    from actionclip.video.sources import find_videos

__version__ = "0.1.0"

_HOMES = {
    "ActionCLIP": "actionclip.model.actionclip",
    "ActionCLIPError": "actionclip.errors",
    "Outcome": "actionclip.video.outcomes",
    "Recognizer": "actionclip.inference.recognizer",
    "Score": "actionclip.model.scoring",
    "VideoError": "actionclip.video.outcomes",
    "VideoResult": "actionclip.inference.results",
    "catalogue": "actionclip.model.zoo.catalogue",
    "find_videos": "actionclip.video.sources",
    "load": "actionclip.inference.loading",
    "push_to_hub": "actionclip.inference.loading",
    "save": "actionclip.inference.loading",
}

__all__ = [
    "ActionCLIP",
    "ActionCLIPError",
    "Outcome",
    "Recognizer",
    "Score",
    "VideoError",
    "VideoResult",
    "__version__",
    "catalogue",
    "find_videos",
    "load",
    "push_to_hub",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'actionclip' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
