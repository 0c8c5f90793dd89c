"""`actionclip labels`: the built-in label sets, and a check of your own."""

import json
from shlex import quote
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, harmless, is_terminal, plain_warnings
from actionclip.errors import ActionCLIPError

EXAMPLES = """Examples:

  actionclip labels

  actionclip labels ucf101

  actionclip labels actions.txt --check --model tiny
"""

PROBLEMS = 3


def labels(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A built-in set, a file, or words between commas; none: list the sets.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look for duplicates, near-duplicates, too long ones.")
    ] = False,
    model: options.Model = None,
    as_json: options.Json = False,
) -> None:
    """List the built-in label sets, show one, or check labels of your own."""
    from actionclip.data import label_sets

    if name is None and check:
        raise ActionCLIPError(
            "--check looks at labels, and there are none.",
            expected="A built-in set, a file, or words between commas.",
            hint="For example: actionclip labels actions.txt --check",
        )
    if model is not None and not check:
        raise ActionCLIPError(
            "Nothing here asks the model.",
            expected="--model together with --check, which looks for labels that it takes as one.",
            hint=f"For example: actionclip labels {quote(name or 'actions.txt')} --check "
            f"--model {quote(model)}",
        )
    if name is None:
        for each in label_sets.names():
            size = len(label_sets.load(each))
            row = {"name": each, "labels": size}
            typer.echo(json.dumps(row) if as_json else f"{each:32} {size:5d} labels")
        return
    from actionclip.encoding.words import resolve_labels

    words = resolve_labels(name)
    if not check:
        for word in words:
            shown = harmless(word) if is_terminal() else word  # as it is for another program
            typer.echo(json.dumps({"label": word}) if as_json else shown)
        return
    from actionclip.encoding.questions import check_labels

    with plain_warnings():
        recognizer = options.open_model(model)
        report = check_labels(recognizer.model, words)
    found = {"errors": report.errors, "warnings": report.warnings}
    typer.echo(json.dumps(found) if as_json else harmless(str(report)))
    if report.errors:
        raise typer.Exit(PROBLEMS)


labels.__doc__ = documented(labels, EXAMPLES)
