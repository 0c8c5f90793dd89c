"""The worker process: the one place where a stranger's file is taken apart.

It imports what decoding needs, locks itself in (see `sandbox`), and then answers one request after
the other until its parent hangs up. It never opens a file by name: each video comes as an open
descriptor, each image of a folder of frames as bytes. Torch stays outside, its address space alone
would break the memory limit.
"""

import ctypes
import importlib
import os
import site
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from PIL import Image

import actionclip
from actionclip.errors import ActionCLIPError
from actionclip.video.decode.images import read_images
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.decode.reading import Reading
from actionclip.video.decode.workers import sandbox
from actionclip.video.decode.workers.protocol import Channel, reading_header, request_from
from actionclip.video.film.messages import send_film, serve_record
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest

SAFE_LIBAVFORMAT = (62, 12)
"""That of FFmpeg 8.1: older ones overflow on hostile MP4 files (CVE-2026-40962)."""

_LOADED_LATE = (
    # What the libraries above import only when they need it, which is too late in a sandbox.
    "av.subtitles.codeccontext",
    "av.subtitles.stream",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_16",
    "encodings.unicode_escape",
    "numpy.ma",
    "numpy.random",
    "PIL.MpoImagePlugin",
    "PIL.WebPImagePlugin",
)

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")

Reader = Callable[[int, ReadRequest, Limits], Reading]


def main(start: dict[str, Any]) -> None:
    """Serve requests until the parent hangs up; never returns.

    Args:
        start: the socket's descriptor, the parent's process id, the decoder and the limits.
    """
    channel = Channel(socket.socket(fileno=start["socket"]))
    limits = Limits(**start["limits"])
    silence()
    try:
        read, report = _prepare(start, limits)
        channel.send({"sandbox": report, "libraries": libraries()})
    except ConnectionError:
        os._exit(0)  # the parent is gone
    except ActionCLIPError as error:
        channel.send({"refused": error.what, "expected": error.expected, "hint": error.hint})
        os._exit(1)
    try:
        while True:
            _answer(channel, read, limits)
    except ConnectionError:
        os._exit(0)  # quietly and at once: there is nothing here to tidy up


def _prepare(start: dict[str, Any], limits: Limits) -> tuple[Reader, sandbox.Report]:
    """Import everything, then lock the door."""
    load_the_rest()
    if start["decoder"] == "pyav":
        return read_video, sandbox.enter(
            memory=limits.memory, parent=start["parent"], written=start["written"]
        )

    from actionclip.video.decode import torchcodec

    # Torch maps more memory than any sensible limit, and imports more of itself as it goes.
    home = str(Path(actionclip.__file__).parent)
    own = [sys.prefix, sys.base_prefix, home, *site.getsitepackages(), *_LIBRARIES]
    return torchcodec.load(), sandbox.enter(memory=None, parent=start["parent"], readable=own)


def silence() -> None:
    """Nothing is worth reading on standard error: FFmpeg talks there about bad files."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


def load_the_rest() -> None:
    """Import what the libraries import when they need it: behind the door they could not."""
    for name in _LOADED_LATE:
        importlib.import_module(name)
    Image.preinit()  # the plugins for usual formats
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libgcc_s.so.1")  # the C library loads it when a thread is cancelled


def _answer(channel: Channel, read: Reader, limits: Limits) -> None:
    """Take one request and answer it."""
    header, file = channel.receive_with_file()
    if "film" in header:
        assert file is not None  # a film is a file
        send_film(channel, header, file, limits)
        return
    if "record" in header:
        assert file is not None
        serve_record(channel, header, file, limits)
        return
    request = request_from(header)
    images = [_receive_image(channel, length) for length in header["images"] or ()]
    try:
        if file is None:
            reading = read_images(images, request, limits)
        else:
            reading = read(file, request, limits)
    except MemoryError:
        reading = Reading(Outcome.MEMORY, "Decoding it ran out of memory.")
    except Exception as error:
        reading = Reading(Outcome.UNREADABLE, f"The decoder gave up: {_said(error)}")
    finally:
        if file is not None:
            os.close(file)
    header, arrays = reading_header(reading, notes=_warnings())
    channel.send(header, arrays)


def _receive_image(channel: Channel, length: int) -> bytes:
    image = bytearray(length)
    channel.receive_into(memoryview(image))
    return bytes(image)


def _said(error: BaseException) -> str:
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0] if words else ''}"[:500]


def libraries() -> str:
    """What decodes, with versions, and what is wrong with them."""
    versions = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    used = ", ".join(f"{name} {versions[name]}" for name in ("libavformat", "libavcodec"))
    return "; ".join([f"PyAV {av.__version__} with {used}", *_warnings()])


def _warnings() -> list[str]:
    if av.library_versions["libavformat"][:2] >= SAFE_LIBAVFORMAT:
        return []
    return ["FFmpeg's libraries are older than 8.1 and have known holes: upgrade PyAV."]
