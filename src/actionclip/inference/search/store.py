"""The index on disk: a LanceDB table of windows, and one of files that could not be read.

Everything about a file stands in the rows of its windows, so that each change of it is one commit
of one table: it happens as a whole or not at all, whenever the process is killed. A file's first
window (number 0) is the record of the file.

N rows, D embedding width.
"""

import importlib.util
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from jaxtyping import Float

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.inference.bulk.lock import hold
from actionclip.inference.search.changes.files import Entry
from actionclip.inference.search.rows import (
    COLUMNS,
    KEY,
    SETTINGS,
    among,
    entry_of,
    failure_rows,
    failures_schema,
    to_path,
    to_text,
    windows_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

WINDOWS, FAILURES = "windows", "failures"
APPROXIMATE_FROM = 100_000
"""Windows from which an approximate index is built; below, every query looks at all of them."""
PARTITION = 1000
"""Windows in a partition of the approximate index, about."""
PROBES = 64
"""Partitions that a query looks into, at least."""
CANDIDATES = 4
"""So many times more windows than asked for are compared again with their whole vectors."""
SMALL_PARTS = 16
"""Pieces of a table, one from each commit, from which they are put together."""
KEPT = timedelta(minutes=10)
"""How long an old version stays for those who are reading it."""


def connect(place: str) -> Any:
    """LanceDB at a folder or an address (`s3://`, `gs://`, `az://`, `memory://`).

    Raises:
        ActionCLIPError: when lancedb is not installed or the place cannot be reached.
    """
    os.environ.setdefault("LANCE_LOG", "error")  # its remarks on clusters are not for users
    try:
        lancedb = importlib.import_module("lancedb")
    except ImportError:
        raise _missing() from None
    with _storage(place):
        return lancedb.connect(place)


def check_installed() -> None:
    """Say so when lancedb is missing.

    Raises:
        ActionCLIPError: with the command that installs it.
    """
    if importlib.util.find_spec("lancedb") is None:
        raise _missing()


def _missing() -> ActionCLIPError:
    return ActionCLIPError(
        "A search index needs LanceDB, which is not installed.",
        hint="Install it with: pip install 'actionclip[search]'",
    )


def is_local(place: str) -> bool:
    """Whether an index lies in a folder of this machine."""
    return "://" not in place


class Store:
    """The two tables of one index.

    Args:
        place: folder or address.
        database: see `connect`.
        anew: whether it is about to be dropped: tables that cannot be opened count as none.
    """

    def __init__(self, place: str, database: Any, *, anew: bool = False) -> None:
        self.place, self._database, self._anew = place, database, anew
        self.damaged = False
        """Whether there is a table that could not be opened."""
        self._windows: Any = self._open(WINDOWS)
        self._failures: Any = self._open(FAILURES)

    @property
    def exists(self) -> bool:
        """Whether there is an index."""
        return self._windows is not None

    @property
    def settings(self) -> dict[str, Any]:
        """What `create` was given.

        Raises:
            ActionCLIPError: when the table is none of ours.
        """
        try:
            return json.loads((self._windows.schema.metadata or {})[SETTINGS])
        except (KeyError, ValueError):
            raise ActionCLIPError(
                f"{self.place} holds a table {WINDOWS!r} that is no index of this program.",
                hint="Choose another place with --index.",
            ) from None

    def create(self, dimension: int, settings: Mapping[str, Any]) -> None:
        """Make an empty index for vectors of `dimension` numbers."""
        with _storage(self.place):
            self._windows = self._database.create_table(
                WINDOWS, schema=windows_schema(dimension, settings)
            )

    def drop(self) -> None:
        """Remove the index, all of it."""
        with _storage(self.place):
            for name in (FAILURES, WINDOWS):
                self._database.drop_table(name, ignore_missing=True)
        self._windows = self._failures = None
        self._anew = self.damaged = False

    def refresh(self) -> None:
        """See what other processes have written."""
        self._windows = self._latest(self._windows, WINDOWS)
        self._failures = self._latest(self._failures, FAILURES)

    def __len__(self) -> int:
        with _storage(self.place):
            return 0 if self._windows is None else self._windows.count_rows()

    def entries(self) -> dict[str, Entry]:
        """The files that the index knows, by path; those that could not be read too."""
        rows: list[dict[str, Any]] = []
        with _storage(self.place):
            if self._failures is not None:
                names = [*COLUMNS, "message", "hint"]
                rows += self._failures.search().select(names).to_arrow().to_pylist()
            if self._windows is not None:
                query = self._windows.search().where("number = 0").select([*COLUMNS, "windows"])
                rows += query.to_arrow().to_pylist()
        return {entry.path: entry for entry in map(entry_of, rows)}  # windows count, if both

    def add(self, rows: "pa.Table") -> None:
        """Append the windows of files of which the index has none: one commit."""
        with _storage(self.place):
            self._windows.add(rows)

    def replace(self, rows: "pa.Table", paths: Iterable[str]) -> None:
        """Put rows in the place of all that is known of `paths`: one commit."""
        with _storage(self.place):
            (
                self._windows.merge_insert(["file", "number"])
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(among(paths))
                .execute(rows)
            )

    def remove(self, paths: Sequence[str]) -> None:
        """Forget the windows of files: one commit."""
        if paths:
            with _storage(self.place):
                self._windows.delete(among(paths))

    def forget_failures(self, paths: Sequence[str]) -> None:
        """Forget that files could not be read: one commit."""
        if paths and self._failures is not None:
            with _storage(self.place):
                self._failures.delete(among(paths))

    def note_failures(self, entries: Sequence[Entry]) -> None:
        """Remember files that could not be read, in place of what is known of them."""
        if not entries:
            return
        with _storage(self.place):
            if self._failures is None:
                self._failures = self._database.create_table(
                    FAILURES, schema=failures_schema(), exist_ok=True
                )
            (
                self._failures.merge_insert("file")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(failure_rows(entries))
            )

    def rows_of(self, paths: Iterable[str]) -> "pa.Table":
        """All windows of some files."""
        with _storage(self.place):
            return self._windows.search().where(among(paths)).to_arrow()

    def scores_of(
        self, vector: Float[np.ndarray, " D"], paths: Collection[str]
    ) -> list[dict[str, Any]]:
        """All windows of some files, as `nearest` gives them, in no order."""
        query = self._windows.search().where(among(paths))
        query = query.select(["path", "start", "end", "vector"])
        names = {to_text(path): path for path in paths}
        rows: list[dict[str, Any]] = []
        with _storage(self.place):
            for batch in query.to_batches():  # a film of ten hours has 36,000 windows
                matrix = batch.column("vector").flatten().to_numpy().reshape(len(batch), -1)
                scores = (matrix @ vector.astype(np.float32)).tolist()
                spans = (batch.column(name).to_pylist() for name in ("path", "start", "end"))
                rows += [
                    {"path": names[path], "start": start, "end": end, "score": score}
                    for path, start, end, score in zip(*spans, scores, strict=True)
                ]
        return rows

    def path_of(self, key: str) -> str | None:
        """The path of a file by its key; None for one that is not here."""
        if not KEY.fullmatch(key):
            return None
        with _storage(self.place):
            for table in (self._windows, self._failures):
                if table is not None:
                    query = table.search().where(f"file = '{key}'").select(["path"]).limit(1)
                    for row in query.to_arrow().to_pylist():
                        return to_path(row["path"])
        return None

    def probe(self) -> None:
        """Read a row, to see whether that can be done."""
        with _storage(self.place):
            self._windows.search().limit(1).to_arrow()

    def nearest(
        self,
        vector: Float[np.ndarray, " D"],
        limit: int,
        *,
        where: str | None = None,
        exact: bool = False,
    ) -> list[dict[str, Any]]:
        """The windows nearest to a unit vector: `path`, `start`, `end`, `score`, best first."""
        query = self._windows.search(vector.astype(np.float32)).distance_type("cosine")
        query = query.select(["path", "start", "end", "_distance"]).limit(limit)
        if where is not None:
            query = query.where(where, prefilter=True)
        query = query.bypass_vector_index() if exact else query.refine_factor(CANDIDATES)
        with _storage(self.place):
            near = query if exact else query.minimum_nprobes(PROBES).maximum_nprobes(PROBES)
            rows = near.to_arrow().to_pylist()
            if len(rows) < limit and not exact and self.is_approximate:
                # A filter left too little there: into all, if need be (0). Costs three times more.
                rows = query.maximum_nprobes(0).to_arrow().to_pylist()
        return [
            {
                "path": to_path(row["path"]),
                "start": row["start"],
                "end": row["end"],
                "score": 1 - row["_distance"],
            }
            for row in rows
        ]

    def tidy(self, *, always: bool = False) -> None:
        """Put small pieces together, drop old versions, and index what there is much of."""
        with _storage(self.place):
            parts = self._windows.stats()["fragment_stats"]["num_small_fragments"]
            if always or parts >= SMALL_PARTS:
                self._windows.optimize(cleanup_older_than=KEPT)
                if self._failures is not None:
                    self._failures.optimize(cleanup_older_than=KEPT)
            if len(self) >= APPROXIMATE_FROM and self._indexed() != {"vector", "file"}:
                self.approximate()

    def approximate(self, partitions: int | None = None) -> None:
        """Build the approximate index and that of the files, in place of earlier ones."""
        kinds = importlib.import_module("lancedb.index")
        count = partitions or max(1, len(self) // PARTITION)
        near = kinds.IvfSq(distance_type="cosine", num_partitions=count, max_iterations=10)
        with _storage(self.place):
            self._windows.create_index("vector", config=near, replace=True)
            self._windows.create_index("file", config=kinds.BTree(), replace=True)

    @property
    def is_approximate(self) -> bool:
        """Whether there is an approximate index."""
        return "vector" in self._indexed()

    def _indexed(self) -> set[str]:
        """The columns that can be looked into without reading all of them."""
        if self._windows is None:
            return set()
        return {column for index in self._windows.list_indices() for column in index.columns}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one that writes. In an object store nobody can see to that.

        Raises:
            ActionCLIPError: when another process is writing.
        """
        with self._lock() if is_local(self.place) else nullcontext():
            self.refresh()
            yield

    def _lock(self) -> TextIO:
        """Hold the folder until the file is closed, or this process ends, however it ends."""
        with _storage(self.place):
            return hold(
                Path(self.place),
                expected="One at a time writes to an index; any number may search.",
                hint="Wait until it is done, or choose another place with --index.",
            )

    def _latest(self, table: Any, name: str) -> Any:
        if table is None:
            return self._open(name)
        with _storage(self.place):
            table.checkout_latest()
        return table

    def _open(self, name: str) -> Any:
        try:
            with _storage(self.place):
                try:
                    table = self._database.open_table(name)
                    if not table.schema.names:  # of zeros in place of what says what is in it
                        raise ValueError(f"the table {name!r} has no columns")
                    return table
                except (ValueError, FileNotFoundError) as error:
                    if "not found" in str(error):
                        return None
                    raise
        except StorageError:
            if not self._anew:
                raise
            self.damaged = True
            return None


@contextmanager
def _storage(place: str) -> Iterator[None]:
    """Say what is wrong with a place that cannot be written, reached or understood."""
    anew = shlex.join(["actionclip", "index", "FOLDER", "--index", place, "--rebuild"])
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # LanceDB has no errors of its own
        text = re.sub(r",? ?/\S+\.rs:\d+:\d+.*", "", str(error), flags=re.DOTALL)
        raise StorageError(
            f"The index {place} cannot be used: {text[:300]}",
            hint="If the place is right, writable and not full, the index is damaged. To make it "
            f"anew: {anew}",
        ) from error
    except BaseException as error:
        if not type(error).__module__.startswith("pyo3"):  # how a panic of Rust arrives
            raise
        raise StorageError(
            f"The index {place} is damaged: LanceDB breaks down over it.",
            hint=f"To make it anew: {anew}",
        ) from error
