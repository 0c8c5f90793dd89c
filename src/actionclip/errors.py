"""What goes wrong outside our code, said so that a person can act on it."""

import errno
import os
import re
import shutil
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class ActionCLIPError(Exception):
    """Something the user can put right: a file, a name, a setting. Never a bug.

    Three parts, each one or more whole sentences: what happened (with the value), what was
    expected, and what to do next. `str()` joins them.
    """

    def __init__(self, what: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.expected, self.hint) if part)


class StorageError(ActionCLIPError):
    """A result could not be written: the disk is full, or the place is not writable."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cannot_write(
    path: Path,
    error: Exception,
    *,
    needed: int | None = None,
    hint: str = "Free some space or choose another place.",
) -> StorageError:
    """The error for what could not be written, with how much room there is where that is why.

    Args:
        path: of the file or folder.
        error: what the system said, or a library in its place.
        needed: bytes that were to be written.
        hint: what to do next. Where a file is in the way of a folder there is only one thing.

    >>> print(cannot_write(Path("/etc/hosts/a.csv"), NotADirectoryError(20, "Not a directory")))
    /etc/hosts/a.csv could not be written: /etc/hosts is a file. Choose another place.
    """
    there = next(place for place in (path, *path.parents, Path("/")) if os.access(place, os.F_OK))
    if isinstance(error, (FileExistsError, NotADirectoryError)) and there.is_file():
        what = f"{path} could not be written: {there} is a file."
        return StorageError(what, hint="Choose another place.")
    said = getattr(error, "strerror", None) or str(error)
    expected = ""
    told = re.search(r"os error (\d+)", said)  # as libraries in Rust write it
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number in _FULL:
        expected = f"{shutil.disk_usage(there).free:,} bytes are free there."
        if needed is not None:
            expected = f"{needed:,} bytes are needed, and {expected}"
    return StorageError(f"{path} could not be written: {said}.", expected=expected, hint=hint)


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Args:
        path: of the file; folders that are not there yet could be made.

    Raises:
        StorageError: where a folder has its name, a file is in the way, or nothing may be written.
    """
    if is_stream(path) and os.access(path, os.W_OK):
        return
    if path.is_dir():
        number = errno.EISDIR
    else:
        there = next(place for place in path.absolute().parents if os.access(place, os.F_OK))
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return
        number = errno.EACCES if there.is_dir() else errno.ENOTDIR
        if hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY:
            number = errno.EROFS
    raise cannot_write(path, OSError(number, os.strerror(number)), hint="Choose another place.")


def is_stream(path: Path) -> bool:
    """Whether what is written to a path goes elsewhere: a pipe, a terminal, `/dev/null`.

    No file may take its place.

    >>> is_stream(Path("/dev/null"))
    True
    """
    if path.is_fifo() or path.is_char_device() or path.is_socket():
        return True
    # /dev/fd/1, and /dev/stdout that leads to it, may be files: of whoever started the program
    places = [path, path.readlink()] if path.is_symlink() else [path]
    return any(place.parent.resolve().is_relative_to("/proc") for place in places)


def unknown(kind: str, name: str, choices: Iterable[str]) -> ActionCLIPError:
    """The error for a name that is not among the choices, with the nearest one suggested.

    >>> print(unknown("visual prompt", "transv", ["meanp", "transf"]))
    No visual prompt is called 'transv'. Choose from: meanp, transf. Did you mean 'transf'?
    """
    known = sorted(choices)
    near = get_close_matches(name, known, n=1)
    return ActionCLIPError(
        f"No {kind} is called {name!r}.",
        expected=f"Choose from: {', '.join(known)}.",
        hint=f"Did you mean {near[0]!r}?" if near else "",
    )


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun, and what follows it, in the singular or the plural.

    >>> counted(1, "clip"), counted(2, "clip"), counted(1, "clip is", "clips are")
    ('1 clip', '2 clips', '1 clip is')
    """
    return f"{number} {one if number == 1 else several or one + 's'}"
