"""Reading labels: words between commas, text files, tables, JSON, built-in sets."""

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionclip.errors import ActionCLIPError

FILE_TYPES = (".txt", ".csv", ".json")
NAME_COLUMNS = ("name", "label", "labels", "class", "class_name")
ID_COLUMNS = ("id", "index", "class_id")


def read_labels(
    labels: str | Path | Iterable[str] | Mapping[Any, Any],
    *,
    known: Callable[[str], Sequence[str] | None] | None = None,
) -> list[str]:
    """The labels a user means.

    Args:
        labels: a list of labels; a table of them, as a JSON file may hold (see `read_file`); or
            text: the name of a built-in set, a file, or labels between commas (a label with a
            comma goes between double quotes).
        known: gives the labels of a built-in set, or None if no set is called so.

    Raises:
        ActionCLIPError: when there is no label at all, or a file cannot be read.
    """
    if isinstance(labels, Mapping):
        found = _from_json(dict(labels), "The table of labels")
    elif not isinstance(labels, (str, Path)):
        found = _texts(labels, "The list of labels")
    elif isinstance(labels, str) and known is not None and (names := known(labels.strip())):
        found = list(names)
    elif isinstance(labels, Path) or looks_like_file(labels):
        found = read_file(Path(labels))
        if Path(labels).stem.casefold() == "classind":  # of UCF101
            found = without_numbers(found)
    else:
        found = between_commas(labels)
    found = [label.strip() for label in found]
    if not any(found):
        raise ActionCLIPError(
            f"{str(labels)!r} holds no label.",
            expected="Labels are words between commas, a file, or the name of a built-in set.",
        )
    return found


def looks_like_file(text: str) -> bool:
    """Whether words for labels are the name of a file or a pipe, as `read_labels` takes them."""
    name = text.strip()
    if name.lower().endswith(FILE_TYPES):
        return "\n" not in name
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except OSError:  # longer than a file name may be
        return False


