"""Embeddings of many videos as a file: NumPy's .npz, or Parquet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from actionclip.errors import ActionCLIPError, StorageError, check_writable
from actionclip.inference import EMBEDDING_FORMATS
from actionclip.inference.results import VideoResult
from actionclip.model.weights.files import Content, write_together


@dataclass(frozen=True)
class EmbeddedVideo:
    """A video's unit vector [D], or none when the video gave no frames."""

    result: VideoResult
    embedding: Float[Tensor, " D"] | None


def check_output(path: Path, names: Iterable[str] = ()) -> None:
    """Refuse a file we could not write, before hours of work.

    Args:
        path: the file.
        names: of the videos that it will hold, where they are known.

    Raises:
        ActionCLIPError: for an unknown ending, Parquet without pyarrow, or a name that Parquet
            cannot hold.
        StorageError: for a folder that is not there, or a place where nothing can be written.
    """
    if path.suffix not in (".npz", ".parquet"):
        raise ActionCLIPError(
            f"Cannot tell the format of {path}.", expected=f"It must end in {EMBEDDING_FORMATS}."
        )
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ActionCLIPError(
            "Parquet needs pyarrow, which is not installed.",
            hint='Install it with: pip install "actionclip[parquet]". Or write .npz.',
        )
    if path.suffix == ".parquet":
        _check_names(names)
    if not path.absolute().parent.is_dir():
        raise StorageError(
            f"Cannot write {path}: there is no folder {path.absolute().parent}.",
            hint="Create it first.",
        )
    check_writable(path)


def write_embeddings(rows: Sequence[EmbeddedVideo], path: Path) -> None:
    """Write `source`, `seconds`, `frames` and `embedding` (float32 [N, D]); whole or not at all.

    Raises:
        ActionCLIPError: for a name that Parquet cannot hold.
        StorageError: when the disk is full or the place is not writable.
    """
    if path.suffix == ".parquet":
        _check_names(row.result.source for row in rows)
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


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise ActionCLIPError(
                f"The name {name!r} is not text, which Parquet cannot hold.",
                hint="Write .npz, or rename the file.",
            ) from None


def _write_parquet(table: dict[str, Any], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(table), path)
