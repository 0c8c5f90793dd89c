"""metrics.jsonl as a picture: the loss, the learning rate, and the scores of evaluations."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, GREY = "#2f6fb0", "#c8691c", "#3a8a4d", "#9a9a9a"

MOST_SCORES = 4
"""Curves in the picture of scores."""


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw what a run has written so far; nothing when it has written no step.

    Raises:
        OSError: when the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text().splitlines() if line.endswith("}")]
    steps = [line for line in lines if line.get("loss") is not None]
    scores = [line for line in lines if line.get("scores")]
    if not steps:
        return
    width, height = 11.0 if scores else 7.6, 3.7
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(1, 3 if scores else 2, squeeze=False)[0]
    # Margins in inches: a layout that measures words draws everything twice, which takes longer.
    figure.subplots_adjust(
        left=0.62 / width, right=1 - 0.12 / width, bottom=0.5 / height, top=1 - 0.5 / height,
        wspace=0.22,
    )  # fmt: skip
    _draw_loss(axes[0], steps)
    _draw_rate(axes[1], steps)
    if scores:
        _draw_scores(axes[2], scores)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.set_xlabel("epoch")
    unfinished = picture.with_name(f".{picture.name}.partial")
    figure.savefig(unfinished, format="png")
    unfinished.replace(picture)


def _draw_loss(axis: Any, steps: Sequence[dict[str, Any]]) -> None:
    epoch = [line["epoch"] for line in steps]
    loss = np.array([line["loss"] for line in steps], np.float64)
    axis.set_title("loss", loc="left", fontsize=11)
    span = max(1, len(loss) // 25)
    if span == 1:
        axis.plot(epoch, loss, color=BLUE, linewidth=1.6, marker="o", markersize=3)
        return
    axis.plot(epoch, loss, color=BLUE, linewidth=0.8, alpha=0.3)
    smooth = np.convolve(loss, np.ones(span) / span, mode="valid")
    axis.plot(epoch[span - 1 :], smooth, color=BLUE, linewidth=1.8, label=f"mean of {span} lines")
    axis.legend(frameon=False, fontsize=8)


def _draw_rate(axis: Any, steps: Sequence[dict[str, Any]]) -> None:
    epoch = [line["epoch"] for line in steps]
    axis.set_title("learning rate", loc="left", fontsize=11)
    axis.plot(epoch, [line["lr"] for line in steps], color=ORANGE, linewidth=1.6)
    axis.set_ylim(bottom=0)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for line in steps:
        if line.get("skipped"):
            axis.axvline(line["epoch"], color=GREY, linewidth=0.8, linestyle=":")


def _draw_scores(axis: Any, lines: Sequence[dict[str, Any]]) -> None:
    axis.set_title("evaluation", loc="left", fontsize=11)
    names = list(dict.fromkeys(name for line in lines for name in line["scores"]))[:MOST_SCORES]
    for name, colour in zip(names, (BLUE, GREEN, ORANGE, GREY), strict=False):
        found = [(line["epoch"], line["scores"].get(name)) for line in lines]
        points = [(epoch, value) for epoch, value in found if value is not None]
        if points:
            axis.plot(
                *zip(*points, strict=True), color=colour, marker="o", markersize=3, label=name
            )
    axis.legend(frameon=False, fontsize=8)
