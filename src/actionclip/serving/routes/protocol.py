"""uvicorn, with some things added: clients that never finish their headers are let go, those that
are too many are turned away, and the moments are told from which on others can connect, and can no
more.

Importing this needs the packages of `pip install 'actionclip[serve]'`.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

READ = 64 * 1024
"""Bytes taken from a connection at a time."""
AT_ONCE = 32
"""Connections accepted before it is seen how many they are."""
WAITING = 1024
"""Connections that the system keeps until they are accepted."""


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 waits for ever for the end of a request's headers; this does not."""

    patience = 10.0
    """Seconds from the first byte of a request (or from connecting) to the end of its headers."""
    most = 10**9
    """Connections at once."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client connected: the time runs."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio would read 256 KiB at a time, copied thrice
            transport.max_size = READ
        if len(self.connections) > self.most:
            self._refuse("503 Service Unavailable", "crowded", "Too many clients are connected.", 1)
        else:
            self._start()

    def data_received(self, data: bytes) -> None:
        """Bytes came: of headers until the request is whole, of its body after that."""
        if self.conn.their_state is h11.IDLE and self._deadline is None:
            self._start()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()

    def on_response_complete(self) -> None:
        """The next request may be on its way already."""
        super().on_response_complete()
        waiting, _ = self.conn.trailing_data
        if waiting and self.conn.their_state is h11.IDLE and self._deadline is None:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self.patience, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse("408 Request Timeout", "slow", "The headers did not come.")

    def _refuse(self, status: str, code: str, message: str, wait: int | None = None) -> None:
        """Say why, without a request that could be answered, and hang up."""
        hint = "" if wait is None else "Try again later."
        body = json.dumps({"error": {"code": code, "message": message, "hint": hint}})
        lines = [f"HTTP/1.1 {status}", "Connection: close", "Content-Type: application/json"]
        lines += [] if wait is None else [f"Retry-After: {wait}"]
        lines += [f"Content-Length: {len(body)}", "", body]
        self.transport.write("\r\n".join(lines).encode())
        self.transport.close()


def patient_for(seconds: float, most: float) -> type[PatientProtocol]:
    """The protocol with another patience and number of clients; uvicorn wants a class."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": seconds, "most": most})


class Server(uvicorn.Server):
    """uvicorn's server.

    Args:
        config: as for uvicorn.
        ready: called when clients can connect.
        ending: called when it begins to end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)  # asyncio has one number for this and for AT_ONCE
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, and end."""
        self._ending()
        await super().shutdown(sockets)
