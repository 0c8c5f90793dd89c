"""The service as a process: a socket, a token, uvicorn, and an orderly end."""

import secrets
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

from actionclip.errors import ActionCLIPError
from actionclip.inference.recognizer import Recognizer
from actionclip.serving.settings import ServeConfig

PACKAGES = ("fastapi", "uvicorn", "python_multipart")
KEEP_ALIVE = 30
"""Seconds for which a connection without a request is kept."""
SWITCH_SECONDS = 0.001
"""How long a thread may keep the others from running Python: short, for prompt answers."""


@dataclass(frozen=True)
class Address:
    """Where the service listens, and what it takes to use it."""

    url: str
    token: str | None


def check_packages() -> None:
    """Make sure of what a plain installation does not have.

    Raises:
        ActionCLIPError: naming what to install.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ActionCLIPError(
            f"The service needs what is not installed: {', '.join(missing)}.",
            hint="Install it with: pip install 'actionclip[serve]'",
        )


def check_uploads(settings: ServeConfig) -> None:
    """Make sure that uploads can be kept, while that can still be said in two lines.

    Raises:
        StorageError: when they cannot.
    """
    from actionclip.serving.uploads.spool import Spool

    Spool(settings.folder, settings.max_spool).close()


def check_index(settings: ServeConfig) -> None:
    """Make sure that there is an index where one is named, before a model is loaded for nothing.

    Raises:
        ActionCLIPError: when there is none.
    """
    if settings.index is not None:
        from actionclip.inference.search.index import Index, no_index

        if Index.info(settings.index) is None:
            raise no_index(settings.index)


def check_address(settings: ServeConfig) -> None:
    """Make sure that the address can be had, before a model is loaded for nothing.

    Raises:
        ActionCLIPError: for an address that is taken, or not this machine's.
    """
    listen(settings.host, settings.port).close()


def serve(
    recognizer: Recognizer, name: str, settings: ServeConfig, ready: Callable[[Address], None]
) -> None:
    """Answer requests until the process is told to stop (SIGTERM, Ctrl-C).

    Args:
        recognizer: the model; closed at the end.
        name: what it was loaded by.
        settings: where to listen, and the limits.
        ready: called once, when clients can connect.

    Raises:
        ActionCLIPError: when a package is missing, the address cannot be had, or there is no
            such index.
        StorageError: when uploads cannot be kept.
    """
    check_packages()
    check_uploads(settings)
    import uvicorn

    from actionclip.serving.routes.app import create_app
    from actionclip.serving.routes.guard import Guard
    from actionclip.serving.routes.protocol import AT_ONCE, Server, patient_for
    from actionclip.serving.uploads.spool import most_at_once

    if settings.token is None and not settings.on_loopback:
        settings = replace(settings, token=secrets.token_urlsafe(24))
    library = None
    if settings.index is not None:
        from actionclip.serving.engine.library import Library

        library = Library(settings.index, recognizer, name)
    listener = listen(settings.host, settings.port)
    application = create_app(recognizer, name, settings, library)
    arrivals = application.state.arrivals
    config = uvicorn.Config(
        Guard(application, settings, arrivals),
        http=patient_for(settings.patience, most_at_once()),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=32 * 1024,
        timeout_graceful_shutdown=round(settings.shutdown),
        backlog=AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    signal.signal(signal.SIGTERM, _stop)
    server = Server(config, lambda: ready(_address(listener, settings)), arrivals.end)
    server.run(sockets=[listener])


def _stop(*_: object) -> None:
    """After uvicorn's own, orderly reaction to SIGTERM this ends the process without an error."""
    raise SystemExit(0)


def listen(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to.

    Raises:
        ActionCLIPError: for an address that is taken, or not this machine's.
    """
    listener = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ActionCLIPError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}.",
            hint="Choose another with --port; 0 takes any that is free.",
        ) from None
    return listener


def _address(listener: socket.socket, settings: ServeConfig) -> Address:
    host, port = settings.host, listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return Address(f"http://{shown}:{port}", settings.token)
