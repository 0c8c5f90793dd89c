"""`actionclip timeline`: when each of the given labels happens in a video."""

import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED, finish_failed, reasons
from actionclip.cli.console import (
    QUIET_SECONDS,
    documented,
    is_terminal,
    plain_warnings,
    redraws,
    say,
    show_error,
)
from actionclip.errors import ActionCLIPError, check_writable

if TYPE_CHECKING:
    from actionclip.encoding.questions import Question
    from actionclip.inference.explain.explanation import Explanation
    from actionclip.inference.recognizer import Recognizer
    from actionclip.inference.timeline.outputs import Wanted
    from actionclip.inference.timeline.result import TimelineResult
    from actionclip.video.sources import Source

EXAMPLES = """Examples:

  actionclip timeline holiday.mp4 --labels "walking, waving one hand, jumping jacks" --model tiny

  actionclip timeline door.mp4 --labels actions.txt --reject "nothing happens" --srt door.srt

  actionclip timeline holiday.mp4 --labels "running, clapping" --html holiday.html --model tiny

  actionclip timeline holiday.mp4 --labels "running, clapping" --explain why --model tiny

  actionclip timeline clips/ --labels "running, clapping" --save-all timelines --model tiny
"""


def _file(help: str) -> Any:
    return typer.Option(help=help, show_default=False)


def _folder(help: str) -> Any:
    return typer.Option(help=help, file_okay=False, show_default=False)


def timeline(
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
    window: Annotated[float, typer.Option(help="Seconds that are judged together.")] = 2.0,
    stride: Annotated[float, typer.Option(help="Seconds from one window to the next.")] = 0.5,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Several labels may hold at the same time.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="What a label must reach somewhere in a segment. Default: 0.3.",
            show_default=False,
        ),
    ] = None,
    leave: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Where a segment ends: below this. Default: two thirds of the threshold.",
            show_default=False,
        ),
    ] = None,
    smooth: Annotated[
        float, typer.Option(min=0.0, help="Seconds over which scores are averaged.")
    ] = 1.0,
    min_length: Annotated[
        float, typer.Option(min=0.0, help="Shorter segments are dropped, seconds.")
    ] = 1.0,
    merge_gap: Annotated[
        float, typer.Option(min=0.0, help="Gaps within a label that are closed, seconds.")
    ] = 0.5,
    reject: Annotated[
        str | None,
        typer.Option(help="Competing labels that make no segments.", show_default=False),
    ] = None,
    template: options.Templates = None,
    descriptions: options.Descriptions = None,
    ensemble: options.Ensemble = None,
    clean_labels: options.CleanLabels = None,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a new frame after which it is given up.")
    ] = 30.0,
    as_json: options.Json = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="With --json: also the scores of every window.")
    ] = False,
    csv: Annotated[Path | None, _file("Segments as CSV.")] = None,
    srt: Annotated[Path | None, _file("Segments as SubRip subtitles.")] = None,
    vtt: Annotated[Path | None, _file("Segments as WebVTT subtitles.")] = None,
    save_plot: Annotated[Path | None, _file("A picture (.png): label rows over time.")] = None,
    html: Annotated[
        Path | None, _file("One page with a player: click a segment, and it plays there.")
    ] = None,
    embed_video: Annotated[
        bool,
        typer.Option("--embed-video", help="The page (--html, --save-all) holds the video itself."),
    ] = False,
    overlay: Annotated[
        Path | None, _file("The video with the labels drawn in, its sound kept (.mp4, .mkv).")
    ] = None,
    save_all: Annotated[
        Path | None,
        _folder("A folder for all of these, and JSON, of each video: NAME.json, NAME.csv, ..."),
    ] = None,
    explain: Annotated[
        Path | None,
        _folder(
            "A folder for pictures of what carried each segment: frames, places in them, "
            "sentences. With --json also the key `explanation` of each."
        ),
    ] = None,
    failures: options.FailuresOfSeveral = None,
) -> None:
    """Say when each of the given labels happens in a video."""
    from actionclip.inference.timeline.outputs import Wanted
    from actionclip.inference.timeline.segments import Rules

    _check_options(explain, scores=scores, as_json=as_json)
    sources = options.find_sources(videos, model, whole="A timeline")
    wanted = Wanted(csv=csv, srt=srt, vtt=vtt, png=save_plot, html=html, overlay=overlay)
    wanted.folder, wanted.embed_video = save_all, embed_video
    inputs = [*videos, labels, reject, descriptions, *(template or ())]
    wanted.check(sources, inputs)
    failures = failures or (options.FAILURES if len(sources) > 1 else None)
    outputs = wanted.paths(sources)
    outputs += _pictures(explain, sources, [*outputs, failures])
    options.check_outputs(sources, inputs, failures=failures, outputs=outputs)
    rules = Rules(smooth=smooth, min_length=min_length, merge_gap=merge_gap)
    if threshold is not None:
        rules = rules.entering_at(threshold)
    rules = rules.leaving_at(leave)
    asked = options.words_asked(
        model,
        labels,
        template=template,
        descriptions=descriptions,
        ensemble=ensemble,
        reject=reject,
    )
    failed, noted = [], set[str]()
    with plain_warnings():
        recognizer = options.open_model(
            model, device=device, precision=precision, workers=1, timeout=timeout
        )
        with recognizer:
            question = recognizer.question(**asked, clean_labels=clean_labels)
            for number, source in enumerate(sources):
                with Watching() as seen:
                    result = recognizer.timeline(
                        source,
                        question,
                        window=window,
                        stride=stride,
                        multi_label=multi_label,
                        rules=rules,
                        seen=seen,
                    )
                place = number + 1 if len(sources) > 1 else 0
                why = []
                if explain is not None:
                    names = _names(explain, source, place)
                    why = explained(recognizer, source, question, result, names)
                show(result, why, as_json=as_json, scores=scores, noted=noted)
                if not result.status.usable:
                    failed.append(result)
                    continue
                _write(wanted, result, place)
    if failed:
        finish_failed(failed, failures)


