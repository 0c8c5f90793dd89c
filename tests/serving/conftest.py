"""A service that the tests of this room share."""

import pytest

from sample_videos import write_video
from serving_client import running


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
def paths(tmp_path_factory):
    """Three small videos."""
    folder = tmp_path_factory.mktemp("clips")
    return [write_video(folder / f"{seed}.mp4", seed=seed) for seed in range(3)]


@pytest.fixture(scope="session")
def clips(paths):
    """The same as bytes."""
    return [path.read_bytes() for path in paths]
