"""Models of an arm: random towers, or those of stage 1, with the arm's visual prompt on them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionclip.model.actionclip import ActionCLIP
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.settings import ModelSettings
from miniature.arm import Arm
from miniature.scale import CONTEXT, SIZE, SPACING

WIDTH = 128
_CONV = {
    "timm_model_name": "actionclip_tiny",
    "timm_model_pretrained": False,
    "timm_pool": "avg",
    "timm_proj": "linear",
    "image_size": SIZE,
}
_VIT = {"image_size": SIZE, "patch_size": 8, "width": 128, "head_width": 32, "layers": 4}
_TEXT = {"context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3}
_POST = ("meanp", "conv1d", "conv1d_authors", "lstm", "transf", "transf_cls")


def build(arm: Arm, seed: int, folder: Path, device: str) -> ActionCLIP:
    """The model of an arm before its training; stage 1 is read from `folder`."""
    model = build_model(settings_of(arm, seed))
    if arm.stage == 3 and arm.start != "random":
        state = torch.load(stage_1(arm, seed, folder), weights_only=True)
        missing, strange = model.load_state_dict(wanted(state, arm.start), strict=False)
        assert not strange, strange
        assert arm.start != "pretrained" or all(not n.startswith("backbone.") for n in missing)
    model = model.to(device)
    if arm.tower == "conv":
        model.backbone.visual.to(memory_format=torch.channels_last)
    return model


def stage_1(arm: Arm, seed: int, folder: Path) -> Path:
    """Where the towers of stage 1 are kept."""
    return folder / f"{arm.base}, seed {seed}.pt"


def settings_of(arm: Arm, seed: int) -> ModelSettings:
    """The model in the words of a recipe."""
    return ModelSettings(
        name=f"miniature {arm.tower}",
        architecture={
            "embed_dim": WIDTH,
            "vision_cfg": dict(_CONV if arm.tower == "conv" else _VIT),
            "text_cfg": dict(_TEXT),
        },
        motion=arm.motion,
        prompts=_prompts(arm),
        sampling={
            "rule": "spaced",
            "frames": arm.frames,
            "spacing": SPACING * 16 / arm.frames,
            "windows": 3,
        },
        preprocess={
            "mean": (0.45, 0.45, 0.45),
            "std": (0.25, 0.25, 0.25),
            "resize": {"mode": "squash", "size": SIZE, "interpolation": "bilinear"},
        },
        templates=arm.templates,
        seed=seed,
    )


def _prompts(arm: Arm) -> dict[str, Any]:
    prompts: dict[str, Any] = {"heads": 4, "position_std": 0.3}
    if arm.prompt in _POST:
        prompts["post"] = arm.prompt
    else:
        prompts["pre" if arm.prompt == "joint" else "inner"] = arm.prompt
    if arm.prompt in ("joint", "transf_cls"):
        prompts["positions"] = arm.frames
    return prompts


def wanted(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """The weights of stage 1 that an arm starts from; never those of a visual prompt."""
    towers = {name: value for name, value in state.items() if name.startswith("backbone.")}
    if start == "pretrained":
        return towers
    is_image = {name: name.startswith("backbone.clip.visual.") for name in towers}
    return {n: v for n, v in towers.items() if is_image[n] == (start == "images only")}
