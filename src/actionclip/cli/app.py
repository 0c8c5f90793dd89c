"""The verbs, and what happens to an error."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from actionclip.cli import (
    calibrate,
    classify,
    convert,
    data,
    demo,
    doctor,
    embed,
    evaluation,
    fewshot,
    index,
    interpolate,
    labels,
    models,
    options,
    search,
    serve,
    stream,
    timeline,
    train,
)
from actionclip.cli.console import SPELT, is_plain, show_error
from actionclip.errors import ActionCLIPError, StorageError
from actionclip.processors import keep_to_quota

USAGE, STORAGE = 2, 5
UNREAD = 141
"""As of a program that SIGPIPE ended: nobody reads what is printed, as in `| head -1`."""

app = typer.Typer(
    help="Say what people do in a video, in words you choose.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "color": False if is_plain() else None,  # None: where it is written to a terminal
    },
)
app.command(cls=options.WordsOnce)(classify.classify)
app.command(cls=options.WordsOnce)(timeline.timeline)
app.command()(embed.embed)
app.command(cls=options.WordsOnce)(stream.stream)
app.command()(models.models)
app.command()(index.index)
app.command()(search.search)
app.command()(train.train)
app.command("eval", cls=options.WordsOnce)(evaluation.evaluate)
app.command(cls=options.WordsOnce)(calibrate.calibrate)
app.command()(labels.labels)
app.command(cls=options.WordsOnce)(convert.convert)
app.command()(fewshot.fewshot)
app.command()(interpolate.interpolate)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.add_typer(data.app, name="data")


def _version(wanted: bool | None) -> None:
    if wanted:
        from actionclip import __version__

        typer.echo(f"actionclip {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool | None,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what people do in a video, in words you choose."""
    keep_to_quota()
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever letters it has
        sys.stdout.reconfigure(errors=SPELT)


def main() -> None:
    """Run the command line; a user's mistake is a message, not a traceback.

    Exit codes: 0 done, 2 usage, 3 some videos failed, 4 counts that do not add up, 5 storage, 130
    interrupted, 141 nobody reads the results any more. The environment
    variable ACTIONCLIP_DEBUG=1 shows tracebacks.
    """
    _open_streams()
    try:
        app()
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # which typer takes for a failure
            raise
        _write_no_more()
        sys.exit(UNREAD)
    except ActionCLIPError as error:
        if os.environ.get("ACTIONCLIP_DEBUG"):
            raise
        show_error(error)
        sys.exit(STORAGE if isinstance(error, StorageError) else USAGE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or os.environ.get("ACTIONCLIP_DEBUG"):
            raise
        show_error(StorageError("The results could not be written: the disk is full."))
        _write_no_more()
        sys.exit(STORAGE)


def _open_streams() -> None:
    """Streams that were closed, as with `2>&-` or by a service, lead nowhere.

    Left closed, their numbers would go to files that are opened later, and what libraries print
    would go into these.
    """
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _write_no_more() -> None:
    """What could not be written is still in the buffer; writing it at exit must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
