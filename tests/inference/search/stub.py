"""A model that costs nothing: a film's windows and a text's vector are drawn from what they say.

A "film" is a text file whose first line is a number of seconds; one that begins with `bad` cannot
be read.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from actionclip.inference.search.windows import Windowed
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import find_videos

WIDTH = 16


def unit(text: str) -> np.ndarray:
    """A unit vector for a text, always the same."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class StubEmbedder:
    """See `Embedder`. Counts the films it was asked about."""

    def __init__(self, name="stub", fingerprint="stub-1"):
        self.name, self.fingerprint = name, fingerprint
        self.dimension, self.margin = WIDTH, 0.05
        self.films = []

    def windows(self, sources, span):
        for source in sources:
            self.films.append(source.path.name)
            yield self.film(source, span)

    def film(self, source, span):
        text = source.path.read_text() if source.path.is_file() else "bad"
        return windows_of(text, source, span)

    def text(self, query, templates):
        return unit((templates or ["{}"])[0].format(query))

    def clip(self, path):
        return unit(f"{Path(path).read_text()} 0")


def windows_of(text, source, span):
    """The windows of a film that says `text`."""
    if text.startswith("bad"):
        none = np.zeros(0)
        vectors = np.zeros((0, WIDTH), np.float32)
        return Windowed(source, Outcome.UNREADABLE, none, none, vectors, "Bad.", "Mend.")
    seconds = float(text.splitlines()[0])
    starts = np.arange(0.0, max(seconds - span.window, 0.0) + 1e-9, span.stride)
    vectors = np.stack([unit(f"{text} {start:g}") for start in starts])
    return Windowed(source, Outcome.OK, starts, starts + span.window, vectors)


def brute_force(index, query, texts=None):
    """All windows of the files that an index knows, best first, from the stub's own vectors.

    Args:
        index: which files.
        query: words.
        texts: what files said, by the hash of their content; None: what they say now.
    """
    rows = []
    for entry in index.files():
        if entry.windows:
            text = Path(entry.path).read_text() if texts is None else texts[entry.content]
            film = windows_of(text, find_videos([entry.path])[0], index.span)
            scores = film.vectors @ unit(query)
            rows += [(entry.path, s, float(v)) for s, v in zip(film.starts, scores, strict=True)]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def changes(report):
    """What happened to each file, by its name; each has one line."""
    assert report.adds_up
    return {Path(one.source).name: one.change for one in report.files}


def found(index, query="somebody", **options):
    """All windows that an index finds, to be compared with `brute_force`."""
    return [
        (moment.source, moment.start, pytest.approx(moment.score, abs=1e-5))
        for moment in index.search(query, 1000, merge=False, **options)
    ]
