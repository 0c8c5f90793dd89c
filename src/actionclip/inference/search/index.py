"""A folder of videos that can be searched: adding, noticing what changed, finding moments."""

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionclip.errors import ActionCLIPError
from actionclip.inference.search.changes.files import TIMES, Entry, behind_links, find, make_plan
from actionclip.inference.search.changes.report import FileReport, Report
from actionclip.inference.search.changes.run import Run
from actionclip.inference.search.moments import Hit, Moment, best_moments, moments_of
from actionclip.inference.search.rows import among, below
from actionclip.inference.search.store import Store, check_installed, connect, is_local
from actionclip.inference.search.windows import Embedder, Span

if TYPE_CHECKING:
    from actionclip.inference.recognizer import Recognizer

FORMAT = 1
"""Version of the index's layout."""
HITS = 200
"""Windows that a query asks for at once, at least."""


@dataclass(frozen=True)
class IndexInfo:
    """What an index says about itself."""

    model: str
    """The name by which its model was loaded; empty when that is not known."""
    fingerprint: str
    span: Span
    format: int = FORMAT


class Index:
    """Videos cut into windows, each with a vector of one model.

    Args:
        place: a folder, or the address of one in an object store.
        embedder: the model.
        span: how videos are cut; None: as the index says, or 2 s every second.
        rebuild: what is in the index already is thrown away by the next `add`.

    Raises:
        ActionCLIPError: when the index was made with another model or other windows, or lancedb is
            not installed.
    """

    def __init__(
        self,
        place: str | Path,
        embedder: Embedder,
        span: Span | None = None,
        *,
        rebuild: bool = False,
    ) -> None:
        self.place, self.embedder = str(place), embedder
        self._store, self._rebuild = _open_store(self.place, anew=rebuild), rebuild
        info = _info(self._store)  # also where it will be thrown away: it has to be an index
        info = None if rebuild else info
        self.span = span or (Span() if info is None else info.span)
        if info is not None:
            self._check(info)

    @classmethod
    def open(
        cls,
        place: str | Path,
        recognizer: "Recognizer",
        *,
        window: float | None = None,
        stride: float | None = None,
        model: str = "",
        rebuild: bool = False,
    ) -> "Index":
        """The index at a place, or a new one that the first `add` makes.

        Args:
            place: a folder, or the address of one in an object store (`s3://bucket/videos`).
            recognizer: the model that makes the vectors.
            window: seconds of a window; None: as the index says, 2 for a new one.
            stride: seconds from window to window; None: as the index says, 1 for a new one.
            model: the name by which it was loaded; the index remembers it.
            rebuild: throw away what is in the index with the next `add`.

        Raises:
            ActionCLIPError: when the index was made with another model or other windows, with the
                command that makes it anew; when lancedb is not installed.
        """
        from actionclip.inference.search.embedder import ModelEmbedder

        span = None
        if window is not None or stride is not None:
            store = _open_store(str(place), anew=rebuild)
            before = _info(store) or IndexInfo("", "", Span())
            length = before.span.window if window is None else window
            span = Span(length, min(before.span.stride, length) if stride is None else stride)
        return cls(place, ModelEmbedder(recognizer, model), span, rebuild=rebuild)

    @staticmethod
    def info(place: str | Path) -> IndexInfo | None:
        """What the index at a place says about itself; None when there is none."""
        return _info(_open_store(str(place)))

    def __len__(self) -> int:
        """Windows in the index."""
        store = self._latest()
        return 0 if store is None else len(store)

    @property
    def is_approximate(self) -> bool:
        """Whether a query may miss windows, because there are too many to look at all."""
        store = self._latest()
        return store is not None and store.is_approximate

    def files(self) -> list[Entry]:
        """The files that the index knows, those that could not be read too, by path."""
        store = self._latest()
        known = {} if store is None else store.entries()
        return [known[path] for path in sorted(known)]

    def path_of(self, key: str) -> str | None:
        """The path of a file by its key (`file_key`); None when the index knows no such file now.

        Raises:
            StorageError: when the index cannot be read.
        """
        store = self._latest()
        return None if store is None else store.path_of(key)

    def check(self) -> None:
        """Make sure that there is an index of this model, and that it can be read.

        Raises:
            ActionCLIPError: when there is none, or it was made with another model.
            StorageError: when it cannot be read.
        """
        self._ready().probe()

    def add(
        self,
        videos: Iterable[str | Path] | str | Path,
        *,
        prune: bool = True,
        retry: bool = False,
        report: Callable[[FileReport], object] = lambda _: None,
    ) -> Report:
        """Bring the index up to date with files and folders; only what is new is encoded.

        What was written stays, whenever the process ends; run it again and it goes on.

        Args:
            videos: files, folders, patterns, lists.
            prune: whether files below these folders that are gone leave the index.
            retry: whether files that could not be read are tried again though they did not change.
            report: called with each file once what is said of it is written.

        Returns:
            A line for each file.

        Raises:
            ActionCLIPError: when there is no video, or another process is writing.
            StorageError: when the place cannot be written.
        """
        inputs = [videos] if isinstance(videos, (str, Path)) else list(videos)
        seen, roots = find(inputs)
        if self._store is None:
            self._store = Store(self.place, connect(self.place))
        with self._store.writing():
            self._prepare(self._store)
            run = Run(self.embedder, self.span, self._store, report, asked=len(seen))
            known = self._store.entries()
            plan = make_plan(seen, known, roots=roots if prune else (), retry=retry)
            run.carry_out(plan, known)
            self._store.tidy()
            run.report.windows = len(self._store)
        return run.report

    def search(
        self,
        query: str | Path,
        top: int = 10,
        *,
        folder: str | Path | None = None,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
        templates: Sequence[str] | None = None,
        merge: bool = True,
        exact: bool = False,
    ) -> list[Moment]:
        """The moments that answer a query, best first.

        Args:
            query: words, put into the model's templates; or a `Path`: a video as the example.
            top: how many.
            folder: only files below it; or those to which a link below it leads, where it was
                indexed or lies in a folder that was.
            since: only files modified at that time or later; a day begins at midnight, local time.
            until: only files modified before that time; of a day, until its end.
            templates: sentences with `{}`, in place of the model's; for words only.
            merge: whether neighbouring windows become one moment.
            exact: look at every window, also where there is an approximate index.

        Raises:
            ActionCLIPError: when there is no index, or the query cannot be used.
            VideoError: when the example cannot be read.
        """
        if top < 1:
            raise ActionCLIPError(f"top is {top}.", expected="It must be 1 or more.")
        store = self._ready()
        where = _condition(store, folder, since, until)
        if isinstance(query, Path) and templates is not None:
            raise ActionCLIPError(
                "Templates are for words, and the query is an example.", hint="Leave one out."
            )
        if isinstance(query, Path):
            vector = self.embedder.clip(query)
        elif query.strip():
            vector = self.embedder.text(query, templates)
        else:
            raise ActionCLIPError("The query is empty.", expected="Some words, or an example.")
        margin = self.embedder.margin
        limit = min(max(HITS, 10 * top) if merge else top, len(store) + 1)

        def nearest(seen: Collection[str]) -> tuple[list[Hit], bool]:
            others = f"NOT ({among(seen)})" if seen else None
            condition = " AND ".join(part for part in (where, others) if part)
            rows = store.nearest(vector, limit, where=condition or None, exact=exact)
            return hits_of(rows), len(rows) < limit

        if not merge:
            return moments_of(nearest(())[0], margin=margin, merge=False)
        return best_moments(
            nearest, lambda paths: hits_of(store.scores_of(vector, paths)), top=top, margin=margin
        )

    def tidy(self, *, reindex: bool = False) -> None:
        """Put small pieces together and drop old versions; `add` does so now and then.

        Args:
            reindex: also build the approximate index anew, however many windows there are.
        """
        if self._store is not None and self._store.exists:
            with self._store.writing():
                self._store.tidy(always=True)
                if reindex:
                    self._store.approximate()

    def _ready(self) -> Store:
        """The store as it is now, where it holds an index of this model."""
        store = self._latest()
        info = _info(store)
        if store is None or info is None:
            raise no_index(self.place)
        self._check(info, windows=False)  # another process may have made it anew meanwhile
        return store

    def _latest(self) -> Store | None:
        """The store with all that others have written; None where there is none."""
        if self._store is None:
            self._store = _open_store(self.place)
        if self._store is not None:
            self._store.refresh()
        return self._store

    def _prepare(self, store: Store) -> None:
        """See to it that there is an index, and that it is ours."""
        info = _info(store)
        if self._rebuild and (info is not None or store.damaged):
            store.drop()
            info = None
        self._rebuild = False
        if info is not None:
            self._check(info)  # another process may have made it meanwhile
            return
        store.create(
            self.embedder.dimension,
            {
                **{"format": FORMAT, "model": self.embedder.name},
                "fingerprint": self.embedder.fingerprint,
                **{"window": self.span.window, "stride": self.span.stride},
            },
        )

    def _check(self, info: IndexInfo, *, windows: bool = True) -> None:
        """Refuse an index whose vectors cannot be compared with ours, or are of other windows."""
        if info.format != FORMAT:
            what = f"has format {info.format}, this version of the program makes format {FORMAT}"
        elif info.fingerprint != self.embedder.fingerprint:
            theirs = f"the model {info.model!r}" if info.model else "another model"
            ours = self.embedder.name
            other = " (its weights or settings have changed since)" if ours == info.model else ""
            what = f"was made with {theirs}{other}"
        elif windows and info.span != self.span:
            span = info.span
            what = f"has windows of {span.window:g} s every {span.stride:g} s"
        else:
            return
        raise ActionCLIPError(
            f"The index {self.place} {what}.",
            expected="All of an index is made with one model and one kind of window.",
            hint=f"To make it anew: {self._command()}",
        )

    def _command(self) -> str:
        """What to type to make the index anew with this model."""
        assert self._store is not None
        here = Path.cwd()
        roots = sorted({entry.root for entry in self._store.entries().values()})
        roots = [
            str(Path(root).relative_to(here)) if Path(root).is_relative_to(here) else root
            for root in roots
        ]
        words = ["actionclip", "index", *(roots or ["FOLDER"]), "--index", self.place]
        words += ["--model", self.embedder.name] if self.embedder.name else []
        if self.span != Span():
            words += ["--window", f"{self.span.window:g}", "--stride", f"{self.span.stride:g}"]
        return shlex.join([*words, "--rebuild"])


