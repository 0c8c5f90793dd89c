"""What tests of several commands look at."""

import pytest

from actionclip.encoding.encoder import VideoEncoder


@pytest.fixture
def encoded(monkeypatch):
    """The names of the videos that go through the model."""
    names, real = [], VideoEncoder.encode

    def encode(self, videos, *given, **options):
        return real(self, (names.append(v.path.name) or v for v in videos), *given, **options)

    monkeypatch.setattr(VideoEncoder, "encode", encode)
    return names
