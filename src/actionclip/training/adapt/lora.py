"""Low-rank adapters (LoRA, Hu et al. 2021) on the towers, through the package peft.

Every adapted matrix W becomes W + alpha / rank * B A: A, which has `rank` rows, is drawn, B starts
at zero, and W stays as it is. The state of a run then holds A, B and the prompts and not the
towers, and at the end the products are added to W: what comes out is an ordinary model.

open_clip's attention is torch's `nn.MultiheadAttention`, whose matrices for queries, keys and
values are one parameter, `in_proj_weight`, and whose `out_proj` is never called. peft knows that
module, and adds the product to the weights before each call and subtracts it after it; in floating
point that is not the same W as before. `Attention` below calls with the sum and leaves W alone, so
that a run that was killed goes on to the same bits. Queries, keys and values share one A.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from actionclip.config import config
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.towers.text_tower import text_parts

_NAME = "default"
_BASE = ".base_layer"
_ATTENTION = ("attn", "self_attn", "attention")
_MLP = ("mlp",)


@config
class LoraConfig:
    """Low-rank adapters: the towers learn through them alone, and `logit_scale` stays."""

    rank: int = 8
    alpha: float = 16.0
    """The product is multiplied by alpha / rank."""
    towers: tuple[Literal["image", "text"], ...] = ("image", "text")
    """A convolutional image tower (`tiny`, `RN50`) has nothing to adapt: there it must be
    ("text",), and the image tower stays as it is."""
    modules: tuple[Literal["attention", "mlp"], ...] = ("attention",)
    """`attention`: the matrices of queries, keys and values, and the output. `mlp`: both layers of
    the perceptron."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if self.rank < 1 or self.alpha <= 0 or not self.towers or not self.modules:
            raise ActionCLIPError(
                f"lora has rank {self.rank}, alpha {self.alpha}, towers {list(self.towers)} and "
                f"modules {list(self.modules)}.",
                expected="A rank of 1 or more, an alpha above 0, and at least one of each.",
            )


