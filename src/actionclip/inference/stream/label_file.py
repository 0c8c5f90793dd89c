"""Labels in a file that may change while a stream is watched.

The file is looked at twice a second. What is read has to stay the same for one look, so that an
editor that is still writing is not read halfway.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from actionclip.errors import ActionCLIPError

LOOK = 0.5
"""Seconds from look to look."""

_Mark: TypeAlias = tuple[int, int, int] | None


class LabelFile:
    """Tells when there is something new in a file, from a thread of its own.

    What it holds at the beginning counts as new: it may have changed since it was last read.

    Args:
        path: the file.
        changed: called with the path; may raise an `ActionCLIPError` for content it cannot use.
        complain: called with that error; and once when the file is gone.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[Path], None],
        complain: Callable[[ActionCLIPError], None],
    ) -> None:
        self.path = path
        self._changed, self._complain = changed, complain
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="actionclip-labels", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        known, last = None, self._mark()
        missed = last is None
        while not self._stop.wait(LOOK):
            now = self._mark()
            if now is not None:
                missed = False
            elif last is None and not missed:  # for two looks: it is not just being replaced
                missed = True
                hint = "Write it again, and it is read again."
                self._complain(ActionCLIPError(f"{self.path} is gone.", hint=hint))
            if now != known and now == last and now is not None:
                known = now
                try:
                    self._changed(self.path)
                except ActionCLIPError as error:
                    self._complain(error)
            last = now

    def _mark(self) -> _Mark:
        """What changes with the content; None while there is no such file."""
        try:
            info = self.path.stat()
        except OSError:
            return None
        return info.st_mtime_ns, info.st_size, info.st_ino
