"""`actionclip embed`: a vector for each video, into one file."""

from pathlib import Path
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import finish_failed
from actionclip.cli.console import Progress, documented, plain_warnings, say
from actionclip.inference import EMBEDDING_FORMATS

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
) -> None:
    """Write the embedding (unit length) of each video to a file."""
    from actionclip.inference.embeddings import check_output, write_embeddings

    check_output(output)
    sources = options.find_sources(videos, model)
    check_output(output, (source.name for source in sources))
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
        rows = []
        with recognizer, Progress(len(sources)) as progress:
            for row in recognizer.embeddings(
                sources,
                frames=frames,
                windows=windows,
                spacing=spacing,
                crops=options.crops_of(crops),  # type: ignore[arg-type]
            ):
                progress.add(row.result)
                with progress.aside():
                    if as_json:
                        typer.echo(row.result.to_json())
                rows.append(row)
    good = [row for row in rows if row.result.status.usable]
    failed = [row.result for row in rows if not row.result.status.usable]
    if good:
        write_embeddings(good, output)
        say(f"{len(good)} embeddings in {output}: {progress.summary} ({progress.rate})")
    if failed:
        finish_failed(failed, failures)


embed.__doc__ = documented(embed, EXAMPLES)
