"""Looking at processes from outside, as a system's administrator would."""

import time
from pathlib import Path


def gone(pid):
    """Whether a process has ended; one that ended and was not waited for does not count."""
    return not Path(f"/proc/{pid}").exists()


def children(pid):
    """The child processes of a process."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.add(int(entry.name))
    return found


def wait_until(condition, seconds=10.0):
    """Whether `condition()` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
