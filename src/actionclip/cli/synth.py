"""`actionclip data synth`: render clips of people as a data set."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, say
from actionclip.errors import ActionCLIPError, unknown

EXAMPLES = """Examples:

  actionclip data synth people/ --clips 59

  actionclip data synth three/ --actions "walking, running, waving one hand" --seconds 4

  actionclip data synth small/ --size 96x96 --fps 12 --seed 1 --json
"""


def synth(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Where the clips and manifest.csv are written.",
            file_okay=False,
            show_default=False,
        ),
    ],
    clips: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many in all. Default: 10 of each action.", show_default=False
        ),
    ] = None,
    actions: Annotated[
        str | None,
        typer.Option(help="Names between commas. Default: all there are.", show_default=False),
    ] = None,
    size: Annotated[str, typer.Option(help="Width and height in pixels, both even.")] = "320x240",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of a clip.")] = 2.5,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Frames per second.")] = 25.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed renders other people.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Render clips of synthetic people: H.264 files in a folder for each action, and a manifest.

    Run it again to go on where it stopped, or to add more clips.
    """
    from actionclip.data.synthetic.actions import ACTIONS
    from actionclip.data.synthetic.dataset import Recipe, write_dataset

    names = tuple(name.strip() for name in (actions or "").split(",") if name.strip())
    for name in names:
        if name not in ACTIONS:
            raise unknown("synthetic action", name, ACTIONS)
    names = tuple(dict.fromkeys(names)) or tuple(ACTIONS)
    width, height = _size(size)
    recipe = Recipe(names, width, height, seconds, fps, seed)
    total = clips or 10 * len(names)
    with typer.progressbar(length=total, label="clips", file=sys.stderr) as bar:
        done = write_dataset(folder, recipe, total, seen=lambda _: bar.update(1))
    say(f"{done.rendered} clips were rendered, {done.kept} were there already.")
    summary = {
        **{"manifest": str(done.manifest), "clips": total, "actions": len(names)},
        **{"rendered": done.rendered, "kept": done.kept},
    }
    typer.echo(json.dumps(summary) if as_json else str(done.manifest))


synth.__doc__ = documented(synth, EXAMPLES)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise ActionCLIPError(
            f"--size is {text!r}.", expected="Width x height was expected, as in 320x240."
        ) from None
    return width, height
