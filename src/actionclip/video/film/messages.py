"""What a parent and its worker say about a film: one request, then part after part.

As in `actionclip.video.decode.workers.protocol` nothing that the worker says is taken on trust.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from actionclip.video.decode.workers.protocol import (
    MOST_NOTES,
    Channel,
    Nonsense,
    clean,
    frames_size,
    seconds_of,
)
from actionclip.video.film.drawing import COPIED, Caption, Drawn, draw_film
from actionclip.video.film.part import Part, failed
from actionclip.video.film.reading import read_film
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import GridRequest, Limits, Resize

PACED = 0.21
"""By what share the spacing may differ from the one asked for; see `sampling.paced`."""


def film_header(request: GridRequest) -> dict[str, Any]:
    """A request in JSON's terms."""
    return {"film": asdict(request)}


def request_from(header: Mapping[str, Any]) -> GridRequest:
    """The request that `film_header` wrote."""
    fields = dict(header["film"])
    resize = fields.pop("resize")
    return GridRequest(**fields, resize=None if resize is None else Resize(**resize))


def send_film(channel: Channel, header: Mapping[str, Any], file: int, limits: Limits) -> None:
    """The worker's side: read a film and send its parts. Waits where the parent is slower.

    Raises:
        ConnectionError: the parent is gone.
    """
    request = request_from(header)
    try:
        for part in read_film(file, request, limits):
            channel.send(*_part_header(part))
    except MemoryError:
        part = failed(Outcome.MEMORY, "Decoding it ran out of memory.", spacing=request.spacing)
        channel.send(*_part_header(part))
    finally:
        os.close(file)


def _part_header(part: Part) -> tuple[dict[str, Any], list[memoryview]]:
    """A part in JSON's terms, and the arrays that follow."""
    header: dict[str, Any] = {
        "points": len(part),
        "spacing": part.spacing,
        "promised": part.promised,
        "frames": None if part.frames is None else list(part.frames.shape[:3]),
        "done": part.done,
    }
    if part.done:
        header |= {
            "status": part.status.value,
            "message": part.message,
            "seconds": part.seconds,
            "begins": part.begins,
            "size": part.size,
            "notes": list(part.notes)[:MOST_NOTES],
            "decoder": part.decoder,
        }
    arrays = [] if part.frames is None else [part.index, part.frames]
    return header, [np.ascontiguousarray(array).data for array in arrays]


def receive_part(channel: Channel, request: GridRequest, limits: Limits) -> Part:
    """The worker's next part, believed only where it can be true.

    Raises:
        ConnectionError: the worker is gone.
        TimeoutError: the channel's deadline passed.
        Nonsense: the answer cannot be true.
    """
    header = channel.receive()
    points, spacing = header.get("points"), seconds_of(header.get("spacing"))
    if type(points) is not int or not 0 <= points <= request.points:
        raise Nonsense("a number of points that was not asked for")
    if spacing is None or abs(spacing - request.spacing) > PACED * request.spacing:
        raise Nonsense("another grid than was asked for")
    ending = _ending(header) if header.get("done") is True else {}
    promised = seconds_of(header.get("promised"))
    if not points:
        return Part(None, np.zeros(0, np.int64), spacing, promised, **ending)
    count, height, width = frames_size(header.get("frames"), points, request.resize, limits)
    index = channel.receive_array((points,), np.int64)
    if index.min() < 0 or index.max() >= count:
        raise Nonsense("frames that do not exist")
    frames = channel.receive_array((count, height, width, 3), np.uint8)
    return Part(frames, index, spacing, promised, **ending)


def _ending(header: Mapping[str, Any]) -> dict[str, Any]:
    """What only the last part says."""
    status, notes, size = header.get("status"), header.get("notes"), header.get("size")
    if not isinstance(status, str) or status not in list(Outcome):
        raise Nonsense("an outcome that does not exist")
    if not isinstance(notes, list) or len(notes) > MOST_NOTES:
        raise Nonsense("notes that are not a short list")
    if size is not None and (
        not isinstance(size, list) or [type(side) for side in size] != [int, int] or min(size) < 1
    ):
        raise Nonsense("a picture without a size")
    return {
        "done": True,
        "status": Outcome(status),
        "message": clean(header.get("message")),
        "seconds": seconds_of(header.get("seconds")),
        "begins": seconds_of(header.get("begins")) or 0.0,
        "size": None if size is None else tuple(size),
        "notes": tuple(clean(note) for note in notes),
        "decoder": clean(header.get("decoder")),
    }


def serve_record(channel: Channel, header: Mapping[str, Any], file: int, limits: Limits) -> None:
    """Draw captions into a film, as the parent asks for in `recording`; the worker's side.

    Raises:
        ConnectionError: the parent is gone.
    """
    assert header["record"] in COPIED
    when = channel.receive_array((header["captions"], 3), np.float64)
    captions = [Caption(start, end, int(number)) for start, end, number in when.tolist()]
    pictures = [channel.receive_array((*size, 4), np.uint8) for size in header["pictures"]]
    _, output = channel.receive_with_file()
    assert output is not None
    try:
        for drawn in draw_film(file, output, header["record"], captions, pictures, limits):
            channel.send({**asdict(drawn), "status": drawn.status.value})
    except MemoryError:
        said = Drawn(0, None, done=True, message="Drawing it ran out of memory.")
        channel.send({**asdict(said), "status": Outcome.MEMORY.value})
    finally:
        os.close(file)
        os.close(output)
