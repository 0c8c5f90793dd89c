"""WebDataset shards: pairs of a picture (or video) and a sentence in tar files.

The files of a pair stand one after the other and share a name:

    000017.jpg   000017.txt          or 000017.mp4, and 000017.json with "caption"

The library `webdataset` reads a shard from its beginning to its end. A run that resumes to the bit
has to begin anywhere, so shards are looked through once, and pairs are then read by their place in
the file. Shards have to be files here: addresses are not fetched.
"""

import glob
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionclip.data.manifest import Manifest
from actionclip.errors import ActionCLIPError
from actionclip.video.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES

LARGEST = 2 * 2**30
"""Bytes of a video in a shard."""

LONGEST_TEXT = 2**20


@dataclass(frozen=True)
class Pair:
    """Where a pair lies in its shard."""

    key: str
    suffix: str
    """Of the picture or video, with its dot."""
    pixels: tuple[int, int]
    """Where its bytes begin, and how many they are."""
    words: tuple[int, int]
    is_json: bool


def find_shards(pattern: str) -> list[Path]:
    """The files that a pattern names, in order.

    Raises:
        ActionCLIPError: when there is none, or one is not there.
    """
    names = _webdataset().shardlists.expand_urls(pattern)
    found = [sorted(glob.glob(n)) if glob.has_magic(n) else [n] for n in names]  # noqa: PTH207
    paths = [Path(name) for part in found for name in part]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise ActionCLIPError(
            f"There is no shard {str(missing[0] if missing else pattern)!r}.",
            expected="Tar files, e.g. data.shards = 'pairs-{000..099}.tar' or 'pairs-*.tar'.",
            hint="Addresses are not fetched: download the shards first.",
        )
    return paths


def read_pairs(path: Path) -> tuple[list[Pair], int]:
    """The pairs of a shard, and how many keys lack one half.

    Raises:
        ActionCLIPError: when it cannot be read.
    """
    pairs: list[Pair] = []
    incomplete = 0
    try:
        with tarfile.open(path, "r:") as tar:
            for key, members in _by_key(tar):
                pixels = next((s for s in members if s in IMAGE_SUFFIXES | VIDEO_SUFFIXES), None)
                words = next((s for s in (".txt", ".json") if s in members), None)
                if pixels is None or words is None or members[words][1] > LONGEST_TEXT:
                    incomplete += 1
                    continue
                is_json = words == ".json"
                pairs.append(Pair(key, pixels, members[pixels], members[words], is_json))
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ActionCLIPError(
            f"{path} cannot be read: {error}.",
            expected="A tar file that is not compressed, as `webdataset` writes them.",
        ) from None
    return pairs, incomplete


def _by_key(tar: tarfile.TarFile) -> Iterator[tuple[str, Mapping[str, tuple[int, int]]]]:
    """Names in a row that are the same up to their first dot."""
    split = _webdataset().tariterators.base_plus_ext
    key, members = "", {}
    for member in tar:
        base, suffix = split(member.name)
        if not member.isreg() or base is None or not 0 <= member.size <= LARGEST:
            continue
        if base != key and members:
            yield key, members
            members = {}
        key = base
        members[f".{suffix.lower()}"] = (member.offset_data, member.size)
    if members:
        yield key, members


def write_shards(manifest: Manifest, folder: Path, *, pairs_each: int = 1000) -> list[Path]:
    """Write the clips of a manifest that have captions as shards `pairs-000000.tar`, ...

    Files go in as they are. A row that is a stretch of a video, or a folder of frames, cannot.

    Raises:
        ActionCLIPError: when a row cannot go in, none has a caption, or other shards lie there.
        StorageError: when a shard cannot be written.
    """
    from actionclip.model.weights.files import Content, write_together

    rows = [row for row in manifest.rows if row.caption]
    if not rows:
        raise ActionCLIPError(
            f"None of the {len(manifest.rows)} clips has a caption.",
            expected="A manifest with a column caption.",
        )
    for row in rows:
        path = manifest.path_of(row)
        if row.start is not None or row.end is not None or not path.is_file():
            raise ActionCLIPError(
                f"{row.path} cannot go into a shard.",
                expected="A whole video or image file; not a stretch of one, nor a folder.",
            )
    names = {f"pairs-{number:06d}.tar" for number in range(-(-len(rows) // pairs_each))}
    if others := sorted(path.name for path in folder.glob("pairs-*.tar") if path.name not in names):
        raise ActionCLIPError(
            f"{folder} holds {len(others)} shards of another run, for example {others[0]}.",
            expected="A recipe that reads pairs-*.tar would read them, too.",
            hint="Remove them, or choose another folder.",
        )
    digits = max(6, len(str(len(rows))))
    written = []
    for first in range(0, len(rows), pairs_each):
        name = f"pairs-{first // pairs_each:06d}.tar"
        part = [
            (f"{first + i:0{digits}d}", manifest.path_of(row), row.caption)
            for i, row in enumerate(rows[first : first + pairs_each])
        ]
        size = sum(path.stat().st_size + 2048 for _, path, _ in part)
        content = Content(size, lambda target, part=part: _write_shard(target, part))
        write_together(folder, {name: content})
        written.append(folder / name)
    return written


def _write_shard(target: Path, pairs: Sequence[tuple[str, Path, str]]) -> None:
    with target.open("wb") as file, _webdataset().TarWriter(file, mtime=0) as writer:
        for key, path, caption in pairs:
            name = path.suffix.lower().removeprefix(".")
            writer.write({"__key__": key, name: path.read_bytes(), "txt": caption})


def _webdataset() -> Any:
    try:
        import webdataset
        import webdataset.shardlists
        import webdataset.tariterators
    except ImportError:
        raise ActionCLIPError(
            "Shards need webdataset, which is not installed.",
            hint="Install it with: pip install 'actionclip[train]'",
        ) from None
    return webdataset
