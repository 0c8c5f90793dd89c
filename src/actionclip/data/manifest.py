r"""The manifest: a table of the clips there are, what happens in them, and who uses them.

A row is a clip: a video, or a stretch of one. As CSV it looks like this, `path` being the only
column that must be there:

    path,labels,start,end,split
    clips/a.mp4,opening a door,,,train
    "clips/b, c.mp4",walking|waving,2.5,4.0,test

Several labels stand between `|`; a label that has one in it writes `\|`. A column called `label`
holds one label as it stands. Cells may stand between tabs or semicolons, too. Parquet files have
the same columns, `labels` being lists of text. Where the order of the classes is not that of the
alphabet, or a class has no clip, the classes stand in a file `NAME.labels.txt` beside `NAME.csv`,
one a line.
"""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from actionclip.data.tables import (
    TABLES,
    check_columns,
    join_labels,
    read_parquet,
    read_table,
    read_text,
    split_labels,
    write_parquet,
)
from actionclip.errors import ActionCLIPError
from actionclip.video.sources import IMAGE_SUFFIXES, Source

COLUMNS = ("path", "labels", "start", "end", "split", "group", "caption")
KINDS = {name: "text" for name in COLUMNS} | {"labels": "texts", "start": "number", "end": "number"}
FORMATS = (".csv", ".parquet")
"""In which it is written; read, too, is `.tsv`, and cells between tabs or semicolons."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""How others spell the three splits. Any other name is kept as it is."""


@dataclass(frozen=True)
class Row:
    """One clip."""

    path: str
    """A video file, or a folder of frames; relative to the manifest's root, or absolute."""
    labels: tuple[str, ...] = ()
    """What happens in it; none where that is not known."""
    start: float | None = None
    """Seconds after the beginning of the video; None: from its beginning."""
    end: float | None = None
    """Seconds after the beginning of the video; None: to its end."""
    split: str = ""
    """`train`, `val`, `test`, another name, or empty: not said."""
    group: str = ""
    """The recording (or person) it is taken from; clips of a group are not independent."""
    caption: str = ""
    """A sentence about this clip."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake; give the split its usual name."""
        object.__setattr__(self, "split", split_name(self.split))
        if not self.path or "\0" in self.path:
            raise ActionCLIPError(f"The path is {self.path!r}.", expected="A path was expected.")
        for label in self.labels:
            if not label or label != label.strip() or "\n" in label:
                raise ActionCLIPError(
                    f"A label is {label!r}.",
                    expected="A label is a line of text without space around it.",
                )
        if len(set(self.labels)) < len(self.labels):
            raise ActionCLIPError(
                f"The labels are {', '.join(map(repr, self.labels))}.",
                expected="Each label was expected once.",
            )
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not 0 <= value < math.inf:
                raise ActionCLIPError(
                    f"The {name} is {value}.", expected="Seconds of 0 or more were expected."
                )
        if self.end is not None and self.end <= (self.start or 0):
            raise ActionCLIPError(
                f"The clip starts at {self.start or 0:g} s and ends at {self.end:g} s.",
                expected="The end must be after the start.",
            )

    @property
    def name(self) -> str:
        """What a person calls it: its path, of a stretch followed by `#t=START,END`."""
        if self.start is None and self.end is None:
            return self.path
        end = "" if self.end is None else f",{self.end:.10g}"
        return f"{self.path}#t={self.start or 0:.10g}{end}"

    @property
    def recording(self) -> str:
        """What it is known to be cut from: its group, or else its file."""
        return self.group or self.path


