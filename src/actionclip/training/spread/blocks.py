"""The parts of a model that are alike and hold most of its parameters."""

from collections.abc import Iterator

from torch import nn

_LISTS = ("resblocks", "blocks", "layers")


def find_blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The transformer blocks of towers and visual prompts, by name."""
    for name, module in model.named_modules():
        path = name.split(".")
        if len(path) > 1 and path[-2] in _LISTS and path[-1].isdigit():
            yield name, module
