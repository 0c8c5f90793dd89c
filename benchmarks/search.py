"""How fast does an index of a million windows answer, and does it find what a full scan finds?

    python benchmarks/search.py                 1,000,000 vectors, half an hour, 6 GB of disk
    python benchmarks/search.py --kept FOLDER   keep index and vectors there, or take those that are
    python benchmarks/search.py --quick         whether it works

The vectors (512 numbers, unit length) are generated, and clustered as those of films are: 500
topics; each film of 100 windows is a topic and something of its own; its windows wander slowly and
have noise of their own. Uniform noise would have no neighbours to find. Two kinds of query:
`example`, a window with noise, and `words`, a topic with noise, to which whole films are about
equally near: the harder one.

`index` is the ten nearest by the approximate index, the candidates compared again with their whole
vectors; `moments` what `actionclip search` does: more windows, and all those of the films in the
answer, of which moments are made; `every window` what it does with --exact, the ten nearest. The
scan in numpy is one product of matrix and vector with all vectors in memory, and the ten best of
it. The ways take turns; processor time is that of all threads.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import report, resident_mib, say
from numpy.typing import NDArray

from actionclip.inference.search import store as storage
from actionclip.inference.search.changes.files import Entry
from actionclip.inference.search.index import HITS, hits_of
from actionclip.inference.search.moments import Hit, best_moments
from actionclip.inference.search.rows import among, window_rows
from actionclip.inference.search.store import Store, connect

WIDTH, TOPICS, FILM, TOP = 512, 500, 100, 10
FILMS_AT_ONCE = 500
EXACT_EVERY = 5
"""One query of so many also looks at every window of the index, which takes long."""

Vectors = NDArray[np.float32]


def unit(x: Vectors) -> Vectors:
    """Scaled to unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def films(count: int, topics: Vectors, rng: np.random.Generator) -> Iterator[Vectors]:
    """Films [films, FILM, WIDTH], some at a time."""
    for start in range(0, count, FILMS_AT_ONCE):
        number = min(FILMS_AT_ONCE, count - start)
        own = rng.standard_normal((number, 1, WIDTH), np.float32)
        film = topics[rng.integers(0, TOPICS, number), None] + 0.8 * own
        steps = rng.standard_normal((number, FILM, WIDTH), np.float32)
        noise = rng.standard_normal((number, FILM, WIDTH), np.float32)
        yield unit(film + 0.06 * steps.cumsum(axis=1) + 0.3 * noise)