def between_commas(text: str) -> list[str]:
    """The words between commas; one that holds a comma stands between double quotes."""
    try:
        rows = list(csv.reader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error:  # a lone quotation mark, as in `a 15" screen`
        rows = [line.split(",") for line in text.splitlines()]
    return [label.strip() for row in rows for label in row if label.strip()]


def read_text(path: Path) -> str:
    """A text file as UTF-8, with or without a byte order mark.

    Raises:
        ActionCLIPError: when it is missing, is no file, or holds other bytes.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ActionCLIPError(
            f"{path} is not text: byte {error.start} is {error.object[error.start]:#04x}.",
            expected="A text file in UTF-8 was expected.",
        ) from None
    except OSError as error:
        raise ActionCLIPError(
            f"Cannot read {path}: {error.strerror or error}.",
            hint="Check the spelling of the path.",
        ) from None


def read_file(path: Path) -> list[str]:
    """The labels in a file, in the order of their numbers where it has numbers.

    `.json`: a list; `{label: number}` or `{number: label}`; or `{label: [sentences]}`. `.csv`: a
    header `id,name` as in the authors' files (`id;name` where a spreadsheet writes semicolons), or
    one column with or without a header. Anything else: one label a line.

    Raises:
        ActionCLIPError: when it cannot be read, or its numbers do not count 0, 1, 2, ...
    """
    text = read_text(path)
    if path.suffix.lower() == ".json":
        return _from_json(read_json(text, path), path)
    if path.suffix.lower() == ".csv":
        return _from_csv(text, path)
    return [line for line in text.splitlines() if line.strip()]


def without_numbers(lines: Sequence[str]) -> list[str]:
    """The names on lines that count them from 0 or 1, in that order, as UCF101's `classInd.txt`.

    Lines that do not all begin with such a number stay as they are.

        >>> without_numbers(["2 Archery", "1 ApplyEyeMakeup"])
        ['ApplyEyeMakeup', 'Archery']
        >>> without_numbers(["100 metres", "200 metres"])
        ['100 metres', '200 metres']
    """
    kept = [line.strip() for line in lines if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[\s,]+(\D.*)", line) for line in kept]
    pairs = sorted((int(found[1]), found[2]) for found in numbered if found)
    counts = [list(range(first, first + len(kept))) for first in (0, 1)]
    if kept and [number for number, _ in pairs] in counts:
        return [name for _, name in pairs]
    return list(lines)


def read_json(text: str, path: Path) -> Any:
    """JSON in which no key comes twice.

    Raises:
        ActionCLIPError: naming the place of a mistake, or the key.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for name, value in pairs:
            if name in table:
                raise ActionCLIPError(
                    f"{path} names {name!r} twice.", expected="Once was expected."
                )
            table[name] = value
        return table

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ActionCLIPError(
            f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None


def _from_json(data: Any, path: Path | str) -> list[str]:
    if isinstance(data, list):
        return _texts(data, str(path))
    if isinstance(data, dict) and data:
        numbers = [_number(value) for value in data.values()]
        if None not in numbers:
            return _by_number(numbers, _texts(list(data), str(path)), path)
        numbers = [_number(name) for name in data]
        if None not in numbers:
            return _by_number(numbers, _texts(list(data.values()), str(path)), path)
        if all(isinstance(value, (list, tuple)) for value in data.values()):
            warnings.warn(
                f"{path} holds sentences too. As labels its names alone count; sentences are used "
                "where they are given as descriptions (--descriptions, descriptions=).",
                stacklevel=4,
            )
            return _texts(list(data), str(path))
    raise ActionCLIPError(
        f"{path} holds no labels that we can find.",
        expected='Expected ["a", "b"], {"a": 0, "b": 1}, {"0": "a", "1": "b"} or {"a": [...]}.',
    )


def _from_csv(text: str, path: Path) -> list[str]:
    rows = [
        row
        for row in csv.reader(io.StringIO(text), delimiter=_separator(text))
        if any(cell.strip() for cell in row)
    ]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    names = [i for i, column in enumerate(header) if column in NAME_COLUMNS]
    ids = [i for i, column in enumerate(header) if column in ID_COLUMNS]
    if not names and all(len(row) == 1 for row in rows):
        return [row[0] for row in rows]
    short = next((i for i, row in enumerate(rows, start=1) if len(row) < len(header)), None)
    if not names or short is not None:
        raise ActionCLIPError(
            f"{path} is a table with the columns {', '.join(header)}"
            + (f", and its row {short} has fewer." if short else "."),
            expected=f"One column was expected to be called {' or '.join(NAME_COLUMNS[:2])}.",
            hint="The authors' files have the header id,name.",
        )
    found = [row[names[0]] for row in rows[1:]]
    return _by_number([_number(row[ids[0]]) for row in rows[1:]], found, path) if ids else found


def _separator(text: str) -> str:
    """Comma, or what spreadsheets of other countries write, where the header says so."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for separator in (";", "\t"):
        cells = [cell.strip(' "').lower() for cell in first.split(separator)]
        if len(cells) > 1 and any(cell in NAME_COLUMNS for cell in cells):
            return separator
    return ","


def _number(value: Any) -> int | None:
    is_number = isinstance(value, (int, str)) and re.fullmatch(r"\s*\d+\s*", str(value))
    return int(value) if is_number else None


def _by_number(numbers: Sequence[int | None], names: list[str], path: Path | str) -> list[str]:
    """The names in the order of their numbers, which count from 0 or from 1."""
    order = sorted(range(len(names)), key=lambda i: -1 if numbers[i] is None else numbers[i] or 0)
    first = numbers[order[0]] if order else 0
    for place, i in enumerate(order):
        if first not in (0, 1) or numbers[i] != place + first:
            raise ActionCLIPError(
                f"{path} gives {names[i]!r} the number {numbers[i]}.",
                expected="The numbers must count 0, 1, 2, ... without gaps: a label's number is "
                "its place in the scores.",
            )
    return [names[i] for i in order]


def _texts(items: Iterable[Any], where: str) -> list[str]:
    items = list(items)  # a generator gives them once
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise ActionCLIPError(
                f"{where} has {item!r} in place {i}.", expected="A label is text."
            )
    return items