timeline.__doc__ = documented(timeline, EXAMPLES)


def _write(wanted: "Wanted", result: "TimelineResult", number: int) -> None:
    """Write the files of one video; where labels cannot be drawn into it, leave with 3."""
    from actionclip.inference.timeline.text import one_line
    from actionclip.video.outcomes import VideoError

    try:
        for path in wanted.write(result, number=number):
            notes = "".join(f"  ({note})" for note in wanted.notes)
            wanted.notes.clear()
            say(f"  wrote {one_line(str(path))}{notes}")
    except VideoError as error:
        show_error(error)
        raise typer.Exit(SOME_FAILED) from None


def _check_options(explain: Path | None, *, scores: bool, as_json: bool) -> None:
    """Refuse options that would have no effect, not the one meant, or only fail at the end."""
    if explain is not None and options.is_picture("--explain", explain):
        raise ActionCLIPError(
            f"--explain is {explain}, and every segment gets a picture.",
            expected="It must be a folder.",
        )
    if explain is not None:
        check_writable(explain / "01.png")
    if scores and not as_json:
        raise ActionCLIPError(
            "--scores is about JSON, and --json was not given.",
            hint="Add --json. The NAME.json files of --save-all always hold the scores.",
        )


def _names(folder: Path, source: "Source", number: int) -> Path:
    """What the names of a video's pictures begin with; the number tells several videos apart."""
    from actionclip.video.sources import stem_of

    stem = stem_of(source.name, source.path)
    return folder / (f"{number:04d}-{stem}" if number else stem)


def _pictures(
    folder: Path | None, sources: "Sequence[Source]", others: Iterable[Path | None]
) -> list[Path]:
    """The pictures of segments that would take the place of what is there, or of other outputs.

    How many segments there are is known only once the videos are read.
    """
    from actionclip.video.sources import resolved

    if folder is None:
        return []
    names = {_names(folder, one, n).name for n, one in enumerate(sources, len(sources) > 1)}
    place, pattern = resolved(folder), re.compile(r"(.+)-\d{2,}\.png", re.DOTALL)
    taken = [path.name for path in others if path and resolved(path.parent) == place]
    with suppress(OSError):  # it need not be there
        taken += [path.name for path in folder.iterdir()]
    found = [match for name in sorted(set(taken)) if (match := pattern.fullmatch(name))]
    return [folder / match[0] for match in found if match[1] in names]


