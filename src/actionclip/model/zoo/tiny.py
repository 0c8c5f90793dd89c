"""`tiny`: the model that this project trains itself and ships; it needs no download.

How it was trained is in recipes/tiny-*.toml, how well it does in docs/results.md, what it is for
in its card, `shipped/tiny/README.md` beside this file.
"""

from pathlib import Path

import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import ModelConfig
from actionclip.model.weights.folder import load_folder, read_config

FOLDER = Path(__file__).parent / "shipped" / "tiny"
"""An ordinary model folder. Its weights are float16, to be small."""


def tiny_config() -> ModelConfig:
    """The settings of `tiny`, without its weights."""
    return read_config(FOLDER)


def build_tiny(
    *, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32
) -> ActionCLIP:
    """The model `tiny`, as `load_folder` gives it."""
    return load_folder(FOLDER, device=device, dtype=dtype)
