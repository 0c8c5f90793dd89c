"""Keeps frames coming: connects, watches the worker, comes back after a loss, marks gaps.

One thread for each stream. It never decodes: it starts a worker, hands it what to read, checks what
it says, and puts frames and notices into a queue.
"""

import os
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from actionclip.errors import ActionCLIPError
from actionclip.video.decode.workers.handover import open_regular
from actionclip.video.decode.workers.process import LockedProcess
from actionclip.video.decode.workers.protocol import Nonsense
from actionclip.video.live.fetching import Download, Refused
from actionclip.video.live.messages import Ended, Picture, PlayRequest, play_header, receive
from actionclip.video.live.pace import StreamClock
from actionclip.video.live.queue import Connected, End, FrameQueue, Gap, LiveFrame, Lost
from actionclip.video.live.sources import PORTS, LiveSettings, LiveSource
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits, Resize

_WORKER = "actionclip.video.live.worker"
_LOOK = 0.2
"""Seconds between two looks at whether we are to stop."""
_GOODBYE = 2.0
_WAITING = 16
"""Frames that may wait where nobody says how many."""
_TRY = "`--retries` says how often to try."
_HINTS = {
    "camera": f"Is it plugged in, and not used by another program? {_TRY}",
    "http": f"Check the address, and that the other side is on. {_TRY}",
    "rtsp": f"Check the address, and that the other side is on. {_TRY}",
    "stdin": "A pipe cannot be wound back: send MPEG-TS or Matroska, not an ordinary MP4 file.",
}
_HOPELESS = (Outcome.NO_VIDEO, Outcome.UNSUPPORTED_CODEC, Outcome.TOO_LARGE, Outcome.UNREADABLE)


class _Ending(NamedTuple):
    """How a connection ended."""

    code: Outcome
    reason: str
    final: bool
    """Whether there is no point in coming back."""


