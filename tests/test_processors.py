"""How many processors a process takes, where its group may use fewer than there are."""

import os

import pytest

from actionclip.processors import keep_to_quota, processors
from actionclip.video.decode import DecodePool

WHOLE = "max 100000\n"


def machine(root, groups, files):
    """What a Linux machine shows of its groups, in a folder."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _plenty(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": WHOLE}, 64),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": WHOLE, "sys/fs/cgroup/a/cpu.max": "4 1"}, 4),
        ("0::/host/only\n", {"sys/fs/cgroup/cpu.max": "3 1"}, 3),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "9000000 100000\n"}, 64),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, 64),
        ("0::/\n", {}, 64),
        ("1:name=systemd:/\n0::/a\n", {"sys/fs/cgroup/unified/a/cpu.max": "2 1"}, 2),
        (
            "4:cpu,cpuacct:/d\n",
            {
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            "7:memory:/m\n1:cpu,cpuacct:/docker/1\n0::/\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            "1:cpu:/docker/1\n",
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
    ],
)
def test_a_quota_counts_as_so_many_processors(tmp_path, groups, files, expected):
    root = machine(tmp_path, groups, files)

    assert processors(root) == expected
    keep_to_quota(root)
    limited = any(text != WHOLE and text[0].isdigit() for text in files.values())
    assert os.environ.get("OMP_NUM_THREADS") == (str(expected) if limited else None)


def test_without_groups_all_processors_count(tmp_path):
    assert processors(tmp_path) == 64
    keep_to_quota(tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_number_of_threads_that_was_given_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")

    keep_to_quota(machine(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "2 1"}))

    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_the_command_line_and_its_decoding_workers_keep_to_the_quota(command_line, monkeypatch):
    monkeypatch.setattr("actionclip.processors._quotas", lambda root: iter([3.0]))

    command_line("labels")

    assert os.environ["OMP_NUM_THREADS"] == "3"
    with DecodePool() as pool:
        assert pool.workers == 3
