"""How the command line looks: results on stdout, everything else on stderr."""

import codecs
import inspect
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from actionclip.errors import ActionCLIPError
from actionclip.figures import printable

if TYPE_CHECKING:
    from actionclip.inference.results import VideoResult
    from actionclip.inference.search.changes.report import FileReport
    from actionclip.video.decode.clip import Clip

QUIET_SECONDS = 30.0
"""Without a terminal, one line of progress in this time."""


SPELT = "actionclip-spelt"
"""What stdout does with letters that its encoding lacks: the name of an error handler."""


def _spelt(error: UnicodeError) -> tuple[bytes, int]:
    r"""Such letters as JSON spells them, \u65e5; bytes of a name that is no text as they are."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    parts = [
        bytes([ord(one) - 0xDC00])
        if "\udc80" <= one <= "\udcff"
        else json.dumps(one)[1:-1].encode()
        for one in letters
    ]
    return b"".join(parts), error.end


codecs.register_error(SPELT, _spelt)


def is_plain() -> bool:
    """Whether only plain text is wanted: NO_COLOR is set, or the terminal knows no more."""
    return bool(os.environ.get("NO_COLOR")) or _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM") in ("dumb", "unknown")


def redraws(stream: Any) -> bool:
    """Whether a line that is there can be drawn over: on terminals but those that only write."""
    return stream.isatty() and not _is_dumb()


def say(message: str, colour: str | None = None) -> None:
    """A message for a person, on stderr."""
    typer.secho(harmless(message), fg=colour, err=True, color=False if is_plain() else None)


def harmless(text: str) -> str:
    r"""Lines with names and labels of strangers, for a person: nothing in them drives a terminal.

    >>> print(harmless("two\nlines, \x1b[31mred"))
    two
    lines, �[31mred
    """
    return "\n".join(map(printable, text.split("\n")))


def documented(command: Callable[..., object], examples: str) -> str:
    """What `--help` says of a command; before Python 3.13 a docstring keeps its margin."""
    return f"{inspect.cleandoc(command.__doc__ or '')}\n\n{examples}"


def show_error(error: ActionCLIPError) -> None:
    """What happened, what was expected, what to do: a line each."""
    say(f"error: {error.what}", "red")
    for part in (error.expected, error.hint):
        if part:
            say(f"  {part}")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show each warning once, as a sentence without file names and code."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning) and str(message) not in seen:
            seen.add(str(message))
            say(f"warning: {message}", "yellow")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


class Progress:
    """Counts videos on stderr: a bar on a terminal, now and then a line elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.counts = total, {"ok": 0, "degraded": 0, "failed": 0}
        self._start = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self.total > 1 and redraws(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[counts]}"),
                console=Console(stderr=True),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,  # or results for a file would go to the terminal
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=self.total, rate="", counts="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, result: "VideoResult | Clip | FileReport") -> None:
        """One more video is done."""
        state = str(result.status) if result.status.usable else "failed"
        self.counts[state] += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, rate=self.rate, counts=self.summary)
        elif self.total > 1 and time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            say(f"{self.done} of {self.total} videos, {self.rate}, {self.summary}")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while results are printed, which may go to the same terminal."""
        if self._bar is not None:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
        yield
        sys.stdout.flush()
        if self._bar is not None:
            self._bar.refresh()

    @property
    def done(self) -> int:
        """Videos finished so far."""
        return sum(self.counts.values())

    @property
    def rate(self) -> str:
        """Videos per second so far."""
        return f"{self.done / max(time.monotonic() - self._start, 1e-6):.1f} videos/s"

    @property
    def summary(self) -> str:
        """Counts by state, those above zero."""
        return ", ".join(f"{n} {state}" for state, n in self.counts.items() if n)


def is_terminal() -> bool:
    """Whether results go to a person's terminal."""
    return sys.stdout.isatty()