def fill(store: Store, matrix: Vectors, topics: Vectors, rng: np.random.Generator) -> None:
    """Write films into the index, and the same vectors into a matrix."""
    import pyarrow as pa

    store.create(WIDTH, {"format": 1, "model": "", "fingerprint": "", "window": 2, "stride": 1})
    starts = np.arange(FILM, dtype=np.float64)
    done = 0
    for some in films(len(matrix) // FILM, topics, rng):
        tables = []
        for vectors in some:
            path = f"/films/{done // FILM:06d}.mp4"
            entry = Entry(path, f"{done:040x}", 1, done, "/films", windows=FILM)
            tables.append(window_rows(entry, starts, starts + 2, vectors))
            matrix[done : done + FILM] = vectors
            done += FILM
        store.add(pa.concat_tables(tables))


def scan(matrix: Vectors, query: Vectors) -> set[tuple[str, float]]:
    """The best windows by looking at all of them."""
    scores = matrix @ query
    best = np.argpartition(scores, -TOP)[-TOP:]
    return {(f"/films/{place // FILM:06d}.mp4", float(place % FILM)) for place in best.tolist()}


def look_up(store: Store, query: Vectors, *, exact: bool = False) -> set[tuple[str, float]]:
    """The best windows by the index."""
    rows = store.nearest(query, TOP, exact=exact)
    return {(row["path"], row["start"]) for row in rows}


def moments(store: Store, query: Vectors) -> set[tuple[str, float]]:
    """Moments as a search finds them."""

    def nearest(seen: Collection[str]) -> tuple[list[Hit], bool]:
        rows = store.nearest(query, HITS, where=f"NOT ({among(seen)})" if seen else None)
        return hits_of(rows), len(rows) < HITS

    def films(paths: Collection[str]) -> list[Hit]:
        return hits_of(store.scores_of(query, paths))

    found = best_moments(nearest, films, top=TOP, margin=0.01)
    return {(moment.source, moment.start) for moment in found}


def measure(store: Store, matrix: Vectors, queries: Vectors) -> dict[str, Any]:
    """Milliseconds of each way, and how much of the truth the index finds."""
    ways = {
        "index": lambda query: look_up(store, query),
        "moments": lambda query: moments(store, query),
        "every window": lambda query: look_up(store, query, exact=True),
        "numpy": lambda query: scan(matrix, query),
    }
    wall: dict[str, list[float]] = {way: [] for way in ways}
    busy: dict[str, list[float]] = {way: [] for way in ways}
    hits = {"index": 0, "every window": 0}
    for way in ways.values():
        way(queries[0])
    for number, query in enumerate(queries):
        answers = {"every window": set()}
        for name, way in ways.items():
            if name == "every window" and number % EXACT_EVERY:
                continue
            start, work = time.perf_counter(), time.process_time()
            answers[name] = way(query)
            wall[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - work)
        for name in hits:
            hits[name] += len(answers[name] & answers["numpy"])
    ratios = [slow / fast for slow, fast in zip(wall["numpy"], wall["index"], strict=True)]
    return {
        "p50 ms": {name: round(1000 * statistics.median(times), 1) for name, times in wall.items()},
        "p50 ms of processor": {
            name: round(1000 * statistics.median(times), 1) for name, times in busy.items()
        },
        "recall@10": {
            name: round(found / TOP / len(wall[name]), 4) for name, found in hits.items()
        },
        "times faster than numpy": round(statistics.median(ratios), 1),
    }


def make(
    store: Store, path: Path, count: int, topics: Vectors, rng: np.random.Generator
) -> dict[str, Any]:
    """Fill an index and a file with the same vectors; what it took."""
    start = time.perf_counter()
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, WIDTH))
    fill(store, matrix, topics, rng)
    matrix.flush()
    filled = time.perf_counter()
    say(f"{count} vectors written in {filled - start:.0f} s")
    store.tidy(always=True)
    if not store.is_approximate:  # too few for one
        store.approximate()
    built = time.perf_counter()
    say(f"index built in {built - filled:.0f} s; {resident_mib():.0f} MiB")
    return {
        "seconds to write": round(filled - start, 1),
        "seconds to build": round(built - filled, 1),
        "MiB of memory after building": round(resident_mib()),
        "MiB on disk": round(
            sum(file.stat().st_size for file in path.with_name("index").rglob("*")) / 2**20
        ),
    }


def main() -> None:
    """Measure, and print a line of JSON."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50, help="of each kind")
    parser.add_argument("--quick", action="store_true", help="20,000 vectors, 5 queries")
    parser.add_argument("--kept", type=Path, help="where index and vectors stay for another run")
    parser.add_argument("--clips", type=Path, help="a folder for temporary files")
    args = parser.parse_args()
    count, asked = (20_000, 5) if args.quick else (args.vectors, args.queries)

    with tempfile.TemporaryDirectory(dir=args.clips) as folder:
        place = args.kept or Path(folder)
        rng = np.random.default_rng(0)
        topics = rng.standard_normal((TOPICS, WIDTH), np.float32)
        store = Store(f"{place}/index", connect(f"{place}/index"))
        if not store.is_approximate:
            took = make(store, place / "matrix.npy", count, topics, rng)
            (place / "took.json").write_text(json.dumps(took))
        took = json.loads((place / "took.json").read_text())
        matrix = np.load(place / "matrix.npy")
        picked = matrix[np.sort(rng.integers(0, count, asked))]
        noise = rng.standard_normal((2, asked, WIDTH), np.float32)
        queries = {
            "example": unit(picked + 0.02 * noise[0]),
            "words": unit(topics[rng.integers(0, TOPICS, asked)] + 0.5 * noise[1]),
        }
        rows = {name: measure(store, matrix, some) for name, some in queries.items()}
    for name, row in rows.items():
        say(f"{name}: {row}")
    settings = {
        **{"vectors": count, "width": WIDTH, "queries": asked},
        **{"partitions": max(1, count // storage.PARTITION), "probes": storage.PROBES},
        "candidates": storage.CANDIDATES,
    }
    report("search", {**settings, "rows": rows, **took})


if __name__ == "__main__":
    main()
