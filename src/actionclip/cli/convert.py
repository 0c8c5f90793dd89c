"""`actionclip convert`: a foreign checkpoint becomes a model folder, or a model folder small."""

import json
from pathlib import Path
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, plain_warnings, say
from actionclip.errors import ActionCLIPError

EXAMPLES = """Examples:

  actionclip convert vit-16-32f.pt models/k400-32f --frames 32 --labels kinetics400

  actionclip convert runs/first/last models/half --half
"""


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            help="The authors' or mmaction2's checkpoint, an OpenAI/open_clip state dict, or, with "
            "--half, a model folder.",
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
    half: Annotated[
        bool,
        typer.Option("--half", help="Write the weights in float16: half the bytes."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Turn a foreign checkpoint (.pt, .pth, .safetensors) into a model folder.

    Every tensor is accounted for, or the file is refused. Nothing in the file is executed.
    """
    from actionclip.encoding.words import resolve_labels
    from actionclip.model.convert import convert as convert_checkpoint

    options.check_folder(folder)
    if file.is_dir():
        given = {"--frames": frames, "--labels": labels, "--name": name, "--gelu": quick_gelu}
        _halve(file, folder, half, [one for one, value in given.items() if value is not None])
        typer.echo(json.dumps({"folder": str(folder)}) if as_json else str(folder))
        return
    with plain_warnings():
        words = resolve_labels(labels) if labels else []
        conversion = convert_checkpoint(
            file, folder, frames=frames, labels=words, name=name, quick_gelu=quick_gelu, half=half
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


def _halve(source: Path, folder: Path, half: bool, given: list[str]) -> None:
    """A model folder in half precision; what else could be said of a checkpoint it says itself."""
    from actionclip.model.convert.halving import halve

    if not half:
        raise ActionCLIPError(
            f"{source} is a folder.",
            expected="A checkpoint to convert is a file.",
            hint="A model folder can be written smaller: --half.",
        )
    if given:
        raise ActionCLIPError(
            f"{' and '.join(given)} were given for a model folder.",
            expected="Its config.json says so.",
            hint="Leave them out.",
        )
    halve(source, folder)


convert.__doc__ = documented(convert, EXAMPLES)
