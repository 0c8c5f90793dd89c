"""One decoding process, seen from the parent: start it, ask it, kill it.

A plain child process and not `multiprocessing`: a script without `if __name__ == "__main__"` can
use it, nothing is pickled, and the child inherits neither open files nor secrets of the parent's
environment. It runs in a session of its own, so Ctrl-C reaches the parent alone.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import actionclip
from actionclip.errors import ActionCLIPError
from actionclip.video.decode.clip import Clip
from actionclip.video.decode.workers.handover import Handover, placed
from actionclip.video.decode.workers.protocol import (
    Channel,
    Nonsense,
    clean,
    receive_clip,
    request_header,
)
from actionclip.video.settings import Limits, ReadRequest
from actionclip.video.sources import Source

Decoder = Literal["pyav", "torchcodec"]

START_SECONDS = 120.0
"""How long Python and its imports may take; a cold network disk is slow."""

_BOOTSTRAP = """
import json, sys
start = json.loads(sys.argv[1])
sys.path[:] = start["path"]
from {module} import main
main(start)
"""

_KEPT_ENVIRONMENT = (
    # What finding libraries, reading text and the time zone need; tokens and keys stay behind.
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
)


class LockedProcess:
    """A child that decodes in a sandbox, and the channel to it.

    The constructor starts it; `greet` waits until it can be asked.

    Args:
        module: what it runs, a module with a `main` that takes `start`.
        limits: what decoding may cost.
        start: what else `main` is told, beside `socket`, `parent` and `limits`.

    Raises:
        ActionCLIPError: when a process cannot be started here at all.
    """

    def __init__(self, module: str, limits: Limits, start: Mapping[str, Any]) -> None:
        self.limits = limits
        if not hasattr(socket, "send_fds"):
            raise ActionCLIPError(
                f"Videos cannot be decoded on {sys.platform}.",
                expected="A system that hands open files from process to process is needed.",
                hint="Use Linux, macOS, or the Windows Subsystem for Linux.",
            )
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        told = {
            "path": _import_path(),
            "socket": theirs.fileno(),
            "parent": os.getpid(),
            "limits": asdict(limits),
            **start,
        }
        program = _BOOTSTRAP.format(module=module)
        try:
            self._process = subprocess.Popen(
                [sys.executable or "python3", "-P", "-c", program, json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            ours.close()
            raise ActionCLIPError(f"A decoding process cannot be started: {error}.") from None
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def greet(self) -> dict[str, Any]:
        """Wait until the child is ready; what it says about its sandbox and its libraries.

        Raises:
            ActionCLIPError: it cannot work here, with the reason.
            ConnectionError: it was killed while starting.
        """
        self.channel.deadline = time.monotonic() + START_SECONDS
        try:
            ready = self.channel.receive()
        except TimeoutError:
            raise ActionCLIPError(
                f"A decoding process did not start within {START_SECONDS:.0f} seconds.",
                hint="Is the disk that holds Python very slow?",
            ) from None
        except ConnectionError:
            self._explain_death()
            raise
        finally:
            self._close_stderr()
        if "refused" in ready:
            what, expected, hint = (clean(ready.get(k)) for k in ("refused", "expected", "hint"))
            raise ActionCLIPError(what, expected=expected, hint=hint)
        return ready

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self, *, seconds: float = 5.0) -> None:
        """End it. Waits until it is gone, but never for ever; safe from any thread, also twice.

        Whoever waits for its answer gets a ConnectionError, and closes the channel.
        """
        if self.alive:
            self._process.kill()
            give_up = time.monotonic() + seconds
            while self.alive and time.monotonic() < give_up:
                time.sleep(0.001)  # not wait(): it holds a lock a finalizer may need

    def close(self) -> None:
        """End it and let go of everything."""
        self.kill()
        self.channel.close()
        self._close_stderr()

    def forget(self) -> None:
        """In a forked process: let go of the parent's child without touching it."""
        self.channel.detach()
        self._process.returncode = 0  # or its finalizer would complain

    def _explain_death(self) -> None:
        """Raise what Python said when it could not start; nothing if it was killed."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return
        if code > 0 and self._process.stderr is not None:
            said = self._process.stderr.read(4000).decode(errors="replace").strip().splitlines()
            raise ActionCLIPError(
                f"A decoding process ended with code {code} while starting: "
                f"{clean(said[-1]) if said else 'it said nothing'}",
                hint="Check the installation with: actionclip doctor",
            ) from None

    def _close_stderr(self) -> None:
        if self._process.stderr is not None:
            self._process.stderr.close()


class WorkerProcess(LockedProcess):
    """A child that reads one video after the other.

    `written` is how many bytes it may write into a file that it is handed.
    """

    def __init__(self, limits: Limits, decoder: Decoder, *, written: int = 0) -> None:
        start = {"decoder": decoder, "written": written}
        super().__init__("actionclip.video.decode.workers.worker", limits, start)
        self.clips = 0
        """How many were read so far."""

    def ask(self, source: Source, handover: Handover, request: ReadRequest) -> Clip:
        """Have one video read.

        Raises:
            ConnectionError: the child died of it.
            TimeoutError: it was not done in time.
            Nonsense: its answer cannot be true.
        """
        self.clips += 1
        self.channel.deadline = time.monotonic() + allowed_seconds(self.limits, request)
        header = request_header(request, handover.images)
        self.channel.send(header, handover.images or (), file=handover.rewound())
        return placed(receive_clip(self.channel, source, request, self.limits), handover)


def allowed_seconds(limits: Limits, request: ReadRequest) -> float:
    """Wall-clock time that reading one video may take."""
    frames = request.sampling.windows * request.sampling.frames
    return limits.seconds + limits.seconds_per_frame * frames


def _import_path() -> list[str]:
    """Where this process finds modules, however it came to: the child looks there too."""
    here = str(Path(actionclip.__file__).parents[1])
    path = [os.path.abspath(place) for place in sys.path if place]  # noqa: PTH100
    return path if here in path else [*path, here]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def sandbox_report() -> dict[str, bool | str]:
    """Which layers protect this machine from a hostile video, asked of a real worker.

    Returns:
        For each layer True, or the reason why it is off; `libraries` says what decodes.

    Raises:
        ActionCLIPError: when no worker can be started here.
    """
    worker = WorkerProcess(Limits(), "pyav")
    try:
        ready = worker.greet()
    except (ConnectionError, Nonsense):
        raise ActionCLIPError("The decoding process was killed while starting.") from None
    finally:
        worker.close()
    return {**ready["sandbox"], "libraries": ready["libraries"]}
