"""Towers from a description: checked first, since a description may come from a stranger.

An architecture is open_clip's model configuration. One inside a downloaded model folder could ask
for a tokenizer with code of its own, name a file outside the folder, or be so large that building
it takes all memory. So an architecture may ask only for what one of open_clip's own configurations
asks for, and for sizes of that order.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.towers.motion import OWN_TOWERS

MOST = 4
"""A size may be this many times the largest in open_clip's own configurations."""

_REQUIRED = ("embed_dim", "vision_cfg", "text_cfg")


@cache
def known_settings() -> dict[str, frozenset[Any]]:
    """For each setting, by its path in a configuration, the values open_clip's own ones give it."""
    import open_clip

    found: dict[str, set[Any]] = {
        "quick_gelu": {True, False},
        "custom_text": {True, False},
        "init_logit_scale": {5.0},  # in the configurations of repositories on the Hub
    }
    for name in open_clip.list_models():
        for path, value in _settings(open_clip.get_model_config(name) or {}):
            found.setdefault(path, set()).add(value)
    found["vision_cfg.timm_model_name"] |= set(OWN_TOWERS)
    return {path: frozenset(values) for path, values in found.items()}


def known_names(setting: str) -> list[str]:
    """The names a text setting of open_clip's own configurations takes, e.g. `hf_tokenizer_name`.

    Tokenizers and text models on the Hub that are not among them are not asked for.
    """
    values = known_settings().get(f"text_cfg.{setting}", frozenset())
    return sorted(value for value in values if isinstance(value, str))


def check_architecture(architecture: Mapping[str, Any], *, source: str) -> None:
    """Refuse an architecture that asks for more than open_clip's own configurations do.

    Args:
        architecture: open_clip's model configuration.
        source: where it was read, for the error.

    Raises:
        ActionCLIPError: naming the setting.
    """
    known = known_settings()
    if missing := [part for part in _REQUIRED if part not in architecture]:
        raise ActionCLIPError(
            f"{source} describes towers without {', '.join(missing)}.",
            expected="It must be a model configuration of open_clip.",
        )
    for path, value in _settings(architecture):
        if path not in known:
            # timm_model_pretrained would be a download; open_clip's own configurations say false.
            raise ActionCLIPError(
                f"{source} has the setting {path!r}, which no model of open_clip has.",
                expected="An architecture asks only for what open_clip's own configurations do.",
            )
        if not _is_allowed(value, known[path]):
            raise ActionCLIPError(
                f"{source} has {path} = {str(value)[:80]!r}.",
                expected=f"It must be one of {_example(known[path])}.",
                hint="Use weights of one of open_clip's architectures.",
            )
    _check_squares(architecture, source)


def _settings(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and path.count(".") < 3:
            yield from _settings(value, f"{name}.")
        else:
            yield name, tuple(value) if isinstance(value, list) else value


def _is_allowed(value: Any, known: frozenset[Any]) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        sizes = [v for v in known if isinstance(v, int | float) and not isinstance(v, bool)]
        if not sizes or not math.isfinite(value):
            return False
        return min(0, MOST * min(sizes)) <= value <= max(0, MOST * max(sizes))
    if value is None or isinstance(value, bool):
        return not value or value in known
    return isinstance(value, str | tuple) and _plain(value) and value in known


def _plain(value: str | tuple[Any, ...]) -> bool:
    """Whether a value can be looked up in a set: no table inside a list."""
    return isinstance(value, str) or all(isinstance(item, int | float | str) for item in value)


def _example(values: frozenset[Any]) -> str:
    listed = sorted((str(value) for value in values), key=lambda text: (len(text), text))
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")


def _check_squares(architecture: Mapping[str, Any], source: str) -> None:
    """Sizes that each are fine may still multiply to absurdity."""
    vision, text = architecture["vision_cfg"], architecture["text_cfg"]
    if not isinstance(vision, Mapping) or not isinstance(text, Mapping):
        raise ActionCLIPError(
            f"{source} describes towers by {type(vision).__name__} and {type(text).__name__}.",
            expected="vision_cfg and text_cfg are tables of settings.",
        )
    image, patch = vision.get("image_size", 224), vision.get("patch_size", 16)
    images, patches = _numbers(image), _numbers(16 if patch is None else patch)
    if not (images and patches and min(patches) >= 1 and max(images) / min(patches) <= 256):
        raise ActionCLIPError(
            f"{source} cuts frames of {image} pixels into patches of {patch}.",
            expected="Patches of 1 pixel or more, and at most 256 x 256 of them.",
        )
    for name, tower in (("vision_cfg", vision), ("text_cfg", text)):
        layers = tower.get("layers", 12)
        if not (_numbers(layers) and min(_numbers(layers)) >= 1):
            raise ActionCLIPError(
                f"{source} has {name}.layers = {layers}.", expected="One layer or more."
            )


def _numbers(value: Any) -> tuple[float, ...]:
    """A number, or a list of numbers; nothing for anything else."""
    values = value if isinstance(value, list | tuple) else (value,)
    good = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return tuple(values) if good else ()


def named_architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration called `name`, as a table of our own.

    Raises:
        ActionCLIPError: for a name open_clip does not know, with the nearest one.
    """
    import open_clip

    if name not in open_clip.list_models():
        raise unknown("architecture of open_clip", name, open_clip.list_models())
    found = open_clip.get_model_config(name)
    assert found is not None
    return found


_DRAWS = frozenset(
    {
        *("normal_", "uniform_", "trunc_normal_", "erfinv_"),
        *("xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_"),
    }
)


class _ZerosForDraws(TorchFunctionMode):
    """Within it every tensor that would be filled at random is filled with zeros.

    Left as it lies in memory it could hold anything, and `torch.nn.init.trunc_normal_`, which draws
    again until every number is within its bounds, would then never return.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in _DRAWS:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["tensor"]
        with torch.no_grad():
            return tensor.zero_()


@contextlib.contextmanager
def without_drawing() -> Iterator[None]:
    """Build modules whose every weight is about to be loaded: no random numbers are drawn.

    Saves most of the time of building, and leaves torch's generator as it was.
    """
    with torch.random.fork_rng(devices=[]), _ZerosForDraws():
        yield
