"""One process at a time writes in a folder."""

import fcntl
import os
import socket
from pathlib import Path
from typing import TextIO

from actionclip.errors import ActionCLIPError


def hold(folder: Path, *, expected: str, hint: str) -> TextIO:
    """Hold a folder until the file that is returned is closed, or this process ends, however.

    `flock` and not `lockf`: two threads of one process are in each other's way as well.

    Args:
        folder: made when it is not there.
        expected: of who writes there, for the error.
        hint: what to do while another process does.

    Raises:
        ActionCLIPError: naming the process that holds it.
        OSError: where no lock can be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"Process {os.getpid()} on {socket.gethostname()}")
        file.flush()
    except BlockingIOError:
        with file:
            file.seek(0)
            holder = file.read().strip() or "Another process"
        raise ActionCLIPError(
            f"{holder} is writing to {folder}.", expected=expected, hint=hint
        ) from None
    except OSError:
        file.close()
        raise
    return file
