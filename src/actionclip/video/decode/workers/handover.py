"""What the parent hands to a worker: a regular file, opened for reading only, or some images.

The parent alone touches the file system, and it follows a name to one place: the real path, which
has to be a regular file. A pipe would hang, a device would never end, and a name that FFmpeg takes
for an address (`concat:a|b`, `http://...`) is looked for among the files like any other name.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import Timeline, choose_for
from actionclip.video.settings import ReadRequest
from actionclip.video.sources import Source, frame_files

FRAMES_PER_SECOND = 25.0
"""Pace of a folder of frames, which says nothing about its own."""

IMAGE_BYTES = 256 * 2**20
"""Most bytes of images handed over for one request."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Handover:
    """One video on its way to a worker: either `file`, or `images` and `chosen`."""

    file: int | None = None
    """An open descriptor."""
    images: tuple[bytes, ...] | None = None
    """The files of the frames wanted, each once, in the order shown."""
    chosen: NDArray[np.int64] | None = None
    """Frame numbers in the folder, [windows, frames]."""
    count: int = 0
    """Frames in the folder."""

    def rewound(self) -> int | None:
        """The descriptor, set back to the file's first byte."""
        if self.file is not None:
            os.lseek(self.file, 0, os.SEEK_SET)  # a worker that died may have moved it
        return self.file


@contextmanager
def opened(source: Source, request: ReadRequest) -> Iterator[Handover]:
    """Open what a worker needs for one request, and close it afterwards.

    Raises:
        VideoError: with the code for what is wrong with the file or folder itself.
    """
    if source.kind == "frames":
        yield _images(source, request)
        return
    if source.data is not None:
        file = _in_memory(source.data)
    else:
        file = open_regular(source.path, missing=source.explain_missing)
    try:
        yield Handover(file)
    finally:
        os.close(file)


def open_regular(
    path: Path, *, missing: Callable[[], str] | None = None, may_be_empty: bool = False
) -> int:
    """A descriptor of a regular file, for reading; symbolic links are followed first.

    Args:
        path: which file.
        missing: says why there is none, better than the system does.
        may_be_empty: whether a file of 0 bytes will do.

    Raises:
        VideoError: `unreadable`, with what stands in the way.
    """
    try:
        real = os.path.realpath(path, strict=True)
        _refuse_unless_regular(Path(real).stat())  # before opening: opening a device can do things
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(real, flags)
    except (OSError, ValueError) as error:
        reason = _reason(error, missing)
        raise VideoError(reason, Outcome.UNREADABLE, hint="Check the path.") from None
    try:
        _refuse_unless_regular(os.fstat(file))  # it may have been replaced in between
        if not may_be_empty and not os.fstat(file).st_size:
            raise VideoError("The file is empty: it has 0 bytes.", Outcome.UNREADABLE)
    except VideoError:
        os.close(file)
        raise
    return file


def _refuse_unless_regular(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "something else")
        raise VideoError(f"It is {kind}, not a file.", Outcome.UNREADABLE, hint="Name a file.")


def _reason(error: OSError | ValueError, missing: Callable[[], str] | None) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR) and missing is not None:
        return missing()
    if number == errno.ELOOP:
        return "It is a symbolic link that leads back to itself."
    if number in (errno.EACCES, errno.EPERM):
        return "Reading it is not permitted."
    if isinstance(error, ValueError):
        return "No file can have this name."
    return f"It cannot be opened: {error.strerror}."


def _in_memory(data: bytes) -> int:
    """A descriptor of a file with this content and without a name."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("actionclip")
    else:
        with tempfile.TemporaryFile() as unnamed:
            file = os.dup(unnamed.fileno())
    with open(file, "wb", closefd=False) as stream:
        stream.write(data)
    return file


def _images(source: Source, request: ReadRequest) -> Handover:
    """The images of a folder that the request is about."""
    if source.data is not None:
        chosen = np.zeros((request.sampling.windows, request.sampling.frames), np.int64)
        return Handover(images=(source.data,), chosen=chosen, count=1)
    real = Path(os.path.realpath(source.path))
    paths = [real] if real.is_file() else frame_files(real)
    if not paths:
        raise VideoError("There are no images in this folder.", Outcome.NO_VIDEO)
    times = np.arange(len(paths)) / FRAMES_PER_SECOND
    timeline = Timeline(times, len(paths) / FRAMES_PER_SECOND)
    chosen = choose_for(request, timeline)
    images: list[bytes] = []
    left = IMAGE_BYTES
    for number in np.unique(chosen):
        images.append(_content(paths[number], left))
        left -= len(images[-1])
    return Handover(images=tuple(images), chosen=chosen, count=len(paths))


def _content(path: Path, most: int) -> bytes:
    """What is in an image, if it is one of the folder's own; an empty one is for the worker to
    judge, like any that does not decode.
    """
    try:
        if Path(os.path.realpath(path)).parent != path.parent:
            raise VideoError("It is a link that leads out of its folder.", Outcome.UNREADABLE)
        with open(open_regular(path, may_be_empty=True), "rb") as file:
            content = file.read(most + 1)
    except VideoError as error:
        raise VideoError(f"{path.name}: {error.what}", error.code) from None
    except OSError as error:
        raise VideoError(f"{path.name}: {error.strerror}.", Outcome.UNREADABLE) from None
    if len(content) > most:
        raise VideoError("Its images are too large in sum.", Outcome.TOO_LARGE)
    return content


def placed(clip: Clip, handover: Handover) -> Clip:
    """A clip read from images, told which frames of the folder they were."""
    if handover.chosen is None or clip.frames is None:
        return clip
    index = np.searchsorted(np.unique(handover.chosen), handover.chosen).astype(np.int64)
    return replace(
        clip,
        index=index,
        frame_numbers=handover.chosen,
        times=handover.chosen / FRAMES_PER_SECOND,
        seconds=handover.count / FRAMES_PER_SECOND,
    )