@dataclass(frozen=True)
class Manifest:
    """The clips of a data set and its classes.

    Raises:
        ActionCLIPError: when `classes` has a label twice, or lacks one that a row has.
    """

    rows: tuple[Row, ...]
    classes: tuple[str, ...] = ()
    """A label's number is its place here. Empty: the labels of the rows in alphabetical order."""
    root: Path = field(default_factory=Path)
    """What relative paths are relative to."""

    def __post_init__(self) -> None:
        """Fill in the classes, or hold them against the rows."""
        found = sorted({label for row in self.rows for label in row.labels})
        if not self.classes:
            object.__setattr__(self, "classes", tuple(found))
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ActionCLIPError(
                f"The class {twice!r} is listed twice.", expected="Once was expected."
            )
        known = set(self.classes)
        if strange := [label for label in found if label not in known]:
            near = get_close_matches(strange[0], self.classes, n=1)
            raise ActionCLIPError(
                f"The label {strange[0]!r} is not among the {len(self.classes)} classes"
                + (f", and {len(strange) - 1} more are not." if len(strange) > 1 else "."),
                expected="Labels are matched by name.",
                hint=f"Did you mean {near[0]!r}?" if near else "",
            )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each class."""
        return {label: number for number, label in enumerate(self.classes)}

    @property
    def splits(self) -> list[str]:
        """The splits that rows name: train, val, test, then others; an empty name is one too."""
        first = ["train", "val", "test"]
        names = {row.split for row in self.rows}
        return [n for n in first if n in names] + sorted(names - set(first))

    @property
    def labelled(self) -> "Manifest":
        """The rows of which it is known what happens in them, with all classes."""
        return replace(self, rows=tuple(row for row in self.rows if row.labels))

    def only(self, *splits: str) -> "Manifest":
        """The rows of some splits, with all classes."""
        return replace(self, rows=tuple(row for row in self.rows if row.split in splits))

    def path_of(self, row: Row) -> Path:
        """Where a row's video lies; absolute.

        `..` is the folder above the root itself, not above a link that leads to it: so it is for
        whoever opens the path.
        """
        return Path(os.path.abspath(os.path.join(os.path.realpath(self.root), row.path)))  # noqa: PTH100, PTH118

    def source(self, row: Row) -> Source:
        """A row's clip, to be given to a `DecodePool`. A folder is a video's frames, an image a
        video of one frame.
        """
        path = Path(os.path.realpath(self.path_of(row)))
        is_frames = path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir()
        kind = "frames" if is_frames else "file"
        return Source(str(self.root / row.path), path, kind, start=row.start, end=row.end)


def read_manifest(path: Path, *, root: Path | None = None) -> Manifest:
    """Read a manifest.

    Args:
        path: a `.csv`, `.tsv` or `.parquet` file. Capitals of column names do not count.
        root: what relative paths are relative to; None: the folder of the manifest.

    Raises:
        ActionCLIPError: when it cannot be read, naming the file and the line (in Parquet the row,
            counted from 1) of the first mistake.
    """
    check_format(path, (*FORMATS, *TABLES))
    rows = []
    for line, cells in _read_rows(path):
        try:
            rows.append(_to_row(cells))
        except ActionCLIPError as error:
            raise ActionCLIPError(
                f"{path}:{line}: {error.what}", expected=error.expected, hint=error.hint
            ) from None
    try:
        return Manifest(tuple(rows), _read_classes(path), path.parent if root is None else root)
    except ActionCLIPError as error:
        raise ActionCLIPError(
            f"{path}: {error.what}",
            expected=f"{error.expected} The classes stand in {classes_file(path)}.",
            hint=error.hint,
        ) from None


def write_manifest(manifest: Manifest, path: Path, *, root: Path | None = None) -> None:
    """Write a manifest, whole or not at all; paths become relative to its folder.

    Args:
        manifest: what to write.
        path: a `.csv` or `.parquet` file.
        root: make paths relative to this folder instead; whoever reads the file then names it.

    Raises:
        StorageError: when it cannot be written.
        ActionCLIPError: for another format, or Parquet without pyarrow.
    """
    from actionclip.model.weights.files import write_together

    contents = manifest_contents(manifest, path, root=root)
    write_together(path.parent, contents)
    remove_old_classes(path, contents)


def remove_old_classes(path: Path, contents: Mapping[str, Any]) -> None:
    """Remove the list of classes of a manifest that was written before, where this one has none."""
    if classes_file(path).name not in contents:
        classes_file(path).unlink(missing_ok=True)


def manifest_contents(
    manifest: Manifest, path: Path, *, root: Path | None = None
) -> dict[str, Any]:
    """What `write_manifest` writes, for `actionclip.model.weights.files.write_together`."""
    from actionclip.model.weights.files import Content, text_content

    check_format(path)
    base = path.parent if root is None else root
    rows = [replace(row, path=_moved(row.path, manifest.root, base)) for row in manifest.rows]
    if path.suffix.lower() == ".parquet":
        table = [_cells(row) | {"labels": list(row.labels)} for row in rows]
        contents = {path.name: Content(0, lambda file: write_parquet(table, KINDS, file))}
    else:
        data = _to_csv(rows).encode("utf-8", "surrogateescape")
        contents = {path.name: Content(len(data), lambda file: file.write_bytes(data))}
    if list(manifest.classes) != sorted({n for row in manifest.rows for n in row.labels}):
        text = "".join(f"{name}\n" for name in manifest.classes)
        contents[classes_file(path).name] = text_content(text)
    return contents


def classes_file(path: Path) -> Path:
    """The file beside a manifest that lists its classes."""
    return path.with_name(f"{path.stem}.labels.txt")


def split_name(name: str) -> str:
    """The usual name of a split.

    >>> split_name("Validation"), split_name("train"), split_name("holdout")
    ('val', 'train', 'holdout')
    """
    return SPLIT_NAMES.get(name.strip().lower(), name.strip())


def column_name(name: str) -> str:
    """A column by its usual name: `Path` is `path`. Others stay as they are."""
    return folded if (folded := name.strip().lower()) in (*COLUMNS, "label") else name


def check_format(path: Path, formats: Sequence[str] = FORMATS) -> None:
    """Refuse, with an ActionCLIPError, a file whose ending is not among the formats."""
    if path.suffix.lower() not in formats:
        raise ActionCLIPError(
            f"Cannot tell the format of {path}.",
            expected=f"A manifest ends in {' or '.join(FORMATS)}.",
        )


def _check_manifest(header: Sequence[str], path: Path) -> None:
    """Refuse a table without paths, a column twice, and columns that look like ours misspelt."""
    check_columns(header, path)
    allowed = [*COLUMNS, "label"]
    for name in header:
        near = get_close_matches(name.lower(), allowed, n=1, cutoff=0.75)
        if name not in allowed and near:
            raise ActionCLIPError(
                f"{path} has a column {name!r}.",
                expected=f"A manifest has the columns {', '.join(COLUMNS)}; others are left alone.",
                hint=f"Did you mean {near[0]!r}?",
            )
    if "path" not in header or {"label", "labels"} <= set(header):
        raise ActionCLIPError(
            f"{path} has the columns {', '.join(header)}.",
            expected="A manifest has a column path, and labels (or label, not both).",
        )


def _read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() == ".parquet":
        table: list[tuple[int, dict[str, Any]]] = list(enumerate(read_parquet(path), start=1))
    else:
        table = list(read_table(path))
    if not table:
        return []
    names = {name: column_name(name) for name in table[0][1]}
    _check_manifest(list(names.values()), path)
    return [(line, {names[name]: cell for name, cell in cells.items()}) for line, cells in table]


def _to_row(cells: Mapping[str, Any]) -> Row:
    labels = cells.get("labels")
    if label := _text(cells.get("label")).strip():
        found: tuple[str, ...] = (label,)
    elif isinstance(labels, Sequence) and not isinstance(labels, str):
        found = tuple(str(label) for label in labels)
    else:
        found = split_labels(_text(labels))
    return Row(
        path=_text(cells.get("path")),
        labels=found,
        start=_seconds(cells.get("start"), "start"),
        end=_seconds(cells.get("end"), "end"),
        split=_text(cells.get("split")),
        group=_text(cells.get("group")),
        caption=_text(cells.get("caption")),
    )


def _text(cell: Any) -> str:
    """A cell as text. Parquet files hold numbers, too: a class, a person, a fold."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():  # whole numbers beside empty cells
        cell = int(cell)
    return cell if isinstance(cell, str) else str(cell)


