"""Where uploads lie while they are worked on: a folder of this process, and nothing left behind.

The folder is locked while its process lives. Whoever starts next removes the folders nobody holds:
those of processes that were killed. What else tidies up there may remove it while the process
lives: then it is made anew.
"""

import errno
import fcntl
import hashlib
import math
import os
import resource
import secrets
import shutil
import tempfile
import threading
from pathlib import Path

from actionclip.errors import StorageError
from actionclip.serving.answers import RequestError, too_large_video

PREFIX = "actionclip-serve-"
LOCK = "lock"
BLOCK = 64 * 1024
"""Bytes gathered before they are written: little, for there may be many uploads at once."""
RESERVED = 64
"""Open files that are left for everything but uploads and their connections."""
FEWEST = 4
"""Uploads at once, however few files may be open."""


def most_at_once() -> float:
    """Uploads, or connections, for which the files suffice that this process may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FEWEST, (files - RESERVED) // 2) if files > 0 else math.inf


class Spool:
    """A folder for uploads.

    Args:
        parent: where it is made; None: the system's folder for temporary files.
        limit: most bytes in it.

    Raises:
        StorageError: when it cannot be made.
    """

    def __init__(self, parent: Path | None, limit: int) -> None:
        self.place = _temporary() if parent is None else parent
        self.limit, self.used = limit, 0
        self._most = most_at_once()
        self._arriving: set[Path] = set()
        self._counting = threading.Lock()
        try:
            sweep(self.place)
            self.folder, self._lock = self._make()
        except OSError as error:
            raise _no_place(f"in {self.place}: {error.strerror}") from None

    def _make(self) -> tuple[Path, int]:
        """A new folder, and the file that is locked while it is in use."""
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.place))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder, lock

    def new(self, most: int) -> "Upload":
        """An empty file of at most `most` bytes. Its name has nothing to do with the client's.

        Raises:
            RequestError: 507 when it cannot be made; 429 when there are too many of them.
        """
        if len(self._arriving) >= self._most:
            raise _busy("Too many videos arrive or are worked on.")
        name = secrets.token_hex(16)
        try:
            try:
                return Upload(self, self.folder / name, most)
            except FileNotFoundError:
                before = self._lock
                self.folder, self._lock = self._make()
                os.close(before)
                return Upload(self, self.folder / name, most)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise _busy("Too many files are open.") from None
            raise _cannot_keep(error) from None

    def began(self, path: Path) -> None:
        """A file that arrives is open."""
        self._arriving.add(path)

    def ended(self, path: Path) -> None:
        """It is not any more."""
        self._arriving.discard(path)

    def take(self, count: int) -> None:
        """Set bytes aside.

        Raises:
            RequestError: 429 when all that may lie here lies here.
        """
        with self._counting:
            if self.used + count <= self.limit:
                self.used += count
                return
        raise _busy("The disk space for uploads is taken.")

    def give_back(self, count: int) -> None:
        """Bytes that are not needed any more."""
        with self._counting:
            self.used -= count

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


class Upload:
    """One file that arrives. `remove` in every case."""

    def __init__(self, spool: Spool, path: Path, most: int) -> None:
        self.path, self.size = path, 0
        self._spool, self._most = spool, most
        self._file = path.open("xb", buffering=0)
        spool.began(path)
        self._hash = hashlib.sha256()
        self._waiting = bytearray()

    def take(self, data: bytes) -> bool:
        """Some more of the file; whether it is time to `write`.

        Raises:
            RequestError: 413 beyond the limit, 429 when the disk space for uploads is taken.
        """
        if self.size + len(data) > self._most:
            raise too_large_video("The video", self._most)
        self._spool.take(len(data))
        self.size += len(data)
        self._waiting += data
        return len(self._waiting) >= BLOCK

    def write(self) -> None:
        """Put what was taken onto the disk. Runs in a thread.

        Raises:
            RequestError: 507 when the disk is full.
        """
        data, self._waiting = self._waiting, bytearray()
        self._hash.update(data)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _cannot_keep(error) from None

    @property
    def digest(self) -> str:
        """A hash of the content, once all of it is written."""
        return self._hash.hexdigest()

    def remove(self) -> None:
        """Delete the file, whatever state it is in. May take a moment: better in a thread."""
        self._file.close()
        self._spool.ended(self.path)
        self.path.unlink(missing_ok=True)
        self._spool.give_back(self.size)
        self.size = 0


def sweep(place: Path) -> list[Path]:
    """Remove the folders of services that were killed; those removed."""
    removed = []
    for folder in place.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        except OSError:
            pass  # somebody is at work there
        finally:
            os.close(lock)
    return removed


def _temporary() -> Path:
    """The system's folder for temporary files."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        raise _no_place("in any of the system's folders for temporary files") from None


def _no_place(where: str) -> StorageError:
    return StorageError(
        f"Uploads cannot be kept {where}.",
        hint="Name a place that is writable with --uploads FOLDER.",
    )


def _busy(what: str) -> RequestError:
    return RequestError(429, "busy", what, hint="Send it again later.", wait=10)


def _cannot_keep(error: OSError) -> RequestError:
    return RequestError(
        507,
        "storage",
        f"The video cannot be kept while it is worked on: {error.strerror}.",
        hint="Try again later; whoever runs the service has to make room.",
    )
