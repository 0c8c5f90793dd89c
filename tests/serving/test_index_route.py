"""The index of a service over HTTP: only what is in it now, and what is said when it is broken."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import actionclip
from sample_videos import write_video
from serving_client import Client, served

pytest.importorskip("lancedb")


@dataclass
class Shelf:
    """A service with an index, and those who change it meanwhile."""

    client: Client
    place: Path
    films: Path
    recognizer: object

    def index(self, *files, rebuild=False):
        """Put files into the index, as another process would."""
        from actionclip.inference.search.index import Index

        index = Index.open(self.place, self.recognizer, model="tiny", rebuild=rebuild)
        return index.add(files)

    def found(self):
        """The `file` of each moment by the name of its source."""
        moments = self.client.ask("/search", query="running", top=50).json["moments"]
        return {Path(one["source"]).name: one["file"] for one in moments}


@pytest.fixture
def shelf(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    write_video(films / "a.mp4")
    from actionclip.inference.search.index import Index

    model = actionclip.load("tiny", device="cpu", workers=1)
    Index.open(tmp_path / "index", model, model="tiny").add(films)
    spool = tmp_path / "spool"
    spool.mkdir()
    with served(model, index=str(tmp_path / "index"), folder=spool) as (url, _):
        yield Shelf(Client(url), tmp_path / "index", films, model)


def test_only_what_is_in_the_index_now_is_given_out(shelf):
    file = shelf.found()["a.mp4"]
    assert shelf.client.get(f"/index/{file}").status == 200
    other = write_video(shelf.films / "b.mp4", seed=1)

    shelf.index(other, rebuild=True)

    for path in (f"/index/{file}", f"/index/{file}/frame?time=0.5"):
        answer = shelf.client.get(path)
        assert (answer.status, answer.code) == (404, "not_found")
    assert shelf.client.get(f"/index/{shelf.found()['b.mp4']}/frame").status == 200


def test_a_name_that_is_not_text_is_found_and_can_be_seen(shelf):
    odd = shelf.films / os.fsdecode(b"caf\xe9.mp4")
    write_video(shelf.films / "b.mp4", seed=1).rename(odd)
    shelf.index(shelf.films)

    found = shelf.found()

    shown = "caf\N{REPLACEMENT CHARACTER}.mp4"
    assert found.keys() == {"a.mp4", shown}
    assert shelf.client.get(f"/index/{found[shown]}").body == odd.read_bytes()


def test_a_folder_of_frames_can_be_seen_and_not_played(shelf):
    frames = shelf.films / "frames"
    frames.mkdir()
    for number in range(60):
        Image.new("RGB", (64, 48), (4 * number, 0, 0)).save(frames / f"{number}.png")
    assert shelf.index(frames).failed == []
    file = shelf.found()["frames"]

    picture = shelf.client.get(f"/index/{file}/frame?time=1")
    played = shelf.client.get(f"/index/{file}")

    assert picture.status == 200
    assert picture.body.startswith(b"\xff\xd8")
    assert (played.status, played.code) == (404, "not_found")
    assert "folder of frames" in played.json["error"]["message"]


def test_an_index_that_is_broken_is_no_fault_of_the_client(shelf):
    file = shelf.found()["a.mp4"]
    assert shelf.client.get("/health").json["index_opens"] is True
    for part in (shelf.place / "windows.lance" / "data").iterdir():
        part.write_bytes(b"")

    for damage in ("emptied", "removed"):
        if damage == "removed":
            shutil.rmtree(shelf.place)
        answers = [
            shelf.client.ask("/search", query="running"),
            shelf.client.get(f"/index/{file}"),
            shelf.client.get(f"/index/{file}/frame"),
        ]
        for answer in answers:
            assert (answer.status, answer.code) == (503, "storage"), damage
            assert os.fsencode(shelf.place) not in answer.body
            assert b"lance" not in answer.body.lower()
        health = shelf.client.get("/health").json
        assert (health["status"], health["index"]) == ("ok", str(shelf.place))
        assert health["index_opens"] is False
    write_video(shelf.films / "c.mp4", seed=2)
    shelf.index(shelf.films)
    assert "c.mp4" in shelf.found()
    assert shelf.client.ask("/search", query=" ").code == "request"
    assert shelf.client.get("/health").json["index_opens"] is True
