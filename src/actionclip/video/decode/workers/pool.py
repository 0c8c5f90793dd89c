"""Videos are read by a few worker processes, in the order asked, whatever the files do.

Each worker process belongs to one thread of the pool, which hands it a video, waits with a
stop-watch, and replaces it when it died, hung, lied, or has done its share. So a bad file costs a
row and some seconds, never the run. The threads know nothing of the `DecodePool` object: when that
is closed, garbage-collected, or the interpreter ends, they and their processes end.
"""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast, get_args

from actionclip.errors import ActionCLIPError, unknown
from actionclip.processors import processors
from actionclip.video.decode.clip import Clip
from actionclip.video.decode.workers.handover import Handover, opened
from actionclip.video.decode.workers.process import Decoder, WorkerProcess, allowed_seconds
from actionclip.video.decode.workers.protocol import Nonsense
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits, ReadRequest, check_counts
from actionclip.video.sources import Source

MOST_WORKERS = 8
STRIKES = 2
"""Deaths of a worker on one video before the video gets the blame."""
STARTS = 5
"""Attempts to start a worker, should something kill it while it starts."""
LOOK_AHEAD = 2
"""Videos in work or waiting for the consumer, per worker."""
HEEDED = 0.1
"""Seconds after which it is asked again whether anybody still waits for a video."""


class DecodePool:
    """Reads videos in worker processes that hostile files cannot break out of.

    Safe to use from several threads. Also a context manager.

    Args:
        workers: how many processes; None takes one a processor, at most eight. They start when
            there is work for them.
        limits: what one video may cost.
        decoder: `pyav`, or `torchcodec` where that is installed.

    Raises:
        ActionCLIPError: for an unknown decoder, or a number of workers that is none.
    """

    def __init__(
        self, workers: int | None = None, limits: Limits | None = None, decoder: str = "pyav"
    ) -> None:
        check_pool(workers, decoder)
        self.workers = workers or min(processors(), MOST_WORKERS)
        self.limits = limits or Limits()
        self.decoder: Decoder = cast(Decoder, decoder)
        self._closed = False
        self._crew = self._hire()

    def read(
        self,
        source: Source,
        request: ReadRequest | None = None,
        *,
        heed: Callable[[], object] | None = None,
    ) -> Clip:
        """Read one video. A bad one is a clip with another status than `ok`, never an exception.

        Args:
            source: which video.
            request: which frames of it, and how large; where it names no stretch, the source may.
            heed: called now and then meanwhile; what it raises ends the reading, and the worker is
                free for other videos.

        Raises:
            ActionCLIPError: when no worker can be started here.
            RuntimeError: when the pool is closed.
        """
        future = self._submit(source, request or ReadRequest())
        if heed is not None:
            try:
                while not wait([future], HEEDED).done:
                    heed()
            except BaseException:
                self._crew.give_up(future)
                raise
        return _result(future)

    def read_all(
        self, sources: Iterable[Source], request: ReadRequest | None = None
    ) -> Iterator[Clip]:
        """Read many videos, in the order given; one clip for each.

        While the consumer is busy with a clip the next ones are being read, two for each worker
        and no more: `sources` may be endless and is pulled from as needed.

        Raises:
            ActionCLIPError: when no worker can be started here.
            RuntimeError: when the pool is closed.
        """
        request = request or ReadRequest()
        waiting: deque[Future[Clip]] = deque()
        try:
            for source in sources:
                waiting.append(self._submit(source, request))
                if len(waiting) >= LOOK_AHEAD * self.workers:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers there are just now."""
        return self._crew.pids

    def close(self) -> None:
        """End the workers. Videos in work are given up."""
        self._closed = True
        self._finalizer.detach()
        self._crew.dismiss()
        self._crew.join()

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, a pool arrives as a new one with the same settings."""
        return DecodePool, (self.workers, self.limits, self.decoder)

    def _submit(self, source: Source, request: ReadRequest) -> "Future[Clip]":
        if self._closed:
            raise RuntimeError("This pool of decoding workers is closed.")
        if self._crew.owner != os.getpid():  # after a fork: the parent's workers are not ours
            self._crew = self._hire()
        if request.start is None and request.end is None:
            request = replace(request, start=source.start, end=source.end)
        return self._crew.submit(source, request)

    def _hire(self) -> "_Crew":
        crew = _Crew(self.workers, self.limits, self.decoder)
        self._finalizer = weakref.finalize(self, crew.dismiss)
        return crew


def check_pool(workers: Any, decoder: Any) -> None:
    """Refuse what no pool can be made with.

    Raises:
        ActionCLIPError: for an unknown decoder, or a number of workers that is none.
    """
    if decoder not in get_args(Decoder):
        raise unknown("decoder", decoder, get_args(Decoder))
    if workers is not None:
        check_counts(workers=workers)


