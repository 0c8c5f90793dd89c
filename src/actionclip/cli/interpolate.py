"""`actionclip interpolate`: a model between the start and the end of a fine-tuning."""

import json
from pathlib import Path
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, plain_warnings

EXAMPLES = """Examples:

  actionclip fewshot actions/ --model tiny --out models/mine

  actionclip interpolate tiny models/mine --alpha 0.5 --out models/between
"""


def interpolate(
    start: Annotated[
        str,
        typer.Argument(help="The model before: a model folder or a name.", show_default=False),
    ],
    end: Annotated[str, typer.Argument(help="The same model, fine-tuned.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(help="The model folder to write.", file_okay=False, show_default=False),
    ],
    alpha: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="How far to go: 0 the start, 1 the end.")
    ] = 0.5,
    as_json: options.Json = False,
) -> None:
    """Mix the weights of a model before and after fine-tuning (WiSE-FT).

    Keeps more of what the model knew of other labels.
    """
    from actionclip.training.adapt.interpolation import interpolate_folders

    options.check_folder(out)
    with plain_warnings():
        interpolate_folders(start, end, out, alpha=alpha)
    row = {"folder": str(out), "start": start, "end": end, "alpha": alpha}
    typer.echo(json.dumps(row) if as_json else str(out))


interpolate.__doc__ = documented(interpolate, EXAMPLES)
