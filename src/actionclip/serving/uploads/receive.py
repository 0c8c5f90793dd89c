"""What a client sends, a piece at a time: fields and at most one video, within limits.

A body is JSON (no video), the bytes of a video as they are, or a form with several parts. Only the
fields are gathered in memory; slow senders, silent ones and those who send too much are stopped.
"""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from actionclip.serving.answers import RequestError, too_large, too_large_video
from actionclip.serving.settings import ServeConfig
from actionclip.serving.uploads.parts import Parts
from actionclip.serving.uploads.spool import Spool, Upload

MOST_QUERY = 1000
"""Fields in an address."""
AGAIN = 10
"""Seconds after which to ask again of a service that ends."""
LAST_SECONDS = 0.5
"""For which a service that ends still takes in what it has answered already."""


class Arrivals:
    """The bodies that are on their way, so that a service that ends need not wait for them."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._drains: set[asyncio.Timeout] = set()
        self.ended = False

    def end(self) -> None:
        """Let none of them come further. Called in the event loop."""
        self.ended = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)
        for drain in self._drains:
            drain.reschedule(min(drain.when() or now, now + LAST_SECONDS))

    @asynccontextmanager
    async def drained(self, seconds: float) -> AsyncIterator[None]:
        """So many seconds at most for a body that is answered already; fewer when the service ends.

        Raises:
            TimeoutError: when they are over.
        """
        async with asyncio.timeout(LAST_SECONDS if self.ended else seconds) as drain:
            self._drains.add(drain)
            try:
                yield
            finally:
                self._drains.discard(drain)

    async def next(self, request: Request, seconds: float) -> MutableMapping[str, Any]:
        """The next message of a request.

        Raises:
            TimeoutError: when it does not come in so many seconds.
            RequestError: 503 when the service ends.
        """
        try:
            async with asyncio.timeout(0 if self.ended else seconds) as wait:
                self._waits.add(wait)
                try:
                    return await request.receive()
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if not self.ended:
                raise
            raise RequestError(
                503,
                "ending",
                "The service is about to end.",
                hint="Send it again later: it may have been started anew by then.",
                wait=AGAIN,
            ) from None


class Received:
    """The fields of a request, the video where there was one, and what the client calls it."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.upload: Upload | None = None
        self.name = "video"

    def remove(self) -> None:
        """Delete the video."""
        if self.upload is not None:
            self.upload.remove()


async def receive(request: Request, spool: Spool, settings: ServeConfig) -> Received:
    """Read the whole body of a request.

    Raises:
        RequestError: for a body of another kind, one that is too large, too slow, or broken off.
            No file is left then.
    """
    received = Received()
    received.fields = _in_address(request)
    try:
        await _read(request, received, spool, settings)
    except BaseException:
        received.remove()
        raise
    return received


def fields_of(query: str) -> dict[str, Any]:
    """What an address says after its question mark; a field that is there several times is a list.

    Raises:
        RequestError: for too many fields.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_QUERY)
    except ValueError:
        raise RequestError(
            400, "request", f"There are more than {MOST_QUERY} fields in the address."
        ) from None
    return gathered(pairs)


def gathered(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Fields by name; one that is there several times is a list.

    >>> gathered([("labels", "running"), ("labels", "clapping"), ("top_k", "3")])
    {'labels': ['running', 'clapping'], 'top_k': '3'}
    """
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _in_address(request: Request) -> dict[str, Any]:
    return fields_of(request.scope["query_string"].decode("latin-1"))


async def receive_fields(request: Request, settings: ServeConfig) -> dict[str, Any]:
    """The fields of a request that is about no video.

    Raises:
        RequestError: 415 for a body that is not JSON, and as `receive`.
    """
    if (kind := _kind(request)) != "application/json":
        raise _unknown(kind, "Send the fields as application/json.")
    return _in_address(request) | await _json(request, settings)


async def _read(request: Request, received: Received, spool: Spool, settings: ServeConfig) -> None:
    kind = _kind(request)
    if kind == "application/json":
        received.fields |= await _json(request, settings)
    elif kind == "multipart/form-data":
        parts = Parts(request.headers["content-type"], settings)
        limit = settings.max_upload + 2 * settings.max_text
        refused = too_large_video("The form with its video", settings.max_upload)
        async for data in pieces(request, limit, settings, refused):
            for piece in parts.feed(data):
                if received.upload is None:
                    received.upload = spool.new(settings.max_upload)
                await _take(received.upload, piece)
        parts.end()
        received.fields |= gathered(parts.fields)
        received.name = parts.name or received.name
    elif kind == "application/octet-stream" or kind.startswith("video/"):
        received.upload = spool.new(settings.max_upload)
        limit = settings.max_upload
        async for data in pieces(request, limit, settings, too_large_video("The video", limit)):
            await _take(received.upload, data)
    else:
        raise _unknown(
            kind,
            "Send a video as application/octet-stream or video/*, a form as multipart/form-data "
            "(curl -F file=@clip.mp4), or fields alone as application/json.",
        )
    if received.upload is not None:
        await run_in_threadpool(received.upload.write)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unknown(kind: str, hint: str) -> RequestError:
    what = f"The content type is {kind!r}." if kind else "There is no content type."
    return RequestError(415, "type", what, hint=hint)


async def _take(upload: Upload, data: bytes) -> None:
    if upload.take(data):
        await run_in_threadpool(upload.write)


async def _json(request: Request, settings: ServeConfig) -> dict[str, Any]:
    limit = settings.max_text
    refused = too_large("The body", limit)
    text = b"".join([data async for data in pieces(request, limit, settings, refused)])
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()  # halves of characters are no text
    except (ValueError, RecursionError):
        raise RequestError(400, "request", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise RequestError(400, "request", "The body is JSON, but not an object: {…}.")
    return found


async def pieces(
    request: Request, limit: int, settings: ServeConfig, refused: RequestError
) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        request: whose body.
        limit: most bytes.
        settings: how slow and how silent a sender may be.
        refused: what is said beyond the limit.

    Raises:
        RequestError: `refused` beyond the limit (at once where the length is announced), 408 for a
            sender who is silent or slow, 400 for one who went away, 503 when the service ends.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise refused
    arrivals: Arrivals = request.app.state.arrivals
    loop = asyncio.get_running_loop()
    start, total = loop.time(), 0
    while True:
        left = start + 3 * settings.patience + total / settings.slowest - loop.time()
        try:
            message = await arrivals.next(request, min(settings.patience, max(left, 0)))
        except TimeoutError:
            raise RequestError(
                408,
                "slow",
                f"After {loop.time() - start:.0f} s only {total:,} bytes had come.",
                hint="Send it again over a faster connection.",
            ) from None
        if message["type"] == "http.disconnect":
            raise RequestError(400, "disconnected", "The client went away.")
        data = message.get("body", b"")
        total += len(data)
        if total > limit:
            raise refused
        if data:
            yield data
        if not message.get("more_body", False):
            return
