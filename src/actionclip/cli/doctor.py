"""`actionclip doctor`: what this machine can do, for a person and for a bug report."""

import json

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, say

EXAMPLES = """Examples:

  actionclip doctor
"""

TROUBLE = 3


def doctor(
    as_json: options.Json = False,
) -> None:
    """Print versions, devices, decoders and codecs, sandbox, cache; copy it into a bug report."""
    from actionclip.inference.doctor import examine

    report = examine()
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        for section, facts in report.sections.items():
            typer.secho(section, bold=True)
            for name, value in facts.items():
                typer.echo(f"  {name:24} {value}")
    for line in report.troubles:
        say(f"trouble: {line}", "red")
    if report.troubles:
        raise typer.Exit(TROUBLE)


doctor.__doc__ = documented(doctor, EXAMPLES)
