"""A contact sheet: one frame of some clips of each class, to see at a glance what is in them."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from actionclip.data.manifest import Manifest, Row

COLUMNS, CLASSES = 8, 40
"""Clips drawn of a class, and classes drawn."""
WIDTH, HEIGHT, GAP, MARGIN, TEXT = 128, 96, 6, 16, 20
PAPER, INK, FAINT = "#ffffff", "#1c1c1c", "#8a8a8a"
SPLITS = {"train": "#2a7f62", "val": "#b07d10", "test": "#a33b4a"}
"""The colour of the line under a clip says its split."""


def choose(manifest: Manifest, *, columns: int = COLUMNS) -> dict[str, list[Row]]:
    """The clips of each class that are drawn: from all of its splits, spread over its list."""
    of_class: dict[str, list[Row]] = {name: [] for name in manifest.classes[:CLASSES]}
    for row in manifest.rows:
        for label in row.labels:
            if label in of_class:
                of_class[label].append(row)
    order = {split: number for number, split in enumerate(manifest.splits)}
    chosen = {}
    for name, rows in of_class.items():
        rows = sorted(rows, key=lambda row: order[row.split])
        places = np.linspace(0, len(rows) - 1, min(columns, len(rows))).round().astype(int)
        chosen[name] = [rows[place] for place in places]
    return chosen


def draw_sheet(manifest: Manifest, pictures: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    """Draw the chosen clips as a PNG, a class a line; whole or not at all.

    Args:
        manifest: the clips; `choose` says which of them are drawn.
        pictures: a frame [H, W, 3] of each, by path; where there is none, the place stays empty
            with a cross.
        path: the file to write.

    Raises:
        StorageError: when it cannot be written.
    """
    from actionclip.model.weights.files import Content, write_together

    chosen = choose(manifest)
    widest = max(map(len, chosen.values()), default=0)
    width = 2 * MARGIN + max(widest, 3) * (WIDTH + GAP) - GAP
    line = TEXT + HEIGHT + 3 * GAP
    more = len(manifest.classes) - len(chosen)
    sheet = Image.new(
        "RGB", (width, 2 * MARGIN + TEXT + line * len(chosen) + TEXT * bool(more)), PAPER
    )
    pen = ImageDraw.Draw(sheet)
    large, small = _font(13), _font(11)
    _draw_legend(pen, manifest, small)
    top = MARGIN + TEXT
    for name, rows in chosen.items():
        total = sum(name in row.labels for row in manifest.rows)
        pen.text((MARGIN, top), name, INK, large)
        pen.text(
            (MARGIN + pen.textlength(name, large) + 8, top + 2), f"{total} clips", FAINT, small
        )
        for column, row in enumerate(rows):
            corner = (MARGIN + column * (WIDTH + GAP), top + TEXT)
            _draw_clip(sheet, pen, corner, pictures.get(row.path), SPLITS.get(row.split, FAINT))
        top += line
    if more > 0:
        pen.text((MARGIN, top), f"and {more} more classes", FAINT, large)
    data = BytesIO()
    sheet.save(data, format="PNG")
    whole = data.getvalue()
    content = Content(len(whole), lambda place: place.write_bytes(whole))
    write_together(path.parent, {path.name: content})


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: it has Greek and Cyrillic letters, Pillow's has not."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _draw_legend(
    pen: ImageDraw.ImageDraw, manifest: Manifest, font: ImageFont.FreeTypeFont
) -> None:
    left = float(MARGIN)
    for split in manifest.splits:
        words = f"{split or 'no split'}: {sum(row.split == split for row in manifest.rows)} clips"
        pen.rectangle((left, MARGIN + 3, left + 9, MARGIN + 12), SPLITS.get(split, FAINT))
        pen.text((left + 14, MARGIN), words, INK, font)
        left += 14 + pen.textlength(words, font) + 16


def _draw_clip(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    picture: NDArray[np.uint8] | None,
    colour: str,
) -> None:
    left, top = corner
    if picture is None:
        pen.rectangle((left, top, left + WIDTH - 1, top + HEIGHT - 1), "#f1f1f1")
        pen.line((left + 52, top + 36, left + 76, top + 60), SPLITS["test"], 2)
        pen.line((left + 76, top + 36, left + 52, top + 60), SPLITS["test"], 2)
    else:
        image = Image.fromarray(picture)
        image.thumbnail((WIDTH, HEIGHT))
        pen.rectangle((left, top, left + WIDTH - 1, top + HEIGHT - 1), "#101010")
        space = (WIDTH - image.width) // 2, (HEIGHT - image.height) // 2
        sheet.paste(image, (left + space[0], top + space[1]))
    pen.rectangle((left, top + HEIGHT + 1, left + WIDTH - 1, top + HEIGHT + 4), colour)
