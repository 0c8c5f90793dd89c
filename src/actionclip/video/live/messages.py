"""What the parent and a worker that plays a stream say to each other.

As everywhere (see `video/decode/workers/protocol.py`) a JSON header and then raw bytes, and what
the worker says is checked before it is believed: it reads what a stranger sends.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actionclip.config import config
from actionclip.video.decode.workers.protocol import Channel, Nonsense, clean
from actionclip.video.outcomes import Outcome
from actionclip.video.resize import resized_size
from actionclip.video.settings import Limits, Resize

MOST_AGE = 60.0
"""Seconds that a worker may claim to have worked on a frame."""


@config
class PlayRequest:
    """What a worker is to play."""

    spacing: float
    """Seconds between the frames that are wanted."""
    resize: Resize | None = None
    """None: frames keep their size."""
    speed: float | None = None
    """Of a file: how fast it plays; 0 as fast as it can. None: frames come when they come."""
    address: str | None = None
    """Of a camera in the network, with a number for its host."""
    patience: float = 10.0
    """Seconds a worker waits for the network."""


class Picture(NamedTuple):
    """A frame as the worker sends it."""

    image: NDArray[np.uint8]
    """RGB, [H, W, 3]."""
    stamp: float | None
    """Seconds on the stream's own clock; None if it has none."""
    age: float
    """Seconds since the worker had read all of it."""
    seen: int
    """Frames of this connection decoded so far, wanted or not."""
    broken: int
    """Packets that did not decode."""


class Ended(NamedTuple):
    """The worker's last word."""

    code: Outcome
    """`ok` where the stream simply ended."""
    message: str
    seen: int = 0
    broken: int = 0


def play_header(request: PlayRequest) -> dict[str, Any]:
    """A request in JSON's terms."""
    return asdict(request)


def play_from(header: Mapping[str, Any]) -> PlayRequest:
    """The request that `play_header` wrote."""
    resize = header["resize"]
    return PlayRequest(**{**header, "resize": None if resize is None else Resize(**resize)})


def send_picture(channel: Channel, picture: Picture) -> None:
    """The worker's side: one frame."""
    header = {
        "size": list(picture.image.shape[:2]),
        "stamp": picture.stamp,
        "age": picture.age,
        "seen": picture.seen,
        "broken": picture.broken,
    }
    channel.send(header, [np.ascontiguousarray(picture.image).data])


def send_end(channel: Channel, ended: Ended) -> None:
    """The worker's side: nothing more comes."""
    counts = {"seen": ended.seen, "broken": ended.broken}
    channel.send({"ended": ended.code.value, "message": ended.message, **counts})


def receive(channel: Channel, request: PlayRequest, limits: Limits) -> Picture | Ended:
    """What the worker says next, believed only where it can be true.

    Raises:
        ConnectionError: the worker is gone.
        TimeoutError: the channel's deadline passed.
        Nonsense: it cannot be true.
    """
    header = channel.receive()
    seen, broken = (_count(header.get(name)) for name in ("seen", "broken"))
    if "ended" in header:
        code = header["ended"]
        if not isinstance(code, str) or code not in list(Outcome):
            raise Nonsense("an outcome that does not exist")
        return Ended(Outcome(code), clean(header.get("message")), seen, broken)
    stamp = header.get("stamp")
    stamp = None if stamp is None else _number(stamp)
    age = _number(header.get("age"))
    if not 0 <= age <= MOST_AGE:
        raise Nonsense(f"a frame that is {age} seconds old")
    height, width = _size(header.get("size"), request, limits)
    image = channel.receive_array((height, width, 3), np.uint8)
    return Picture(image, stamp, age, seen, broken)


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e15:
        raise Nonsense("a number that is none")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise Nonsense("a count that is none")
    return value


def _size(value: Any, request: PlayRequest, limits: Limits) -> tuple[int, int]:
    """Height and width of the frame to come, if the request allows them."""
    if not isinstance(value, list) or len(value) != 2 or {type(n) for n in value} != {int}:
        raise Nonsense("a frame without a size")
    height, width = value
    if min(height, width) < 1 or height * width > limits.pixels:
        raise Nonsense(f"a frame of {width} x {height}")
    if height * width * 3 > limits.memory:
        raise Nonsense("a frame larger than a worker can hold")
    if request.resize is not None:
        rows, columns = resized_size(height, width, request.resize)
        if (rows, columns) != (height, width):
            raise Nonsense(f"a frame of {width} x {height}, not resized as asked")
    return height, width
