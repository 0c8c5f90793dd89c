"""The tables of docs/training.md: what a recipe may say, taken from the classes that read it."""

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from actionclip.data.synthetic.source import PeopleConfig
from actionclip.training.optimiser import OptimConfig
from actionclip.training.recipes.settings import (
    DataSettings,
    Draw,
    EvaluationSettings,
    ModelSettings,
    Recipe,
)
from actionclip.training.schedule import ScheduleConfig
from actionclip.training.settings import TrainConfig
from actionclip.video.augment import Augment
from docs_runner import ROOT

PAGE = ROOT / "docs" / "training.md"
BEGIN, END = "<!-- recipe:begin -->", "<!-- recipe:end -->"

TABLES: dict[str, Any] = {
    "": Recipe,
    "model": ModelSettings,
    "data": DataSettings,
    "data.augment": Augment,
    "data.draw": Draw,
    "data.synthetic": PeopleConfig,
    "training": TrainConfig,
    "training.optim": OptimConfig,
    "training.schedule": ScheduleConfig,
    "evaluation": EvaluationSettings,
}


def with_reference(text: str) -> str:
    """The page with its tables as they should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}{END}{after}"


def reference() -> str:
    """All tables."""
    parts = []
    for name, kind in TABLES.items():
        rows = list(_rows(name, kind))
        title = f"`[{name}]`" if name else "At the top"
        parts.append(f"**{title}**\n\n| | | |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _rows(name: str, kind: Any) -> Iterator[str]:
    said = _docs(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inside = f"{name}.{field.name}" if name else field.name
        if inside in TABLES:
            continue
        meaning = re.sub(r"\s+", " ", said.get(field.name, "")).replace("|", "\\|")
        yield f"| `{field.name}` | {_default(field, hints[field.name])} | {meaning} |"


def _default(field: Any, hint: Any) -> str:
    """The default as TOML has it, and what else there is to choose from."""
    choices = [value for value in typing.get_args(hint) if isinstance(value, str)]
    others = [f"`{value}`" for value in choices if value != field.default]
    also = f", or {', '.join(others)}" if others else ""
    if field.default is dataclasses.MISSING or field.default is None:
        return f"-{also}"
    if isinstance(field.default, str):
        return (f"`{field.default}`" if field.default else "-") + also
    if dataclasses.is_dataclass(field.default):
        return "a table"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _docs(kind: Any) -> dict[str, str]:
    """The sentence below each field."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    said = {}
    for node, following in zip(body.body, [*body.body[1:], None], strict=True):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            said[node.target.id] = str(following.value.value)
    return said
