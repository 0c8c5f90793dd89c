"""Embeddings of many videos as a file: NumPy's .npz, or Parquet."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from actionclip.errors import ActionCLIPError, StorageError, cannot_write
from actionclip.inference import EMBEDDING_FORMATS
from actionclip.inference.results import VideoResult


@dataclass(frozen=True)
class EmbeddedVideo:
    """A video's unit vector [D], or none when the video gave no frames."""

    result: VideoResult
    embedding: Float[Tensor, " D"] | None


def check_output(path: Path) -> None:
    """Refuse a file we could not write, before hours of work.

    Raises:
        ActionCLIPError: for an unknown ending, or Parquet without pyarrow.
        StorageError: for a folder that is not there.
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
    if not path.absolute().parent.is_dir():
        raise StorageError(
            f"Cannot write {path}: there is no folder {path.absolute().parent}.",
            hint="Create it first.",
        )


def write_embeddings(rows: Sequence[EmbeddedVideo], path: Path) -> None:
    """Write `source`, `seconds`, `frames` and `embedding` (float32 [N, D]); whole or not at all.

    Raises:
        StorageError: when the disk is full or the place is not writable.
    """
    table: dict[str, Any] = {
        "source": [row.result.source for row in rows],
        "status": [str(row.result.status) for row in rows],
        "seconds": [float("nan") if (s := row.result.seconds) is None else s for row in rows],
        "frames": [row.result.frames for row in rows],
    }
    vectors = [row.embedding.float().numpy() for row in rows if row.embedding is not None]
    matrix = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, suffix=path.suffix)
    os.close(handle)
    try:
        if path.suffix == ".npz":
            arrays: dict[str, Any] = {name: np.array(column) for name, column in table.items()}
            np.savez(temporary, **arrays, embedding=matrix)
        else:
            _write_parquet(table | {"embedding": list(matrix)}, temporary)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def _write_parquet(table: dict[str, Any], path: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(table), path)
