"""What a run over a folder did about each file."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from actionclip.inference.search.changes.files import Entry
from actionclip.video.outcomes import Outcome

Change: TypeAlias = Literal[
    "added", "changed", "unchanged", "renamed", "copied", "failed", "removed"
]
"""`unchanged`: as it was, or only its date differs. `copied`: the content of another file of the
index, not encoded again. `removed`: no longer on disk."""


@dataclass(frozen=True)
class FileReport:
    """What was done about one file."""

    source: str
    """Its absolute path."""
    change: Change
    status: Outcome
    windows: int
    """Of it in the index."""
    before: str | None = None
    """The path it had, or whose content it has."""
    message: str = ""
    hint: str = ""

    @classmethod
    def of(cls, entry: Entry, change: Change, before: str | None = None) -> "FileReport":
        """The report about a file that the index knows."""
        return cls(
            source=entry.path,
            change=change if entry.windows or change == "removed" else "failed",
            status=entry.status,
            windows=0 if change == "removed" else entry.windows,
            before=before,
            message=entry.message,
            hint=entry.hint,
        )

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json`."""
        row: dict[str, Any] = {
            "source": self.source,
            "change": self.change,
            "status": str(self.status),
            "windows": self.windows,
        }
        if self.before is not None:
            row["before"] = self.before
        if self.message:
            error = {"code": str(self.status), "message": self.message, "hint": self.hint}
            row["error"] = error
        return row

    def to_json(self) -> str:
        """One line of JSON, in ASCII: a name that is not UTF-8 survives as lone surrogates."""
        return json.dumps(self.to_dict())


@dataclass
class Report:
    """What a run did about every file, and what the index holds after it."""

    asked: int
    """Files found where the user pointed."""
    files: list[FileReport] = field(default_factory=list)
    windows: int = 0
    """In the index afterwards."""

    @property
    def failed(self) -> list[FileReport]:
        """Files that could not be read; of one that is out of reach the windows stay."""
        return [one for one in self.files if one.change == "failed"]

    @property
    def counts(self) -> dict[str, int]:
        """How many files for each change."""
        return dict(Counter(one.change for one in self.files))

    @property
    def adds_up(self) -> bool:
        """Whether every file that was asked for has exactly one line."""
        lines = [one.source for one in self.files if one.change != "removed"]
        return len(lines) == self.asked == len(set(lines))
