"""What the parent and a decoding worker say to each other: a JSON header, then raw bytes.

Never a pickle. The worker reads strangers' files, so whatever it says may be said by a stranger:
every number in a reply is checked against the request before it is used, sizes are worked out here
and never taken over, and text is cut and cleaned before a terminal sees it.

A message is 4 bytes with the header's length, the header, and arrays or byte strings whose lengths
follow from the header. A file travels as an open descriptor beside the first 4 bytes.
"""

import json
import math
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from actionclip.video.decode.clip import Clip
from actionclip.video.decode.reading import Reading
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

HEADER_BYTES = 2**20
TEXT_LENGTH = 2000
MOST_NOTES = 20

_LENGTH = struct.Struct("!I")


class Nonsense(Exception):
    """The other side said something that cannot be true."""


class Channel:
    """One end of a socket, with a time by which everything has to be said."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.deadline: float | None = None
        """On the clock of `time.monotonic`; None waits for ever."""

    def send(
        self,
        header: Mapping[str, Any],
        parts: Sequence[bytes | memoryview] = (),
        file: int | None = None,
    ) -> None:
        """Say something.

        Args:
            header: what JSON can hold.
            parts: bytes that follow; the header tells the other side how many.
            file: an open descriptor; the other side gets its own.

        Raises:
            ConnectionError: the other side is gone.
            TimeoutError: the deadline passed.
        """
        text = json.dumps(header).encode()
        length = _LENGTH.pack(len(text))
        self._set_timeout()
        if file is None:
            self._end.sendall(length)
        else:
            socket.send_fds(self._end, [length], [file])
        for part in (text, *parts):
            self._set_timeout()
            self._end.sendall(part)

    def receive(self) -> dict[str, Any]:
        """The next header. A file sent along is dropped: only a worker expects one.

        Raises:
            ConnectionError: the other side is gone.
            TimeoutError: the deadline passed.
            Nonsense: that was no header.
        """
        length = bytearray(_LENGTH.size)
        self.receive_into(memoryview(length))
        return self._header(length)

    def receive_with_file(self) -> tuple[dict[str, Any], int | None]:
        """The next header and the file that came with it; raises what `receive` does."""
        self._set_timeout()
        start, files, _, _ = socket.recv_fds(self._end, _LENGTH.size, 1)
        if not start:
            raise ConnectionResetError("the other side is gone")
        length = bytearray(_LENGTH.size)
        length[: len(start)] = start
        self.receive_into(memoryview(length)[len(start) :])
        return self._header(length), files[0] if files else None

    def _header(self, length: bytearray) -> dict[str, Any]:
        (size,) = _LENGTH.unpack(length)
        if size > HEADER_BYTES:
            raise Nonsense(f"a header of {size} bytes")
        text = bytearray(size)
        self.receive_into(memoryview(text))
        try:
            header = json.loads(text)
        except (ValueError, RecursionError):
            raise Nonsense("a header that is not JSON") from None
        if not isinstance(header, dict):
            raise Nonsense("a header that is not a table")
        return header

    def receive_into(self, buffer: memoryview) -> None:
        """Fill a buffer of bytes.

        Raises:
            ConnectionError: the other side is gone.
            TimeoutError: the deadline passed.
        """
        while buffer:
            self._set_timeout()
            count = self._end.recv_into(buffer)
            if count == 0:
                raise ConnectionResetError("the other side is gone")
            buffer = buffer[count:]

    def receive_array(self, shape: Sequence[int], kind: type[np.generic]) -> np.ndarray:
        """An array of a shape and type that this side knows."""
        array = np.empty(tuple(shape), dtype=kind)
        self.receive_into(array.reshape(-1).view(np.uint8).data)
        return array

    def ready(self, seconds: float) -> bool:
        """Whether something is said, or the other side gone, within so many seconds."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def detach(self) -> None:
        """Let go of the descriptor in a forked process; the parent's stays as it is."""
        os.close(self._end.detach())

    def _set_timeout(self) -> None:
        if self.deadline is None:
            return
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)


def request_header(request: ReadRequest, images: Sequence[bytes] | None) -> dict[str, Any]:
    """A request in JSON's terms; `images` are the frames where the video is a folder of them."""
    lengths = None if images is None else [len(image) for image in images]
    return {"request": asdict(request), "images": lengths}


