"""Being asked to stop: SIGTERM from a scheduler, Ctrl-C from a person."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from actionclip.training.run.state import Progress


class Stopped(SystemExit):
    """Training was asked to stop; the same command goes on from there.

    Everything is `saved`, but between steps whose numbers were not finite: they are made again.
    The exit code is what shells expect: 143 after SIGTERM, 130 after Ctrl-C.
    """

    def __init__(self, number: int, progress: Progress) -> None:
        super().__init__(128 + number)
        self.number, self.step = number, progress.step
        self.saved = not progress.bad_in_a_row


class StopRequests:
    """Within it SIGTERM and SIGINT are noted instead of ending the process at once.

    A second signal acts as it would have without.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that came; 0: none yet."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._give_back()

    def _give_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
