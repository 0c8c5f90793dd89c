"""The start of a run, kept beside it.

A teacher, adapters and weights between start and end all need the weights that a run began with,
also after it was killed and begun again by a process that never saw them. So they are written
once, as the model folder `start/`, before the first state is.
"""

from pathlib import Path

import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.folder import is_model_folder, load_folder
from actionclip.training.adapt.interpolation import described, interpolate
from actionclip.training.adapt.teacher import Teacher
from actionclip.training.run.folder import LAST, START
from actionclip.training.settings import TrainConfig


def load_start(run: Path, device: torch.device | None = None) -> ActionCLIP:
    """The model that a run began with.

    Raises:
        ActionCLIPError: when the run did not keep it, or it is broken.
    """
    if not is_model_folder(run / START):
        raise ActionCLIPError(
            f"There is no model folder {run / START}.",
            expected="A run with a teacher, adapters or interpolation keeps its start there.",
            hint="Restore it, or train in another folder.",
        )
    return load_folder(run / START, device=device)


def find_teacher(settings: TrainConfig, run: Path, device: torch.device) -> Teacher | None:
    """The teacher that the settings ask for."""
    if not settings.distill.is_on:
        return None
    return Teacher(load_start(run, device), settings.distill)


def between(settings: TrainConfig, run: Path, end: ActionCLIP) -> tuple[ActionCLIP, str] | None:
    """The model between the start of a run and its end, and what its card says, if wanted."""
    if settings.interpolate is None:
        return None
    about = described(run / START, run / LAST, settings.interpolate)
    return interpolate(load_start(run, end.device), end, settings.interpolate), about
