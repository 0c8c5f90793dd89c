import pytest

from actionclip.inference.search import Index
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


@pytest.fixture
def place(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(place, embedder, films):
    """An index of the films; nothing that it took to make it is counted."""
    index = Index(place, embedder)
    index.add(films)
    embedder.films.clear()
    return index
