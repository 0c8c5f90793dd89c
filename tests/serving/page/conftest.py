"""The page in a real Chromium, asking a real service with `tiny`.

Whatever a test does, its page may ask nobody but its own server, and may log no error.
"""

import numpy as np
import pytest

import actionclip
from actionclip.data.synthetic.clips import synthesise
from actionclip.data.synthetic.files import write_clip
from browsing import Visit, chromium
from serving_client import served

LABELS = ["jumping jacks", "walking", "waving one hand"]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Somebody does jumping jacks for four seconds, then walks for four."""
    path = tmp_path_factory.mktemp("films") / "jump & walk.mp4"
    parts = [
        synthesise(action, 7, frames=48, size=(160, 120), fps=12.0, clean=True).frames
        for action in LABELS[:2]
    ]
    write_clip(path, np.concatenate(parts), fps=12.0)
    return path


@pytest.fixture(scope="module")
def recognizer():
    """What the service answers with, for comparison."""
    with actionclip.load("tiny", workers=1) as model:
        yield model


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service that takes up to a mebibyte."""
    model = actionclip.load("tiny", workers=1)
    with served(model, max_upload=2**20, folder=tmp_path_factory.mktemp("spool")) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    """One for all tests of a module."""
    with chromium() as found:
        yield found


@pytest.fixture
def visit(browser, server):
    """Opens the page; afterwards looks whether it behaved."""
    visits = []

    def start(address=None, **options):
        visits.append(Visit(browser, address or server[0], **options))
        return visits[-1]

    yield start
    for one in visits:
        one.close()
        assert one.strangers == []
        assert one.errors == []
