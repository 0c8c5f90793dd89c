"""Settings: frozen dataclasses in Python, plain tables in files, and nothing unknown in either."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

from actionclip.errors import ActionCLIPError

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a group of settings: frozen, keyword-only, closed to unknown names.

    Plain dataclasses, so that decoding workers can use them without importing pydantic.
    """
    cls.__pydantic_config__ = {"extra": "forbid"}  # pyright: ignore[reportAttributeAccessIssue]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def parse(cls: type[T], data: Mapping[str, Any], *, source: str) -> T:
    """The settings in a table read from a file.

    Args:
        cls: a class made by `config`.
        data: what the file held.
        source: what to call the file in an error.

    Raises:
        ActionCLIPError: for an unknown key or a wrong type, naming the file and every such key.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        read = TypeAdapter(cls).validate_python(dict(data))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(all)'}: {item['msg']}"
            for item in error.errors()
        ]
        raise _cannot_use(source, lines) from None
    truths = [
        f"  {place}: It is {str(given).lower()}, and a number was expected"
        for place, given in _truths(data, read, "")
    ]
    if truths:
        raise _cannot_use(source, truths)
    return read


def _cannot_use(source: str, lines: Iterable[str]) -> ActionCLIPError:
    return ActionCLIPError(f"{source} has settings we cannot use:\n" + "\n".join(lines))


def _truths(given: Any, read: Any, place: str) -> Iterator[tuple[str, bool]]:
    """Where true or false was taken for a number (1 or 0), as pydantic does."""
    if isinstance(given, bool) and not isinstance(read, bool):
        yield place, given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            inside = read.get(key) if isinstance(read, Mapping) else getattr(read, key, value)
            yield from _truths(value, inside, f"{place}.{key}" if place else str(key))
    elif isinstance(given, (list, tuple)) and isinstance(read, (list, tuple)):
        for number, (value, inside) in enumerate(zip(given, read, strict=False)):
            yield from _truths(value, inside, f"{place}.{number}")


def check_seed(name: str, seed: int) -> None:
    """Refuse what no generator of random numbers takes.

    Raises:
        ActionCLIPError: when it is negative, or 2 to the power of 63 or more.
    """
    if not 0 <= seed < 2**63:
        raise ActionCLIPError(f"{name} is {seed}.", expected="A seed from 0 to below 2^63.")


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as a table of plain values, ready for JSON or TOML."""
    return dataclasses.asdict(settings)
