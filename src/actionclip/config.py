"""Settings: frozen dataclasses in Python, plain tables in files, and nothing unknown in either."""

import dataclasses
from collections.abc import Mapping
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
        return TypeAdapter(cls).validate_python(dict(data))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(all)'}: {item['msg']}"
            for item in error.errors()
        ]
        raise ActionCLIPError(
            f"{source} has settings we cannot use:\n" + "\n".join(lines)
        ) from None


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as a table of plain values, ready for JSON or TOML."""
    return dataclasses.asdict(settings)
