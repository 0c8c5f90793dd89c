"""The model that a recipe starts from: pretrained or random towers, and the prompts it wants."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Start:
    """What training starts from."""

    model: ActionCLIP
    untrained: tuple[str, ...] = ()
    """Sentences: which visual prompts around trained towers have not learnt anything yet."""


def build_model(settings: ModelSettings) -> ActionCLIP:
    """The model of `build_start`."""
    return build_start(settings).model


def build_start(settings: ModelSettings) -> Start:
    """The model as training finds it, on the CPU, in float32.

    The same settings give the same weights: what is random comes from `settings.seed`. Around the
    towers of a trained model its visual prompts keep their numbers, but for those of another kind,
    number of frames (where it is built in) or shape.

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
        return Start(_checked(ActionCLIP(backbone, config)).eval())


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


def _changed(model: ActionCLIP, settings: ModelSettings) -> Start:
    """A model with other settings; of its visual prompts, what has changed starts anew."""
    config = configured(model.config, settings)
    if config.prompts == model.config.prompts and _kinds(config) == _kinds(model.config):
        model.config = config
        return Start(_checked(model))
    old = model.backbone
    assert isinstance(old, OpenClipBackbone)
    backbone = OpenClipBackbone.from_architecture(
        config.backbone.architecture,
        tokenizer=old.tokenizer,
        tokenizer_dir=old.tokenizer_dir,
        motion=old.motion,
    )
    fresh = ActionCLIP(backbone, config)
    before, kinds = _kinds(model.config), _kinds(config)
    other = tuple(f"{family}." for family in kinds if kinds[family] != before[family])
    shapes = {name: tensor.shape for name, tensor in fresh.state_dict().items()}
    kept = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(_OURS)
        or (not name.startswith(other) and shapes.get(name) == tensor.shape)
    }
    missing, strange = fresh.load_state_dict(kept, strict=False)
    assert not strange, strange
    assert all(name.startswith(_OURS) for name in missing), missing
    return Start(_checked(fresh).eval(), tuple(_untrained(config, missing, shapes)))


def _kinds(config: ModelConfig) -> dict[str, tuple[str, int | None, int | None]]:
    """What the visual prompts of each family are, for how many frames, and with how many heads.

    `joint` and `transf_cls` are made for a number of frames; other heads of the same matrices are
    other heads.
    """
    prompts = config.prompts
    names = {"pre": prompts.pre, "inner": prompts.inner, "post": prompts.post}
    frames = prompts.positions or config.sampling.frames
    return {
        family: (
            name,
            frames if name in ("joint", "transf_cls") else None,
            prompts.heads if name in ("transf", "transf_cls") else None,
        )
        for family, name in names.items()
    }


def _untrained(
    config: ModelConfig, missing: Sequence[str], shapes: Mapping[str, torch.Size]
) -> Iterator[str]:
    """Sentences that say which numbers of the visual prompts start untrained."""
    for family, (kind, *_) in _kinds(config).items():
        new = [name.removeprefix(f"{family}.") for name in missing if name.startswith(f"{family}.")]
        prompt = f"the {family}-network visual prompt {kind!r}"
        if len(new) == sum(name.startswith(f"{family}.") for name in shapes):
            if new:
                yield f"T{prompt[1:]} starts untrained."
        elif new:
            yield f"Of {prompt}, what has another shape starts untrained: {', '.join(new)}."


def _checked(model: ActionCLIP) -> ActionCLIP:
    size = model.backbone.image_size
    if model.config.preprocess.size != size:
        raise ActionCLIPError(
            f"model.preprocess.size is {model.config.preprocess.size}.",
            expected=f"The image tower takes {size} pixels.",
        )
    return model
