"""What is taken for what: a table, and a picture that stays readable with hundreds of classes.

C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from actionclip.data.tables import csv_text
from actionclip.evaluation.metrics import Sheet
from actionclip.figures import png_of

UNREAD = "(not read)"
INK, FAINT, PAPER = "#1c1c1c", "#8a8a8a", "#ffffff"
RIGHT, WRONG = np.array([42, 127, 98]), np.array([163, 59, 74])
"""Colours of the diagonal and of everything beside it."""
NUMBERED = 30
"""Classes up to which the numbers stand in the squares."""
LISTED = 15
"""Confusions that are named under the picture."""
GAMMA, FAINTEST = 0.7, 0.2
"""How strong a colour is for a share of a row's clips; even a single clip can be seen."""


def confusion(sheets: Sequence[Sheet]) -> Int[np.ndarray, "C C1"]:
    """Clips of each class (row) by the answer (column); the last column: not read.

    Args:
        sheets: answers with the same classes.
    """
    count = len(sheets[0].classes)
    table = np.zeros((count, count + 1), np.int64)
    for sheet in sheets:
        answer = np.where(sheet.read, sheet.order[:, 0], count)
        np.add.at(table, (sheet.truth, answer), 1)
    return table


def confusion_csv(classes: Sequence[str], table: Int[np.ndarray, "C C1"]) -> str:
    """The table, the true class in the first column."""
    rows = ([name, *row] for name, row in zip(classes, table.tolist(), strict=True))
    return csv_text(("true", *classes, UNREAD), rows)


def most_confused(
    classes: Sequence[str], table: Int[np.ndarray, "C C1"], most: int = LISTED
) -> list[tuple[str, str, int, int]]:
    """The true class, what it was taken for, how many of its clips, and how many it has."""
    wrong = table[:, :-1].copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        (classes[a], classes[b], int(wrong[a, b]), int(table[a].sum()))
        for a, b in pairs
        if wrong[a, b]
    ]


def confusion_picture(classes: Sequence[str], table: Int[np.ndarray, "C C1"]) -> bytes:
    """A PNG. Each row is the clips of a class, as shares; green is right, red is wrong.

    With more than `NUMBERED` classes a square is 10 pixels, so that every name can still be read
    where the picture is enlarged: 400 classes are a picture of about 5,000 pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(classes)
    columns = count + 1 if table[:, -1].any() else count
    cell = 10 if count > 100 else 16 if count > NUMBERED else 34
    font = 7.5 if cell == 10 else 9
    names = max(map(len, classes)) * font * 0.62 + 14
    pairs = most_confused(classes, table)
    below = 40 + 17 * max(len(pairs), 1) + 20
    width = max(names + columns * cell + 30, 560)
    height = names + count * cell + below + 66
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    place = [names / width, below / height, columns * cell / width, count * cell / height]
    axes: Any = figure.add_axes((place[0], place[1], place[2], place[3]))
    axes.imshow(_colours(table[:, :columns]), interpolation="nearest", aspect="auto")
    shown = [*classes, UNREAD][:columns]
    axes.set_xticks(range(columns), shown, rotation=90, fontsize=font * 0.72, color=INK)
    axes.set_yticks(range(count), classes, fontsize=font * 0.72, color=INK)
    axes.tick_params(length=0, pad=2, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#ececec", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    for side in axes.spines.values():
        side.set_color("#cccccc")
    if count <= NUMBERED:
        _write_numbers(axes, table[:, :columns])
    _write_words(figure, pairs, (width, height, below))
    return png_of(figure)


def _colours(table: Int[np.ndarray, "C K"]) -> Float[np.ndarray, "C K 3"]:
    """Shares of a row as colours: white is none of its clips."""
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    strength = np.where(share > 0, FAINTEST + (1 - FAINTEST) * share**GAMMA, 0)[..., None]
    is_right = np.eye(*table.shape, dtype=bool)[..., None]
    return (255 - strength * (255 - np.where(is_right, RIGHT, WRONG))) / 255


def _write_numbers(axes: Any, table: Int[np.ndarray, "C K"]) -> None:
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(table):
        if count:
            colour = PAPER if share[row, column] > 0.4 else INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)


def _write_words(
    figure: Any, pairs: list[tuple[str, str, int, int]], size: tuple[float, float, float]
) -> None:
    width, height, below = size
    figure.text(
        16 / width,
        1 - 20 / height,
        "Row: what a clip shows. Column: what it was taken for.",
        fontsize=8,
        color=INK,
        va="center",
    )
    top = below - 26
    heading = "Most frequent mistakes" if pairs else "No clip was taken for another class."
    figure.text(16 / width, top / height, heading, fontsize=8, color=INK, weight="bold")
    for line, (true, taken, wrong, clips) in enumerate(pairs, start=1):
        words = f"{true}  taken for  {taken}:  {wrong} of {clips}"
        figure.text(16 / width, (top - 17 * line) / height, words, fontsize=7.5, color=INK)