def no_index(place: str) -> ActionCLIPError:
    """The error for a place without an index."""
    return ActionCLIPError(
        f"There is no index at {place}.",
        hint=f"Make one: {shlex.join(['actionclip', 'index', 'FOLDER', '--index', place])}",
    )


def _open_store(place: str, *, anew: bool = False) -> Store | None:
    """The store at a place; None where there is no such folder (LanceDB would make it).

    Args:
        place: folder or address.
        anew: whether it is about to be dropped, so that damage is in nobody's way.

    Raises:
        ActionCLIPError: when it is a file.
    """
    if is_local(place) and not os.path.isdir(place):  # noqa: PTH112  Path's raises for long names
        check_installed()
        if os.path.lexists(place):
            raise ActionCLIPError(f"{place} is a file.", expected="An index is a folder.")
        return None
    return Store(place, connect(place), anew=anew)


def _info(store: Store | None) -> IndexInfo | None:
    if store is None or not store.exists:
        return None
    kept = store.settings
    span = Span(kept["window"], kept["stride"])
    return IndexInfo(kept["model"], kept["fingerprint"], span, kept["format"])


def hits_of(rows: Iterable[Mapping[str, Any]]) -> list[Hit]:
    """What `Store.nearest` and `Store.scores_of` give, as windows."""
    return [Hit(row["path"], row["start"], row["end"], row["score"]) for row in rows]


def _condition(
    store: Store,
    folder: str | Path | None,
    since: date | datetime | None,
    until: date | datetime | None,
) -> str | None:
    """What a file has to be like, in the words of the store."""
    parts = []
    if folder is not None:
        real = os.path.realpath(folder)
        linked = behind_links(real, store.entries())
        parts.append(f"({below(real)} OR {among(linked)})" if linked else below(real))
    if since is not None:
        parts.append(f"modified >= {_nanoseconds(since)}")
    if until is not None:
        parts.append(f"modified < {_nanoseconds(until, end=True)}")
    return " AND ".join(parts) or None


def _nanoseconds(when: date | datetime, *, end: bool = False) -> int:
    """A time since 1970, within `TIMES`; a day without a time is its beginning, or its end."""
    first, last = TIMES
    try:
        if not isinstance(when, datetime):
            day = when + timedelta(days=1) if end else when
            when = datetime(day.year, day.month, day.day)
        exact = round(when.timestamp() * 1_000_000) * 1000
    except (OverflowError, ValueError):  # the first and the last days that Python knows
        exact = last if when.year > 1970 else first
    return min(max(exact, first), last)
