"""The order in which clips are drawn, and the recordings that are set aside to test on.

Clips of one recording look alike: a test with clips of a recording that was trained on measures
memory.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from actionclip.data.layouts.names import loose, stem
from actionclip.data.manifest import Row


def ranked(rows: Iterable[Row], classes: Sequence[str], seed: int) -> dict[str, list[Row]]:
    """The clips of each class in the order in which they are drawn."""
    of_class: dict[str, list[Row]] = {name: [] for name in classes}
    for row in rows:
        for label in row.labels:
            if label in of_class:
                of_class[label].append(row)

    def key(row: Row) -> tuple[bytes, str, float, float]:
        clip = stem(row.path) + (f"@{row.start:g}" if row.start else "")
        return rank(f"{seed}", f"{loose(row.labels[0])}/{clip}"), *_place(row)

    return {name: sorted(mine, key=key) for name, mine in of_class.items()}


def once(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows without those that name a clip and labels that an earlier row named."""
    first: dict[tuple[object, ...], Row] = {}
    for row in rows:
        first.setdefault((row.labels, *_place(row)), row)
    return tuple(first.values())


def _place(row: Row) -> tuple[str, float, float]:
    """What tells clips apart that are called the same."""
    return row.path, row.start or 0, math.inf if row.end is None else row.end


def rank(seed: str, name: str) -> bytes:
    """What decides the place of a name: the smallest comes first."""
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()


def set_aside(drawn_from: Mapping[str, Sequence[Row]]) -> set[str]:
    """Recordings that are not drawn from, so that every class has another one to test on.

    Of each class with recordings of several clips, the recording that would be reached last. A
    class keeps at least one to train on; where every recording is a clip, nothing is set aside.

    Args:
        drawn_from: the clips of each class, ranked.
    """
    of_class = {
        name: list(dict.fromkeys(row.recording for row in rows))
        for name, rows in sorted(drawn_from.items())
    }
    clips = Counter(row.recording for rows in drawn_from.values() for row in rows)
    shows: dict[str, list[str]] = {}
    for name, mine in of_class.items():
        for recording in mine:
            shows.setdefault(recording, []).append(name)
    left = {name: len(mine) for name, mine in of_class.items()}
    aside: set[str] = set()
    for mine in of_class.values():
        if not aside.isdisjoint(mine) or all(clips[recording] == 1 for recording in mine):
            continue
        spare = (r for r in reversed(mine) if all(left[name] > 1 for name in shows[r]))
        if (last := next(spare, None)) is not None:
            aside.add(last)
            for name in shows[last]:
                left[name] -= 1
    return aside
