import pytest

import actionclip
from sample_videos import write_video


@pytest.fixture(scope="session")
def recognizer():
    recognizer = actionclip.load("tiny", device="cpu", workers=1)
    with recognizer:
        yield recognizer


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Five small videos."""
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(5):
        write_video(folder / f"{seed}.mp4", seed=seed, frames=20 + seed)
    return folder


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """Three seconds, 25 frames a second."""
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", frames=75, fps=25)
