"""What becomes of files that cannot be read: they are counted, listed, and not too many.

A list stands in the run folder from the moment of the first failure, so that a run that is resumed
goes on counting. Each process has a list of its own (`failures.csv`, `failures-1.csv`, ...), and
looks into those of the others.
"""

import csv
import threading
from collections.abc import Mapping
from pathlib import Path

from actionclip.errors import ActionCLIPError, cannot_write
from actionclip.video.decode.clip import Clip

COLUMNS: tuple[str, ...] = ("path", "code", "reason", "hint")
SHOWN = 10


class Failures:
    """The files of a source that gave no frames. Safe to use from several threads.

    Args:
        files: how many there are in all.
        most: the share of them that may fail.
    """

    def __init__(self, files: int, most: float) -> None:
        self.files, self.most = files, most
        self._lock = threading.Lock()
        self._found: dict[str, dict[str, str]] = {}
        self._folder: Path | None = None
        self._rank = 0

    def keep_in(self, folder: Path, rank: int = 0) -> None:
        """Write failures into a run folder from now on, and go on with those listed there.

        Raises:
            StorageError: when it cannot be written.
        """
        with self._lock:
            before, self._folder, self._rank = list(self._found.values()), folder, rank
            self._look()
            for row in before:
                self._write(row)

    def add(self, name: str, clip: Clip) -> None:
        """Take note of a file that gave no frames.

        Raises:
            ActionCLIPError: when it is one too many; it names the first ones.
            StorageError: when the list cannot be written.
        """
        with self._lock:
            if name in self._found:
                return
            row = dict(zip(COLUMNS, (name, str(clip.status), clip.message, clip.hint), strict=True))
            self._found[name] = row
            if self._folder is not None:
                self._write(row)
                self._look()
            if len(self._found) > self.most * self.files:
                raise self._too_many()

    def listed(self) -> list[Mapping[str, str]]:
        """All so far, those of other processes included, by path."""
        with self._lock:
            self._look()
            return [self._found[name] for name in sorted(self._found)]

    def _look(self) -> None:
        """Read what this and the other processes have written."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("failures*.csv")):
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                for row in csv.DictReader(file):
                    if None not in row.values():  # a line that a killed process did not finish
                        self._found.setdefault(row["path"], row)

    def _write(self, row: Mapping[str, str]) -> None:
        assert self._folder is not None
        name = "failures.csv" if self._rank == 0 else f"failures-{self._rank}.csv"
        path = self._folder / name
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

    def _too_many(self) -> ActionCLIPError:
        rows = list(self._found.values())
        lines = [f"\n  {row['path']}: {row['code']}: {row['reason']}" for row in rows[:SHOWN]]
        rest = f"\n  and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        where = "" if self._folder is None else f" The list is in {self._folder}/failures.csv."
        return ActionCLIPError(
            f"{len(rows)} of {self.files} files could not be read:{''.join(lines)}{rest}",
            expected=f"At most a share of {self.most:g} may fail (data.most_failures).{where}",
            hint="`actionclip data inspect DATA --write good.csv` lists those that can be read.",
        )