@dataclass(frozen=True)
class Adapted:
    """The adapters of a model, and how to be rid of them."""

    model: ActionCLIP
    names: tuple[str, ...]
    """The modules that are adapted, as in `model.named_modules()` before."""
    tuner: Any

    def state(self) -> dict[str, Tensor]:
        """What changes in training: adapters, prompts, and what the layers count."""
        wanted = {name for name, p in self.model.named_parameters() if p.requires_grad}
        wanted |= {name for name, _ in self.model.named_buffers()}
        return {name: v for name, v in self.model.state_dict().items() if name in wanted}

    def merged(self) -> dict[str, Tensor]:
        """The weights of the ordinary model that computes the same. The adapters stay."""
        return merged(self.model)

    def load_towers(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights under the adapters from an ordinary model's, not what has learned since:
        what is in `state` stays as it is.
        """
        own, learns = self.model.state_dict(), self.state()
        plain = {name: name.replace(_BASE, "") for name in own if name not in learns}
        found = {name: tensors[other] for name, other in plain.items()}
        self.model.load_state_dict(found, strict=False)

    def remove(self) -> None:
        """Make the model an ordinary one with the merged weights; it may be one already."""
        if not any(_is_adapter(name) for name in self.model.state_dict()):
            return
        weights = self.merged()
        self.tuner.unload()
        self.model.load_state_dict(weights, strict=True)


def add_adapters(model: ActionCLIP, settings: LoraConfig, *, seed: int = 0) -> Adapted:
    """Put adapters on a model's towers, in place; it computes what it did before.

    The towers and `logit_scale` are frozen; visual prompts learn as they are.

    Args:
        model: its towers are open_clip's.
        settings: where, and how large.
        seed: of the drawing of A.

    Raises:
        ActionCLIPError: when peft is not installed, or the towers have no such modules.
    """
    peft_lora = _peft()
    clip: nn.Module = model.backbone.clip  # type: ignore[attr-defined]
    names = find_modules(clip, settings)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("backbone."))
    chosen = peft_lora.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=list(names), bias="none"
    )
    chosen._register_custom_module({nn.MultiheadAttention: _attention_class()})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuner = peft_lora.LoraModel(clip, chosen, _NAME)
    return Adapted(model, tuple(f"backbone.clip.{name}" for name in names), tuner)


def find_modules(clip: nn.Module, settings: LoraConfig) -> tuple[str, ...]:
    """The names of the modules of open_clip's model that the settings mean.

    Raises:
        ActionCLIPError: when a tower that was asked for has none.
    """
    text = text_parts(clip)
    prefix = "" if text is clip else "text."
    found: dict[str, str] = {}
    for name, module in clip.named_modules():
        tower = "image" if name.startswith("visual.") else "text"
        if tower not in settings.towers or not (tower == "image" or name.startswith(prefix)):
            continue
        path = name.split(".")
        if isinstance(module, nn.MultiheadAttention):
            kind = "attention"
        elif isinstance(module, nn.Linear) and not _in_attention(clip, path):
            kind = _kind(path[:-1])
        else:
            continue
        if kind in settings.modules:
            found[name] = tower
    without = [tower for tower in settings.towers if tower not in found.values()]
    if without:
        hint = "Convolutional towers are fine-tuned whole: train = 'everything', without lora."
        if found:
            (other,) = set(found.values())
            hint += f' lora.towers = ["{other}"] leaves this one as it is.'
        raise ActionCLIPError(
            f"There is no {' or '.join(settings.modules)} to adapt in the "
            f"{' and '.join(without)} tower of this model.",
            expected="Towers of transformer blocks.",
            hint=hint,
        )
    return tuple(found)


def merged(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a model with every adapter's product added to its matrix.

    Names are those of the model without adapters; without any it is the plain state dict.
    """
    tensors = {
        name.replace(_BASE, ""): value
        for name, value in model.state_dict().items()
        if not _is_adapter(name)
    }
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            layer: Any = module
            attention = isinstance(layer.get_base_layer(), nn.MultiheadAttention)
            weight = f"{name}.{'in_proj_weight' if attention else 'weight'}".replace(_BASE, "")
            with torch.no_grad():
                tensors[weight] = tensors[weight] + layer.get_delta_weight(_NAME)
    return tensors


def _in_attention(clip: nn.Module, path: list[str]) -> bool:
    """Whether a layer is the `out_proj` of torch's attention, which is adapted with it."""
    return isinstance(clip.get_submodule(".".join(path[:-1])), nn.MultiheadAttention)


def _kind(path: list[str]) -> str:
    if any(part in _ATTENTION for part in path):
        return "attention"
    return "mlp" if any(part in _MLP for part in path) else ""


def _is_adapter(name: str) -> bool:
    return any(part.startswith("lora_") for part in name.split("."))


def _peft() -> Any:
    try:
        from peft.tuners import lora
    except ImportError as error:
        # it may be there, and what it leans on of another release
        why = f"cannot be imported: {error}" if find_spec("peft") else "is not installed"
        raise ActionCLIPError(
            f"Low-rank adapters need the package peft, which {why}.",
            hint="pip install --upgrade 'actionclip[train]'",
        ) from None
    return lora


def _attention_class() -> Any:
    """The adapted attention of peft, called with the sum of the matrices."""
    from peft.tuners.lora.layer import MultiheadAttention

    class Attention(MultiheadAttention):
        """Adapters of `nn.MultiheadAttention` that never write to its weights."""

        def forward(self, query: Tensor, *args: Any, **kwargs: Any) -> Any:
            base: Any = self.get_base_layer()
            weights = {
                "in_proj_weight": base.in_proj_weight + self.get_delta_weight(_NAME),
                "out_proj.base_layer.weight": base.out_proj.base_layer.weight
                + base.out_proj.get_delta_weight(_NAME),
            }
            return torch.func.functional_call(base, weights, (query, *args), kwargs)

        def _restore_weights(self) -> None:
            """Nothing was taken away."""

    return Attention
