"""`actionclip search`: the moments of indexed videos that answer a query."""

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, is_terminal, plain_warnings, say
from actionclip.errors import ActionCLIPError, check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actionclip.inference.search import Moment

EXAMPLES = """Examples:

  actionclip search "someone jumps"

  actionclip search "someone jumps" --top 20 --folder clips/park --since 2026-01-31

  actionclip search "someone jumps" --html jumps.html

  actionclip search --like clips/beach.mp4 --json
"""


def search(
    query: Annotated[
        str | None,
        typer.Argument(help="What to look for, in words; or see --like.", show_default=False),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Look for what is like this video.", show_default=False),
    ] = None,
    place: options.Place = options.PLACE,
    top: Annotated[int, typer.Option(min=1, help="Moments shown.")] = 10,
    folder: Annotated[
        Path | None, typer.Option(help="Only files below it.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only files modified on this day or later: 2026-01-31.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Only files modified on this day or before.", show_default=False),
    ] = None,
    template: options.Templates = None,
    merge: Annotated[
        bool, typer.Option(help="Whether neighbouring windows become one moment.")
    ] = True,
    exact: Annotated[
        bool, typer.Option("--exact", help="Look at every window, also of a large index.")
    ] = False,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV: one line for each moment.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with a picture of each moment; a click plays it.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    timeout: options.Timeout = 10.0,
) -> None:
    """Find moments in indexed videos, by words or by an example.

    The model is the one that made the index.
    """
    if (query is None) == (like is None):
        raise ActionCLIPError(
            "There is no query." if query is None else "Words and --like were both given.",
            expected='Either words, as in actionclip search "someone jumps", or --like VIDEO.',
        )
    if like is not None and template:
        raise ActionCLIPError(
            "--like and --template were both given.",
            expected="--template is for words; a video is looked for as it is.",
            hint="Leave one of them out.",
        )
    if as_json and as_csv:
        raise ActionCLIPError("--json and --csv were both given.", expected="Choose one.")
    if html is not None:
        check_writable(html)
    days = {"since": _day("--since", since), "until": _day("--until", until)}
    from actionclip.inference.search.index import Index, no_index

    info = Index.info(place)
    if info is None:
        raise no_index(place)
    name = options.model_name(model) or info.model or None
    with plain_warnings():
        recognizer = options.open_model(name, device=device, precision=precision, timeout=timeout)
        with recognizer:
            index = Index.open(place, recognizer, model=name or "")
            moments = index.search(
                like if query is None else query,  # type: ignore[arg-type]
                top,
                folder=folder,
                **days,
                templates=options.sentences(template),
                merge=merge,
                exact=exact,
            )
    _print(moments, as_json=as_json, as_csv=as_csv)
    if not moments:
        is_there = folder is None or folder.exists()
        why = "no file of the index is as asked" if is_there else f"there is no folder {folder}"
        say(f"Nothing was found: {why}.")
    if html is not None:
        _write_page(html, query or f"like {like}", moments, timeout)


search.__doc__ = documented(search, EXAMPLES)


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ActionCLIPError(
            f"{option} is {text!r}.", expected="A day is written year-month-day: 2026-01-31."
        ) from None


def _print(moments: "Sequence[Moment]", *, as_json: bool, as_csv: bool) -> None:
    """JSON, CSV, a table on a terminal, or plain lines with tabs in a pipe."""
    from actionclip.figures import printable

    if as_json:
        for moment in moments:
            typer.echo(moment.to_json())
    elif as_csv:
        from actionclip.inference.results import csv_lines
        from actionclip.inference.search.moments import MOMENT_COLUMNS

        rows = [
            (rank, m.source, f"{m.start:.3f}", f"{m.end:.3f}", f"{m.score:.6f}")
            for rank, m in enumerate(moments, start=1)
        ]
        _write_bytes(csv_lines([MOMENT_COLUMNS, *rows]) + "\n")
    elif is_terminal() and moments:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from actionclip.inference.timeline.text import short_clock

        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("", "score", "from", "to"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("video", overflow="fold")
        for rank, m in enumerate(moments, start=1):
            name = Text(printable(options.from_here(m.source)))
            cells = [f"{m.score:.3f}", short_clock(m.start), short_clock(m.end)]
            table.add_row(str(rank), *map(Text, cells), name)
        Console().print(table)
    else:
        for m in moments:
            name = printable(options.from_here(m.source))
            typer.echo(f"{m.score:.3f}\t{m.start:.2f}\t{m.end:.2f}\t{name}")


def _write_bytes(text: str) -> None:
    """Names that are not UTF-8 keep their bytes, where stdout takes bytes."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(text.encode("utf-8", "surrogateescape"), nl=False, file=buffer)


def _write_page(path: Path, title: str, moments: "Sequence[Moment]", timeout: float) -> None:
    from actionclip.inference.search.page import pictures_of, render_page
    from actionclip.model.weights.files import text_content, write_together
    from actionclip.video.settings import Limits

    pictures = pictures_of(moments, limits=Limits(seconds=timeout))
    page = render_page(title, moments, pictures)
    write_together(path.parent, {path.name: text_content(page)})
    say(f"The page is {path}.")