class Feed:
    """The frames of one source, from a thread of their own.

    Args:
        source: what to watch.
        spacing: seconds between the frames that are wanted.
        resize: how they are made smaller.
        settings: how patiently.
        limits: what decoding may cost.
    """

    def __init__(
        self,
        source: LiveSource,
        *,
        spacing: float,
        resize: Resize | None = None,
        settings: LiveSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.source, self.settings = source, settings or LiveSettings()
        self.queue = FrameQueue(self.settings.queue or _WAITING)
        self.connections = self.gaps = 0
        self.gap_seconds = 0.0
        self._limits = limits or Limits()
        self._request = PlayRequest(
            spacing=spacing,
            resize=resize,
            speed=self.settings.speed if source.kind == "file" else None,
            patience=self.settings.stall,
        )
        self._gap = max(self.settings.gap, 3 * spacing)
        self._clock = StreamClock(
            live=source.kind != "file", gap=self._gap, pause=self.settings.stall
        )
        self._stall = self.settings.stall
        if source.kind == "file" and self.settings.speed:
            self._stall += 2 * spacing / self.settings.speed
        self._wanted = self._in_vain = 0
        self._last: float | None = None
        self._seen_before = self._seen = self._broken_before = self._broken = 0
        self._last_arrival = 0.0
        self._running: LockedProcess | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actionclip-live", daemon=True)

    @property
    def seen(self) -> int:
        """Frames decoded so far, wanted or not."""
        return self._seen_before + self._seen

    @property
    def broken(self) -> int:
        """Packets that did not decode."""
        return self._broken_before + self._broken

    @property
    def wanted(self) -> int:
        """Frames that came for the model so far, those dropped included."""
        return self._wanted

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait until the worker is gone; never long for a server that does not answer."""
        self._stop.set()
        self.queue.wake()
        if (worker := self._running) is not None:
            worker.kill()
        if self._thread.is_alive():
            self._thread.join(_GOODBYE)

    def _run(self) -> None:
        try:
            self.queue.put(End(self._watch()))
        except ActionCLIPError as error:
            self.queue.put(End(error))
        except Exception as error:  # the other thread must not wait for ever
            self.queue.put(End(ActionCLIPError(f"{self.source.name}: {error!r}")))
            raise

    def _watch(self) -> ActionCLIPError | None:
        """Connect again and again; what stopped it, or None where it ended by itself."""
        attempt = 0
        while not self._stop.is_set():
            before = self._wanted
            ending = self._connection()
            if self._stop.is_set():
                return None
            attempt = 1 if self._wanted > before else attempt + 1
            self._in_vain += self._wanted == before
            hint = _HINTS.get(self.source.kind)
            error = VideoError(f"{self.source.name}: {ending.reason}", ending.code, hint=hint)
            if ending.final or not self.source.comes_back:
                return None if ending.code is Outcome.OK else error
            if attempt > self.settings.retries:
                return error
            wait = self._back_off(attempt)
            self.queue.put(Lost(ending.reason, attempt, wait))
            self._stop.wait(wait)
        return None

    def _back_off(self, attempt: int) -> float:
        longest = min(self.settings.first_wait * 2 ** min(attempt - 1, 30), 1e9)
        return min(longest, self.settings.longest_wait) * random.uniform(0.5, 1)

    def _connection(self) -> _Ending:
        """One connection from its beginning to its end."""
        self._clock.reconnected()
        self._seen_before, self._seen = self.seen, 0
        self._broken_before, self._broken = self.broken, 0
        before = self._wanted
        try:
            with self._worker() as (worker, address):
                worker.greet()  # first, so that nothing piles up while it starts
                with self._descriptor() as (file, download):
                    try:
                        request = replace(self._request, address=address)
                        worker.channel.deadline = time.monotonic() + self.settings.stall
                        worker.channel.send(play_header(request), file=file)
                        ending = self._play(worker, file)
                    finally:
                        worker.kill()  # it holds the other end of the pipe
                    if download is not None and ending.code is Outcome.OK:
                        reason = "The server hung up."
                        return _Ending(Outcome.OK, reason, final=download.complete)
        except Refused as error:
            return _Ending(Outcome.UNREADABLE, error.what, final=True)
        except VideoError as error:  # the file itself
            return _Ending(error.code, error.what, final=True)
        except TimeoutError:
            ending = _Ending(Outcome.TIMEOUT, "No answer in time.", final=False)
        except Nonsense as error:
            ending = _Ending(Outcome.CRASHED, f"The decoder said {error}.", final=False)
        except ConnectionError as error:
            reason = "The decoder died." if error.errno is None else _said(error)
            code = Outcome.CRASHED if error.errno is None else Outcome.TIMEOUT
            ending = _Ending(code, reason, final=False)
        except OSError as error:
            ending = _Ending(Outcome.UNREADABLE, _said(error), final=False)
        hopeless = ending.code in _HOPELESS and ending.final and self._wanted == before
        return ending._replace(final=hopeless and self.connections == 0)

    def _play(self, worker: LockedProcess, file: int | None) -> _Ending:
        """Take what the worker sends until it says that this was all."""
        first, heard = True, time.monotonic()
        while not self._stop.is_set():
            if not worker.channel.ready(_LOOK):
                if self.source.kind == "stdin" and file is not None and not _has_more(file):
                    heard = time.monotonic()  # whoever sends has paused, which is no fault
                if time.monotonic() - heard > self._stall:
                    reason = f"No frame came for {self._stall:g} seconds."
                    return _Ending(Outcome.TIMEOUT, reason, final=False)
                continue
            worker.channel.deadline = time.monotonic() + self.settings.stall
            said = receive(worker.channel, self._request, self._limits)
            heard = time.monotonic()
            self._seen, self._broken = said.seen, said.broken
            if isinstance(said, Ended):
                reason = said.message or "The stream ended."
                return _Ending(said.code, reason, final=True)
            if first:
                first = False
                self.connections += 1
                self.queue.put(Connected(self.connections))
            self._take(said, heard)
        return _Ending(Outcome.OK, "Stopped.", final=True)

    def _take(self, picture: Picture, heard: float) -> None:
        """A frame goes into the queue, with a notice before it where there were none for long."""
        arrived = heard - picture.age
        time, jumped = self._clock.at(picture.stamp, arrived)
        missing = 0.0 if self._last is None else time - self._last
        if self._last is not None and (missing > self._gap or jumped):
            silent = arrived - self._last_arrival > self._gap
            reason = "the stream's clock jumped" if jumped and not silent else "no frames came"
            self.gaps += 1
            self.gap_seconds += missing
            self.queue.put(Gap(time, missing, reason))
        self._last, self._last_arrival = time, arrived
        frame = LiveFrame(picture.image, time, arrived, self._wanted)
        self._wanted += 1
        self.queue.put(frame, wait=self._request.speed == 0)

    @contextmanager
    def _descriptor(self) -> Iterator[tuple[int | None, Download | None]]:
        """What the worker reads from, if it is handed that."""
        kind, where = self.source.kind, self.source.where
        if kind == "http":
            download = Download(where, self.settings.stall)
            try:
                yield download.pipe, download
            finally:
                download.close()
        elif kind in ("file", "stdin"):
            file = open_regular(Path(where)) if kind == "file" else os.dup(0)
            try:
                yield file, None
            finally:
                os.close(file)
        else:
            yield None, None

    @contextmanager
    def _worker(self) -> Iterator[tuple[LockedProcess, str | None]]:
        """A worker, and the address it is to call, if it is."""
        address, start = None, {}
        if self.source.kind == "camera":
            start = {"camera": self.source.where}
        elif self.source.kind == "rtsp":
            address, port = _resolved(self.source.where, self._in_vain)
            start = {"port": port}
        worker = self._running = LockedProcess(_WORKER, self._limits, start)
        if self._stop.is_set():  # who closes may have looked a moment too early to see it
            worker.kill()
        try:
            yield worker, address
        finally:
            self._running = None
            worker.close()


def _has_more(file: int) -> bool:
    """Whether something waits to be read."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    with suppress(OSError):
        return bool(poll.poll(0))
    return True


def _resolved(address: str, turn: int) -> tuple[str, int]:
    """An RTSP address with a number for its host, because the worker can ask nobody; its port.

    Args:
        address: with a name or a number.
        turn: a host may have several numbers: which it is, counted round and round.

    Raises:
        OSError: when nobody knows the host.
    """
    parts = urlsplit(address)
    port = parts.port or PORTS["rtsp"]
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    number = str(found[turn % len(found)][4][0]).partition("%")[0]
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{number}]" if ":" in number else number
    return parts._replace(netloc=f"{user}{at}{host}:{port}").geturl(), port


def _said(error: OSError) -> str:
    """A sentence."""
    words = error.strerror or str(error) or type(error).__name__
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
