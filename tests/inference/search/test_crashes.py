"""An index whose writer is killed: nothing acknowledged is lost, nothing is there twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actionclip.inference.search import Index
from actionclip.inference.search.changes.files import content_of
from actionclip.video.sources import find_videos
from inference.search.stub import StubEmbedder, brute_force

WRITER = Path(__file__).with_name("writer.py")
QUERY = "somebody"


class Writer:
    """A process that writes until the block is left, and what it has acknowledged so far."""

    def __init__(self, what, place, folder):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, str(WRITER), what, str(place), str(folder)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.lines = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._said:
                self.lines.append(json.loads(line))
                self._said.notify_all()

    def wait_for(self, key, count=1):
        with self._said:
            there = self._said.wait_for(
                lambda: sum(key in line for line in self.lines) >= count, timeout=120
            )
        assert there, f"no {key!r} in {self.lines[-3:]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Kill it, and read what it had said."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()


class Films:
    """A folder of films that change from run to run."""

    def __init__(self, folder, seed):
        self.folder, self.rng = folder, random.Random(seed)
        self.texts = {}
        folder.mkdir()

    def write(self, path, text):
        path.write_text(text)
        [source] = find_videos([path])
        self.texts[content_of(source)] = text

    def draw(self):
        return f"{self.rng.randint(3, 7)}\n{self.rng.random()}"

    def stir(self, number, more=12):
        """Work for the next run: new files, changed, renamed, removed, bad."""
        films = sorted(self.folder.iterdir())
        for new in range(more):
            self.write(self.folder / f"{number}-{new}.mp4", self.draw())
        for film in self.rng.sample(films, min(len(films), 9)):
            kind = self.rng.randrange(3)
            if kind == 0:
                film.unlink()
            elif kind == 1:
                film.rename(self.folder / f"moved-{number}-{film.name[-12:]}")
            else:
                self.write(film, self.draw() if self.rng.random() < 0.8 else "bad")


def check(index, films, acknowledged=()):
    """All that was acknowledged is there, everything once, and answers are those of a scan."""
    files = {entry.path: entry for entry in index.files()}
    for line in acknowledged:
        if line["change"] == "removed":
            assert line["source"] not in files, line
        else:
            [source] = find_videos([line["source"]])
            assert files[line["source"]].content == content_of(source), line
    found = index.search(QUERY, 100_000, merge=False, exact=True)
    places = [(moment.source, moment.start) for moment in found]
    assert len(places) == len(set(places)) == len(index)
    truth = brute_force(index, QUERY, films.texts)
    assert sorted(places) == sorted((source, start) for source, start, _ in truth)
    assert [m.score for m in found] == pytest.approx([score for *_, score in truth], abs=1e-5)


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_a_writer_killed_while_adding(tmp_path, kills):
    films, place = Films(tmp_path / "films", kills), tmp_path / "index"
    at_work, number, longest = 0, 0, 0.5
    while at_work < kills:
        films.stir(number)
        with Writer("add", place, films.folder) as writer:
            writer.wait_for("ready")
            time.sleep(films.rng.uniform(0, longest))
        if "added" in writer.lines[-1]:
            longest /= 2  # it was over before it was killed
        else:
            at_work += 1
        number += 1
        index = Index(place, StubEmbedder())
        if index.info(place) is not None:  # else it was killed before there was anything
            check(index, films, [line for line in writer.lines if "source" in line])
    index = Index(place, StubEmbedder())

    report = index.add(films.folder)

    assert report.adds_up
    check(index, films)
    names = {Path(entry.path).name for entry in index.files()}
    assert names == {path.name for path in films.folder.iterdir()}


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_writer_killed_while_putting_pieces_together(tmp_path, kills):
    films, place = Films(tmp_path / "films", kills), tmp_path / "index"
    for number in range(kills):
        films.stir(number, more=40)
        with Writer("compact", place, films.folder) as writer:
            writer.wait_for("compacting", films.rng.randint(1, 3))
            time.sleep(films.rng.uniform(0, 0.2))
        assert {"added": True} in writer.lines
        check(
            Index(place, StubEmbedder()), films, [line for line in writer.lines if "source" in line]
        )
    assert Index(place, StubEmbedder()).add(films.folder).adds_up
