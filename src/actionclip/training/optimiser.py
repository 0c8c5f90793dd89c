"""Which parameters learn how fast.

The authors make three groups: the text tower with everything else of CLIP that is not the image
tower (`logit_scale` is one), the image tower, and the post-network visual prompt, which starts from
scratch and learns ten times faster. Weight decay acts on all parameters, norms and biases too.
"""

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.autograd.graph import increment_version

from actionclip.config import config
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.training.spread.sharded import is_shared


@config
class OptimConfig:
    """The optimiser. The defaults are the authors' for Kinetics-400."""

    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """`adam` and `sgd` have two groups, as in the authors' code: the towers together, and the
    prompt; the decay of `adam` is part of the gradient."""
    lr: float = 5e-6
    """Peak learning rate of the text tower."""
    visual_lr_scale: float = 1.0
    """The image tower learns this many times faster (`adamw` only)."""
    prompt_lr_scale: float = 10.0
    """The post-network visual prompt learns this many times faster."""
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    momentum: float = 0.9
    """Of `sgd`."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        scales = (self.visual_lr_scale, self.prompt_lr_scale, self.weight_decay)
        if not (0 < self.lr < math.inf and all(0 <= scale < math.inf for scale in scales)):
            raise ActionCLIPError(
                f"optim.lr is {self.lr}, its scales and weight decay {scales}.",
                expected="A rate above 0, and nothing below 0.",
            )
        for name in ("betas", "momentum"):
            value = getattr(self, name)
            if not all(0 <= each < 1 for each in (value if name == "betas" else (value,))):
                raise ActionCLIPError(
                    f"optim.{name} is {value}.", expected="From 0 to below 1 was expected."
                )
        if not 0 <= self.eps < math.inf:
            raise ActionCLIPError(f"optim.eps is {self.eps}.", expected="0 or more was expected.")


def parameter_groups(model: ActionCLIP) -> dict[str, dict[str, nn.Parameter]]:
    """The parameters that are trained, by group and by name.

    The table of times of the prompt `joint` goes with the image tower, as in the authors' code.
    """
    groups: dict[str, dict[str, nn.Parameter]] = {"text": {}, "visual": {}, "prompt": {}}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("post."):
            groups["prompt"][name] = parameter
        elif name.startswith(("pre.", "inner.", "backbone.clip.visual.")):
            groups["visual"][name] = parameter
        else:
            groups["text"][name] = parameter
    return groups


def build_optimizer(model: ActionCLIP, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser of a model's trained parameters.

    Each group has, besides torch's settings, its `name`, the `names` of its parameters in order,
    and `base_lr`, which a schedule multiplies.

    Args:
        model: parameters with `requires_grad = False` are left out.
        config: the settings.

    Raises:
        ActionCLIPError: when nothing is to be trained.
    """
    groups = parameter_groups(model)
    rates = {
        "text": config.lr,
        "visual": config.lr * config.visual_lr_scale,
        "prompt": config.lr * config.prompt_lr_scale,
    }
    if not any(groups.values()):
        raise ActionCLIPError(
            "There is nothing to train in this model: all of it is frozen.",
            hint="Train the towers, or choose a visual prompt that has parameters ('transf').",
        )
    if config.optimiser != "adamw":
        groups = {"towers": groups["text"] | groups["visual"], "prompt": groups["prompt"]}
        rates["towers"] = config.lr
    table: list[dict[str, Any]] = [
        {
            "params": list(members.values()),
            "names": list(members),
            "name": group,
            "lr": rates[group],
            "base_lr": rates[group],
        }
        for group, members in groups.items()
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(table, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    every = [parameter for group in table for parameter in group["params"]]
    # On a CPU in one pass over the numbers in place of ten: 3.5 times faster. Weights that are
    # shared among processes stand beside whole ones, which one pass does not take.
    fused = all(p.device.type == "cpu" and not is_shared(p) for p in every) or None
    found = kind(
        table, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay, fused=fused
    )
    if fused:
        found.register_step_post_hook(_count_writes)
    return found


def _count_writes(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """The fused step writes to weights and torch does not count it; kept texts go by the count."""
    increment_version([p for group in optimizer.param_groups for p in group["params"]])


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply every group's base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def shown_rate(optimizer: torch.optim.Optimizer) -> float:
    """The rate now of the first group that learns; a group may be empty (adapters, `train`)."""
    return next(group["lr"] for group in optimizer.param_groups if group["params"])
