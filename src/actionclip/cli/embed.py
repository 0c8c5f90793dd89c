"""`actionclip embed`: a vector for each video, into one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED, interruptible, list_failed, say_found
from actionclip.cli.console import Progress, documented, plain_warnings, say
from actionclip.inference import EMBEDDING_FORMATS

if TYPE_CHECKING:
    from actionclip.inference.embeddings import EmbeddedVideo

EXAMPLES = """Examples:

  actionclip embed clips/ --output clips.npz

  actionclip embed clips/ --output clips.parquet --model ViT-B-32/openai
"""


def embed(
    videos: options.Videos,
    output: Annotated[
        Path, typer.Option("--output", "-o", help=f"File to write: {EMBEDDING_FORMATS}.")
    ],
    model: options.Model = None,
    frames: options.Frames = None,
    windows: options.Windows = None,
    spacing: options.Spacing = None,
    crops: options.Crops = None,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    workers: options.Workers = None,
    timeout: options.Timeout = 10.0,
    decoder: options.DecoderName = "pyav",
    as_json: options.Json = False,
    failures: options.Failures = options.FAILURES,
    share: options.Share = None,
) -> None:
    """Write the embedding (unit length) of each video to a file.

    Run it again to go on where it was interrupted: until the file is there, what is done is kept
    in the folder OUTPUT.unfinished.
    """
    from actionclip.inference.bulk.tables import check_output
    from actionclip.inference.embeddings import Unfinished

    check_output(output, formats=EMBEDDING_FORMATS)
    sources = options.find_sources(videos, model, share=share)
    check_output(output, [source.name for source in sources], EMBEDDING_FORMATS)
    options.check_outputs(sources, videos, failures=failures, outputs=[output])
    with plain_warnings():
        recognizer = options.open_model(
            model,
            device=device,
            precision=precision,
            workers=workers,
            timeout=timeout,
            decoder=decoder,
        )
        views: dict[str, Any] = {"frames": frames, "windows": windows, "spacing": spacing}
        views["crops"] = options.crops_of(crops)
        rows: list[EmbeddedVideo] = []
        with recognizer:
            unfinished = Unfinished(output, recognizer, sources, **views)
            say_found(unfinished.found, len(sources), unfinished.folder)
            with interruptible(unfinished):
                with Progress(len(sources)) as progress:
                    for row in unfinished.rows():
                        progress.add(row.result)
                        with progress.aside():
                            if as_json:
                                typer.echo(row.result.to_json())
                        rows.append(row)
                _finish(rows, output, progress, failures)
                unfinished.done()
    if any(not row.result.status.usable for row in rows):
        raise typer.Exit(SOME_FAILED)


def _finish(rows: "list[EmbeddedVideo]", output: Path, progress: Progress, failures: Path) -> None:
    """Write the vectors, and the videos that have none."""
    from actionclip.inference.embeddings import write_embeddings

    good = [row for row in rows if row.result.status.usable]
    failed = [row.result for row in rows if not row.result.status.usable]
    if good:
        write_embeddings(good, output)
        say(f"{len(good)} embeddings in {output}: {progress.summary} ({progress.rate})")
    if failed:
        list_failed(failed, failures)


embed.__doc__ = documented(embed, EXAMPLES)
