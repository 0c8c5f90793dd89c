"""`actionclip models`: what can be loaded, and what is already here."""

import json
from dataclasses import asdict
from fnmatch import fnmatch
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, is_terminal, say

EXAMPLES = """Examples:

  actionclip models

  actionclip models "*ViT-B-16*" --json

  actionclip models --cached
"""


def models(
    pattern: Annotated[str, typer.Argument(help="Only names like this (with * and ?).")] = "*",
    cached: Annotated[
        bool, typer.Option("--cached", help="Only models whose weights are here.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the models: name, parameters, frames, input size, source, licence, cached or not."""
    from actionclip.model.zoo.catalogue import catalogue

    wanted = pattern if any(c in pattern for c in "*?") else f"*{pattern}*"
    named = [entry for entry in catalogue() if fnmatch(entry.name.lower(), wanted.lower())]
    entries = [entry for entry in named if entry.cached or not cached]
    if not named:
        say(f"No model is called like {pattern!r}. `actionclip models` lists all of them.")
        raise typer.Exit(2)
    if not entries:
        say(
            f"None of the {len(named)} models called like {pattern!r} is here. A model is "
            "downloaded when it is first used."
        )
        raise typer.Exit(2)
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(asdict(entry)))
        return
    rows = [
        (
            e.name,
            "?" if e.parameters is None else f"{e.parameters / 1e6:.0f} M",
            str(e.frames),
            str(e.size),
            "yes" if e.cached else "no",
            e.licence,
            e.source,
        )
        for e in entries
    ]
    _table(("name", "parameters", "frames", "size", "cached", "licence", "source"), rows)
    say(f"{len(rows)} models. Frames is the default; any model takes other numbers with --frames.")


models.__doc__ = documented(models, EXAMPLES)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    if not is_terminal():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in header:
        table.add_column(
            column,
            justify="right" if column in ("parameters", "frames") else "left",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*row)
    # Names and repositories are there to be copied: a narrow terminal wraps lines, nothing is cut.
    whole = Console(width=10_000).measure(table).maximum
    Console(width=max(whole, Console().width)).print(table)
