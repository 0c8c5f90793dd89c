"""What is trained: everything, or some of it while the rest stays as it is, or adapters on it."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from open_clip.modified_resnet import Bottleneck
from torch import nn
from torch.utils.checkpoint import checkpoint

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.training.adapt.lora import Adapted, add_adapters
from actionclip.training.optimiser import parameter_groups
from actionclip.training.settings import TrainConfig


def choose_trained(model: ActionCLIP, settings: TrainConfig) -> Adapted | None:
    """Set `requires_grad` of every parameter as the settings say.

    Returns:
        The adapters that were put on the model, if the settings ask for them.

    Raises:
        ActionCLIPError: when nothing is left to train.
    """
    if settings.lora is not None:
        return add_adapters(model, settings.lora, seed=settings.seed)
    model.requires_grad_(True)
    if settings.fix_text:
        kept = {id(model.logit_scale), id(model.logit_bias)}
        for parameter in parameter_groups(model)["text"].values():
            parameter.requires_grad_(id(parameter) in kept)
    if settings.train == "prompts":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith("backbone."))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ActionCLIPError(
            "There is nothing to train: the visual prompt of this model has no parameters.",
            expected="With train = 'prompts' the towers stay as they are.",
            hint="Choose a visual prompt with parameters ('transf'), or train = 'everything'.",
        )
    return None


@contextlib.contextmanager
def adapting(model: ActionCLIP, settings: TrainConfig) -> Iterator[Adapted | None]:
    """Within it what the settings say is trained; afterwards the model is an ordinary one.

    So it is after an error or a stop, too: adapters become part of the towers.

    Raises:
        ActionCLIPError: when nothing is left to train.
    """
    adapted = choose_trained(model, settings)
    try:
        yield adapted
    finally:
        if adapted is not None:
            adapted.remove()


def set_training_mode(model: ActionCLIP) -> None:
    """Training mode, but for parts that stay as they are: their dropout and norms rest."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


@contextlib.contextmanager
def checkpointed(model: ActionCLIP, wanted: bool) -> Iterator[None]:
    """Within it the towers keep only the inputs of their blocks for the backward pass.

    Raises:
        ActionCLIPError: when the towers cannot do that.
    """
    if not wanted:
        yield
        return
    clip: Any = getattr(model.backbone, "clip", None)
    try:
        clip.set_grad_checkpointing(True)
    except (AttributeError, AssertionError, ValueError, TypeError):
        raise ActionCLIPError(
            "These towers have no activation checkpointing.",
            hint="Set activation_checkpointing = false, and accumulate to use less memory.",
        ) from None
    # open_clip takes the wish for its own residual networks, and does nothing
    blocks = [part for part in clip.visual.modules() if isinstance(part, Bottleneck)]
    try:
        with contextlib.ExitStack() as later:
            for block in blocks:
                later.callback(_recomputed(block))
            yield
    finally:
        clip.set_grad_checkpointing(False)


def _recomputed(block: nn.Module) -> Callable[[], None]:
    """Let a block compute its inside again when it is asked for; what is returned undoes it."""
    block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return partial(delattr, block, "forward")
