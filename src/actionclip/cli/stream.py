"""`actionclip stream`: watch a camera, a stream or a file, and say what happens while it does."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED
from actionclip.cli.console import (
    documented,
    harmless,
    is_plain,
    plain_warnings,
    redraws,
    say,
    show_error,
)
from actionclip.errors import ActionCLIPError

if TYPE_CHECKING:
    from actionclip.inference.stream import Event, Stream

EXAMPLES = """Examples:

  actionclip stream 0 --labels "waving one hand, clapping, sitting down"

  actionclip stream rtsp://192.168.1.20/door --allow-network --labels actions.txt --json

  actionclip stream holiday.mp4 --labels "jumping jacks, running" --speed 2
"""


def stream(
    source: Annotated[
        str,
        typer.Argument(
            help="A camera's number, http://, https:// or rtsp:// with --allow-network, "
            "- (stdin), or a file, played at its own pace.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help="Words between commas, a file (read again whenever it changes), or a built-in "
            "set. Default: the labels of the model folder.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Addresses may be called.")
    ] = False,
    window: Annotated[
        float | None,
        typer.Option(
            help="Seconds that the frames of an answer are spread over. Default: as the model was "
            "trained, else 2.",
            show_default=False,
        ),
    ] = None,
    frames: options.Frames = None,
    spacing: options.Spacing = None,
    every: Annotated[
        float,
        typer.Option(min=0.0, help="With --json: seconds between two lines; 0: every answer."),
    ] = 1.0,
    margin: Annotated[
        float,
        typer.Option(min=0.0, max=0.99, help="Another label has to lead by so much to take over,"),
    ] = 0.1,
    hold: Annotated[float, typer.Option(min=0.0, help="and for so many seconds.")] = 0.5,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Scores in a line of JSON.")] = 5,
    template: options.Templates = None,
    descriptions: options.Descriptions = None,
    ensemble: options.Ensemble = None,
    reject: options.Reject = None,
    threshold: options.Threshold = None,
    calibrated: options.Calibrated = True,
    clean_labels: options.CleanLabels = None,
    speed: Annotated[
        float,
        typer.Option(min=0.0, help="Of a file: 2 is twice as fast; 0 as fast as it can be read."),
    ] = 1.0,
    retries: Annotated[
        int, typer.Option(min=0, help="Attempts in a row to come back after a loss.")
    ] = 10,
    stall: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a frame that count as a loss.")
    ] = 10.0,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Watch a camera, a stream or a file at its own pace: a rolling label."""
    from actionclip.video.live.sources import LiveSettings, live_source

    found = live_source(source, allow_network=allow_network)  # before a model is loaded
    _check(found.kind, found.where)
    asked = options.words_asked(
        model,
        labels,
        template=template,
        descriptions=descriptions,
        ensemble=ensemble,
        reject=reject,
    )
    with plain_warnings():
        recognizer = options.open_model(model, device=device, precision=precision)
        settings = LiveSettings(speed=speed, retries=retries, stall=stall)
        watched = recognizer.stream(
            source,
            allow_network=allow_network,
            window=window,
            frames=frames,
            spacing=spacing,
            every=every if as_json else 0.0,
            margin=margin,
            hold=hold,
            top_k=top_k,
            settings=settings,
            **asked,
            threshold=threshold,
            clean_labels=clean_labels,
            calibrated=calibrated,
        )
        show = _Printer(as_json=as_json)
        _follow(watched, labels, show)
        code = _watch(watched, show)
    if code:
        raise typer.Exit(code)


stream.__doc__ = documented(stream, EXAMPLES)


