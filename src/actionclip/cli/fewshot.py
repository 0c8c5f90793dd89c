"""`actionclip fewshot`: a folder with a few clips of each class becomes a model."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED
from actionclip.cli.console import documented, plain_warnings, say
from actionclip.cli.data import (
    ClassNames,
    Fold,
    Intervals,
    LayoutName,
    Root,
    read_as_said,
    say_notes,
)
from actionclip.errors import counted

if TYPE_CHECKING:
    from actionclip.training.fewshot.learning import FewShotResult

EXAMPLES = """Examples:

  actionclip fewshot actions/ --model tiny --out models/mine

  actionclip fewshot actions/ --model tiny --out models/mine --shots 2 --seed 1

  actionclip fewshot train_list.txt --root videos/ --labels names.txt --model tiny --out new
"""


def fewshot(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder of clips for each class, or another data set.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="The model folder to write.", file_okay=False, show_default=False),
    ],
    model: options.Model = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Learn from this many clips of each class and test on the others, or on the split "
            "test (or else val). Default: learn from all that are not of these splits.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and of the training.")] = 0,
    prompt: Annotated[
        str,
        typer.Option(help="What learns, on a model that has no such prompt: transf, conv1d, lstm."),
    ] = "transf",
    layout: LayoutName = None,
    root: Root = None,
    labels: ClassNames = None,
    fold: Fold = 1,
    intervals: Intervals = False,
    device: options.Device = None,
    workers: options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Train a model on a few clips of each class, in minutes on a CPU.

    The towers stay as they are: every clip goes through them once (and is kept in the cache), and
    the visual prompt behind them learns, as long as clips held out say that it helps.
    """
    from actionclip.errors import unknown
    from actionclip.training.fewshot.learning import FewShotConfig, learn_few_shots

    if prompt not in ("transf", "conv1d", "lstm"):
        raise unknown("visual prompt that can learn here", prompt, ["transf", "conv1d", "lstm"])
    options.check_folder(out)
    with plain_warnings():
        read = read_as_said(data, layout, root, labels, fold, intervals)
        say_notes(read)
        manifest = read.manifest
        network = options.open_model(model, device=device, workers=workers).model
        length = len(manifest.labelled)
        with typer.progressbar(length=length, label="clips", file=sys.stderr) as bar:
            done = learn_few_shots(
                manifest,
                network,
                out,
                shots=shots,
                settings=FewShotConfig(prompt=prompt, seed=seed),  # type: ignore[arg-type]
                workers=workers,
                seen=lambda: bar.update(1),
            )
    for row, why in done.failed:
        say(f"not read: {row.path}: {why}")
    if done.unlabelled:
        say(f"Without a label, and so left out: {counted(done.unlabelled, 'clip')}.")
    row = {
        **{"folder": str(out), "labels": list(done.labels), "clips": done.clips},
        **{"failed": len(done.failed), "steps": done.steps, "validated": done.validated},
        **{"tested": done.tested, "test_clips": done.test_clips},
        **{"seconds": round(done.seconds, 1), "unlabelled": done.unlabelled},
        **{"unread": done.unread},
    }
    if as_json:
        typer.echo(json.dumps(row))
    else:
        _say_what_came_of_it(done)
        typer.echo(str(out))
    if done.failed:
        raise typer.Exit(SOME_FAILED)


def _say_what_came_of_it(done: "FewShotResult") -> None:
    say(done.about)
    if not done.test_clips:
        say(
            "How good it is was not tested: no clip was set aside. --shots sets clips aside, or "
            "give a data set with a split test or val."
        )
    if not done.steps:
        say("Training did not help on clips held out: the model answers as it did before.")


fewshot.__doc__ = documented(fewshot, EXAMPLES)
