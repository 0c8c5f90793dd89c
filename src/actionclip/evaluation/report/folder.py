"""The folder of a test's results: written whole, and read again without the model or the videos.

results.json     every number, what decided it, what a reader should know
clips.csv        a line for each clip: what it shows, what was answered, with which score
scores.npz       every score of every label for every clip
per_class.csv    a line for each class, with its interval and what it is taken for
confusion.csv    how many clips of a class (row) were taken for which (column)
confusion.png, reliability.png, mistakes.html
failures.csv     the clips that could not be read, if there are any
vectors/         what was encoded, so that nothing has to be encoded twice
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from actionclip.data.json_text import json_text
from actionclip.data.manifest import Row
from actionclip.data.tables import csv_text, join_labels, split_labels
from actionclip.errors import ActionCLIPError, cannot_write
from actionclip.evaluation.clips import ZIP_DAMAGED
from actionclip.evaluation.metrics import Sheet
from actionclip.evaluation.result import Evaluation, PartResult
from actionclip.model.weights.files import Content, text_content, write_together

FORMAT = 1
RESULTS, SCORES = "results.json", "scores.npz"
DAMAGED = (OSError, ValueError, LookupError, TypeError)
CLIP_COLUMNS = (
    *("part", "path", "start", "end", "labels", "read", "answer", "score", "place", "kept"),
)
CLASS_COLUMNS = ("part", "label", "clips", "value", "low", "high", "taken_for", "taken_for_clips")


def to_dict(evaluation: Evaluation, *, classes: bool = True) -> dict[str, Any]:
    """The stable keys of `results.json` and `--json`.

    Args:
        evaluation: what to write down.
        classes: whether to list every class.
    """
    parts = []
    for part in evaluation.parts:
        numbers = part.numbers
        row: dict[str, Any] = {
            "name": part.sheet.name,
            "clips": len(part.sheet.rows),
            "labels": len(part.sheet.classes),
            "metrics": {name: each.to_dict() for name, each in numbers.metrics.items()},
            "notes": numbers.notes,
        }
        if classes:
            row["per_class"] = [
                {"label": each.label, "clips": each.clips, **each.result.to_dict()}
                for each in numbers.per_class
            ]
        parts.append(row)
    return {
        "format": FORMAT,
        "protocol": evaluation.protocol.name,
        "means": evaluation.protocol.means,
        "value": round(evaluation.value, 6),
        "summary": {name: each.to_dict() for name, each in evaluation.summary.items()},
        "clips": evaluation.clips,
        "answered": evaluation.answered,
        "failed": len(evaluation.failures),
        "unlabelled": evaluation.unlabelled,
        "adds_up": evaluation.adds_up,
        "parts": parts,
        "settings": evaluation.settings,
    }


def write_results(
    evaluation: Evaluation, folder: Path, *, data: str = "", more: dict[str, Content] | None = None
) -> None:
    """Write everything but the pictures; all of it or nothing.

    What an earlier test left in the folder and this one does not have is then removed: it would be
    taken for a part of these results.

    Args:
        evaluation: what came of a test.
        folder: where; made when it is not there.
        data: what was tested on, in the user's words.
        more: other files that belong to it.

    Raises:
        StorageError: when it cannot be written.
    """
    found = to_dict(evaluation) | {"data": data}
    files = {
        RESULTS: text_content(json_text(found, indent=1) + "\n"),
        "clips.csv": text_content(csv_text(CLIP_COLUMNS, _clip_rows(evaluation.parts))),
        "per_class.csv": text_content(csv_text(CLASS_COLUMNS, _class_rows(evaluation.parts))),
        SCORES: _scores(evaluation.parts),
        **(more or {}),
    }
    if evaluation.failures:
        rows = [asdict(failure).values() for failure in evaluation.failures]
        files["failures.csv"] = text_content(csv_text(("path", "code", "reason", "hint"), rows))
    old = _drawn_and_listed(folder)
    write_together(folder, files)
    for name in old - files.keys():
        _remove(folder / name)


def read_results(folder: Path) -> tuple[dict[str, Any], list[Sheet]]:
    """The numbers of a folder, and the scores they were made of.

    Raises:
        ActionCLIPError: when it is no folder of results.
    """
    try:
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        with np.load(BytesIO((folder / SCORES).read_bytes()), allow_pickle=False) as file:
            sheets = [_sheet(str(name), number, file) for number, name in enumerate(file["parts"])]
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']}")
    except (*DAMAGED, *ZIP_DAMAGED) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ActionCLIPError(
            f"{folder} cannot be read as the results of a test: {reason}.",
            expected=f"It must hold {RESULTS} and {SCORES}, as eval --out writes them.",
        ) from None
    return found, sheets


def confusion_names(part: str | None = None) -> tuple[str, str]:
    """The files of a confusion matrix, a table and a picture; of a part, if there are several.

    >>> confusion_names("lists/novel")
    ('confusion-novel.csv', 'confusion-novel.png')
    """
    stem = "confusion" if part is None else f"confusion-{Path(part).name}"
    return f"{stem}.csv", f"{stem}.png"


def _drawn_and_listed(folder: Path) -> set[str]:
    """The files that not every test has and the one in this folder may have."""
    try:
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        parts = [str(part["name"]) for part in found["parts"]]
    except DAMAGED:
        parts = []
    names = {"failures.csv", "reliability.png", "mistakes.html"}
    return names.union(*map(confusion_names, (None, *parts)))


def _remove(path: Path) -> None:
    """Remove a file, if it is one."""
    try:
        if path.is_file():
            path.unlink()
    except OSError as error:
        hint = "Remove it, or choose another folder: it is not of this test."
        raise cannot_write(path, error, hint=hint) from None


def _clip_rows(parts: Sequence[PartResult]) -> Iterable[Sequence[Any]]:
    for part in parts:
        sheet = part.sheet
        for place, row in enumerate(sheet.rows):
            best = sheet.order[place, 0]
            right = np.flatnonzero(sheet.targets[place])
            first = np.isin(sheet.order[place], right).argmax() + 1
            answer = (sheet.classes[best], f"{sheet.scores[place, best]:.6f}", first)
            yield (
                sheet.name,
                row.path,
                "" if row.start is None else row.start,
                "" if row.end is None else row.end,
                join_labels(row.labels),
                int(sheet.read[place]),
                *(answer if sheet.read[place] else ("", "", "")),
                "" if sheet.kept is None else int(sheet.kept[place]),
            )


def _class_rows(parts: Sequence[PartResult]) -> Iterable[Sequence[Any]]:
    for part in parts:
        for row in part.numbers.per_class:
            numbers = ["" if v is None else v for v in row.result.to_dict().values()]
            taken = (row.confused, row.confused_clips or "")
            yield part.sheet.name, row.label, row.clips, *numbers, *taken


def _scores(parts: Sequence[PartResult]) -> Content:
    table: dict[str, Any] = {"parts": np.array([part.sheet.name for part in parts])}
    for number, part in enumerate(parts):
        sheet = part.sheet
        table |= {
            f"{number}/scores": sheet.scores,
            f"{number}/classes": np.array(sheet.classes),
            f"{number}/path": np.array([row.path for row in sheet.rows]),
            f"{number}/labels": np.array([join_labels(row.labels) for row in sheet.rows]),
            f"{number}/start": _times([row.start for row in sheet.rows]),
            f"{number}/end": _times([row.end for row in sheet.rows]),
            f"{number}/group": np.array([row.group for row in sheet.rows]),
            f"{number}/probabilities": np.array(sheet.are_probabilities),
        }
    data = BytesIO()
    np.savez_compressed(data, **table)
    whole = data.getvalue()
    return Content(len(whole), lambda path: path.write_bytes(whole))


def _times(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def _sheet(name: str, number: int, file: Any) -> Sheet:
    columns = ("path", "labels", "start", "end", "group")
    table = {key: file[f"{number}/{key}"] for key in (*columns, "scores")}
    rows = tuple(
        Row(
            str(path),
            split_labels(str(labels)),
            start=None if np.isnan(start) else float(start),
            end=None if np.isnan(end) else float(end),
            group=str(group),
        )
        for path, labels, start, end, group in zip(*(table[key] for key in columns), strict=True)
    )
    classes = tuple(str(each) for each in file[f"{number}/classes"])
    probabilities = bool(file[f"{number}/probabilities"])
    return Sheet(name, classes, rows, table["scores"], are_probabilities=probabilities)
