"""Who may ask, and what every answer says about itself. Runs before any route does.

- On loopback the header `Host` has to name this machine: a page elsewhere whose name was made to
  point here (DNS rebinding) names itself.
- A request that a page of another origin sends is refused; there are no CORS headers. A name that
  was allowed is ours, also where a proxy does not pass on the header `Host`.
- Where a token is set, everything but the page and the reference needs it; it is compared in
  constant time.
- An answer that comes before the whole body was read ends the connection, after what is under way
  was taken in for a moment: closing at once could lose the answer.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from actionclip.serving.answers import RequestError
from actionclip.serving.settings import MIB, ServeConfig
from actionclip.serving.uploads.receive import Arrivals

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the page may load: only what comes from here."""
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}
OWN_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])
OWN_SITES = frozenset(["none", "same-origin"])
"""Whom `Sec-Fetch-Site` may name: nobody (an address that was typed), or the page itself."""
OPEN_PATHS = frozenset(["/", "/health", "/docs", "/openapi.json", "/favicon.ico"])
"""What needs no token: page and reference are the same for everybody; `/health` says less then."""
OPEN_FOLDER = "/page/"
DRAINED, DRAIN_SECONDS = 64 * MIB, 5.0
"""What is still taken in after an answer, at most."""


class Guard:
    """The outermost layer of the service.

    Args:
        app: what answers.
        settings: host and token.
        arrivals: told of bodies that are still taken in after their answer.
    """

    def __init__(self, app: App, settings: ServeConfig, arrivals: Arrivals | None = None) -> None:
        self._app, self._settings = app, settings
        self._arrivals = arrivals or Arrivals()
        own = {settings.host.lower(), f"[{settings.host.lower()}]"}
        self._allowed = {_without_port(name.lower()) for name in settings.allow_hosts}
        self._names = OWN_NAMES | own | self._allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._arrivals)
        try:
            self._check(scope)
        except RequestError as error:
            await exchange.refuse(error)
            return
        await self._app(scope, exchange.receive, exchange.send)

    def _check(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "").lower()
        if self._settings.on_loopback and _without_port(host) not in self._names:
            raise RequestError(
                403,
                "host",
                f"This service is not called {host[:100]!r}.",
                hint="Use 127.0.0.1 or localhost; or start it with --allow-host NAME.",
            )
        origin = headers.get(b"origin")
        asking = host if origin is None else origin.lower().partition("://")[2]
        foreign = asking != host and _without_port(asking) not in self._allowed
        if foreign or headers.get(b"sec-fetch-site", "none") not in OWN_SITES:
            if scope["method"] == "GET" and scope["path"] == "/" and origin is None:
                return  # a link on another page leads here
            raise RequestError(
                403,
                "origin",
                "Pages of other origins may not use this service.",
                hint="If it is its own page behind a proxy, start it with --allow-host NAME.",
            )
        scope["state"] = {**scope.get("state", {}), "known": self._is_known(headers)}
        path = scope["path"]
        is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
        if not scope["state"]["known"] and not is_open:
            raise RequestError(
                401, "token", "The token is missing or wrong.", hint="Authorization: Bearer TOKEN"
            )

    def _is_known(self, headers: dict[bytes, str]) -> bool:
        token = self._settings.token
        if token is None:
            return True
        kind, _, given = headers.get(b"authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else ""
        return hmac.compare_digest(given.encode(), token.encode())


class _Exchange:
    """One request and its answer, with headers added and the end of the body looked after."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, arrivals: Arrivals) -> None:
        self._receive, self._send, self._arrivals = receive, send, arrivals
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0").strip()
        self._whole = b"transfer-encoding" not in headers and length == b"0"
        self._held_back = headers.get(b"expect", b"").lower() == b"100-continue"

    async def receive(self) -> Message:
        """A piece of the body."""
        self._held_back = False
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._whole = True
        return message

    async def send(self, message: Message) -> None:
        """A piece of the answer."""
        if message["type"] == "http.response.start":
            own = list(message["headers"])
            names = {name.lower() for name, _ in own}
            own += [(name, value) for name, value in HEADERS.items() if name not in names]
            self._early = not self._whole
            message["headers"] = [*own, (b"connection", b"close")] if self._early else own
            await self._send(message)
        elif self._early and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            if not self._held_back:
                await self._drain()
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    async def refuse(self, error: RequestError) -> None:
        """Answer with an error."""
        body = json.dumps(error.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= error.headers | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": error.status, "headers": pairs}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        taken = 0
        try:
            async with self._arrivals.drained(DRAIN_SECONDS):
                while not self._whole and taken < DRAINED:
                    taken += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass


def _without_port(host: str) -> str:
    """The name in a header `Host`.

    >>> [_without_port(host) for host in ("localhost:8000", "[::1]:8000", "example.org")]
    ['localhost', '[::1]', 'example.org']
    """
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
