"""Opening every video of a data set before it is used.

A few frames of each are decoded, so that a bad file is found now and not in the ninth hour of a
training.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionclip.data.inspection.leaks import Look, find_shared
from actionclip.data.inspection.report import BadFile, Durations, Inspection
from actionclip.data.layouts.recognise import Data
from actionclip.data.manifest import Manifest, Row
from actionclip.video.decode import DecodePool
from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import ReadRequest, Resize, Sampling

FRAMES = 4
"""Frames that are decoded of each video."""
PICTURE = 96
"""Pixels of the shorter side of a frame that is kept."""
LOOK = 16
"""Pixels of each side of the pictures by which copies are found."""
SLACK = 0.5
"""Seconds that an interval may end after its video: times are rounded."""


def describe(data: Data) -> Inspection:
    """What the lists say, without opening a video."""
    manifest = data.manifest
    per_class: dict[str, dict[str, int]] = {name: {} for name in manifest.classes}
    for row in manifest.rows:
        for label in row.labels:
            per_class[label][row.split] = per_class[label].get(row.split, 0) + 1
    counts = Counter(row.split for row in manifest.rows)
    return Inspection(
        layout=data.layout,
        why=data.why,
        notes=list(data.notes),
        clips=len(manifest),
        videos=len({row.path for row in manifest.rows}),
        classes=list(manifest.classes),
        splits={split: counts[split] for split in manifest.splits},
        per_class=per_class,
    )


def inspect(
    data: Data,
    pool: DecodePool,
    *,
    seen: Callable[[Clip], object] = lambda clip: None,
    keep: Collection[str] = (),
) -> Inspection:
    """Open every video of a data set and say what is in it and what is wrong with it.

    Args:
        data: the data set, as `read_data` gives it.
        pool: reads the videos.
        seen: told about each video as it was read, for a progress bar.
        keep: paths of the videos of which a frame is to be kept, for a contact sheet.
    """
    found = describe(data)
    manifest = data.manifest
    rows = {row.path: row for row in manifest.rows}
    there = {path: row for path, row in rows.items() if manifest.path_of(row).exists()}
    found.missing = [path for path in rows if path not in there]
    looks: dict[str, Look] = {}
    seconds: dict[str, float | None] = {}
    for row, clip in _read(manifest, list(there.values()), pool):
        seen(clip)
        seconds[row.path] = clip.seconds
        if clip.status is not Outcome.OK:
            bad = BadFile(row.path, str(clip.status), clip.message, clip.hint, row.labels)
            (found.degraded if clip.status.usable else found.bad).append(bad)
        if clip.status.usable:
            frames = clip.windows()[0]
            looks[row.path] = Look(clip.seconds, small(frames))
            if row.path in keep:
                found.pictures[row.path] = frames[len(frames) // 2].copy()
    shared = find_shared(manifest, looks)
    found.leaks = [each for each in shared if len(each.splits) > 1]
    found.repeated = [each for each in shared if len(each.splits) == 1]
    lengths = [_length(row, seconds.get(row.path)) for row in manifest.rows]
    found.durations = _durations([value for value in lengths if value is not None])
    found.never = [row for row in manifest.rows if _is_after(row, seconds.get(row.path))]
    found.outside = [row.path for row in manifest.rows if _is_outside(row, seconds.get(row.path))]
    return found


def _read(manifest: Manifest, rows: list[Row], pool: DecodePool) -> Iterator[tuple[Row, Clip]]:
    request = ReadRequest(
        sampling=Sampling(frames=FRAMES),
        resize=Resize(mode="shortest", size=PICTURE, interpolation="bilinear"),
        nearest_keyframes=True,
    )
    whole = (replace(manifest.source(row), start=None, end=None) for row in rows)
    clips = pool.read_all(whole, request)
    yield from zip(rows, clips, strict=True)


def small(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] as small grey pictures [T, 16, 16]."""
    return np.stack(
        [np.asarray(Image.fromarray(frame).convert("L").resize((LOOK, LOOK))) for frame in frames]
    )


def _length(row: Row, seconds: float | None) -> float | None:
    end = seconds if row.end is None else row.end
    return None if end is None else max(end - (row.start or 0), 0.0)


def _is_outside(row: Row, seconds: float | None) -> bool:
    if seconds is None or _is_after(row, seconds):
        return False
    return (row.end or 0) - SLACK > seconds


def _is_after(row: Row, seconds: float | None) -> bool:
    return seconds is not None and (row.start or 0) >= seconds > 0


def _durations(values: list[float]) -> Durations | None:
    if not values:
        return None
    return Durations(sum(values), min(values), statistics.median(values), max(values))
