"""How many processors this process may use: those it may run on, within the quota of its group.

A container that is given two processors of a machine with 64 (`docker --cpus 2`, limits of
Kubernetes, `CPUQuota=` of systemd) still sees all of them. With a thread for each they wait for
each other most of the time.
"""

import os
from collections.abc import Iterator
from pathlib import Path

THREADS = "OMP_NUM_THREADS"


def processors(root: Path = Path("/")) -> int:
    """Whole processors at this process's disposal, at least one.

    Args:
        root: what `/proc` and `/sys` are in; another than `/` is for tests.
    """
    has_masks = hasattr(os, "sched_getaffinity")
    here = len(os.sched_getaffinity(0)) if has_masks else os.cpu_count() or 1
    return max(1, int(min([here, *_quotas(root)])))


def keep_to_quota(root: Path = Path("/")) -> None:
    """Let libraries that are not loaded yet start no more threads than there are processors for.

    Nothing is done where there is no quota, or where the environment says how many threads.
    """
    if THREADS not in os.environ and any(True for _ in _quotas(root)):
        os.environ[THREADS] = str(processors(root))


def _quotas(root: Path) -> Iterator[float]:
    """The processors that each group this process is in allows (Linux, cgroups 1 and 2)."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in groups:
        _, kinds, place = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        for mount in {mounts / kinds, mounts / "cpu"} if kinds else (mounts, mounts / "unified"):
            inner = mount / place.lstrip("/")
            # in a container the place may be as its host names it: then only the mount is there
            for group in [inner, *inner.parents]:
                yield from _quota(group)
                if group == mount:
                    break


def _quota(group: Path) -> Iterator[float]:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
