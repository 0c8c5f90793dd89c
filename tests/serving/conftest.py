"""A service as users start it: a process of its own, on a free port of this machine."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from sample_videos import write_video
from serving_client import Client


@contextmanager
def running(folder, *arguments):
    """A service with `tiny`; its client."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "actionclip", "serve", "tiny", "--port", "0", "--json"]
    command += ["--workers", "1", "--uploads", str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder.parent / f"{folder.name}.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        killer = threading.Timer(120, process.kill)
        killer.start()
        try:
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(log.read())
            said = json.loads(line)
            yield Client(said["url"], said["token"], process)
        finally:
            killer.cancel()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
            process.stdout.close()


@pytest.fixture(scope="session")
def spool(tmp_path_factory):
    """The folder where the service of most tests keeps uploads."""
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="session")
def service(spool):
    """A service that several tests share, with small limits."""
    with running(spool, "--max-upload", "1") as client:
        yield client


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Three small videos as bytes."""
    folder = tmp_path_factory.mktemp("clips")
    return [write_video(folder / f"{seed}.mp4", seed=seed).read_bytes() for seed in range(3)]
