"""`actionclip convert`: a foreign checkpoint becomes a model folder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import plain_warnings, say

EXAMPLES = """Examples:

  actionclip convert vit-16-32f.pt models/k400-32f --frames 32 --labels kinetics400
"""


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            help="The authors' or mmaction2's checkpoint, or an OpenAI/open_clip state dict.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(help="The model folder to write.", file_okay=False, show_default=False),
    ],
    frames: options.Frames = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels it was trained on: a built-in set, a file, or words.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="For a plain state dict: which open_clip-name/tag it is.", show_default=False
        ),
    ] = None,
    quick_gelu: Annotated[
        bool | None,
        typer.Option(
            "--quick-gelu/--gelu",
            help="The towers' activation, which no tensor tells.",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Turn a foreign checkpoint (.pt, .pth, .safetensors) into a model folder.

    Every tensor is accounted for, or the file is refused. Nothing in the file is executed.
    """
    from actionclip.encoding.questions import resolve_labels
    from actionclip.model.convert import convert as convert_checkpoint

    with plain_warnings():
        words = resolve_labels(labels) if labels else []
        conversion = convert_checkpoint(
            file, folder, frames=frames, labels=words, name=name, quick_gelu=quick_gelu
        )
    if conversion.ignored:
        say(f"Not taken over: {', '.join(conversion.ignored)}.")
    for note in conversion.notes:
        say(f"Note: {note}")
    if as_json:
        row = {"folder": str(folder), "writer": conversion.writer}
        row |= {"frames": conversion.config.sampling.frames, "ignored": conversion.ignored}
        typer.echo(json.dumps(row | {"notes": conversion.notes}))
    else:
        typer.echo(str(folder))


convert.__doc__ = f"{convert.__doc__}\n\n{EXAMPLES}"
