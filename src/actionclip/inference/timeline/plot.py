"""A picture of a timeline: a row for each label, its score over time, its segments as bars."""

from pathlib import Path
from typing import Any

import numpy as np

from actionclip.figures import png_of
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import one_line

MOST_ROWS, MOST_LETTERS = 24, 40
INK, FAINT, LINE, PAPER = "#1c1c1c", "#8a8a8a", "#5b7083", "#ffffff"
COLOURS = ("#2a7f62", "#b3651d", "#4a6fa5", "#93416f", "#7a7a1f", "#3f7f8c", "#a33b4a", "#6a54a0")


def rows_of(result: TimelineResult, most: int = MOST_ROWS) -> list[int]:
    """The labels worth a row: those with segments in the order they come, then the best others."""
    places = {label: n for n, label in enumerate(result.labels)}
    shown = list(dict.fromkeys(places[one.label] for one in result.segments))
    if len(result.scores):
        best = np.argsort(-result.scores.max(axis=0), kind="stable").tolist()
        shown += [label for label in best if label not in shown]
    return shown[:most]


def colour_of(row: int) -> str:
    """The colour of a row, the same in every output."""
    return COLOURS[row % len(COLOURS)]


def timeline_picture(result: TimelineResult) -> bytes:
    """A PNG of 1200 pixels width; of many labels those with segments and the best others."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, seconds = rows_of(result), result.seconds or 1.0
    figure = Figure(figsize=(12, 1.15 + 0.42 * max(len(rows), 1)), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    for row, label in enumerate(rows):
        _draw_row(axes, result, row, label)
    names = [_shortened(result.labels[label]) for label in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=10, color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.tick_params(left=False, labelsize=9, colors=FAINT)
    axes.tick_params(axis="y", colors=INK)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cccccc")
    name = _shortened(Path(result.source).name, 90)
    axes.set_title(name, fontsize=11, color=INK, loc="left", pad=10)
    return png_of(figure, tight=True)


def _draw_row(axes: Any, result: TimelineResult, row: int, label: int) -> None:
    """The score as a low curve on the row's floor, segments as bars above it."""
    floor = row + 0.4
    if len(result.times):
        times = np.concatenate([[0.0], result.times, [result.seconds or result.times[-1]]])
        values = np.pad(result.scores[:, label], 1, mode="edge")
        axes.fill_between(
            times, floor, floor - 0.75 * values, color=colour_of(row), alpha=0.22, lw=0
        )
        axes.plot(times, floor - 0.75 * values, color=colour_of(row), alpha=0.55, linewidth=0.9)
    mine = [one for one in result.segments if one.label == result.labels[label]]
    bars = [(one.start, one.end - one.start) for one in mine]
    axes.broken_barh(bars, (row + 0.14, 0.26), color=colour_of(row), edgecolor=PAPER, linewidth=0.8)


def _tick(seconds: float) -> str:
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if abs(seconds - whole) > 0.01:
        return f"{minutes}:{seconds % 60:04.1f}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _shortened(text: str, most: int = MOST_LETTERS) -> str:
    line = one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"
