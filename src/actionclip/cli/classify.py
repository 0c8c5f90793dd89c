"""`actionclip classify`: which of the given labels each video shows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import typer

from actionclip.cli import options
from actionclip.cli.console import Progress, documented, is_terminal, plain_warnings, say
from actionclip.errors import ActionCLIPError
from actionclip.inference.bulk import RESULT_FORMATS
from actionclip.video.outcomes import VideoError

if TYPE_CHECKING:
    from actionclip.encoding.questions import Question
    from actionclip.inference.bulk.unfinished import UnfinishedResults
    from actionclip.inference.explain.explanation import Explanation
    from actionclip.inference.recognizer import Recognizer
    from actionclip.inference.results import Unread, VideoResult
    from actionclip.video.sources import Source

SOME_FAILED = 3

EXAMPLES = """Examples:

  actionclip classify holiday.mp4 --labels "washing dishes, juggling balls, riding a horse"

  actionclip classify clips/ --labels kinetics400 --json > results.jsonl

  actionclip classify clips/ --labels kinetics400 --output results.parquet

  actionclip classify door.mp4 --labels actions.txt --reject "nothing happens" --threshold 0.3

  actionclip classify door.mp4 --labels "opening a door, closing a door" --explain why.png
"""


def classify(
    videos: options.Videos,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Words between commas, a file (.txt, .csv, .json), or a built-in set "
            "(`actionclip labels` lists them). Default: the labels of the model folder.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Labels shown for a video.")] = 5,
    template: options.Templates = None,
    descriptions: options.Descriptions = None,
    ensemble: options.Ensemble = None,
    reject: options.Reject = None,
    threshold: options.Threshold = None,
    calibrated: options.Calibrated = True,
    clean_labels: options.CleanLabels = None,
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
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV: one line for each label.")] = False,
    save_plot: Annotated[
        Path | None,
        typer.Option(
            help="Picture of the sampled frames with the scores: a .png, or a folder for many.",
            show_default=False,
        ),
    ] = None,
    explain: options.Explain = None,
    failures: options.FailuresOfSeveral = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"Write the results to a file: {RESULT_FORMATS}."),
    ] = None,
    share: options.Share = None,
) -> None:
    """Say which of the given labels each video shows.

    With --output, run it again to go on where it was interrupted: until the file is there, what is
    done is kept in the folder OUTPUT.unfinished.
    """
    if as_json and as_csv:
        raise ActionCLIPError("--json and --csv were both given.", expected="Choose one.")
    sources = options.find_sources(videos, model, share=share)
    _check_output(output, sources, [save_plot, explain])
    several = len(sources) > 1
    failures = failures or (options.FAILURES if several or output else None)
    inputs = [*videos, labels, reject, descriptions, *(template or ())]
    plots = _pictures("--save-plot", save_plot, sources)
    whys = _pictures("--explain", explain, sources)
    files = [*plots, *whys, *([] if output is None else [output])]
    options.check_outputs(sources, inputs, failures=failures, outputs=files)
    asked = options.words_asked(
        model,
        labels,
        template=template,
        descriptions=descriptions,
        ensemble=ensemble,
        reject=reject,
    )
    with plain_warnings():
        recognizer = options.open_model(
            model,
            device=device,
            precision=precision,
            workers=workers,
            timeout=timeout,
            decoder=decoder,
        )
        with recognizer:
            question = recognizer.question(
                **asked,
                threshold=threshold,
                clean_labels=clean_labels,
                calibrated=calibrated,
            )
            views: Any = {"frames": frames, "windows": windows, "spacing": spacing}
            views["crops"] = options.crops_of(crops)
            if output is None:
                kept, pictured = None, {"keep_clips": bool(plots)}
                results = recognizer.results(sources, question, top_k=top_k, **pictured, **views)
            else:
                kept = _kept(output, recognizer, sources, question, top_k=top_k, **views)
                results = kept.results()
            explained = {
                number: partial(_explained, recognizer, sources[number], question, views, to=why)
                for number, why in enumerate(whys)
            }
            show = Printer(as_json=as_json, as_csv=as_csv, silent=output is not None)
            with interruptible(kept):
                progress, failed = _show(results, len(sources), show, plots, explained)
    if several or output:
        done = "videos" if output is None else f"results in {output}"
        say(f"{progress.done} {done}: {progress.summary} ({progress.rate})")
    if failed:
        finish_failed(failed, failures)


classify.__doc__ = documented(classify, EXAMPLES)


def _check_output(
    output: Path | None, sources: "Sequence[Source]", pictures: Sequence[Path | None]
) -> None:
    """Refuse a file of results that could not be written, or pictures of what goes into one."""
    from actionclip.inference.bulk.tables import check_output

    if output is None:
        return
    if any(pictures):
        raise ActionCLIPError(
            "--output came with pictures (--save-plot, --explain).",
            expected="One of them was expected: results in a file are for many videos.",
            hint="Draw some videos in a run of their own.",
        )
    check_output(output, [source.name for source in sources])


def _kept(
    output: Path,
    recognizer: "Recognizer",
    sources: "Sequence[Source]",
    question: "Question",
    **options: Any,
) -> "UnfinishedResults":
    """The results on their way into a file; says how many were found there."""
    from actionclip.inference.bulk.unfinished import UnfinishedResults

    unfinished = UnfinishedResults(output, recognizer, sources, question, **options)
    say_found(unfinished.found, len(sources), unfinished.folder)
    return unfinished


def say_found(found: int, total: int, folder: Path) -> None:
    """Say how much of the work was done before an interruption."""
    if found:
        say(f"{found} of {total} videos were done before; they are kept in {folder}.")


@runtime_checkable
class Kept(Protocol):
    """Work that is kept in a folder until it is done."""

    folder: Path

    def close(self) -> None:
        """Let another process go on with it."""
        ...


@contextmanager
def interruptible(kept: Kept | None) -> Iterator[None]:
    """Say to whom interrupts it what is kept; None: nothing is."""
    try:
        yield
    except KeyboardInterrupt:
        if kept is not None:
            say(f"What is done is kept in {kept.folder}. The same command goes on from there.")
        raise
    finally:
        if kept is not None:
            kept.close()


def _show(
    results: "Iterator[VideoResult]",
    total: int,
    show: "Printer",
    plots: Sequence[Path],
    explained: "Mapping[int, Callable[[], Explanation | VideoError]]",
) -> "tuple[Progress, list[VideoResult]]":
    """Print results as they come, and draw them where that is wanted; those that failed."""
    failed = []
    with Progress(total) as progress:
        for number, result in enumerate(results):
            progress.add(result)
            why = None
            if number in explained and result.status.usable:
                why = explained[number]()
            with progress.aside():
                show(result, why)
            if not result.status.usable:
                failed.append(result)
            elif plots:
                _plot(result, plots[number])
    return progress, failed


def finish_failed(failed: "Sequence[Unread]", path: Path | None) -> None:
    """Write the videos that failed down where a place is named, and leave with 3."""
    if path is not None:
        list_failed(failed, path)
    raise typer.Exit(SOME_FAILED)


def list_failed(failed: "Sequence[Unread]", path: Path) -> None:
    """Write the videos that failed down."""
    from actionclip.inference.results import write_failures

    write_failures(failed, path)
    say(f"{len(failed)} failed: see {path}")


def _pictures(option: str, place: Path | None, sources: "Sequence[Source]") -> list[Path]:
    """The file of each video's picture: the one named, or one in that folder; none if not wanted.

    Raises:
        ActionCLIPError: for one picture of several videos, or one of another kind.
    """
    from actionclip.video.sources import stem_of

    if place is None:
        return []
    if not options.is_picture(option, place):
        stems = [stem_of(one.name, one.path) for one in sources]
        return [place / f"{number:04d}-{stem}.png" for number, stem in enumerate(stems)]
    if len(sources) > 1:
        raise ActionCLIPError(
            f"{option} is the picture {place}, and there are {len(sources)} videos.",
            expected="For several videos it must be a folder; each gets a picture there.",
        )
    return [place]


def _plot(result: "VideoResult", path: Path) -> None:
    from actionclip.inference.plot import plot_result

    plot_result(result, path)


def _explained(
    recognizer: "Recognizer", source: "Source", question: "Question", views: Any, *, to: Path
) -> "Explanation | VideoError":
    """What carried the answer, drawn; or why the video could not be read once more."""
    from actionclip.inference.explain.picture import draw_explanation

    try:
        why = recognizer.explain(source, question, **views)
    except VideoError as error:
        return error
    draw_explanation(why, to)
    return why


class Printer:
    """Prints each result as it comes: JSON, CSV, bars on a terminal, plain lines in a pipe."""

    def __init__(self, *, as_json: bool, as_csv: bool, silent: bool = False) -> None:
        self.as_json, self.as_csv = as_json, as_csv
        self._silent = silent and not (as_json or as_csv)
        self._noted: set[str] = set()
        if as_csv:
            from actionclip.inference.results import CSV_COLUMNS, csv_lines

            typer.echo(csv_lines([CSV_COLUMNS]))

    def __call__(
        self, result: "VideoResult", told: "Explanation | VideoError | None" = None
    ) -> None:
        """Print one result and, where asked for, what carried it, or why that is not known."""
        from actionclip.inference.timeline.text import one_line

        why = None if isinstance(told, VideoError) else told
        if self._silent:
            return
        if self.as_json:
            typer.echo(result.to_json() if told is None else _json(result, why))
        elif self.as_csv:
            typer.echo(result.to_csv())
        else:
            for line in [*_lines(result, colour=is_terminal()), *reasons(why)]:
                typer.echo(line)
            for note in () if why is None else why.notes:
                if note not in self._noted:
                    self._noted.add(note)
                    say(f"note: {note}")
        if isinstance(told, VideoError):
            say(f"  the answer is not explained: {one_line(told.what)}")
        if not self.as_json and not result.status.usable:
            say(f"  {result.status}: {result.message}", "red")
            say(f"  {result.hint}")


def _json(result: "VideoResult", why: "Explanation | None") -> str:
    from actionclip.data.json_text import json_text

    return json_text(result.to_dict() | {"explanation": None if why is None else why.to_dict()})


MOMENTS = 3
"""Frames named in words."""


def reasons(why: "Explanation | None") -> list[str]:
    """What carried an answer, in words."""
    if why is None:
        return []
    lines = []
    rivals = "" if why.runner_up is None else f" rather than {why.runner_up!r}"
    told = [frame for frame in why.frames if frame.margin_drop is not None]
    if told:
        most = sorted(told, key=lambda f: -(f.margin_drop or 0))[:MOMENTS]
        times = ", ".join(f"{f.time:.2f} s" for f in sorted(most, key=lambda f: f.time))
        lines.append(f"  {why.label!r}{rivals}: most would be lost without the frames at {times}")
    if len(why.sentences) > 1:
        first = why.sentences[0]
        lines.append(f"  {first.sentence!r} gave {first.share:.0%} of the score")
    return lines


BAR_WIDTH = 24


def _lines(result: "VideoResult", *, colour: bool) -> list[str]:
    """A heading and a line for each label."""
    from actionclip.figures import printable
    from actionclip.inference.timeline.text import one_line

    style: dict[str, Any] = {"bold": True} if colour else {}
    told = one_line(result.message)
    note = f"  ({result.status}: {told})" if told and result.scores else ""
    lines = [typer.style(one_line(result.source), **style) + note]
    for rank, score in enumerate(result.scores):
        bar = ""
        if colour:
            filled = round(score.score * BAR_WIDTH)
            bar = typer.style("━" * filled, fg="green" if rank == 0 else "cyan")
            bar = "  " + bar + " " * (BAR_WIDTH - filled)
        lines.append(f"  {score.score:6.1%}{bar}  {printable(score.label)}")
    if result.label_set is not None:
        names = printable(", ".join(result.label_set.labels))
        lines.append(f"  with {result.label_set.coverage:.0%} coverage one of: {names}")
    return lines
