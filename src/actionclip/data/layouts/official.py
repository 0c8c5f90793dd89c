"""UCF101, HMDB51 and Diving48: lists of file names that belong to official splits."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from actionclip.data.layouts.base import (
    Layout,
    Options,
    Place,
    Reading,
    VideoFiles,
    look,
    lost,
    mistake,
    names_option,
    split_of,
    videos_of,
)
from actionclip.data.layouts.names import loose, matcher, said_by
from actionclip.data.manifest import Manifest, Row
from actionclip.data.tables import beginning, read_text
from actionclip.errors import ActionCLIPError, counted
from actionclip.model.prompts.label_files import read_json

UCF_LIST = r"(train|test)list0?(\d+)\.txt"
HMDB_LIST = r"(.+)_test_split(\d+)\.txt"
HMDB_SPLITS = {"0": "unused", "1": "train", "2": "test"}


def lines_of(file: Path) -> list[tuple[int, str]]:
    """The lines of a list that are not empty, with their numbers."""
    lines = enumerate(read_text(file).splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _whole(place: Place) -> Place:
    """All of the data set, where a user names one of its lists."""
    return look(place.folder) if place.path.is_file() else place


def _check_fold(place: Place, pattern: str, fold: int) -> None:
    """Refuse the list of another split than the one that was asked for."""
    named = re.fullmatch(pattern, place.path.name, re.IGNORECASE)
    if place.path.is_file() and named and int(named[2]) != fold:
        raise ActionCLIPError(
            f"{place.path} is a list of split {int(named[2])}, and split {fold} was asked for.",
            expected="A list stands for its whole split.",
            hint=f"Choose it with --fold {int(named[2])} (in a recipe: fold = {int(named[2])}).",
        )


def _see_ucf(place: Place) -> str:
    mine = place.named(UCF_LIST) or place.named(r"classInd\.txt")
    if not mine:
        return ""
    whole = _whole(place)
    lists, index = whole.named(UCF_LIST), whole.named(r"classInd\.txt")
    return f"{lists[0].name} and {index[0].name}" if lists and index else ""


def _read_ucf(place: Place, options: Options) -> Reading:
    _check_fold(place, UCF_LIST, options.fold)
    place = _whole(place)
    index = place.named(r"classInd\.txt")[0]
    numbers = _ucf_classes(index)
    find = matcher(numbers)
    files = {
        (found[1], int(found[2])): file
        for file in place.named(UCF_LIST)
        if (found := re.fullmatch(UCF_LIST, file.name, re.IGNORECASE))
    }
    lines = []
    for split in ("train", "test"):
        if (file := files.get((split, options.fold))) is None:
            raise _no_fold(place, options, sorted({fold for _, fold in files}))
        for number, line in lines_of(file):
            found = re.fullmatch(r"(.+?)(?:\s+(\d+))?", line)
            path, given = (found[1], found[2] or "") if found else (line, "")
            label = find(path.split("/")[-2] if "/" in path else said_by(path).label)
            lines.append((split, path, _ucf_label(file, number, path, given, label, numbers)))
    videos, rows, missing = _found(lines, place, options)
    classes = tuple(sorted(numbers, key=lambda name: numbers[name]))
    return Reading(Manifest(tuple(rows), classes, videos.root), lost(missing, videos))


def _found(
    lines: list[tuple[str, str, str]], place: Place, options: Options
) -> tuple[VideoFiles, list[Row], list[str]]:
    """Where the videos of split, path and label lie; a row for each, and paths that are gone."""
    videos, rows, missing = videos_of(place, options), [], []
    videos.expect(path for _, path, _ in lines)
    for split, path, label in lines:
        found = videos.find(path)
        missing += [] if found else [path]
        rows.append(Row(found or path, (label,), split=split, group=said_by(path).group))
    return videos, rows, missing


def _ucf_classes(index: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, line in lines_of(index):
        place, _, name = line.partition(" ")
        if not place.isdigit() or not name.strip():
            raise mistake(index, number, f"this line is {line!r}.", "Expected: 1 ApplyEyeMakeup.")
        numbers[name.strip()] = int(place)
    return numbers


def _ucf_label(
    file: Path, line: int, path: str, given: str, label: str | None, numbers: dict[str, int]
) -> str:
    """The class that a path names; the number behind it has to say the same."""
    if label is None:
        raise mistake(
            file, line, f"the class of {path} is not in classInd.txt.", "Labels go by name."
        )
    if given and given != str(numbers[label]):
        raise mistake(
            file,
            line,
            f"{path} has the number {given}.",
            f"classInd.txt gives {label} the number {numbers[label]}.",
            "The list and classInd.txt belong to different copies.",
        )
    return label


def _see_hmdb(place: Place) -> str:
    if not place.named(HMDB_LIST):
        return ""
    files = _whole(place).named(HMDB_LIST)
    folds = {re.fullmatch(HMDB_LIST, f.name)[2] for f in files}  # pyright: ignore[reportOptionalSubscript]
    return f"{len(files)} lists like {files[0].name} ({len(folds)} official splits)"


def _read_hmdb(place: Place, options: Options) -> Reading:
    _check_fold(place, HMDB_LIST, options.fold)
    place = _whole(place)
    files, folds = {}, set()
    for file in place.named(HMDB_LIST):
        found = re.fullmatch(HMDB_LIST, file.name, re.IGNORECASE)
        assert found
        folds.add(int(found[2]))
        if int(found[2]) == options.fold:
            files[found[1]] = file
    if not files:
        raise _no_fold(place, options, sorted(folds))
    names = _spelt(list(files), options)
    lines = []
    for name, file in files.items():
        for number, line in lines_of(file):
            clip, _, kind = line.rpartition(" ")
            if kind not in HMDB_SPLITS or not clip.strip():
                raise mistake(
                    file, number, f"this line is {line!r}.", "Expected: NAME.avi and 0, 1 or 2."
                )
            lines.append((HMDB_SPLITS[kind], f"{name}/{clip.strip()}", names[name]))
    videos, rows, missing = _found(lines, place, options)
    classes = options.labels or tuple(sorted(names.values()))
    counts = Counter(row.split for row in rows)
    notes = [
        f"{counted(counts['unused'], 'clip is', 'clips are')} in neither part of split "
        f"{options.fold}."
    ]
    return Reading(
        Manifest(tuple(rows), classes, videos.root),
        [*(notes if counts["unused"] else []), *lost(missing, videos)],
    )


def _spelt(names: list[str], options: Options) -> dict[str, str]:
    """Names of lists as the user spells the classes."""
    if options.labels is None:
        return {name: name for name in names}
    known = {loose(label): label for label in options.labels}
    return {name: known.get(loose(name), name) for name in names}


def _no_fold(place: Place, options: Options, folds: list[int]) -> ActionCLIPError:
    return ActionCLIPError(
        f"{place.path} has no lists for split {options.fold}.",
        expected=f"There are lists for {', '.join(map(str, folds))}.",
        hint="Choose one of them with --fold.",
    )


def _diving_lists(place: Place) -> list[Path]:
    lists = place.named(r".+\.json")
    return [file for file in lists if re.match(r'\s*\[\s*\{[^{}]*"vid_name"', beginning(file))]


def _see_diving48(place: Place) -> str:
    files = _diving_lists(place)
    return f"the entries of {files[0].name} have a vid_name" if files else ""


def _read_diving48(place: Place, options: Options) -> Reading:
    files = _diving_lists(place)
    splits = [split_of(file.name) for file in files]
    if len(set(splits)) < len(files):
        raise ActionCLIPError(
            f"{place.path} holds {len(files)} lists: {', '.join(file.name for file in files)}.",
            expected="One for each of train and test was expected.",
            hint="Two versions of a data set? Name one of the files.",
        )
    names, notes = _diving_classes(place, options)
    videos, missing, rows, later = videos_of(place, options), [], [], 0
    for file, split in zip(files, splits, strict=True):
        entries = read_json(read_text(file), file)
        for number, entry in enumerate(entries, start=1):
            name, label = _dive(file, number, entry)
            if label >= len(names):
                raise ActionCLIPError(
                    f"{file}: entry {number} has the label {label}, which stands for no class.",
                    expected=f"There are {len(names)} classes, numbered from 0.",
                )
            path = f"{name}.mp4"
            found = videos.find(path)
            missing += [] if found else [path]
            later += bool(entry.get("start_frame"))
            rows.append(Row(found or path, (names[label],), split=split))
    if later:
        begins = "dive begins after its first frame, and is"
        begin = "dives begin after their first frame, and are"
        notes.append(f"{counted(later, begins, begin)} taken whole.")
    return Reading(Manifest(tuple(rows), names, videos.root), [*notes, *lost(missing, videos)])


def _dive(file: Path, number: int, entry: Any) -> tuple[str, int]:
    try:
        name, label = entry["vid_name"], entry["label"]
    except (TypeError, KeyError):
        name = label = None
    if not isinstance(name, str) or not isinstance(label, int) or label < 0:
        raise ActionCLIPError(
            f"{file}: entry {number} is {entry!r}.",
            expected='Expected {"vid_name": "6mK-KqG33bc_00105", "label": 26, ...}.',
        )
    return name, label


def _diving_classes(place: Place, options: Options) -> tuple[tuple[str, ...], list[str]]:
    """The names of the numbers, and where they were found: four words for each dive."""
    if options.labels is not None:
        return options.labels, []
    files = [f for f in place.nearby if re.fullmatch(r".*vocab.*\.json", f.name, re.IGNORECASE)]
    if not files:
        raise ActionCLIPError(
            f"{place.path} gives classes as numbers only, and there is no list of their names.",
            expected="Diving48_vocab.json was expected beside it.",
            hint=f"Put it there, or give another list of names: {names_option()}.",
        )
    dives = read_json(read_text(files[0]), files[0])
    if not isinstance(dives, list) or not all(
        isinstance(dive, list) and all(isinstance(word, str) for word in dive)
        for dive in dives or [None]
    ):
        raise ActionCLIPError(
            f"{files[0]} is no list of dives.",
            expected='Expected [["Back", "15som", "05Twis", "FREE"], ...].',
        )
    names = tuple(" ".join(dive) for dive in dives)
    return names, [f"The names of the classes come from {files[0].name}, such as {names[0]}."]


UCF101 = Layout(
    "ucf101",
    "classInd.txt with trainlist01.txt and testlist01.txt",
    _see_ucf,
    _read_ucf,
    folds=True,
)
HMDB51 = Layout("hmdb51", "lists called CLASS_test_split1.txt", _see_hmdb, _read_hmdb, folds=True)
DIVING48 = Layout(
    "diving48",
    "JSON lists of vid_name and label, and Diving48_vocab.json",
    _see_diving48,
    _read_diving48,
)
