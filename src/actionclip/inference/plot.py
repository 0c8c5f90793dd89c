"""A picture of an answer: the frames that the model saw, and a bar for each label."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actionclip.figures import png_of
from actionclip.inference.results import VideoResult
from actionclip.model.weights.files import Content, write_together

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FRAMES = 8
INK, BAR, BEST, PAPER = "#1c1c1c", "#9db4c0", "#2a7f62", "#ffffff"


def plot_result(result: VideoResult, path: Path) -> None:
    """Draw a result that kept its clip (`keep_clips=True`) as a PNG of about 1000 pixels width.

    Raises:
        StorageError: when the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    clip = result.clip
    assert clip is not None
    assert clip.times is not None
    shown = clip.windows()[0]
    columns = np.linspace(0, len(shown) - 1, min(len(shown), MOST_FRAMES)).round().astype(int)
    bars_height = 0.35 + 0.3 * max(len(result.scores), 1)
    height, width = shown.shape[1:3]
    strip_height = 10.4 / len(columns) * height / width + 0.35
    figure = Figure(figsize=(10.8, strip_height + bars_height + 0.5), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[strip_height + 0.4, bars_height])
    strip, bars = parts
    strip.suptitle(_heading(result), fontsize=11, color=INK, x=0.02, ha="left")
    for axes, column in zip(_row(strip, len(columns)), columns, strict=True):
        axes.imshow(shown[column])
        axes.set_title(f"{clip.times[0, column]:.1f} s", fontsize=8, color=INK, pad=2)
    strip.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.78, wspace=0.04)
    _draw_bars(bars, result)
    write_picture(figure, path)


def write_picture(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG, whole or not at all, and make its folder.

    Raises:
        StorageError: when the picture cannot be written.
    """
    data = png_of(figure)
    content = Content(len(data), lambda place: place.write_bytes(data))
    write_together(path.parent, {path.name: content})


def _heading(result: VideoResult) -> str:
    seconds = "" if result.seconds is None else f", {result.seconds:.1f} s"
    return f"{Path(result.source).name}{seconds}, {result.frames} frames seen"


def _row(figure: Any, count: int) -> list[Any]:
    bare = {"frame_on": False, "xticks": [], "yticks": []}
    return list(np.atleast_1d(figure.subplots(1, count, subplot_kw=bare)))


def _draw_bars(figure: Any, result: VideoResult) -> None:
    axes = figure.subplots()
    labels = [score.label for score in result.scores][::-1]
    values = [score.score for score in result.scores][::-1]
    colours = [BAR] * (len(values) - 1) + [BEST]
    rows = range(len(values))
    axes.barh(rows, values, color=colours[-len(values) :] if values else [], height=0.65)
    axes.set_yticks(rows, labels, fontsize=9, color=INK)
    axes.set_xlim(0, 1.08)
    axes.xaxis.set_visible(False)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    for row, value in zip(rows, values, strict=True):
        axes.text(value + 0.01, row, f"{value:.1%}", va="center", fontsize=9, color=INK)
    figure.subplots_adjust(left=0.28, right=0.98, bottom=0.06, top=0.98)
