"""One small data set for the whole room."""

import pytest

from evaluation.data_sets import make_clips, two_layers


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Twelve clips of four classes, eight of them to test on."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def model():
    """A network of one layer, with random weights."""
    return two_layers(post="transf")
