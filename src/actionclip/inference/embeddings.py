"""Embeddings of many videos as a file: NumPy's .npz, or Parquet; what is done is kept until then.

D embedding width.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.encoder import Views, frames_at_once
from actionclip.evaluation.clips import EncodedClip, Store, file_key, identity
from actionclip.inference.bulk.tables import check_parquet
from actionclip.inference.bulk.unfinished import hold_unfinished, part_size
from actionclip.inference.results import VideoResult
from actionclip.model.weights.files import Content, write_together

if TYPE_CHECKING:
    from actionclip.inference.recognizer import Recognizer
    from actionclip.video.sources import Source


@dataclass(frozen=True)
class EmbeddedVideo:
    """A video's unit vector [D], or none when the video gave no frames."""

    result: VideoResult
    embedding: Float[Tensor, " D"] | None


def write_embeddings(rows: Sequence[EmbeddedVideo], path: Path) -> None:
    """Write `source`, `seconds`, `frames` and `embedding` (float32 [N, D]); whole or not at all.

    Raises:
        ActionCLIPError: for a name that Parquet cannot hold.
        StorageError: when the disk is full or the place is not writable.
    """
    if path.suffix == ".parquet":
        check_parquet((row.result.source for row in rows), instead=".npz")
    table: dict[str, Any] = {
        "source": [row.result.source for row in rows],
        "status": [str(row.result.status) for row in rows],
        "seconds": [float("nan") if (s := row.result.seconds) is None else s for row in rows],
        "frames": [row.result.frames for row in rows],
    }
    vectors = [row.embedding.float().numpy() for row in rows if row.embedding is not None]
    matrix = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)

    def write(place: Path) -> None:
        if place.suffix == ".npz":
            arrays: dict[str, Any] = {name: np.array(column) for name, column in table.items()}
            np.savez(place, **arrays, embedding=matrix)
        else:
            _write_parquet(table | {"embedding": list(matrix)}, place)

    write_together(path.parent, {path.name: Content(matrix.nbytes, write)})


class Unfinished:
    """Embeddings on their way into a file: what is done is kept in a folder beside it.

    After an interruption a video is found there by its path, size and time, so the list may have
    grown. Where the list is the same, the vectors are the same bits as without an interruption.

    Args:
        path: the file to come.
        recognizer: makes the embeddings.
        sources: the videos.
        views: `frames`, `windows`, `spacing` and `crops`, as for `Recognizer.embeddings`.

    Raises:
        ActionCLIPError: when the folder holds vectors of another model or other views, or another
            process works there; for options we cannot use.
        StorageError: when nothing can be written there.
    """

    def __init__(
        self, path: Path, recognizer: "Recognizer", sources: Sequence["Source"], **views: Any
    ) -> None:
        self.folder = path.with_name(f"{path.name}.unfinished")
        chosen = Views.of(recognizer.config, **views)
        self._batch = max(1, frames_at_once(recognizer.model) // chosen.frames)
        self._recognizer, self._views = recognizer, views
        settings = identity(recognizer.encoder, chosen, (), self._batch)
        del settings["clips"], settings["block"]
        hint = f"Delete {self.folder} to begin anew, or name another file with --output."
        self._store = Store(self.folder, settings, hint=hint)
        self._lock = hold_unfinished(self.folder)
        there = self._store.all()
        keys = [file_key(source) for source in sources]
        self._sources = [
            (source, there.get(key)) for source, key in zip(sources, keys, strict=True)
        ]

    @property
    def found(self) -> int:
        """How many videos were done before."""
        return sum(kept is not None for _, kept in self._sources)

    def rows(self) -> Iterator[EmbeddedVideo]:
        """A row for each video, in order, as they come.

        Raises:
            StorageError: when the disk is full.
        """
        todo = [source for source, kept in self._sources if kept is None]
        new = self._recognizer.embeddings(todo, batch_size=self._batch, **self._views)
        size = part_size(len(self._sources), self._batch)
        number = self._store.unused()
        block: list[tuple[Source, EncodedClip]] = []
        for source, kept in self._sources:
            if kept is not None:
                yield _row(source, kept, self._recognizer.precision)
                continue
            row = next(new)
            yield row
            block.append((source, _to_keep(row)))
            if len(block) == size:
                self._store.write(number, *zip(*block, strict=True))
                block, number = [], number + 1
        if block:
            self._store.write(number, *zip(*block, strict=True))

    def close(self) -> None:
        """Let another process go on with what is left."""
        self._lock.close()

    def done(self) -> None:
        """All is where it belongs: nothing more needs to be kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _to_keep(row: EmbeddedVideo) -> EncodedClip:
    found, vector = row.result, row.embedding
    views = None if vector is None else vector.float().numpy()[None]
    return EncodedClip(found.status, found.message, found.hint, found.seconds, found.frames, views)


def _row(source: "Source", kept: EncodedClip, precision: str) -> EmbeddedVideo:
    result = VideoResult(
        source=source.name,
        status=kept.status,
        scores=[],
        frames=kept.frames,
        seconds=kept.seconds,
        precision=precision,
        message=kept.message,
        hint=kept.hint,
    )
    return EmbeddedVideo(result, None if kept.views is None else torch.from_numpy(kept.views[0]))


def _write_parquet(table: dict[str, Any], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(table), path)
