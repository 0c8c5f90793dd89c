"""A recipe on disk: TOML, built on another one if it says so, changed on the command line.

base = "k400-b16-8f.toml"       beside this file; tables are put together, this file wins

[model.sampling]
frames = 16
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from actionclip.config import parse
from actionclip.errors import ActionCLIPError
from actionclip.training.recipes.settings import Recipe

BASE = "base"


def read_recipe(path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in a file.

    Args:
        path: a TOML file.
        changes: `table.key=value`, the value as in TOML (a bare word is a text).

    Raises:
        ActionCLIPError: naming the file and each key that is unknown or wrong.
    """
    path = Path(path)
    table = read_tables(path)
    changes = list(changes)
    for change in changes:
        _apply(table, change)
    source = f"{path} with --set {' --set '.join(changes)}" if changes else str(path)
    try:
        return parse(Recipe, table, source=source)
    except ActionCLIPError as error:
        if error.what.startswith(source):
            raise
        raise ActionCLIPError(
            f"{source}: {error.what}", expected=error.expected, hint=error.hint
        ) from None


def read_tables(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a file, put together with those of the recipes it is built on.

    Raises:
        ActionCLIPError: when a file cannot be read, or is built on itself.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ActionCLIPError(
            f"The recipe {path} cannot be read: {error.strerror or error}.",
            expected="A TOML file with the tables [model], [data] and [training].",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ActionCLIPError(f"{path} is not TOML: {error}.") from None
    base = table.pop(BASE, None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise ActionCLIPError(f"{path}: base is {base!r}.", expected="The name of a recipe.")
    below = path.parent / base
    if below.resolve() in [each.resolve() for each in (*above, path)]:
        raise ActionCLIPError(f"{path} is built on itself, by way of {base}.")
    return _merged(read_tables(below, (*above, path)), table)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables; where both say something, the one above."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged


def _apply(table: dict[str, Any], change: str) -> None:
    """Change one setting as the command line says."""
    key, equals, text = change.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names):
        raise ActionCLIPError(
            f"--set is {change!r}.", expected="Like training.optim.lr=1e-5: table.key=value."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for name in names[:-1]:
        inside = table.setdefault(name, {})
        if not isinstance(inside, dict):
            raise ActionCLIPError(f"--set is {change!r}, and {name} is no table.")
        table = inside
    table[names[-1]] = value
