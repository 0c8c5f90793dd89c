"""What becomes of clips that cannot be read: they are counted, listed, and not too many.

A list stands in the run folder from the moment of the first failure. It keeps what all starts of a
run have found, each clip once. What counts is what fails in this start: a file that was repaired
since the last one counts no more, and one that fails again counts again. Clips of a test are listed
and never count. Of a film each of its stretches is a clip: one that begins after the end says
nothing of the others.

Each process has a list of its own (`failures.csv`, `failures-1.csv`, ...), and looks into those of
the others. What fails in this start they tell one another in `.failing.csv`, `.failing-1.csv`, ...
"""

import csv
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from actionclip.errors import ActionCLIPError, cannot_write
from actionclip.video.decode.clip import Clip

COLUMNS: tuple[str, ...] = ("path", "code", "reason", "hint")
SHOWN = 10

LISTED, FAILING = "failures", ".failing"
"""Files of a run folder: what failed in any start, and what fails in this one."""

Row = Mapping[str, str]


class Failures:
    """The clips of a source that gave no frames. Safe to use from several threads.

    Args:
        clips: how many there are in all.
        most: the share of them that may fail in one start of a run.
    """

    def __init__(self, clips: int, most: float) -> None:
        self.clips, self.most = clips, most
        self._lock = threading.Lock()
        self._own: dict[str, Row] = {}
        """What this process has found in this start."""
        self._failing: dict[str, Row] = {}
        """The same, and what the other processes have found."""
        self._listed: set[str] = set()
        """Clips that need not be listed once more."""
        self._tested: dict[str, Row] = {}
        """Clips of a test: they are listed, and do not count."""
        self._folder: Path | None = None
        self._rank = 0

    def keep_in(self, folder: Path, rank: int = 0) -> None:
        """Begin a start of the run in a folder: what fails from now on counts, and is listed there.

        What was found before there was a folder counts, too. The first process (rank 0) must be
        here before any process reads a file.

        Raises:
            StorageError: when it cannot be written.
        """
        with self._lock:
            if self._folder is not None:  # that was another start
                self._own.clear()
            self._folder, self._rank = folder, rank
            self._failing, self._listed = dict(self._own), set(self._read(LISTED))
            if rank == 0:
                self._forget_last_start()
            for row in self._own.values():
                self._tell(row)

    def add(self, name: str, clip: Clip) -> None:
        """Take note of a clip that gave no frames.

        Raises:
            ActionCLIPError: when there are too many; it names the first ones.
            StorageError: when the list cannot be written.
        """
        with self._lock:
            if name not in self._own:
                values = (name, str(clip.status), clip.message, clip.hint)
                row = self._own[name] = dict(zip(COLUMNS, values, strict=True))
                self._failing.setdefault(name, row)
                self._tell(row)
            if len(self._failing) > self.most * self.clips:
                raise self._too_many()

    def add_tested(self, rows: Iterable[Row]) -> None:
        """Take note of clips of a test that gave no frames: there they counted as wrong.

        Every process finds the same ones; the first lists them.

        Raises:
            StorageError: when the list cannot be written.
        """
        with self._lock:
            for row in rows:
                name = row["path"]
                self._tested[name] = row
                if self._folder is not None and self._rank == 0 and name not in self._listed:
                    self._write(LISTED, row)
                    self._listed.add(name)

    @property
    def tested(self) -> int:
        """How many clips of a test gave no frames in this start."""
        return len(self._tested)

    def listed(self) -> list[Row]:
        """All so far, those of other processes and of earlier starts included, by path.

        Files of a test are among them where there is a folder to list them in.
        """
        with self._lock:
            found = self._own | self._read(LISTED)
            return [found[name] for name in sorted(found)]

    def _tell(self, row: Row) -> None:
        """Write down what this process has found, then read what the others have."""
        if self._folder is None:
            return
        if row["path"] not in self._listed:
            self._write(LISTED, row)
        self._write(FAILING, row)
        told = self._read(FAILING)
        self._failing = told | self._failing
        self._listed |= told.keys()

    def _read(self, kind: str) -> dict[str, Row]:
        """What this and the other processes have written."""
        found: dict[str, Row] = {}
        if self._folder is None or not self._folder.is_dir():
            return found
        for path in sorted(self._folder.glob(f"{kind}*.csv")):
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                for row in csv.DictReader(file):
                    if None not in row.values():  # a line that a killed process did not finish
                        found.setdefault(row["path"], row)
        return found

    def _write(self, kind: str, row: Row) -> None:
        assert self._folder is not None
        path = self._folder / (f"{kind}.csv" if self._rank == 0 else f"{kind}-{self._rank}.csv")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists() or not path.stat().st_size
            with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if is_new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise cannot_write(path, error) from None

    def _forget_last_start(self) -> None:
        assert self._folder is not None
        for path in self._folder.glob(f"{FAILING}*.csv"):
            try:
                path.unlink()
            except OSError as error:
                raise cannot_write(path, error) from None

    def _too_many(self) -> ActionCLIPError:
        rows = list(self._failing.values())
        lines = [f"\n  {row['path']}: {row['code']}: {row['reason']}" for row in rows[:SHOWN]]
        rest = f"\n  and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        where = "" if self._folder is None else f" The list is in {self._folder}/failures.csv."
        return ActionCLIPError(
            f"{len(rows)} of {self.clips} clips could not be read:{''.join(lines)}{rest}",
            expected=f"At most a share of {self.most:g} may fail (data.most_failures).{where}",
            hint="`actionclip data inspect DATA --write good.csv` lists those that can be read.",
        )
