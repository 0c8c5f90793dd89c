"""Requests that come at the same time go through the model together.

One thread works with the image tower. While it is busy, clips that were decoded meanwhile gather;
it takes all that have the same views in one pass. When others are being decoded it waits some
milliseconds for them. Long work stops between two passes when its client has gone away.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.encoder import FRAMES_AT_ONCE, VideoEncoder, Views
from actionclip.model.actionclip import ActionCLIP
from actionclip.serving.answers import RequestError
from actionclip.video.decode.clip import Clip

T = TypeVar("T")
Heed: TypeAlias = Callable[[], None]
"""Called now and then by long work; raises when nobody waits for it any more."""
GATHER = 0.004
"""Seconds to wait for clips that are being decoded."""


@dataclass
class _Wanted:
    clip: Clip
    views: Views
    answer: "Future[Tensor]" = field(default_factory=Future)


class Batcher:
    """Clips in, vectors out, many at a time.

    Args:
        encoder: whose model is used.
        expected: how many more clips are on their way at the moment.
    """

    def __init__(self, encoder: VideoEncoder, expected: Callable[[], int]) -> None:
        self._encoder, self._expected = encoder, expected
        self._waiting: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self.passes: list[int] = [0, 0]
        """How many passes there were, and how many clips in them."""
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def encode(self, clip: Clip, views: Views) -> "Future[Tensor]":
        """The unit vectors [V, D] of a clip that has frames."""
        wanted = _Wanted(clip, views)
        self._waiting.put(wanted)
        return wanted.answer

    def close(self) -> None:
        """Finish what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            going_on = self._gather(batch, max(1, FRAMES_AT_ONCE // first.views.frames))
            by_views: dict[Views, list[_Wanted]] = {}
            for wanted in batch:
                by_views.setdefault(wanted.views, []).append(wanted)
            for views, group in by_views.items():
                self._encode(group, views)
            del first, batch, by_views  # or the frames would live until the next request
            if not going_on:
                return

    def _gather(self, batch: list[_Wanted], most: int) -> bool:
        """Take what waits and what comes soon; False when the end has come."""
        until = time.monotonic() + GATHER
        while len(batch) < most:
            patience = until - time.monotonic() if self._expected() > len(batch) else 0
            try:
                wanted = self._waiting.get(timeout=max(patience, 0))
            except queue.Empty:
                return True
            if wanted is None:
                return False
            batch.append(wanted)
        return True

    def _encode(self, group: list[_Wanted], views: Views) -> None:
        """One pass for all; should it fail, one for each, so that only its cause fails."""
        group = [wanted for wanted in group if wanted.answer.set_running_or_notify_cancel()]
        for some in [group] if len(group) == 1 else [group, *([one] for one in group)]:
            try:
                found = self._encoder.forward([wanted.clip for wanted in some], views)
            except BaseException as error:
                if len(some) == 1:
                    some[0].answer.set_exception(error)
                continue
            self.passes[0] += 1
            self.passes[1] += len(some)
            for wanted, vectors in zip(some, found, strict=True):
                wanted.answer.set_result(vectors.clone())
            if len(some) == len(group):
                return


def one_at_a_time(model: ActionCLIP) -> None:
    """Let threads take turns at a model's image tower, and heed before each pass (`heeding`)."""
    lock, encode = threading.RLock(), model.encode_frames

    def encode_alone(frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        with lock:
            getattr(_mine, "heed", _nothing)()
            return encode(frames)

    model.encode_frames = encode_alone  # type: ignore[method-assign]


_mine = threading.local()


def _nothing() -> None:
    pass


@contextmanager
def heeding(heed: Heed) -> Iterator[None]:
    """Let passes of this thread through the image tower be made only while somebody waits."""
    _mine.heed = heed
    try:
        yield
    finally:
        del _mine.heed


async def while_wanted(pool: ThreadPoolExecutor, work: Callable[[Heed], T]) -> T:
    """Something long in a thread; when its client goes away it is told so, and waited for.

    So whoever counts what is worked on counts it for as long as the thread is not free.
    """
    gone = threading.Event()

    def heed() -> None:
        if gone.is_set():
            raise RequestError(400, "disconnected", "The client went away.")

    future = pool.submit(work, heed)
    answer = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        gone.set()
        if not future.cancel():
            await asyncio.wait({answer})
        raise
