"""One run that brings an index up to date: what a plan says, commit by commit."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from actionclip.inference.search.changes.files import Entry, Plan, Seen, content_of, is_gone, look
from actionclip.inference.search.changes.report import Change, FileReport, Report
from actionclip.inference.search.rows import moved, of_file, window_rows
from actionclip.inference.search.store import Store
from actionclip.inference.search.windows import Embedder, Span, Windowed
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import Source

BATCH, PATIENCE = 1000, 10.0
"""Windows, or seconds, after which what was encoded is written."""
AT_ONCE = 500
"""Files that are removed, or whose path changes, in one commit, at the most."""
MOVED_AT_ONCE = 50_000
"""Windows whose path changes in one commit, about: they are in memory, 2 KB each and more."""

_Move: TypeAlias = tuple[Change, Seen, Entry]
"""What happens to a file whose content is known: as it lies on disk, and whose windows it gets."""


@dataclass
class _Batch:
    """What is encoded and not yet written."""

    tables: list[Any] = field(default_factory=list)
    done: list[tuple[Entry, Change]] = field(default_factory=list)
    windows: int = 0
    since: float = field(default_factory=time.monotonic)


class Run:
    """One `add`: does what a plan says, commit by commit, and reports what is written."""

    def __init__(
        self,
        embedder: Embedder,
        span: Span,
        store: Store,
        report: Callable[[FileReport], object],
        *,
        asked: int,
    ) -> None:
        self.embedder, self.span, self.store, self._say = embedder, span, store, report
        self.report = Report(asked=asked)
        self._known: dict[str, Entry] = {}
        self._batch = _Batch()

    def carry_out(self, plan: Plan, known: dict[str, Entry]) -> None:
        """All of a plan. What moves comes first: it reads rows that later steps may remove."""
        self._known = known
        for entry in plan.unchanged:
            self._note(FileReport.of(entry, "unchanged"))
        todo = list(plan.encode)
        todo += self._move(plan)
        self._remove(plan.gone)
        self._encode(todo)
        self._copy_twins(plan.twins)

    def _note(self, line: FileReport) -> None:
        self.report.files.append(line)
        self._say(line)

    def _remove(self, gone: Sequence[Entry]) -> None:
        for start in range(0, len(gone), AT_ONCE):
            some = gone[start : start + AT_ONCE]
            self.store.remove([entry.path for entry in some if entry.windows])
            self.store.forget_failures([entry.path for entry in some if not entry.windows])
            for entry in some:
                self._note(FileReport.of(entry, "removed"))

    def _move(self, plan: Plan) -> list[tuple[Seen, str]]:
        """Give windows their new path, time or size; returns what has to be encoded after all."""
        kinds: list[_Move] = [
            *(("unchanged", seen, entry) for seen, entry in plan.touched),
            *(("renamed", seen, entry) for seen, entry in plan.renamed),
            *(("copied", seen, entry) for seen, entry in plan.copied),
        ]
        failures = [
            _entry_of(seen, entry.content, entry) for _, seen, entry in kinds if not entry.windows
        ]
        self.store.remove([entry.path for entry in failures if self._had_windows(entry.path)])
        self.store.note_failures(failures)
        for entry in failures:
            self._note(FileReport.of(entry, "failed"))
        todo: list[tuple[Seen, str]] = []
        for some in _portions([kind for kind in kinds if kind[2].windows]):
            todo += self._move_some(some)
        return todo

    def _move_some(self, kinds: list[_Move]) -> list[tuple[Seen, str]]:
        import pyarrow as pa

        rows = self.store.rows_of({entry.path for _, _, entry in kinds})
        tables, lines, todo, replaced = [], [], [], set()
        for change, seen, origin in kinds:
            mine = of_file(rows, origin)
            if len(mine) != origin.windows:  # it was replaced by an earlier step
                todo.append((seen, origin.content))
                continue
            entry = _entry_of(seen, origin.content, origin)
            tables.append(moved(mine, entry))
            replaced |= {seen.path, *([origin.path] if change == "renamed" else [])}
            before = None if change == "unchanged" else origin.path
            lines.append(FileReport.of(entry, change, before))
        if tables:
            self.store.replace(pa.concat_tables(tables), replaced)
            self.store.forget_failures(
                [line.source for line in lines if self._failed_before(line.source)]
            )
        for line in lines:
            self._note(line)
        return todo

    def _had_windows(self, path: str) -> bool:
        return path in self._known and self._known[path].windows > 0

    def _is_away(self, seen: Seen) -> bool:
        """Whether a file with windows cannot be reached, as on a disk that is not mounted."""
        if seen.size >= 0 or not self._had_windows(seen.path):
            return False
        return not is_gone(seen.path) or is_gone(str(seen.source.path.parent))

    def _failed_before(self, path: str) -> bool:
        return path in self._known and not self._known[path].windows

    def _encode(self, todo: Sequence[tuple[Seen, str]]) -> None:
        """Encode files and write them in batches; what is done is written whatever happens."""
        waiting: list[tuple[Seen, str]] = []

        def sources() -> Iterator[Source]:
            for seen, content in todo:
                # hashed just before it is decoded: its bytes are then in the system's memory
                fresh = look(seen.source, seen.root)
                known = content if fresh == seen else ""  # it may have changed since the plan
                waiting.append((fresh, known or content_of(seen.source)))
                yield seen.source

        films = self.embedder.windows(sources(), self.span)
        try:
            for number, film in enumerate(films):
                self._take(film, *waiting[number])
                waiting[number] = waiting[number][0], ""
        finally:
            self._write()

    def _take(self, film: Windowed, seen: Seen, content: str) -> None:
        batch = self._batch
        count = len(film.starts) if film.status.usable else 0
        empty = film.status.usable and not count
        kept = self._known[seen.path].windows if self._is_away(seen) else 0
        entry = Entry(
            path=seen.path,
            content=content,
            size=seen.size,
            modified=seen.modified,
            root=seen.root,
            windows=count or kept,
            status=Outcome.EMPTY if empty else film.status,
            message=film.message,
            hint="What the index holds of it stays." if kept else film.hint,
        )
        change: Change = "changed" if seen.path in self._known else "added"
        batch.done.append((entry, change if count else "failed"))
        if count:
            batch.tables.append(window_rows(entry, film.starts, film.ends, film.vectors))
            batch.windows += count
        if batch.windows >= BATCH or time.monotonic() - batch.since > PATIENCE:
            self._write()

    def _write(self) -> None:
        """Commit what is encoded; only then is it reported."""
        import pyarrow as pa

        batch, self._batch = self._batch, _Batch()
        known = [
            entry.path
            for entry, change in batch.done
            if self._had_windows(entry.path) and not (entry.windows and change == "failed")
        ]
        if batch.tables and known:
            self.store.replace(pa.concat_tables(batch.tables), known)
        elif batch.tables:
            self.store.add(pa.concat_tables(batch.tables))
        else:
            self.store.remove(known)
        good = [entry.path for entry, _ in batch.done if entry.windows]
        self.store.forget_failures([path for path in good if self._failed_before(path)])
        # a file that is not there is looked for each time
        self.store.note_failures([e for e, _ in batch.done if not e.windows and e.size >= 0])
        for entry, change in batch.done:
            self._note(FileReport.of(entry, change))

    def _copy_twins(self, twins: Sequence[tuple[Seen, str]]) -> None:
        """Files with the content of one that was encoded just now."""
        if not twins:
            return
        of_content = {entry.content: entry for entry in self.store.entries().values()}
        plan = Plan()
        rest: list[tuple[Seen, str]] = []
        for seen, content in twins:
            origin = of_content.get(content)
            if origin is None:
                rest.append((seen, content))
            else:
                plan.copied.append((seen, replace(origin)))
        self._encode([*rest, *self._move(plan)])


def _portions(kinds: Sequence[_Move]) -> Iterator[list[_Move]]:
    """What moves, in parts for one commit each."""
    some: list[_Move] = []
    windows = 0
    for kind in kinds:
        some.append(kind)
        windows += kind[2].windows
        if windows >= MOVED_AT_ONCE or len(some) >= AT_ONCE:
            yield some
            some, windows = [], 0
    if some:
        yield some


def _entry_of(seen: Seen, content: str, like: Entry) -> Entry:
    """What the index will say of a file whose content it knows."""
    return replace(
        like,
        path=seen.path,
        content=content,
        size=seen.size,
        modified=seen.modified,
        root=seen.root,
    )