class Watching:
    """Says how far a film is read: a line that moves on a terminal, now and then one elsewhere."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._moving = redraws(sys.stderr)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        if self._moving:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def __call__(self, at: float, promised: float | None) -> None:
        """So far."""
        from actionclip.inference.timeline.text import short_clock

        now = time.monotonic()
        if now - self._said < (0.2 if self._moving else QUIET_SECONDS):
            return
        self._said = now
        whole = "" if not promised else f" of {short_clock(promised)} ({at / promised:.0%})"
        if self._moving:
            sys.stderr.write(f"\r\x1b[2K  {short_clock(at)}{whole}")
            sys.stderr.flush()
        else:
            say(f"  read {short_clock(at)}{whole}")


def explained(
    recognizer: "Recognizer",
    source: "Source",
    question: "Question",
    result: "TimelineResult",
    names: Path,
) -> "list[Explanation | None]":
    """What carried each segment, drawn into `NAMES-01.png` and so on.

    A segment that cannot be read once more has none; that is said, and the others go on.
    """
    from actionclip.inference.explain.picture import draw_explanation
    from actionclip.inference.timeline.text import one_line
    from actionclip.video.outcomes import VideoError

    found: list[Explanation | None] = []
    for number, one in enumerate(result.segments, 1):
        try:
            why = recognizer.explain(
                source, question, label=one.label, between=result.peak(one), maps="auto"
            )
        except VideoError as error:
            say(f"  segment {number} is not explained: {one_line(error.what)}")
            found.append(None)
            continue
        draw_explanation(why, names.with_name(f"{names.name}-{number:02d}.png"))
        found.append(replace(why, maps=None, pixels=None))  # they are drawn; a film has many
    if any(found):
        say(f"  wrote {one_line(str(names))}-*.png")
    return found


def show(
    result: "TimelineResult",
    why: "Sequence[Explanation | None]" = (),
    *,
    as_json: bool,
    scores: bool,
    noted: set[str],
) -> None:
    """Print one result: JSON, a table on a terminal, plain lines in a pipe; a note once only."""
    from actionclip.data.json_text import json_text
    from actionclip.encoding.film import NEIGHBOURS

    if as_json:
        row = result.to_dict(scores=scores)
        for segment, one in zip(row["segments"], why, strict=False):
            segment["explanation"] = None if one is None else one.to_dict()
        typer.echo(json_text(row))
        return
    for line in _lines(result, why, colour=is_terminal()):
        typer.echo(line)
    reasoned = (note for one in why if one for note in one.notes)
    for note in dict.fromkeys([*result.notes, *reasoned]):
        if note != NEIGHBOURS and note not in noted:  # the one for `tiny` is for careful readers
            noted.add(note)
            say(f"note: {note}")
    if not result.status.usable:
        say(f"  {result.status}: {result.message}", "red")
        say(f"  {result.hint}")


BAR_WIDTH = 12
COLOURS = ("green", "yellow", "blue", "magenta", "cyan", "red")


def _lines(
    result: "TimelineResult", why: "Sequence[Explanation | None]", *, colour: bool
) -> Iterator[str]:
    """A heading and a line for each segment, and what carried it where that was asked for."""
    from actionclip.inference.timeline.text import one_line, short_clock

    long = "" if result.seconds is None else f"  {short_clock(result.seconds)}"
    told = one_line(result.message)
    note = f"  ({result.status}: {told})" if told and result.times.size else ""
    name = one_line(result.source)
    yield (typer.style(name, bold=True) if colour else name) + long + note
    if result.status.usable and not result.segments:
        yield "  none of these"
    places = {label: n for n, label in enumerate(dict.fromkeys(s.label for s in result.segments))}
    width = max((len(short_clock(one.end)) for one in result.segments), default=0)
    for number, one in enumerate(result.segments):
        bar = ""
        if colour:
            filled = max(round(one.score * BAR_WIDTH), 1)
            tone = COLOURS[places[one.label] % len(COLOURS)]
            bar = "  " + typer.style("━" * filled, fg=tone) + " " * (BAR_WIDTH - filled)
        start, end = short_clock(one.start).rjust(width), short_clock(one.end).rjust(width)
        yield f"  {start} - {end}  {one.score:6.1%}{bar}  {one_line(one.label)}"
        yield from (f"  {line}" for line in reasons(why[number] if why else None))
