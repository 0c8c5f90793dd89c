"""`actionclip index`: videos become an index that `actionclip search` looks into."""

from typing import TYPE_CHECKING, Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import finish_failed
from actionclip.cli.console import Progress, documented, plain_warnings, say

if TYPE_CHECKING:
    from actionclip.inference.search.changes.report import FileReport

DOES_NOT_ADD_UP = 4

EXAMPLES = """Examples:

  actionclip index clips/ --model tiny

  actionclip index clips/ yard.mp4 --index films-index --window 4 --stride 2
"""


def index(
    videos: options.Videos,
    place: options.Place = options.PLACE,
    model: options.Model = None,
    window: Annotated[
        float | None,
        typer.Option(help="Seconds of a window. Default: as the index, or 2.", show_default=False),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(
            help="Seconds from window to window. Default: as the index, or 1.", show_default=False
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="Drop files below these folders that are gone.")
    ] = True,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try files again that could not be read.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Throw away what is in the index, and begin anew.")
    ] = False,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    timeout: options.Timeout = 10.0,
    as_json: options.Json = False,
    failures: options.Failures = options.FAILURES,
) -> None:
    """Bring an index of videos up to date: encode what is new, notice what moved or is gone.

    Run it again whenever the videos change; what is in the index is not encoded again.
    """
    from actionclip.inference.search import Index
    from actionclip.inference.search.changes.files import find
    from actionclip.model.zoo.pretrained import DEFAULT

    seen, _ = find(videos)  # what is wrong with them, before the model is loaded
    options.check_outputs([video.source for video in seen], videos, failures=failures)
    before = None if rebuild else Index.info(place)
    name = options.model_name(model) or (before.model if before else "") or DEFAULT
    options.check_worth_downloading(name, [video.source for video in seen])
    with plain_warnings():
        recognizer = options.open_model(name, device=device, precision=precision, timeout=timeout)
        with recognizer:
            index = Index.open(
                place, recognizer, window=window, stride=stride, model=name, rebuild=rebuild
            )
            with Progress(len(seen)) as progress:

                def show(line: "FileReport") -> None:
                    if line.change != "removed":
                        progress.add(line)
                    with progress.aside():
                        _show(line, as_json=as_json)

                report = index.add(videos, prune=prune, retry=retry, report=show)
    counts = ", ".join(f"{count} {change}" for change, count in sorted(report.counts.items()))
    say(f"{place}: {report.windows} windows; {counts}")
    if not report.adds_up:
        say(f"error: {report.asked} videos were asked for, and the lines above are not as many.")
        raise typer.Exit(DOES_NOT_ADD_UP)
    if report.failed:
        finish_failed(report.failed, failures)


index.__doc__ = documented(index, EXAMPLES)


def _show(line: "FileReport", *, as_json: bool) -> None:
    """One file: JSON always, else only where something happened."""
    if as_json:
        typer.echo(line.to_json())
    elif line.change != "unchanged":
        from actionclip.figures import printable

        words = f"{line.change:>8}  {printable(options.from_here(line.source))}"
        if line.before is not None:
            words += f"  (was {printable(options.from_here(line.before))})"
        if line.message:
            words += f"  {line.status}: {printable(line.message)}"
        typer.echo(words)
