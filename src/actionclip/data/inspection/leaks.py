"""The same clip in training and test: by content, by name, or by the recording it was cut from.

Content is certain: two files with the same bytes. A name is a strong hint when the videos are as
long as each other and look alike, which finds a copy in another format. Clips of one recording are
different clips and still not independent: the benchmarks keep them in one split.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actionclip.data.layouts.names import stem
from actionclip.data.manifest import Manifest, Row
from actionclip.video.sources import frame_files

Kind = Literal["content", "interval", "name", "recording"]
SAME_SECONDS = 0.1
"""Videos of one name that differ less in length may be copies."""
SAME_PIXELS = 8.0
"""Mean difference (of 255) between small pictures of copies in different formats."""


@dataclass(frozen=True)
class Look:
    """What a video looks like, small enough to keep for all of them."""

    seconds: float | None
    pixels: NDArray[np.uint8]
    """A few frames in grey, [frames, height, width]."""


@dataclass(frozen=True)
class Shared:
    """Clips that are one clip, or of one recording."""

    kind: Kind
    """`content`: the same bytes; `interval`: overlapping times of one file; `name`: the same name,
    length and look; `recording`: cut from one recording."""
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]


def find_shared(manifest: Manifest, looks: dict[str, Look]) -> list[Shared]:
    """Clips that are there more than once, within a split or across splits.

    Args:
        manifest: the clips.
        looks: what their videos look like, by path; names are compared where it is known.
    """
    rows = [row for row in manifest.rows if row.split != "unused"]
    certain = [*_by_interval(rows), *_by_content(manifest, rows)]
    known = {shared.paths for shared in certain}
    copies = [shared for shared in _by_name(rows, looks) if shared.paths not in known]
    return [*certain, *copies, *_by_recording(rows)]


def _shared(kind: Kind, rows: Iterable[Row]) -> Shared:
    rows = sorted(rows, key=lambda row: (row.split, row.path))
    return Shared(
        kind,
        tuple(dict.fromkeys(row.path for row in rows)),
        tuple(dict.fromkeys(row.split for row in rows)),
        tuple(sorted({label for row in rows for label in row.labels})),
    )


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    """Rows with the same key, where there are several; in the order of the rows."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return [group for each, group in groups.items() if each and len(group) > 1]


def _overlap(one: Row, other: Row) -> bool:
    ends = [float("inf") if row.end is None else row.end for row in (one, other)]
    return (one.start or 0) < ends[1] and (other.start or 0) < ends[0]


def _by_interval(rows: Sequence[Row]) -> list[Shared]:
    """Rows of one file whose times overlap; in one split, only with the same times and labels."""
    found = []
    for group in _grouped(rows, lambda row: row.path):
        for one, other in combinations(group, 2):
            is_copy = (one.start, one.end, one.labels) == (other.start, other.end, other.labels)
            if is_copy if one.split == other.split else _overlap(one, other):
                found.append(_shared("interval", (one, other)))
    return list(dict.fromkeys(found))


def _by_content(manifest: Manifest, rows: Sequence[Row]) -> list[Shared]:
    """Different files with the same bytes. Only files of one size are read."""
    first = {row.path: row for row in rows}
    sizes = _grouped(first.values(), lambda row: _size(manifest.path_of(row)))
    alike = [
        group
        for same_size in sizes
        for group in _grouped(same_size, lambda row: _digest(manifest.path_of(row)))
    ]
    by_path: dict[str, list[Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    return [_shared("content", (r for row in group for r in by_path[row.path])) for group in alike]


def _files(path: Path) -> list[Path]:
    return frame_files(path) if path.is_dir() else [path]


def _size(path: Path) -> tuple[int, ...]:
    try:
        return tuple(file.stat().st_size for file in _files(path))
    except OSError:
        return ()


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        for name in _files(path):
            with name.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    except OSError:
        return b""
    return digest.digest()


def _by_name(rows: Sequence[Row], looks: dict[str, Look]) -> list[Shared]:
    """Files of one name in different splits that are as long as each other and look alike."""
    found = []
    for group in _grouped({row.path: row for row in rows}.values(), lambda row: stem(row.path)):
        for one, other in combinations(group, 2):
            a, b = looks.get(one.path), looks.get(other.path)
            if one.split != other.split and a and b and _looks_same(a, b):
                found.append(_shared("name", (one, other)))
    return found


def _looks_same(one: Look, other: Look) -> bool:
    if one.seconds is None or other.seconds is None or one.pixels.shape != other.pixels.shape:
        return False
    difference = np.abs(one.pixels.astype(np.int16) - other.pixels.astype(np.int16)).mean()
    return abs(one.seconds - other.seconds) <= SAME_SECONDS and bool(difference <= SAME_PIXELS)


def _by_recording(rows: Sequence[Row]) -> list[Shared]:
    """Recordings with clips in several splits."""
    groups = _grouped(rows, lambda row: row.group)
    found = (_shared("recording", group) for group in groups)
    return [shared for shared in found if len([s for s in shared.splits if s]) > 1]