def request_from(header: Mapping[str, Any]) -> ReadRequest:
    """The request that `request_header` wrote."""
    fields = dict(header["request"])
    resize = fields.pop("resize")
    return ReadRequest(
        **{**fields, "sampling": Sampling(**fields["sampling"])},
        resize=None if resize is None else Resize(**resize),
    )


def reading_header(
    reading: Reading, *, notes: Sequence[str] = ()
) -> tuple[dict[str, Any], list[memoryview]]:
    """A reading in JSON's terms, and the arrays that follow."""
    header = {
        "status": reading.status.value,
        "message": reading.message,
        "advice": reading.advice,
        "seconds": reading.seconds,
        "decoder": reading.decoder,
        "notes": [*notes, *reading.notes][:MOST_NOTES],
    }
    if reading.frames is None:
        return header, []
    arrays = [
        np.ascontiguousarray(reading.index, dtype=np.int64).data,
        np.ascontiguousarray(reading.frame_numbers, dtype=np.int64).data,
        np.ascontiguousarray(reading.times, dtype=np.float64).data,
        np.ascontiguousarray(reading.frames, dtype=np.uint8).data,
    ]
    return {**header, "frames": list(reading.frames.shape[:3])}, arrays


def receive_clip(channel: Channel, source: Source, request: ReadRequest, limits: Limits) -> Clip:
    """A worker's answer to `request`, believed only where it can be true.

    Raises:
        ConnectionError: the worker is gone.
        TimeoutError: the channel's deadline passed.
        Nonsense: the answer cannot be true.
    """
    header = channel.receive()
    status = header.get("status")
    if not isinstance(status, str) or status not in list(Outcome):
        raise Nonsense("an outcome that does not exist")
    notes = header.get("notes")
    if not isinstance(notes, list) or len(notes) > MOST_NOTES:
        raise Nonsense("notes that are not a short list")
    said = {
        "source": source,
        "status": Outcome(status),
        "message": clean(header.get("message")),
        "advice": clean(header.get("advice")) or None,
        "seconds": seconds_of(header.get("seconds")),
        "decoder": clean(header.get("decoder")),
        "notes": tuple(clean(note) for note in notes),
    }
    if not Outcome(status).usable:
        return Clip(**said)

    wanted = request.sampling.windows * request.sampling.frames
    count, height, width = frames_size(header.get("frames"), wanted, request.resize, limits)
    shape = (request.sampling.windows, request.sampling.frames)
    index = channel.receive_array(shape, np.int64)
    numbers = channel.receive_array(shape, np.int64)
    times = channel.receive_array(shape, np.float64)
    if index.min() < 0 or index.max() >= count or numbers.min() < 0 or not np.isfinite(times).all():
        raise Nonsense("frames that do not exist")
    frames = channel.receive_array((count, height, width, 3), np.uint8)
    return Clip(**said, frames=frames, index=index, frame_numbers=numbers, times=times)


def clean(text: Any) -> str:
    """Text from a stranger, fit for a terminal: no control characters, not endless.

    Raises:
        Nonsense: if it is no text at all.
    """
    if not isinstance(text, str):
        raise Nonsense("a text that is not text")
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:TEXT_LENGTH]
    )


def seconds_of(value: Any) -> float | None:
    """A duration, if it can be one.

    Raises:
        Nonsense: if it cannot.
    """
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise Nonsense("a duration that cannot be")
    return float(value)


def frames_size(
    value: Any, wanted: int, resized: Resize | None, limits: Limits
) -> tuple[int, int, int]:
    """Number, height and width of the frames to come, if the request allows them.

    Raises:
        Nonsense: if it does not.
    """
    if not isinstance(value, list) or len(value) != 3 or {type(n) for n in value} != {int}:
        raise Nonsense("frames without a size")
    count, height, width = value
    if not 1 <= count <= wanted or min(height, width) < 1 or height * width > limits.pixels:
        raise Nonsense(f"{count} frames of {width} x {height}")
    if count * height * width * 3 > limits.memory:
        raise Nonsense("more frames than a worker can hold")
    if resized is not None:
        sides = {"shortest": [min(height, width)], "longest": [max(height, width)]}
        if any(s != resized.size for s in sides.get(resized.mode, [height, width])):
            raise Nonsense(f"frames of {width} x {height}, not resized as asked")
    return count, height, width