class _Crew:
    """The threads of a pool, and what they share. Holds no reference to the pool itself."""

    def __init__(self, size: int, limits: Limits, decoder: Decoder) -> None:
        self.owner = os.getpid()
        self.limits = limits
        self.decoder: Decoder = decoder
        self._size = size
        self._changed = threading.Condition()  # re-entrant: a finalizer may come in between
        self._tasks: deque[tuple[Future[Clip], Source, ReadRequest]] = deque()
        self._threads: list[threading.Thread] = []
        self._at_work: dict[Future[Clip], _Seat] = {}
        self._idle = 0
        self._running: set[WorkerProcess] = set()
        self._dismissed = False
        _crews.add(self)

    def submit(self, source: Source, request: ReadRequest) -> "Future[Clip]":
        """Line up a video, and hire one more thread if all are busy."""
        future: Future[Clip] = Future()
        with self._changed:
            self._tasks.append((future, source, request))
            if self._idle < len(self._tasks) and len(self._threads) < self._size:
                name = f"decoding-{len(self._threads)}"
                # A daemon, or the interpreter would wait for it before it ends the workers.
                thread = threading.Thread(target=_serve, args=(self,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()
        return future

    def next_task(self) -> tuple["Future[Clip]", Source, ReadRequest] | None:
        """Wait for something to do; None when there is nothing more to come."""
        with self._changed:
            self._idle += 1
            while not self._tasks and not self._dismissed:
                self._changed.wait()
            self._idle -= 1
            return None if self._dismissed else self._tasks.popleft()

    @contextmanager
    def at_work(self, future: "Future[Clip]", seat: "_Seat") -> Iterator[None]:
        """While a video is read there."""
        with self._changed:
            self._at_work[future], seat.given_up = seat, False
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[future]

    def give_up(self, future: "Future[Clip]") -> None:
        """End the reading of a video that nobody waits for any more."""
        if not future.cancel():  # its turn has come
            with self._changed:
                if future in self._at_work:
                    self._at_work[future].give_up()

    def start_worker(self) -> WorkerProcess:
        """A worker that is ready to be asked."""
        for attempt in range(1, STARTS + 1):
            with self._changed:
                if self._dismissed:
                    raise CancelledError
                worker = WorkerProcess(self.limits, self.decoder)
                self._running.add(worker)
            try:
                worker.greet()
            except (ConnectionError, Nonsense):
                self.retire(worker)
                if attempt == STARTS and not self._dismissed:
                    raise ActionCLIPError(
                        f"Decoding processes were killed {STARTS} times while starting.",
                        hint="Is there enough memory? See: actionclip doctor",
                    ) from None
            except BaseException:
                self.retire(worker)
                raise
            else:
                return worker
        raise AssertionError("the last attempt returns or raises")

    def retire(self, worker: WorkerProcess) -> None:
        """End a worker and forget it. Only the thread that it belongs to may do so."""
        worker.close()
        with self._changed:
            self._running.discard(worker)

    def dismiss(self) -> None:
        """End everything, at once and from any thread; the threads themselves end soon after."""
        if self.owner != os.getpid():
            return
        with self._changed:
            self._dismissed = True
            tasks, running = list(self._tasks), list(self._running)
            self._tasks.clear()
            self._changed.notify_all()
        for worker in running:
            worker.kill()
        for future, _, _ in tasks:
            future.cancel()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        with self._changed:
            return sorted(worker.pid for worker in self._running)

    @property
    def dismissed(self) -> bool:
        """Whether the end has come."""
        return self._dismissed

    def join(self) -> None:
        """Wait for the threads. Not from one of them, and not from a finalizer."""
        for thread in self._threads:
            thread.join()

    def forget(self) -> None:
        """In a forked process: let go of the parent's workers without touching them."""
        for worker in self._running:
            worker.forget()
        self._running.clear()


def _serve(crew: _Crew) -> None:
    """A thread: take a video, have it read, hand back the clip."""
    seat = _Seat(crew)
    try:
        while (task := crew.next_task()) is not None:
            future, source, request = task
            with crew.at_work(future, seat):
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(seat.read(source, request))
                    except BaseException as error:
                        future.set_exception(error)
            del task, future, source, request  # or the frames would live until the next video
    finally:
        seat.leave()


class _Seat:
    """A thread's place, with a worker in it most of the time."""

    def __init__(self, crew: _Crew) -> None:
        self._crew = crew
        self._worker: WorkerProcess | None = None
        self.given_up = False
        """Whether nobody waits for the video that is read."""

    def give_up(self) -> None:
        """End the reading of the video, and no other."""
        self.given_up = True
        if (worker := self._worker) is not None:
            worker.kill(seconds=0)

    def read(self, source: Source, request: ReadRequest) -> Clip:
        try:
            with opened(source, request) as handover:
                for _ in range(STRIKES):
                    clip = self._ask(source, handover, request)
                    if clip is not None:
                        return clip
        except VideoError as error:
            return Clip(source, error.code, error.what, advice=error.hint)
        return Clip(source, Outcome.CRASHED, f"The decoder died on this file {STRIKES} times.")

    def _ask(self, source: Source, handover: Handover, request: ReadRequest) -> Clip | None:
        """One attempt; None if the worker died of it."""
        if self._worker is not None and not self._worker.alive:
            self.leave()  # killed between two videos: neither is to blame
        if self._worker is None:
            self._worker = self._crew.start_worker()
        if self.given_up:
            raise CancelledError
        try:
            clip = self._worker.ask(source, handover, request)
        except ConnectionError:
            self.leave()
            if self._crew.dismissed or self.given_up:
                raise CancelledError from None
            return None
        except TimeoutError:
            self.leave()
            seconds = allowed_seconds(self._crew.limits, request)
            message = f"Reading it was given up after {seconds:g} seconds."
            return Clip(source, Outcome.TIMEOUT, message)
        except Nonsense as error:
            self.leave()
            return Clip(source, Outcome.CRASHED, f"The decoder answered {error}.")
        except BaseException:
            self.leave()
            raise
        if clip.status is Outcome.MEMORY or self._worker.clips >= self._crew.limits.recycle:
            self.leave()
        return clip

    def leave(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            self._crew.retire(worker)


_crews: "weakref.WeakSet[_Crew]" = weakref.WeakSet()


def _forget_after_fork() -> None:
    for crew in list(_crews):
        crew.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _result(future: "Future[Clip]") -> Clip:
    try:
        return future.result()
    except CancelledError:
        raise RuntimeError("This pool of decoding workers was closed meanwhile.") from None
