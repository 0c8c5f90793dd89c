"""Segments as text that other programs read: CSV, and subtitles (SubRip and WebVTT)."""

import html
import re
from collections.abc import Callable, Iterator
from functools import partial

from actionclip.figures import printable
from actionclip.inference.results import csv_lines
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.segments import Segment

COLUMNS = ("source", "start", "end", "label", "score")
_JOINER = "\N{WORD JOINER}"


def to_csv(result: TimelineResult) -> str:
    """A heading and a line for each segment; times in seconds."""
    rows = [
        (result.source, f"{one.start:.3f}", f"{one.end:.3f}", one.label, f"{one.score:.6f}")
        for one in result.segments
    ]
    return csv_lines([COLUMNS, *rows]) + "\n"


def to_srt(result: TimelineResult) -> str:
    """SubRip subtitles. Players take `<` and `{` for the beginning of formatting, which SubRip
    cannot escape: an invisible character after them keeps a label from being that.
    """
    return "\n".join(
        f"{number}\n{cue}" for number, cue in enumerate(_cues(result, ",", _srt_text), start=1)
    )


def to_vtt(result: TimelineResult) -> str:
    """WebVTT subtitles, for the `<track>` of a page. Quotes stay: players know few entities."""
    return "\n".join(["WEBVTT\n", *_cues(result, ".", partial(html.escape, quote=False))])


def clock(seconds: float, mark: str = ".") -> str:
    """Hours, minutes, seconds and thousandths, as subtitles have them.

    >>> clock(3725.0625, ",")
    '01:02:05,062'
    """
    whole = round(seconds * 1000)
    return (
        f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}"
        f"{mark}{whole % 1000:03d}"
    )


def short_clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some, as a person reads them.

    >>> short_clock(65.25), short_clock(3725.0), short_clock(59.96)
    ('1:05.2', '1:02:05.0', '1:00.0')
    """
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def one_line(text: str) -> str:
    """A text without what would end a line or a cue."""
    return re.sub("-{2,}>", "->", printable(text, " ")).strip()


def _cues(result: TimelineResult, mark: str, escape: Callable[[str], str]) -> Iterator[str]:
    for one in result.segments:
        start, end = (clock(result.begins + time, mark) for time in (one.start, one.end))
        yield f"{start} --> {end}\n{_said(one, escape)}\n"


def _said(segment: Segment, escape: Callable[[str], str]) -> str:
    return f"{escape(one_line(segment.label))} ({segment.score:.0%})"


def _srt_text(label: str) -> str:
    return label.replace("<", f"<{_JOINER}").replace("{", f"{{{_JOINER}")
