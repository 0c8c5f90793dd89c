import pytest

from inference.search.stub import StubEmbedder


@pytest.fixture
def embedder():
    return StubEmbedder()


@pytest.fixture
def films(tmp_path):
    """A folder of six films for the stub, 3 to 8 s long."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.mp4").write_text(f"{3 + number}\nfilm {number}")
    return folder
