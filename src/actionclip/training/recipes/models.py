"""The model that a recipe starts from: pretrained or random towers, and the prompts it wants."""

import dataclasses
from typing import Any, TypeVar

import torch

from actionclip.config import parse, to_dict
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.prompts.text import read_templates
from actionclip.model.zoo.architecture import check_architecture, named_architecture
from actionclip.model.zoo.pretrained import TEMPLATES, build
from actionclip.training.recipes.settings import ModelSettings
from actionclip.video.settings import Preprocess, Resize

T = TypeVar("T")

_OURS = ("pre.", "inner.", "post.")
"""Parameters of visual prompts."""


def build_model(settings: ModelSettings) -> ActionCLIP:
    """The model as training finds it, on the CPU, in float32.

    The same settings give the same weights: what is random comes from `settings.seed`.

    Raises:
        ActionCLIPError: for a name nobody knows, weights that are not to be had, or settings that
            do not fit the towers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if settings.architecture is None:
            return _changed(build(settings.name), settings)
        config = configured(_blank(settings), settings)
        backbone = OpenClipBackbone.from_architecture(
            config.backbone.architecture, motion=config.backbone.motion
        )
        return _checked(ActionCLIP(backbone, config)).eval()


def configured(config: ModelConfig, settings: ModelSettings) -> ModelConfig:
    """A model's settings with what the recipe says in their place."""
    more: dict[str, Any] = {"calibration": None}  # other weights or settings give other scores
    for name in ("ensemble", "scale", "clean_labels"):
        if getattr(settings, name) is not None:
            more[name] = getattr(settings, name)
    if settings.templates:
        given = settings.templates
        more["templates"] = tuple(read_templates(given if isinstance(given, str) else list(given)))
    for name in ("prompts", "sampling", "preprocess"):
        more[name] = _over(getattr(config, name), getattr(settings, name), f"[model.{name}]")
    return dataclasses.replace(config, **more)


def _over(settings: T, table: dict[str, Any] | None, source: str) -> T:
    """Settings with those of a table in their place, tables inside it likewise."""
    if not table:
        return settings
    merged = to_dict(settings)
    for key, value in table.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merged[key] | value if both else value
    return parse(type(settings), merged, source=source)


def _blank(settings: ModelSettings) -> ModelConfig:
    """The settings of towers without weights."""
    asked = settings.architecture
    if isinstance(asked, str):
        architecture, name = named_architecture(asked), settings.name or asked
    else:
        assert asked is not None
        check_architecture(asked, source="[model.architecture]")
        architecture, name = asked, settings.name or "custom"
    size = architecture["vision_cfg"].get("image_size", 224)
    return ModelConfig(
        backbone=BackboneConfig(
            name=name, architecture=architecture, motion=settings.motion, licence="your own"
        ),
        preprocess=Preprocess(size=size, resize=Resize(size=size)),
        templates=TEMPLATES,
    )


def _changed(model: ActionCLIP, settings: ModelSettings) -> ActionCLIP:
    """A model with other settings; where its visual prompts change, they start anew."""
    config = configured(model.config, settings)
    frames = config.sampling.frames != model.config.sampling.frames
    sized = frames and config.prompts.positions is None
    if config.prompts == model.config.prompts and not (sized and _has_frames_in_it(config)):
        model.config = config
        return _checked(model)
    old = model.backbone
    assert isinstance(old, OpenClipBackbone)
    backbone = OpenClipBackbone.from_architecture(
        config.backbone.architecture,
        tokenizer=old.tokenizer,
        tokenizer_dir=old.tokenizer_dir,
        motion=old.motion,
    )
    fresh = ActionCLIP(backbone, config)
    towers = {n: t for n, t in model.state_dict().items() if not n.startswith(_OURS)}
    missing, strange = fresh.load_state_dict(towers, strict=False)
    assert not strange, strange
    assert all(name.startswith(_OURS) for name in missing), missing
    return _checked(fresh).eval()


def _has_frames_in_it(config: ModelConfig) -> bool:
    """Whether the number of frames is built into the visual prompts."""
    return config.prompts.pre == "joint" or config.prompts.post == "transf_cls"


def _checked(model: ActionCLIP) -> ActionCLIP:
    size = model.backbone.image_size
    if model.config.preprocess.size != size:
        raise ActionCLIPError(
            f"model.preprocess.size is {model.config.preprocess.size}.",
            expected=f"The image tower takes {size} pixels.",
        )
    return model
