"""What the tests of a whole evaluation share: a few real clips, and a model of two layers."""

import pytest

from evaluation.data_sets import make_clips, two_layers


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Twelve clips of four classes, eight of them to test on."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def model():
    """Two layers with Transf, and random weights."""
    return two_layers(post="transf")
