"""Weights between the start and the end of a fine-tuning (WiSE-FT, Wortsman et al. 2022).

Fine-tuning gains on the labels it sees and loses on others. The straight line between both sets of
weights often keeps most of the gain and gives back much of what was lost.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import ModelConfig, PromptConfig
from actionclip.model.weights.folder import save
from actionclip.model.zoo.architecture import without_drawing
from actionclip.model.zoo.pretrained import build

Evaluate = Callable[[ActionCLIP], Mapping[str, float]]
"""Scores of a model by name."""

_PROMPTS = ("pre.", "inner.", "post.")
_SHOWN = 3


def interpolate(start: ActionCLIP, end: ActionCLIP, alpha: float) -> ActionCLIP:
    """A model with the weights (1 - alpha) * start + alpha * end, in float32.

    Its settings are those of the end. A visual prompt that only one of the two has is taken over as
    it is, whatever alpha; so are counters and other numbers that are no fractions, from the end.

    Args:
        start: before the fine-tuning.
        end: after it.
        alpha: 0 is the start to the bit, 1 the end.

    Raises:
        ActionCLIPError: for another alpha, or models that do not have the same towers or have
            prompts that exclude each other.
    """
    _check_alpha(alpha)
    config = _joined(start.config, end.config)
    tensors = _between(start.state_dict(), end.state_dict(), alpha)
    with without_drawing():
        backbone = OpenClipBackbone.from_architecture(
            config.backbone.architecture,
            tokenizer=end.backbone.tokenizer if isinstance(end.backbone, OpenClipBackbone) else "",
            tokenizer_dir=getattr(end.backbone, "tokenizer_dir", None),
            motion=config.backbone.motion,
        )
        model = ActionCLIP(backbone, config)
    model.load_state_dict(tensors, strict=True)
    return model.to(end.device).eval()


def interpolate_folders(
    start: str | Path, end: str | Path, folder: str | Path, *, alpha: float = 0.5
) -> ActionCLIP:
    """Write the model folder between two models; see `interpolate`.

    Args:
        start: a model folder, or any name that `actionclip.load` takes.
        end: the same.
        folder: where to.
        alpha: how far from the start to the end.

    Raises:
        ActionCLIPError: as `interpolate`.
        StorageError: when it cannot be written.
    """
    _check_alpha(alpha)
    model = interpolate(build(str(start)), build(str(end)), alpha)
    save(model, folder, about=described(start, end, alpha))
    return model


def described(start: str | Path, end: str | Path, alpha: float) -> str:
    """What the card of such a model says."""
    return (
        f"Weights between two models: {1 - alpha:g} x the start (`{Path(start).name}`) + "
        f"{alpha:g} x the end of its fine-tuning (`{Path(end).name}`), as in WiSE-FT (Wortsman et "
        "al. 2022). A visual prompt that only one of them has is that one's."
    )


def sweep(
    start: ActionCLIP, end: ActionCLIP, alphas: Iterable[float], evaluate: Evaluate
) -> dict[float, dict[str, float]]:
    """What `evaluate` says of the models on the line, by alpha."""
    return {alpha: dict(evaluate(interpolate(start, end, alpha))) for alpha in alphas}


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ActionCLIPError(
            f"alpha is {alpha}.", expected="A number from 0 (the start) to 1 (the end)."
        )


def _joined(start: ModelConfig, end: ModelConfig) -> ModelConfig:
    """The settings of the end, with the prompts of both.

    Raises:
        ActionCLIPError: when towers or prompts do not go together.
    """
    ours, theirs = (
        {**one.backbone.architecture, "motion": one.backbone.motion} for one in (start, end)
    )
    differ = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    if differ:
        raise ActionCLIPError(
            f"The start has other towers than the end: they differ in {', '.join(differ)}.",
            expected="The model that the end was fine-tuned from.",
        )
    names = {}
    for family, nothing in (("pre", "none"), ("inner", "none"), ("post", "meanp")):
        before, after = getattr(start.prompts, family), getattr(end.prompts, family)
        if nothing not in (before, after) and before != after:
            raise ActionCLIPError(
                f"The {family}-network prompt of the start is {before!r}, the end's {after!r}.",
                expected="The same prompt, or a prompt in one of them only.",
            )
        names[family] = before if after == nothing else after
    owner = start if end.prompts.post == "meanp" and end.prompts.pre == "none" else end
    rest = {field: getattr(owner.prompts, field) for field in ("heads", "norm_eps", "positions")}
    return dataclasses.replace(end, prompts=PromptConfig(**names, **rest), calibration=None)


def _between(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """The weights of both, by name."""
    alone = sorted(name for name in start.keys() ^ end.keys() if not name.startswith(_PROMPTS))
    other = sorted(
        name for name in start.keys() & end.keys() if start[name].shape != end[name].shape
    )
    if alone or other:
        shown = ", ".join((alone + other)[:_SHOWN])
        raise ActionCLIPError(
            f"{len(alone)} tensors are in one of the models only and {len(other)} have another "
            f"shape: {shown}.",
            expected="Models of the same architecture.",
        )
    return {**start, **end} | {
        name: torch.lerp(value.float(), end[name].to(value.device).float(), alpha)
        for name, value in start.items()
        if name in end and value.is_floating_point()
    }
