"""Tables as files: CSV as spreadsheets write it, Parquet where pyarrow is installed, several labels
in a cell.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionclip.errors import ActionCLIPError

TABLES = (".csv", ".tsv")
SEPARATORS = (",", "\t", ";")
BEGINNING = 2**16
"""Bytes of a file that are looked at to recognise it."""


def join_labels(labels: Iterable[str]) -> str:
    r"""Several labels in one cell.

    >>> print(join_labels(["walking", "this|that"]))
    walking|this\|that
    """
    return "|".join(re.sub(r"([\\|])", r"\\\1", label) for label in labels)


def split_labels(cell: str) -> tuple[str, ...]:
    """The labels of a cell; the opposite of `join_labels`.

    >>> split_labels("walking | waving")
    ('walking', 'waving')
    """
    parts = re.findall(r"(?:\\[\\|]|[^|])+", cell)
    plain = (re.sub(r"\\([\\|])", r"\1", part).strip() for part in parts)
    return tuple(part for part in plain if part)


def read_text(path: Path) -> str:
    """A list's text. Names that are not UTF-8 survive the way Python keeps them in paths.

    A file that begins with the mark of UTF-16 is that: Excel writes it so.

    Raises:
        ActionCLIPError: when it cannot be read.
    """
    data = _bytes(path)
    try:
        return data.decode("utf-16") if _is_utf16(data) else data.decode(*_BYTES)
    except UnicodeDecodeError as error:
        raise ActionCLIPError(
            f"{path} begins as UTF-16 and is not: {error.reason} at byte {error.start}.",
            hint="Write it once more, best as UTF-8.",
        ) from None


_BYTES = ("utf-8-sig", "surrogateescape")


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise ActionCLIPError(
            f"Cannot read {path}: {error.strerror or error}.",
            hint="Check the spelling of the path.",
        ) from None


def _is_utf16(data: bytes) -> bool:
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def beginning(path: Path) -> str:
    """The first 64 KiB of a text file: enough to know it by, however large it is.

    Raises:
        ActionCLIPError: when it cannot be read.
    """
    data = _bytes(path, BEGINNING)
    return data.decode("utf-16", "replace") if _is_utf16(data) else data.decode(*_BYTES)


def first_lines(path: Path, count: int) -> list[str]:
    """The first lines of a text file without space around them, so far as `beginning` goes.

    Raises:
        ActionCLIPError: when it cannot be read.
    """
    lines = beginning(path).splitlines()
    whole = lines[:-1] if path.stat().st_size > BEGINNING else lines
    return [line.strip() for line in whole[:count]]


def columns_of(path: Path) -> list[str]:
    """The columns in the first line of a CSV file.

    Raises:
        ActionCLIPError: when it cannot be read.
    """
    for line in first_lines(path, 1):
        for cells in csv.reader([line], delimiter=_separator(line)):
            return [cell.strip() for cell in cells]
    return []


def _separator(header: str) -> str:
    r"""What stands between the cells: a comma; a tab or a semicolon where there is no comma.

    >>> _separator("path,label"), _separator("path\tlabel"), _separator("path;label")
    (',', '\t', ';')
    """
    return next((each for each in SEPARATORS if each in header), ",")


def read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines of a CSV file with a header: the number of each, and its cells by column.

    Raises:
        ActionCLIPError: naming file and line where a line has not as many cells as the header.
    """
    text = read_text(path)
    between = _separator(text.split("\n", 1)[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    table: list[tuple[int, dict[str, str]]] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = [cell.strip() for cell in cells]
            elif cells and len(cells) != len(header):
                raise ActionCLIPError(
                    f"{path}:{reader.line_num}: this line has {len(cells)} cells.",
                    expected=f"{len(header)} were expected: {', '.join(header)}.",
                    hint='A cell with a comma in it goes between double quotes: "a, b.mp4".',
                )
            elif cells:
                table.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise ActionCLIPError(f"{path}:{reader.line_num}: {error}.") from None
    check_columns(header, path)
    return table


def check_columns(header: Sequence[str], path: Path) -> None:
    """Refuse a table without a header, or with two columns of one name."""
    twice = [name for name in header if header.count(name) > 1]
    if twice or not header:
        what = f"has the column {twice[0]!r} twice" if twice else "is empty"
        raise ActionCLIPError(f"{path} {what}.", expected="A header with different names.")


def csv_text(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table with a header as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def parquet_columns(path: Path) -> list[str]:
    """The columns of a Parquet file; none where it cannot be read."""
    try:
        return _pyarrow().parquet.read_schema(path).names
    except (OSError, ValueError):
        return []


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        ActionCLIPError: when it is none, or pyarrow is not installed.
    """
    parquet = _pyarrow().parquet
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's errors are children of these
        raise ActionCLIPError(f"Cannot read {path}: {error}.") from None


def write_parquet(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], path: Path
) -> None:
    """Write rows with these columns, each `text`, `texts` (a list) or `number`.

    Raises:
        ActionCLIPError: for what is not text, or when pyarrow is not installed.
    """
    pa = _pyarrow()
    kinds = {"text": pa.string(), "texts": pa.list_(pa.string()), "number": pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    try:
        pa.parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    except UnicodeEncodeError as error:
        raise ActionCLIPError(
            f"The name {error.object!r} is not text, which Parquet cannot hold.",
            hint="Write a .csv, or rename the file.",
        ) from None


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ActionCLIPError(
            "Parquet needs pyarrow, which is not installed.",
            hint='Install it with: pip install "actionclip[parquet]". Or use .csv.',
        ) from None
    return pyarrow
