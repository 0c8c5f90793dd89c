"""What can be watched live, and what the word for it on the command line stands for.

A word is a camera's number, an address, `-`, or a file; nothing is opened or called here. Addresses
are refused unless the user allows the network.
"""

import os
import sys
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from actionclip.config import config
from actionclip.errors import ActionCLIPError

Kind = Literal["camera", "http", "rtsp", "stdin", "file"]

PORTS = {"http": 80, "https": 443, "rtsp": 554}
"""The schemes that are read, and their usual ports."""

ELSEWHERE = (
    *("rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "ftp", "sftp", "hls", "mms", "tcp", "ws"),
    *("file", "data", "concat", "pipe", "fd", "unix", "lavfi", "crypto", "subfile"),
)
"""Schemes that FFmpeg or others know and that are refused here by name."""


@config
class LiveSettings:
    """How patiently a source is watched."""

    stall: float = 10.0
    """Seconds without a frame after which a connection counts as lost."""
    retries: int = 10
    """Attempts in a row to come back, none of which gave a frame, before giving up."""
    first_wait: float = 0.5
    """Seconds before the first of them; each next one waits twice as long, less up to a half by
    chance, so that many watchers do not call at once."""
    longest_wait: float = 5.0
    gap: float = 1.0
    """Seconds without frames, in the stream's time, that count as a gap."""
    speed: float = 1.0
    """Of a file: 2 plays twice as fast; 0 as fast as frames are taken, and drops none."""
    queue: int | None = None
    """Frames that may wait; where more come, the oldest is dropped and counted. None: as many as
    the window has."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        for name in ("stall", "first_wait", "longest_wait", "gap"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ActionCLIPError(f"{name} is {value}.", expected="It must be above 0 seconds.")
        if not 0 <= self.speed < float("inf"):
            raise ActionCLIPError(f"speed is {self.speed}.", expected="It must be 0 or more.")
        if self.retries < 0 or (self.queue is not None and self.queue < 1):
            raise ActionCLIPError(
                f"retries is {self.retries} and queue is {self.queue}.",
                expected="There are no fewer than 0 retries, and at least 1 frame may wait.",
            )


class LiveSource(NamedTuple):
    """Something to watch."""

    kind: Kind
    name: str
    """For people: as it was given, but without a password."""
    where: str
    """A path, a device, or the address; may hold a password."""

    @property
    def comes_back(self) -> bool:
        """Whether a connection that is lost can be made again."""
        return self.kind in ("camera", "http", "rtsp")


def live_source(word: str | Path | int, *, allow_network: bool = False) -> LiveSource:
    """What a word stands for.

        >>> live_source(0).kind, live_source("-").kind, live_source("door.mp4").kind
        ('camera', 'stdin', 'file')
        >>> live_source("rtsp://me:secret@10.0.0.7/door", allow_network=True).name
        'rtsp://***@10.0.0.7/door'

    Args:
        word: a camera's number; `http://`, `https://` or `rtsp://` and an address; `-` for standard
            input; else a file.
        allow_network: whether an address may be called.

    Raises:
        ActionCLIPError: for an address without `allow_network`, a scheme that is not read, or a
            camera on a system whose cameras we do not know.
    """
    text = str(word)
    if text == "-":
        return LiveSource("stdin", "-", "-")
    if not isinstance(word, int) and exists(text):
        return LiveSource("file", text, text)
    if isinstance(word, int) or text.isdecimal():
        return LiveSource("camera", f"camera {int(text)}", _camera(int(text)))
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if "://" in text:
        return _address(text, scheme, allow_network=allow_network)
    if scheme in ELSEWHERE:
        raise _not_read(text, scheme)
    return LiveSource("file", text, text)


def exists(text: str) -> bool:
    """Whether that is there; an address may be longer than a name of a file can be."""
    return os.path.exists(text)  # noqa: PTH110  `Path.exists` raises for long ones


def _camera(number: int) -> str:
    """How the system names a camera."""
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}"
    if sys.platform == "darwin":
        return f"{number}:none"
    raise ActionCLIPError(
        f"Cameras are not read on {sys.platform}.", expected="Linux or macOS was expected."
    )


def camera_format(platform: str = sys.platform) -> str:
    """The name of FFmpeg's device for the cameras of a system."""
    return "avfoundation" if platform == "darwin" else "v4l2"


def _address(text: str, scheme: str, *, allow_network: bool) -> LiveSource:
    if scheme not in PORTS:
        raise _not_read(text, scheme)
    parts = _parts(text)
    if parts is None:
        raise ActionCLIPError(
            f"{scheme}:// is followed by no address.",
            expected=f"For example {scheme}://192.168.1.20/stream was expected.",
        )
    name = without_password(parts)
    if not allow_network:
        raise ActionCLIPError(
            f"{name} is an address, and the network is not allowed.",
            expected="Nothing is called unless you say so.",
            hint="Allow it with --allow-network (in Python: allow_network=True).",
        )
    return LiveSource("rtsp" if scheme == "rtsp" else "http", name, text)


def _parts(text: str) -> SplitResult | None:
    """The parts of an address that can be called; None if it cannot be one."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # refuses `a..b` and names that are too long
        usable = host and parts.port != 0
    except ValueError:
        return None
    return parts if usable and text.isascii() and text.isprintable() and " " not in text else None


def without_password(parts: SplitResult) -> str:
    """An address as it may be shown."""
    user, at, host = parts.netloc.rpartition("@")
    query = "?***" if parts.query else ""
    return f"{parts.scheme}://{'***' if user else ''}{at}{host}{parts.path}{query}"


def _not_read(text: str, scheme: str) -> ActionCLIPError:
    return ActionCLIPError(
        f"{scheme}: is not read.",
        expected="A camera's number, http://, https:// or rtsp://, - or a file was expected.",
        hint="Other streams come through a pipe: ffmpeg -i ADDRESS -f matroska - | "
        "actionclip stream - --labels ...",
    )
