"""What was found out about one video, and the same as JSON, CSV and lines of text."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from actionclip.data.json_text import json_text
from actionclip.errors import StorageError
from actionclip.model.scoring import LabelSet, Score
from actionclip.model.weights.files import text_content, write_together
from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome

CSV_COLUMNS = ("source", "status", "rank", "label", "score")
FAILURE_COLUMNS = ("path", "code", "reason", "hint")


@runtime_checkable
class Unread(Protocol):
    """A result that says why there is none."""

    @property
    def source(self) -> str:
        """The video as it was named."""
        ...

    @property
    def status(self) -> Outcome:
        """What became of it."""
        ...

    @property
    def message(self) -> str:
        """What is wrong."""
        ...

    @property
    def hint(self) -> str:
        """What to do."""
        ...


@dataclass(frozen=True)
class VideoResult:
    """The answer for one video, or why there is none."""

    source: str
    status: Outcome
    scores: list[Score]
    """Best first; empty when the video gave no frames."""
    frames: int
    """How many frames the model saw, all windows together."""
    seconds: float | None
    """Duration of the video."""
    precision: str
    message: str = ""
    """What is wrong with the video, when `status` is not ok."""
    hint: str = ""
    decoder: str = ""
    notes: tuple[str, ...] = ()
    label_set: LabelSet | None = None
    """Labels of which one is right in a stated share of cases, for a calibrated model."""
    clip: Clip | None = None
    """The frames themselves, when they were asked for."""

    @classmethod
    def of(
        cls,
        clip: Clip,
        scores: list[Score],
        precision: str,
        *,
        keep: bool,
        label_set: LabelSet | None = None,
    ) -> "VideoResult":
        """The result for a clip that was read."""
        return cls(
            source=clip.source.name,
            status=clip.status,
            scores=scores,
            frames=0 if clip.index is None else clip.index.size,
            seconds=clip.seconds,
            precision=precision,
            message=clip.message,
            hint=clip.hint,
            decoder=clip.decoder,
            notes=clip.notes,
            label_set=label_set,
            clip=clip if keep else None,
        )

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "VideoResult":
        """What `to_dict` gave, as a result again.

        Raises:
            LookupError, ValueError or TypeError: for anything else.
        """
        known, error = row.get("label_set"), row.get("error", {})
        return cls(
            source=row["source"],
            status=Outcome(row["status"]),
            scores=[Score(each["label"], each["score"]) for each in row["scores"]],
            frames=row["frames"],
            seconds=row["seconds"],
            precision=row["precision"],
            message=error.get("message", ""),
            hint=error.get("hint", ""),
            label_set=known and LabelSet(tuple(known["labels"]), known["coverage"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json`."""
        row: dict[str, Any] = {
            "source": self.source,
            "status": str(self.status),
            "scores": [{"label": s.label, "score": round(s.score, 6)} for s in self.scores],
            "frames": self.frames,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "precision": self.precision,
        }
        if self.label_set is not None:
            row["label_set"] = self.label_set.to_dict()
        if self.status is not Outcome.OK:
            row["error"] = {"code": str(self.status), "message": self.message, "hint": self.hint}
        return row

    def to_json(self) -> str:
        """One line of JSON. A name that is not UTF-8 keeps its bytes as lone surrogates."""
        return json_text(self.to_dict())

    def to_csv(self) -> str:
        """One line for each label (one without a label when the video failed), no header."""
        rows: list[tuple[Any, ...]] = [
            (self.source, self.status, rank, s.label, f"{s.score:.6f}")
            for rank, s in enumerate(self.scores, start=1)
        ]
        return csv_lines(rows or [(self.source, self.status, "", "", "")])


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV text without the last line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def write_failures(results: Iterable[Unread], path: Path) -> None:
    """List the videos that gave no answer: path, code, reason, hint; whole or not at all.

    Raises:
        StorageError: when the file cannot be written.
    """
    rows = [(r.source, r.status, r.message, r.hint) for r in results]
    text = csv_lines([FAILURE_COLUMNS, *rows]) + "\n"
    try:
        write_together(path.parent, {path.name: text_content(text)})
    except StorageError as error:
        error.hint = "Name a place that is writable with --failures FILE."
        raise
