"""How much memory a process holds."""

from pathlib import Path


def resident_mib(pid):
    """Resident memory in MiB (Linux)."""
    return _status(pid, "VmRSS")


def peak_mib(pid):
    """The most it held, in MiB (Linux); "5" written to its `clear_refs` begins to count anew."""
    return _status(pid, "VmHWM")


def _status(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {name}")
