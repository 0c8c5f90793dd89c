"""Watch a film from beginning to end with a model."""

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from actionclip.encoding.encoder import Video, array_of, single_source
from actionclip.encoding.film import FilmEncoder, Grid
from actionclip.inference.timeline.result import Watched
from actionclip.model.actionclip import ActionCLIP
from actionclip.video.film.part import Part
from actionclip.video.film.session import film, film_of_array
from actionclip.video.settings import Limits

Seen = Callable[[float, float | None], None]
"""Called now and then with the seconds read so far and the seconds promised."""


def watch(
    model: ActionCLIP,
    video: Video,
    *,
    window: float,
    stride: float,
    precision: str,
    limits: Limits | None = None,
    seen: Seen | None = None,
) -> Watched:
    """Every frame decoded once and encoded once; see `actionclip.encoding.film`.

    Args:
        model: which model.
        video: a file, a folder of frames, or frames as uint8 [T, H, W, 3] (RGB).
        window: seconds of a window.
        stride: seconds from window to window.
        precision: what the model multiplies in, for the record.
        limits: what reading may cost, for each part of the film.
        seen: told how far it is.

    Raises:
        ActionCLIPError: for a window or stride that is not above zero, or an array that is no
            video.
    """
    preprocess = model.config.preprocess
    grid = Grid.of(model.config, window=window, stride=stride)
    request = grid.request(preprocess)
    if isinstance(video, (np.ndarray, Tensor)):
        name, path = "frames in memory", None
        parts = film_of_array(array_of(video), request)
    else:
        source = single_source(video)
        name, path = source.name, source.path if source.data is None else None
        parts = film(source, request, limits)
    encoder = FilmEncoder(model, grid, preprocess)
    windows = encoder.encode(parts if seen is None else _told(parts, seen))
    return Watched(name, windows, grid.window, stride, precision, path)


def _told(parts: Iterator[Part], seen: Seen) -> Iterator[Part]:
    at = 0.0
    for part in parts:
        at += len(part) * part.spacing
        seen(at, part.promised)
        yield part