def _check(kind: str, where: str) -> None:
    """See, before a model is loaded, whether there is something to watch."""
    from actionclip.video.live.sources import exists

    if kind == "stdin" and (sys.stdin is None or sys.stdin.isatty()):
        what = "closed" if sys.stdin is None else "a terminal"
        raise ActionCLIPError(
            f"'-' stands for a stream on standard input, and that is {what}.",
            hint="Send one into the command: ... | actionclip stream - --labels ...",
        )
    if kind == "file" and not exists(where):
        raise ActionCLIPError(
            f"There is no file {where!r}.",
            expected="A camera's number, an address, - or a file was expected.",
            hint="actionclip stream --help shows examples.",
        )


def _follow(watched: "Stream", labels: str | None, show: "_Printer") -> None:
    """Where the labels come from a file, take over what it says later; a pipe says it once."""
    from actionclip.data import label_sets
    from actionclip.model.prompts.label_files import looks_like_file

    if labels is None or labels.strip() in label_sets.names():
        return
    if looks_like_file(labels) and Path(labels).is_file():
        watched.follow_labels(labels, complain=show.complain)


def _watch(watched: "Stream", show: "_Printer") -> int:
    """Print what happens until it ends or is interrupted; the exit code."""
    code = 0
    try:
        with watched, _terminable():
            for event in watched:
                show(event)
    except KeyboardInterrupt:
        show.interrupted()
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ActionCLIPError as error:
        show.finish()
        show_error(error)
        if not watched.summary.connections:
            return SOME_FAILED
        code = SOME_FAILED
    show.finish()
    say(str(watched.summary))
    return code


@contextmanager
def _terminable() -> Iterator[None]:
    """A request to terminate ends the watching as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Printer:
    """Prints events: JSON; on a terminal a line that lives; in a pipe a line for each change."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._live = redraws(sys.stdout) and not as_json
        self._drawn = False
        self._lock = threading.RLock()  # complaints come from the thread that reads labels

    def __call__(self, event: "Event") -> None:
        """Show one event."""
        with self._lock:
            if self._as_json:
                typer.echo(json.dumps(event.to_dict()))
            elif event.event == "label":
                if event.changed:
                    self._line(f"{event.time:9.1f} s  {event.score or 0:6.1%}  {event.label}")
                if self._live:
                    self._draw(event)
            elif event.event == "gap":
                self._line(f"{event.time:9.1f} s          gap of {event.gap:.1f} s: {event.reason}")
            elif event.event == "labels":
                self._note(f"{len(event.labels or ())} labels: {', '.join(event.labels or ())}")
            if event.event == "lost":
                again = f"Trying again in {event.wait:.1f} s (attempt {event.attempt})."
                self._note(f"{event.reason} {again}")

    def complain(self, error: ActionCLIPError) -> None:
        """Say that labels could not be used; called from another thread."""
        with self._lock:
            self.finish()
            say(f"warning: {error.what} The labels stay as they were.", "yellow")

    def interrupted(self) -> None:
        """The terminal shows ^C where the line was: go below it."""
        if self._drawn:
            self._drawn = False
            typer.echo()

    def finish(self) -> None:
        """Take the live line away."""
        with self._lock:
            if self._drawn:
                sys.stdout.write("\r\x1b[2K")
                sys.stdout.flush()
                self._drawn = False

    def _line(self, text: str) -> None:
        self.finish()
        typer.echo(harmless(text))

    def _note(self, text: str) -> None:
        self.finish()
        say(text)

    def _draw(self, event: "Event") -> None:
        """The line that lives: time, what leads, and how late."""
        from rich.cells import set_cell_size

        shown = "   ".join(f"{one.label} {one.score:.0%}" for one in event.scores[:3])
        late = f"{(event.latency or 0) * 1000:.0f} ms"
        dropped = f", {event.dropped} dropped" if event.dropped else ""
        columns = shutil.get_terminal_size().columns
        text = f"{event.time:9.1f} s  {shown}"
        tail = f"  {late}{dropped}"
        text = set_cell_size(harmless(text), max(columns - len(tail) - 1, 1)) + tail
        sys.stdout.write("\r\x1b[2K" + (text if is_plain() else typer.style(text, dim=True)))
        sys.stdout.flush()
        self._drawn = True
