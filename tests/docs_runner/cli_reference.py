"""Writes docs/cli.md from the command line itself."""

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from actionclip.cli.app import app
from docs_runner import ROOT

PAGE = ROOT / "docs" / "cli.md"

OPENING = """# The command line

<!-- Written by docs/refresh.py from the program: do not edit. -->

Results go to stdout, progress and messages to stderr. With `--json` every verb prints one object a
line; when stdout is a pipe there are no colours and no bars. `NO_COLOR=1` in the environment
switches colours off on a terminal too. Letters that the encoding of stdout lacks are spelt as JSON
does (`\\u65e5`).

| exit code | meaning |
|---:|---|
| 0 | done |
| 2 | cannot be done as it was asked: an unknown name, a wrong setting, a model that is not there |
| 3 | done, with trouble: some videos failed, or `doctor` or `labels --check` found something |
| 4 | the program's own counts do not add up, which `eval` and `index` check |
| 5 | a result could not be written |
| 130 | interrupted |
| 141 | nobody reads what is printed any more: `head` has seen enough |

An error says what happened, what was expected, and what to do; `ACTIONCLIP_DEBUG=1` in the
environment shows the traceback as well. `actionclip --version` prints the version.
"""


def write_reference() -> str:
    """The text of docs/cli.md."""
    commands = verbs()
    toc = ", ".join(f"[{name}](#actionclip-{name.replace(' ', '-')})" for name in commands)
    sections = (_section(name, command) for name, command in commands.items())
    return "\n".join([OPENING, f"Verbs: {toc}.", *sections])


def verbs() -> dict[str, Callable[..., object]]:
    """Every verb and the function behind it; those of a group as `data inspect`."""
    groups = {"": app} | {
        f"{group.name} ": group.typer_instance
        for group in app.registered_groups
        if group.typer_instance
    }
    return {
        prefix + (command.name or command.callback.__name__): command.callback
        for prefix, group in groups.items()
        for command in group.registered_commands
        if command.callback
    }


def _section(name: str, command: Callable[..., object]) -> str:
    text, _, examples = (inspect.getdoc(command) or "").partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    arguments = [row for row in _rows(command) if not row[0].startswith("`--")]
    options = [row for row in _rows(command) if row[0].startswith("`--")]
    return "\n".join(
        [
            "",
            f"## actionclip {name}",
            "",
            text.strip(),
            "",
            *_table(("argument", "value", "default", "meaning"), arguments),
            *_table(("option", "value", "default", "meaning"), options),
            "```bash",
            *lines,
            "```",
        ]
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [header, ("---",) * len(header), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _rows(command: Callable[..., object]) -> Iterator[tuple[str, str, str, str]]:
    """Name, kind of value, default and meaning of each parameter."""
    hints = typing.get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        kind, info = typing.get_args(hints[parameter.name])
        given = parameter.default is not inspect.Parameter.empty
        default = parameter.default if given else ...
        yield (
            _name(parameter.name, kind, info),
            _kind(kind, info),
            _default(default),
            _meaning(info),
        )


def _name(name: str, kind: Any, info: Any) -> str:
    if isinstance(info, typer.models.ArgumentInfo):
        return f"`{name.upper()}{'...' if typing.get_origin(kind) is list else ''}`"
    # In Annotated, typer keeps the first name where other styles have the default.
    declared = [d for d in (info.default, *(info.param_decls or ())) if str(d).startswith("-")]
    long = [d for d in declared if d.startswith("--")] or [f"--{name.replace('_', '-')}"]
    short = [d for d in declared if not d.startswith("--")]
    return ", ".join(f"`{d}`" for d in [*long, *short])


def _kind(kind: Any, info: Any) -> str:
    many = typing.get_origin(kind) is list or any(
        typing.get_origin(part) is list for part in typing.get_args(kind)
    )
    parts = [part for part in typing.get_args(kind) or [kind] if part is not type(None)]
    [one] = [typing.get_args(part)[0] if typing.get_args(part) else part for part in parts]
    names = {str: "text", int: "integer", float: "number", Path: "path", bool: "", list: "text"}
    limits = [f"{info.min:g} or more"] if info.min is not None and info.max is None else []
    limits += [f"{info.min:g} to {info.max:g}"] if info.max is not None else []
    is_option = isinstance(info, typer.models.OptionInfo)
    words = [names[one], *limits, *(["repeatable"] if many and is_option else [])]
    return ", ".join(word for word in words if word)


def _default(value: Any) -> str:
    if value is ...:
        return "required"
    return "" if value is None or value is False else f"`{value}`"


def _meaning(info: Any) -> str:
    return re.sub(r"\s+", " ", info.help or "").replace("|", "\\|")
