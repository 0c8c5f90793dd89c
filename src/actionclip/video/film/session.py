"""A film seen from the parent: parts come from a worker process of its own, read ahead by a thread.

The worker is locked in like every decoding worker, and has a stop-watch: each part has to come in
time. When it hangs or dies, what came before stays, and the last part says so.
"""

import queue
import threading
import time
from collections.abc import Iterator

import numpy as np

from actionclip.errors import ActionCLIPError
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.decode.workers.handover import opened
from actionclip.video.decode.workers.process import WorkerProcess
from actionclip.video.decode.workers.protocol import Nonsense
from actionclip.video.film.folder import read_folder
from actionclip.video.film.messages import film_header, receive_part
from actionclip.video.film.part import Part, failed
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import TICK, paced
from actionclip.video.settings import GridRequest, Limits, ReadRequest
from actionclip.video.sources import Source

AHEAD = 2
"""Parts waiting for the consumer; so many times the memory of one."""
STRIKES = 2
"""Attempts to read a film that kills its worker before the first part."""
ARRAY_RATE = 25.0
"""Frames per second assumed for frames that come without times."""


def film(source: Source, request: GridRequest, limits: Limits | None = None) -> Iterator[Part]:
    """The parts of a film, in order; the last one says how it went. A bad film never raises.

    While the consumer is busy with a part, the next ones are being decoded. Closing the iterator
    ends the worker.

    Args:
        source: a file, or a folder of frames. Its own start and end are not regarded.
        request: how dense the grid is.
        limits: what it may cost; `seconds` and `seconds_per_frame` are for each part.

    Raises:
        ActionCLIPError: when no worker can be started here.
    """
    limits = limits or Limits()
    if source.kind == "frames":
        yield from read_folder(source, request, limits)
        return
    reader = _Reader(source, request, limits)
    try:
        yield from reader.parts()
    finally:
        reader.close()


class _Reader:
    """The thread that waits for a worker."""

    def __init__(self, source: Source, request: GridRequest, limits: Limits) -> None:
        self.source, self.request, self.limits = source, request, limits
        self._parts: queue.Queue[Part | BaseException] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._worker: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    def parts(self) -> Iterator[Part]:
        """Each part as it comes."""
        while True:
            part = self._parts.get()
            if isinstance(part, BaseException):
                raise part
            yield part
            if part.done:
                return

    def close(self) -> None:
        """End the worker and the thread."""
        self._closed.set()
        with self._lock:
            if self._worker is not None:
                self._worker.kill()
        while self._thread.is_alive():
            try:  # it may wait for room
                self._parts.get_nowait()
            except queue.Empty:
                self._thread.join(0.01)

    def _run(self) -> None:
        try:
            with opened(self.source, ReadRequest()) as handover:
                for strike in range(1, STRIKES + 1):
                    if self._attempt(handover.rewound(), last=strike == STRIKES):
                        return
        except VideoError as error:
            self._parts.put(failed(error.code, error.what, advice=error.hint))
        except BaseException as error:
            self._parts.put(error)

    def _attempt(self, file: int | None, *, last: bool) -> bool:
        """Read the film; False if the worker died before it had said anything, but for the last."""
        assert file is not None
        worker = self._hire()
        came, spacing = 0.0, self.request.spacing
        try:
            worker.greet()
            worker.channel.deadline = time.monotonic() + self._patience
            worker.channel.send(film_header(self.request), file=file)
            while True:
                worker.channel.deadline = time.monotonic() + self._patience
                part = receive_part(worker.channel, self.request, self.limits)
                came, spacing = came + len(part) * part.spacing, part.spacing
                self._parts.put(part)
                if part.done or self._closed.is_set():
                    return True
        except (ConnectionError, TimeoutError, Nonsense) as error:
            if self._closed.is_set():
                return True
            if isinstance(error, ConnectionError) and not came and not last:
                return False
            self._parts.put(self._broken(error, came, spacing))
            return True
        finally:
            with self._lock:
                self._worker = None
                worker.close()

    def _hire(self) -> WorkerProcess:
        with self._lock:
            if self._closed.is_set():
                raise ActionCLIPError("Reading this film was given up.")
            self._worker = WorkerProcess(self.limits, "pyav")
            return self._worker

    @property
    def _patience(self) -> float:
        return self.limits.seconds + self.limits.seconds_per_frame * self.request.points

    def _broken(self, error: Exception, came: float, spacing: float) -> Part:
        """The last part after a worker died, hung or lied."""
        code, message = Outcome.CRASHED, f"The decoder answered {error}."
        if isinstance(error, TimeoutError):
            code = Outcome.TIMEOUT
            message = f"Reading was given up after {self._patience:g} seconds without a frame."
        elif isinstance(error, ConnectionError):
            message = "The decoder died on this file."
        if came:
            code, message = Outcome.DEGRADED, f"After {came:.1f} s: {message}"
        return failed(code, message, spacing=spacing)


def film_of_array(frames: np.ndarray, request: GridRequest) -> Iterator[Part]:
    """Frames in memory, uint8 [T, H, W, 3] in RGB, as the parts of a film at 25 a second."""
    spacing, first = paced(request.spacing, ARRAY_RATE, even=request.even)
    seconds = len(frames) / ARRAY_RATE
    points = np.arange(first, max(seconds, first + TICK), spacing)
    shown = ((points + TICK) * ARRAY_RATE).astype(np.int64).clip(max=len(frames) - 1)
    pictures = Pictures(request.resize, Limits(), request.points)
    for start in range(0, max(len(shown), 1), request.points):
        numbers, index = np.unique(shown[start : start + request.points], return_inverse=True)
        last = start + request.points >= len(shown)
        yield Part(
            frames=np.stack([pictures.fit(frames[n]) for n in numbers]) if len(numbers) else None,
            index=index.astype(np.int64),
            spacing=spacing,
            promised=seconds,
            done=last,
            seconds=seconds,
            size=(frames.shape[1], frames.shape[2]) if last else None,
            notes=(f"no times given: {ARRAY_RATE:g} frames per second assumed",) if last else (),
            decoder="none",
        )
