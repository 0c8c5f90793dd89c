"""Results of many videos as a file: JSON Lines, CSV, or Parquet. Rows go through one at a time."""

import itertools
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from actionclip.errors import ActionCLIPError, StorageError, check_writable
from actionclip.inference.bulk import RESULT_FORMATS
from actionclip.inference.results import CSV_COLUMNS, VideoResult, csv_lines

Results = Iterable[VideoResult]
ROWS = 10_000
"""Of a Parquet file that are written together."""


def check_output(path: Path, names: Iterable[str] = (), formats: str = RESULT_FORMATS) -> None:
    """Refuse a file that could not be written, before hours of work.

    Args:
        path: the file.
        names: of the videos that it will hold, where they are known.
        formats: the endings there are, in words.

    Raises:
        ActionCLIPError: for another ending, Parquet without pyarrow, or a name that Parquet
            cannot hold.
        StorageError: for a folder that is not there, or a place where nothing can be written.
    """
    endings = re.findall(r"\.\w+", formats)
    if path.suffix not in endings:
        raise ActionCLIPError(
            f"Cannot tell the format of {path}.", expected=f"It must end in {formats}."
        )
    if path.suffix == ".parquet":
        check_parquet(names, instead=endings[0])
    if not path.absolute().parent.is_dir():
        raise StorageError(
            f"Cannot write {path}: there is no folder {path.absolute().parent}.",
            hint="Create it first.",
        )
    check_writable(path)


def check_parquet(names: Iterable[str], *, instead: str) -> None:
    """Refuse what cannot be in a Parquet file.

    Args:
        names: of videos.
        instead: the ending of a file that takes all of it.

    Raises:
        ActionCLIPError: without pyarrow, or for a name that is not text.
    """
    if find_spec("pyarrow") is None:
        raise ActionCLIPError(
            "Parquet needs pyarrow, which is not installed.",
            hint=f'Install it with: pip install "actionclip[parquet]". Or write {instead}.',
        )
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ActionCLIPError(
                f"The name {name!r} is not text, which Parquet cannot hold.",
                hint=f"Write {instead}, or rename the file.",
            )


def write_results(results: Results, path: Path, kind: str) -> None:
    """Write all results to a new file.

    Args:
        results: in order.
        path: the file.
        kind: `.jsonl`: a line for each video, as `to_json` gives it; `.csv`: one for each label,
            as `to_csv`; `.parquet`: a row for each video, with the best label and its score, and
            all labels and scores as lists.
    """
    _WRITERS[kind](results, path)


def _write_lines(results: Results, path: Path) -> None:
    _write_text((result.to_json() for result in results), path)


def _write_csv(results: Results, path: Path) -> None:
    lines = (result.to_csv() for result in results)
    _write_text(itertools.chain([csv_lines([CSV_COLUMNS])], lines), path)


def _write_text(lines: Iterable[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def _write_parquet(results: Results, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.float64()
    schema = pa.schema(
        [
            *(("source", text), ("status", text), ("label", text), ("score", number)),
            *(("labels", pa.list_(text)), ("scores", pa.list_(number))),
            *(("seconds", number), ("frames", pa.int64()), ("precision", text)),
            *(("message", text), ("hint", text)),
        ]
    )
    left = iter(results)
    with parquet.ParquetWriter(path, schema) as writer:
        while rows := [_row(result) for result in itertools.islice(left, ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _row(result: VideoResult) -> dict[str, Any]:
    row = result.to_dict()
    best = row["scores"][0] if row["scores"] else {"label": None, "score": None}
    lists = {f"{name}s": [each[name] for each in row["scores"]] for name in ("label", "score")}
    error = {"message": result.message, "hint": result.hint}
    return {key: row[key] for key in row if key not in ("scores", "error")} | best | lists | error


_WRITERS: dict[str, Callable[[Results, Path], None]] = {
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
