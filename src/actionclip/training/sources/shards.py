"""The pairs of WebDataset shards, read by their place in the file."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from actionclip.data.shards import Pair, find_shards, read_pairs
from actionclip.errors import ActionCLIPError
from actionclip.training.sources.clips import Entry
from actionclip.video.decode.workers.handover import open_regular
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sources import IMAGE_SUFFIXES, Source


class ShardEntries:
    """The pairs of some shards, by number, in the order of shards and files.

    Args:
        pattern: files, with `{000..099}` for numbers, `*`, and `::` between several patterns.

    Raises:
        ActionCLIPError: when there is no such file, it is no shard, or holds no pair.
    """

    labels: Sequence[str] = ()

    def __init__(self, pattern: str) -> None:
        self.paths = find_shards(pattern)
        self.pairs: list[tuple[int, Pair]] = []
        """Each with the number of its shard."""
        self.left_out = 0
        for number, path in enumerate(self.paths):
            found, incomplete = read_pairs(path)
            self.pairs += [(number, pair) for pair in found]
            self.left_out += incomplete
        if not self.pairs:
            raise ActionCLIPError(
                f"There is no pair in the {len(self.paths)} shards of {pattern!r}.",
                expected="NAME.jpg (or .png, .webp, .mp4, ...) followed by NAME.txt, or by "
                'NAME.json with "caption".',
            )
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def different(self) -> int:
        """How many pairs may fail to be read."""
        return len(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int, /) -> Entry:
        shard, pair = self.pairs[index]
        text = self._text(index)
        kind = "frames" if pair.suffix in IMAGE_SUFFIXES else "file"
        data = self._bytes(shard, pair.pixels)
        return Entry(Source(self.name(index), Path(self.name(index)), kind, data), 0, text)

    def said(self, index: int) -> str:
        """What is said of a pair; nothing where that cannot be read."""
        try:
            return self._text(index)
        except VideoError:
            return ""

    def name(self, index: int) -> str:
        """Shard and key."""
        shard, pair = self.pairs[index]
        return f"{self.paths[shard]}/{pair.key}{pair.suffix}"

    def _text(self, index: int) -> str:
        shard, pair = self.pairs[index]
        text = self._bytes(shard, pair.words).decode("utf-8", "replace").strip()
        if pair.is_json:
            text = _caption(text, self.name(index))
        if not text:
            raise VideoError(f"{self.name(index)} has an empty text.", Outcome.UNREADABLE, hint="")
        return text

    def _bytes(self, shard: int, place: tuple[int, int]) -> bytes:
        start, size = place
        with self._lock:
            if shard not in self._files:
                self._files[shard] = open_regular(self.paths[shard])
            file = self._files[shard]
        try:
            data = os.pread(file, size, start)
        except OSError as error:
            raise VideoError(
                f"The shard cannot be read: {error.strerror}.", Outcome.UNREADABLE
            ) from None
        if len(data) != size:
            raise VideoError("The shard ends before the pair does.", Outcome.UNREADABLE)
        return data

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def _caption(text: str, name: str) -> str:
    try:
        data = json.loads(text)
        caption = data.get("caption") or data.get("text")
    except (ValueError, AttributeError, RecursionError):
        caption = None
    if not isinstance(caption, str):
        raise VideoError(f'{name} has no "caption".', Outcome.UNREADABLE, hint="") from None
    return caption.strip()