def _seconds(cell: str | float | None, column: str) -> float | None:
    is_missing = cell != cell if isinstance(cell, float) else not str(cell or "0").strip()
    if cell in (None, "") or is_missing:
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ActionCLIPError(
            f"The {column} is {cell!r}.", expected="Seconds were expected, for example 2.5."
        ) from None


def _cells(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}


def _to_csv(rows: Sequence[Row]) -> str:
    """The table; `group` and `caption` are left out where no row has them."""
    used = [n for n in COLUMNS if n not in COLUMNS[5:] or any(_cells(row)[n] for row in rows)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, used, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_cells(row) | {"labels": join_labels(row.labels)} for row in rows)
    return text.getvalue()


def _moved(path: str, root: Path, base: Path) -> str:
    """A path relative to `root` made relative to `base`.

    The way up leads through the folder that `base` is, not through a link to it.
    """
    there = os.path.realpath(base)
    if os.path.realpath(root) == there or os.path.isabs(path):  # noqa: PTH117
        return path
    here = os.path.realpath(root) if ".." in Path(root).parts else os.path.abspath(root)  # noqa: PTH100
    return Path(os.path.relpath(os.path.join(here, path), there)).as_posix()  # noqa: PTH118


def _read_classes(path: Path) -> tuple[str, ...]:
    file = classes_file(path)
    lines = read_text(file).split("\n") if file.is_file() else ()
    return tuple(line.strip() for line in lines if line.strip())
