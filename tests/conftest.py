"""Fixtures for every test: recorded numbers, real videos, and the same examples everywhere."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from typer.testing import CliRunner

import typechecking

typechecking.install()  # before anything that it is to check is imported
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

GOLDEN = Path(__file__).parent / "golden"
VIDEOS = Path(__file__).parents[2] / "shared" / "videos"


def pytest_ignore_collect(collection_path):
    """No doctests in these files: as modules they would all have the same name."""
    return True if collection_path.name == "conftest.py" else None


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONCLIP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Nothing is forced to the disk: killed processes keep what they wrote, machines stay on."""
    force = os.fsync

    def fsync(file):
        kind = os.fstat(file if isinstance(file, int) else file.fileno()).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            force(file)  # a pipe, say, refuses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.fixture
def golden():
    """Reads numbers recorded from the authors' code; a missing file is an error, never a skip."""

    def read(name):
        if name.endswith(".json"):
            return json.loads((GOLDEN / name).read_text())
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return read


@pytest.fixture
def videos():
    """The folder of real clips that lies beside a checkout; not part of the repository."""
    if not VIDEOS.is_dir():
        pytest.skip(f"the real clips are not here: no folder {VIDEOS}")
    return VIDEOS


@pytest.fixture
def pipe():
    """Gives the name of a pipe that holds a text, as `<(...)` in a shell: it can be read once."""
    ends = []

    def pipe(text):
        read, write = os.pipe()
        ends.append(read)
        os.write(write, text.encode())
        os.close(write)
        return f"/dev/fd/{read}"

    yield pipe
    for end in ends:
        os.close(end)


@pytest.fixture
def command_line(monkeypatch, tmp_path):
    """Runs the command line in an empty folder; gives exit code, stdout and stderr."""
    from actionclip.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments, **options):
        result = CliRunner().invoke(app, [str(word) for word in arguments], **options)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
