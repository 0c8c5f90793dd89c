"""The video with its labels drawn in, its sound kept."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.plot import colour_of, rows_of
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import one_line
from actionclip.video.film.drawing import Caption, Drawn
from actionclip.video.film.recording import FORMS, record
from actionclip.video.settings import Limits
from actionclip.video.sources import Source

LETTERS = 60
"""Of a label that are shown at most."""
SIZE = 40
"""Height of the letters in the picture that the worker scales to the film."""


def write_overlay(result: TimelineResult, path: Path, *, limits: Limits | None = None) -> Drawn:
    """Write the video of a timeline with the labels of its segments drawn in.

    Args:
        result: of a video that is a file.
        path: ends in .mp4, .mov, .m4v or .mkv.
        limits: what reading may cost.

    Returns:
        How it went, and in `sound` what became of the sound.

    Raises:
        VideoError: when the video cannot be read any more.
        ActionCLIPError: when it is no file.
    """
    if result.path is None or result.path.is_dir():
        raise ActionCLIPError(
            f"{result.source} is no file.", expected="Labels are drawn into a video file."
        )
    rows = {result.labels[label]: row for row, label in enumerate(rows_of(result, 10**6))}
    plates: dict[tuple[str, str], int] = {}  # a long film shows the same ones again
    captions = []
    for segment in result.segments:
        words = f"{one_line(segment.label)[:LETTERS]}  {segment.score:.0%}"
        plate = plates.setdefault((words, colour_of(rows[segment.label])), len(plates))
        captions.append(Caption(segment.start, segment.end, plate))
    pictures = [caption_picture(*plate) for plate in plates]
    form = FORMS[path.suffix.lower()]
    return record(Source(result.source, result.path), path, form, captions, pictures, limits=limits)


def caption_picture(words: str, colour: str) -> UInt8[np.ndarray, "h w 4"]:
    """A line of text on a dark plate with a stripe of colour."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # with letters of many languages
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), SIZE)
    left, _, right, _ = font.getbbox(words)
    width, height = round(right - left) + 2 * SIZE, round(1.6 * SIZE)
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), SIZE // 4, fill=(16, 16, 16, 205))
    draw.rounded_rectangle((0, 0, SIZE // 2, height - 1), SIZE // 4, fill=colour)
    draw.text((SIZE - left, height / 2), words, font=font, fill="white", anchor="lm")
    return np.array(picture)
