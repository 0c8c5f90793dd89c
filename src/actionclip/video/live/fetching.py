"""What a web server sends goes into a pipe, at whose other end a locked-in worker decodes.

The connection is this process's and the parsing of HTTP is Python's; FFmpeg sees bytes. Proxies are
not used, cookies are not kept, and a page that sends us on may send us to http and https only.
"""

import base64
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from actionclip.errors import ActionCLIPError
from actionclip.video.live.sources import PORTS

REDIRECTS = 5
BLOCK = 2**16


class Refused(ActionCLIPError):
    """The server answered, and will not send what was asked for."""


class Download:
    """A running download, and the end of the pipe to read it from.

    Args:
        address: http or https; a name and password in it are sent as HTTP's basic authentication,
            to that host only.
        patience: seconds the server may take to answer. Once it sends, who reads has to see
            whether it still does.

    Raises:
        Refused: it has no such stream.
        OSError: it cannot be reached.
    """

    def __init__(self, address: str, patience: float) -> None:
        self._socket, self._response = _ask(address, patience)
        self._socket.settimeout(None)
        self.pipe, self._end = os.pipe()
        self._length = self._response.length
        self._copied = 0
        self._thread = threading.Thread(target=self._copy, name="actionclip-http", daemon=True)
        self._thread.start()

    @property
    def complete(self) -> bool:
        """Whether the server said how long it is, and all of it came: a file, and not a camera."""
        return self._length is not None and self._copied >= self._length

    def _copy(self) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            while block := self._response.read1(BLOCK):
                self._copied += len(block)
                _write(self._end, block)
        os.close(self._end)

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # who waits for the server wakes up
        os.close(self.pipe)  # who waits for the worker, too
        self._thread.join()
        self._response.close()
        self._socket.close()


def _write(pipe: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _ask(address: str, patience: float) -> tuple[socket.socket, http.client.HTTPResponse]:
    """Ask for a stream, following where the server sends us."""
    try:
        return _followed(urlsplit(address), patience)
    except http.client.RemoteDisconnected:
        raise OSError("The server hung up.") from None
    except OSError:
        raise
    except (ValueError, http.client.InvalidURL):
        raise Refused("The server sends us on to what is no address.") from None
    except http.client.HTTPException as error:
        raise OSError(f"It does not speak HTTP ({type(error).__name__}).") from None


def _followed(
    parts: SplitResult, patience: float
) -> tuple[socket.socket, http.client.HTTPResponse]:
    for _ in range(REDIRECTS + 1):
        kept, response = _answer(parts, patience)
        if response.status == 200:
            return kept, response
        place = response.getheader("location")
        response.close()
        kept.close()
        if response.status not in (301, 302, 303, 307, 308) or not place:
            raise _refusal(response)
        parts = _next(parts, place)
    raise Refused(f"We were sent on more than {REDIRECTS} times.")


def _answer(parts: SplitResult, patience: float) -> tuple[socket.socket, http.client.HTTPResponse]:
    """The head of one answer, and the socket that the rest comes from."""
    connection = _connection(parts, patience)
    try:
        with _in_time(connection, patience):
            connection.connect()
            kept = connection.sock  # the connection forgets it where the stream never ends
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            connection.request("GET", path, headers=_headers(parts))
            return kept, connection.getresponse()
    except BaseException:
        connection.close()
        raise


@contextmanager
def _in_time(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Hang up when the time is over: a socket's own timeout begins anew with every byte.

    Raises:
        TimeoutError: it was over.
    """
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError, AttributeError):  # there may be no socket yet, or no more
            connection.sock.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(seconds, hang_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        watch.cancel()
    if late.is_set():
        raise TimeoutError


def _connection(parts: SplitResult, patience: float) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if parts.scheme == "https":
        secure = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=patience, context=secure)
    return http.client.HTTPConnection(host, port, timeout=patience)


def _headers(parts: SplitResult) -> Mapping[str, str]:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "actionclip"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return headers


def _refusal(response: http.client.HTTPResponse) -> ActionCLIPError | OSError:
    said = f"The server answers {response.status}."
    if response.status >= 500:  # it may be well again in a while
        return OSError(said)
    return Refused(said, hint="Check the address.")


def _next(parts: SplitResult, place: str) -> SplitResult:
    """Where a server sends us, if we go there."""
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    there = urlsplit(urljoin(bare.geturl(), place))
    weaker = parts.scheme == "https" and there.scheme == "http"
    if there.scheme not in ("http", "https") or weaker or not there.hostname:
        raise Refused(f"The server sends us on to {there.scheme}:, where we do not go.")
    if there.netloc == bare.netloc:  # the same host may see the password again
        there = there._replace(netloc=parts.netloc)
    return there
