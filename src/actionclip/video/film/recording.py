"""A film with captions, seen from the parent: it hands a locked-in worker the film and a new file.

The parent neither reads the film nor what the worker writes. It passes two open descriptors and the
captions as pictures, and watches the clock.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from actionclip.errors import ActionCLIPError
from actionclip.video.decode.workers.handover import opened
from actionclip.video.decode.workers.process import WorkerProcess
from actionclip.video.decode.workers.protocol import Channel, Nonsense, clean, seconds_of
from actionclip.video.film.drawing import NO_ROOM, Caption, Drawn
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits, ReadRequest
from actionclip.video.sources import Source

FORMS = {".mp4": "mp4", ".mov": "mp4", ".m4v": "mp4", ".mkv": "matroska"}
"""The container for the ending of a file's name."""
PATIENCE = 60.0
"""Seconds without a sign of life after which a worker is given up."""
Picture = UInt8[np.ndarray, "_ _ 4"]


def record(
    source: Source,
    path: Path,
    form: str,
    captions: Sequence[Caption],
    pictures: Sequence[Picture],
    *,
    limits: Limits | None = None,
    seen: Callable[[float, float | None], None] | None = None,
) -> Drawn:
    """Write a film with captions drawn in.

    Args:
        source: the film, a file.
        path: where to; written from the start on.
        form: a container of `COPIED`.
        captions: which picture is shown when.
        pictures: red, green, blue, cover.
        limits: what reading may cost.
        seen: told how far it is, as for a timeline.

    Returns:
        How it went; `sound` says what became of the sound.

    Raises:
        VideoError: when the film cannot be read to its end here; what was written is not whole.
        OSError: when there is no room for the new one.
        ActionCLIPError: when no worker can be started.
    """
    limits = limits or Limits()
    with opened(source, ReadRequest()) as handover:
        file = handover.rewound()
        if file is None:
            raise ActionCLIPError(f"{source.name} is no file.", expected="A film in one file.")
        output = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        written = 16 * os.fstat(file).st_size + 2**30
        worker = WorkerProcess(limits, "pyav", written=written)
        try:
            worker.greet()
            worker.channel.deadline = time.monotonic() + PATIENCE
            header, parts = record_header(form, captions, pictures)
            worker.channel.send(header, parts, file=file)
            worker.channel.send({"output": True}, file=output)
            return _watched(worker, seen)
        except TimeoutError:
            raise VideoError(
                f"Drawing was given up after {PATIENCE:g} seconds.", Outcome.TIMEOUT
            ) from None
        except (ConnectionError, Nonsense):
            raise VideoError("The decoder died on this file.", Outcome.CRASHED) from None
        finally:
            worker.close()
            os.close(output)


def _watched(worker: WorkerProcess, seen: Callable[[float, float | None], None] | None) -> Drawn:
    while True:
        worker.channel.deadline = time.monotonic() + PATIENCE
        drawn = receive_drawn(worker.channel)
        if not drawn.done:
            if seen is not None:
                seen(drawn.at, drawn.promised)
        elif drawn.status.usable:
            return drawn
        elif drawn.full:
            raise OSError(drawn.full, os.strerror(drawn.full))
        else:
            raise VideoError(drawn.message, drawn.status)


def record_header(
    form: str, captions: Sequence[Caption], pictures: Sequence[Picture]
) -> tuple[dict[str, Any], list[memoryview]]:
    """The request in JSON's terms, and the captions and pictures that follow."""
    header = {
        "record": form,
        "captions": len(captions),
        "pictures": [list(picture.shape[:2]) for picture in pictures],
    }
    when = np.array([[one.start, one.end, one.picture] for one in captions], np.float64)
    return header, [np.ascontiguousarray(part).data for part in (when, *pictures)]


def receive_drawn(channel: Channel) -> Drawn:
    """What the worker says, believed only where it can be true.

    Raises:
        ConnectionError: the worker is gone.
        TimeoutError: the channel's deadline passed.
        Nonsense: the answer cannot be true.
    """
    header = channel.receive()
    status = header.get("status")
    if not isinstance(status, str) or status not in list(Outcome):
        raise Nonsense("an outcome that does not exist")
    full = header.get("full")
    if type(full) is not int or full not in NO_ROOM:
        raise Nonsense("an error that does not exist")
    return Drawn(
        at=seconds_of(header.get("at")) or 0.0,
        promised=seconds_of(header.get("promised")),
        done=header.get("done") is True,
        status=Outcome(status),
        message=clean(header.get("message")),
        sound=clean(header.get("sound")),
        full=full,
    )
