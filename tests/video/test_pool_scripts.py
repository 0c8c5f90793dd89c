"""The pool in scripts as users write them, and what is left of it when they end in any way."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from clips import render
from processes import children, gone, wait_until

import actionclip

ROOT = Path(actionclip.__file__).parents[1]

READ = """
from pathlib import Path
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest, Sampling
from actionclip.video.sources import Source
video = Source("v", Path({video!r}))
request = ReadRequest(sampling=Sampling(frames=4))
pool = DecodePool(1)
print(pool.read(video, request).status.value, flush=True)
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return str(render(tmp_path_factory.mktemp("clips") / "v.mp4", 20))


@pytest.fixture
def script(tmp_path, video):
    """Writes a script: what every script does, then `more`. No `__main__` guard anywhere."""

    def write(more=""):
        path = tmp_path / "script.py"
        path.write_text(READ.format(video=video) + textwrap.dedent(more))
        return path

    return write


@pytest.fixture
def start():
    """Starts Python with a command line; what still runs when the test ends is killed."""
    with contextlib.ExitStack() as running:

        def run(*command, **options):
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
            running.enter_context(process)  # closes the pipes and waits
            running.callback(process.kill)
            return process

        yield run


def test_a_plain_script_needs_no_guard_no_close_and_no_certain_folder(start, script, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "json.py").write_text("raise SystemExit('the wrong json')")
    process = start("-W", "error", script(), cwd=other)
    out, err = process.communicate(timeout=60)

    assert (out, err, process.returncode) == ("ok\n", "", 0)


def test_the_package_is_found_however_the_script_found_it(start, script, tmp_path):
    path = script()
    path.write_text(f"import sys\nsys.path[:0] = [{str(ROOT)!r}, '']\n" + path.read_text())
    site = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    # -S leaves out whatever an installation has put on the path; the libraries come back alone.
    path.write_text(f"import sys\nsys.path.append({str(site)!r})\n" + path.read_text())
    process = start("-S", path, cwd=tmp_path)
    out, err = process.communicate(timeout=60)

    assert (out, err) == ("ok\n", "")


def test_an_interrupted_script_ends_at_once_and_leaves_no_child(start, script):
    """Also where the tests run in the background of a shell, which has interrupts ignored."""
    more = """
    import itertools, signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for clip in pool.read_all(itertools.repeat(video), request):
        print(*pool.pids, flush=True)  # none while a worker that has done its share is replaced
    """
    process = start(script(more))
    assert process.stdout.readline() == "ok\n"
    worker = int(process.stdout.readline().split()[0])
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert "KeyboardInterrupt" in err
    assert "decoding-" not in err  # no thread has anything to add
    assert process.returncode != 0
    assert wait_until(lambda: gone(worker))


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_workers_end_when_their_parent_is_killed(start, script, busy):
    loop = "while True: pool.read(video, request)" if busy else "import time; time.sleep(60)"
    process = start(script(f"print(pool.pids[0], flush=True)\n{loop}"))
    assert process.stdout.readline() == "ok\n"
    worker = int(process.stdout.readline())
    process.send_signal(signal.SIGSTOP)  # a worker that has done its share is replaced: not now
    workers = children(process.pid)
    process.kill()
    process.communicate()

    assert workers if busy else workers == {worker}
    assert wait_until(lambda: all(map(gone, workers)))


def test_a_worker_that_does_not_notice_is_ended_by_the_system(start, script):
    """Stopped, it cannot see that its socket was closed; the kernel's signal ends it anyway."""
    process = start(script("print(pool.pids[0], flush=True)\nimport time; time.sleep(60)"))
    process.stdout.readline()
    worker = int(process.stdout.readline())
    os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.communicate()

    assert wait_until(lambda: gone(worker))
