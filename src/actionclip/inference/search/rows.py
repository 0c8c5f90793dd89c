"""The columns of an index, and files as rows of them.

N windows of a file, D embedding width.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from actionclip.inference.search.changes.files import Entry
from actionclip.video.outcomes import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = b"actionclip"
"""Under what key the settings of an index stand in the table's schema."""
COLUMNS = ("path", "content", "size", "modified", "root", "status")
"""What is known of a file; the same in all rows of it."""
KEY = re.compile("[0-9a-f]{32}")
"""What the key of a file looks like."""


def window_rows(
    entry: Entry,
    starts: Float[np.ndarray, " N"],
    ends: Float[np.ndarray, " N"],
    vectors: Float[np.ndarray, "N D"],
) -> "pa.Table":
    """The rows of one file."""
    import pyarrow as pa

    count, width = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    columns = {
        **{"file": [file_key(entry.path)] * count, "number": np.arange(count, dtype=np.int32)},
        **{"windows": [count] * count, "start": starts, "end": ends},
        **{name: [value] * count for name, value in _record(entry).items()},
        "vector": pa.FixedSizeListArray.from_arrays(flat, width),
    }
    return pa.table(columns, schema=windows_schema(width))


def moved(rows: "pa.Table", entry: Entry) -> "pa.Table":
    """The windows of a file as those of another path, time or size."""
    import pyarrow as pa

    record = {"file": file_key(entry.path), **_record(entry)}
    for name, value in record.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        rows = rows.set_column(place, field, pa.array([value] * len(rows), field.type))
    return rows


def of_file(rows: "pa.Table", entry: Entry) -> "pa.Table":
    """Those of some rows that are windows of a file, and of the content that is known of it."""
    import pyarrow.compute as pc

    return rows.filter(
        (pc.field("file") == file_key(entry.path)) & (pc.field("content") == entry.content)
    )


def below(folder: str) -> str:
    """A condition: files below a folder, whose path is absolute with links resolved.

    Files elsewhere that were found through a link in a folder are below that as well; what a list
    names is not below the folder of the list.
    """
    here = _quoted(to_text(folder))
    inside = _quoted(to_text(folder.rstrip(os.sep) + os.sep))
    is_list = "(lower(root) LIKE '%.txt' OR lower(root) LIKE '%.csv')"
    found_there = f"(starts_with(root, {inside}) AND NOT {is_list})"
    return f"(starts_with(path, {inside}) OR root = {here} OR {found_there})"


def _record(entry: Entry) -> dict[str, Any]:
    return {
        **{"path": to_text(entry.path), "content": entry.content, "size": entry.size},
        **{"modified": entry.modified, "root": to_text(entry.root), "status": str(entry.status)},
    }


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The file that a row is about."""
    texts = {"path": to_path(row["path"]), "root": to_path(row["root"])}
    return Entry(**{**row, **texts, "status": Outcome(row["status"])})


def failure_rows(entries: Sequence[Entry]) -> "pa.Table":
    """Files that could not be read, as rows."""
    import pyarrow as pa

    rows = [
        {
            **{"file": file_key(entry.path), **_record(entry)},
            **{"message": to_text(entry.message), "hint": to_text(entry.hint)},
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, schema=failures_schema())


def windows_schema(dimension: int, settings: Mapping[str, Any] | None = None) -> "pa.Schema":
    """The columns of windows; `settings` are kept with the table."""
    import pyarrow as pa

    metadata = None if settings is None else {SETTINGS: json.dumps(settings).encode()}
    fields = [
        *(("file", pa.string()), ("number", pa.int32()), ("windows", pa.int32())),
        *(("start", pa.float64()), ("end", pa.float64())),
        *_record_fields(),
        ("vector", pa.list_(pa.float32(), dimension)),
    ]
    return pa.schema(fields, metadata=metadata)


def failures_schema() -> "pa.Schema":
    """The columns of files that could not be read."""
    import pyarrow as pa

    texts = [("message", pa.string()), ("hint", pa.string())]
    return pa.schema([("file", pa.string()), *_record_fields(), *texts])


def _record_fields() -> list[Any]:
    import pyarrow as pa

    types = {"size": pa.int64(), "modified": pa.int64()}
    return [(name, types.get(name, pa.string())) for name in COLUMNS]


def among(paths: Iterable[str]) -> str:
    """A condition: rows of these files. Keys are hashes, so there is nothing to escape."""
    keys = ", ".join(f"'{file_key(path)}'" for path in paths)
    return f"file IN ({keys})" if keys else "false"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def to_text(path: str) -> str:
    r"""A path as text that any program can keep: bytes that are no UTF-8 become `\0` and hex.

    No path holds a null character, so nothing is lost.

        >>> to_text("a\udcff.mp4")
        'a\x00ff.mp4'
    """
    return "".join(
        f"\0{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter
        for letter in path
    )


def to_path(text: str) -> str:
    """The path that `to_text` was given."""
    return re.sub("\0([0-9a-f]{2})", lambda found: chr(0xDC00 + int(found[1], 16)), text)


def file_key(path: str) -> str:
    """A short name for a path, safe in any query."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
