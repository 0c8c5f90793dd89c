"""Lists with a path and a number: mmaction2, SlowFast, and the authors' frame lists.

    videos/a.mp4 3              mmaction2 (videos), SlowFast (.csv)
    frames/a 117 3              mmaction2 (rawframes), the authors
    videos/a.mp4 117 3          videos with their frames, or with two labels: see `_of_frames`
    videos/a.mp4,3              the same with commas: UniFormer, VideoMAE

A number is no label. Which class it stands for has to be said by a list of names, or by the folders
and file names themselves; where both do, they have to agree. That is not pedantry: HMDB51 lists go
about in which 20 is `kick` and 21 `kick_ball`, and others in which it is the other way round.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from actionclip.data.layouts.base import (
    Layout,
    Options,
    Place,
    Reading,
    lost,
    mistake,
    names_option,
    no_folds,
    split_of,
    videos_of,
)
from actionclip.data.layouts.names import loose, said_by, with_slashes
from actionclip.data.manifest import Manifest, Row
from actionclip.data.tables import first_lines, read_text
from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.label_files import read_file, without_numbers
from actionclip.video.sources import VIDEO_SUFFIXES

_SUFFIX = "|".join(sorted(re.escape(suffix) for suffix in VIDEO_SUFFIXES))
_BETWEEN = r"(?:\s*[,;]\s*|\s+)"
VIDEO_LINE = re.compile(
    rf'(?P<path>".+(?:{_SUFFIX})"|.+(?:{_SUFFIX}))(?P<numbers>(?:{_BETWEEN}\d+)+)', re.IGNORECASE
)
FRAMES_LINE = re.compile(r"(?P<path>\S+)\s+(?P<frames>\d+)(?P<numbers>(?:\s+\d+)+)")
SPACED_FRAMES_LINE = re.compile(r"(?P<path>.+)\s+(?P<frames>\d+)(?P<numbers>\s+\d+)")
COMMA_FRAMES_LINE = re.compile(
    r"(?P<path>[^,;]+)[,;]\s*(?P<frames>\d+)(?P<numbers>(?:[,;]\s*\d+)+)"
)
LINES = (VIDEO_LINE, FRAMES_LINE, SPACED_FRAMES_LINE, COMMA_FRAMES_LINE)
NAMES_FILE = r".*(label|class).*\.(txt|csv|json)"
FRAMES_NOTE = "The first number of each line is taken for the number of frames, and left out."
CHECKED = 20
"""Lines of a file that are looked at to recognise it."""


@dataclass(frozen=True)
class Entry:
    """A line of a list."""

    file: Path
    line: int
    path: str
    numbers: tuple[int, ...]
    """Classes."""


def parse(file: Path, line: int, text: str) -> Entry | None:
    """A line of a list, or None if it is none."""
    found = next((found for form in LINES if (found := form.fullmatch(text))), None)
    if not found:
        return None
    numbers = tuple(int(number) for number in re.findall(r"\d+", found["numbers"]))
    path = found["path"]
    if len(path) > 1 and path[0] == path[-1] == '"':  # a comma in it, in a table without a header
        path = path[1:-1].replace('""', '"')
    return Entry(file, line, path, numbers)


def _kind(file: Path) -> str:
    """`videos`, `frames`, or nothing: what the first lines of a file list."""
    lines = [line for line in first_lines(file, CHECKED) if line]
    if not lines or any(parse(file, 0, line) is None for line in lines):
        return ""
    return "videos" if all(VIDEO_LINE.fullmatch(line) for line in lines) else "frames"


def _lists(place: Place, kind: str, suffix: str) -> list[Path]:
    files = place.named(r".+\.txt") + place.named(r".+\.csv")
    return [file for file in files if file.suffix == suffix and _kind(file) == kind]


def _names_files(place: Place) -> list[Path]:
    """Files near the lists that may name the classes."""
    return [
        file
        for file in place.nearby
        if (re.fullmatch(NAMES_FILE, file.name, re.IGNORECASE) or file.name == "classInd.txt")
        and not _kind(file)
    ]


def _see(place: Place, kind: str, suffix: str, authors: bool | None = None) -> str:
    """What speaks for a layout; the authors' label lists are tables with `id,name`."""
    files = _lists(place, kind, suffix)
    if not files:
        return ""
    tables = [f for f in _names_files(place) if read_text(f).lower().startswith("id,name")]
    if authors is not None and authors != bool(tables):
        return ""
    beside = f", and {tables[0].name} beside it has id,name" if authors else ""
    form = "PATH NUMBER" if kind == "videos" else "FOLDER FRAMES NUMBER"
    return f"the lines of {files[0].name} are {form}{beside}"


def _read(place: Place, options: Options, kind: str, suffix: str) -> Reading:
    files = _one_a_split(place, options, _lists(place, kind, suffix))
    entries, counted = [entry for file in files for entry in _entries(file)], ""
    bare = _without_first(entries)
    if bare and _of_frames(entries, bare):
        entries, bare = bare, []
        counted = FRAMES_NOTE
    names, note = _names(place, options, entries)
    if bare and max(entry.numbers[0] for entry in entries) >= len(names):
        entries, counted = bare, FRAMES_NOTE
        names, note = _names(place, options, entries)
    videos, missing, rows = videos_of(place, options), [], []
    videos.expect(entry.path for entry in entries)
    for entry in entries:
        found = videos.find(entry.path)
        missing += [] if found else [entry.path]
        labels = named(entry, names)
        path = found or entry.path
        rows.append(Row(path, labels, split=split_of(entry.file.name), group=said_by(path).group))
    return Reading(
        Manifest(tuple(rows), names, videos.root), [note, counted, *lost(missing, videos)]
    )


def named(entry: Entry, names: Sequence[str]) -> tuple[str, ...]:
    """The classes that the numbers of a line stand for.

    Raises:
        ActionCLIPError: naming the line, where a number stands for none.
    """
    if strange := [number for number in entry.numbers if number >= len(names)]:
        raise mistake(
            entry.file,
            entry.line,
            f"the number {strange[0]} stands for no class.",
            f"There are {len(names)} classes, numbered from 0.",
        )
    return tuple(dict.fromkeys(names[number] for number in entry.numbers))


def _without_first(entries: Sequence[Entry]) -> list[Entry]:
    """The lines without their first numbers, if every line has two."""
    if any(len(entry.numbers) != 2 for entry in entries):
        return []
    return [replace(entry, numbers=entry.numbers[1:]) for entry in entries]


def _of_frames(entries: Sequence[Entry], bare: Sequence[Entry]) -> bool:
    """Whether the first of two numbers in every line counts frames and is no label.

    So it is where a line has the same number twice, or where the folders or file names belong to
    the second number and not to the first. (And where there are not as many classes.)
    """
    if any(len(set(entry.numbers)) == 1 for entry in entries):
        return True
    first = [replace(entry, numbers=entry.numbers[:1]) for entry in entries]
    return bool(said_by_paths(bare)) and not said_by_paths(first)


def _entries(file: Path) -> list[Entry]:
    entries = []
    for number, text in enumerate(read_text(file).splitlines(), start=1):
        if text.strip():
            entry = parse(file, number, text.strip())
            if entry is None:
                raise mistake(
                    file, number, f"this line is {text!r}.", "A path and numbers were expected."
                )
            entries.append(entry)
    return entries


def _one_a_split(place: Place, options: Options, files: list[Path]) -> list[Path]:
    """One list for each split; of several official splits, the one that was chosen."""
    folds = [file for file in files if re.search(r"split_?\d", file.name)]
    wanted = re.compile(rf"split_?0?{options.fold}(?!\d)")
    if options.fold != 1 and not any(wanted.search(file.name) for file in folds):
        raise no_folds(place.path, options.fold)
    if folds and len(files) > 1:
        files = [file for file in files if file not in folds or wanted.search(file.name)]
    splits = [split_of(file.name) for file in files]
    if len(set(splits)) < len(files) or not files:
        raise ActionCLIPError(
            f"{place.path} holds {len(files)} lists: {', '.join(file.name for file in files)}.",
            expected="One for each of train, val and test was expected.",
            hint="Name one of them, or choose the official split with --fold.",
        )
    return files


def _names(place: Place, options: Options, entries: Sequence[Entry]) -> tuple[tuple[str, ...], str]:
    """The class of each number, and where it was found."""
    files = _names_files(place)
    said = said_by_paths(entries)
    if options.labels is not None:
        names, origin = options.labels, "the list given with --labels"
    elif len(files) == 1:
        names, origin = tuple(without_numbers(read_file(files[0]))), str(files[0].name)
    elif not files and said and sorted(said) == list(range(len(said))):
        names = tuple(said[number] for number in range(len(said)))
        return names, "The names of the classes are those of the folders and files in the list."
    else:
        listed = ", ".join(file.name for file in files)
        raise ActionCLIPError(
            f"{entries[0].file if entries else place.path} gives classes as numbers only, and "
            + (f"{listed} may all name them." if files else "there is no list of their names."),
            expected="Labels go by name: lists in circulation disagree in the order (in HMDB51 "
            "lists, 20 is kick in some and kick_ball in others).",
            hint=f"Say which list of names belongs to it: {names_option()}.",
        )
    compare(names, said, origin, entries)
    return names, f"The names of the classes come from {origin}."


def said_by_paths(entries: Sequence[Entry]) -> dict[int, str]:
    """The class of each number as the file names or the folders have it; empty if they do not."""
    for name_of in (_class_in_name, _class_folder):
        said: dict[int, set[str]] = {}
        for entry in entries:
            if len(entry.numbers) == 1:
                said.setdefault(entry.numbers[0], set()).add(name_of(entry.path))
        single = {number: next(iter(names)) for number, names in said.items() if len(names) == 1}
        different = len(set(single.values())) == len(said)
        if len(said) > 1 and len(single) == len(said) and different and all(single.values()):
            return single
    return {}


def _class_in_name(path: str) -> str:
    return said_by(path).label


def _class_folder(path: str) -> str:
    return PurePosixPath(with_slashes(path)).parent.name


def compare(
    names: Sequence[str], said: dict[int, str], origin: str, entries: Sequence[Entry]
) -> None:
    """Refuse a list of names in another order than the one the numbers were made with.

    Args:
        names: in the order of their numbers.
        said: what the paths say, as `said_by_paths` gives it.
        origin: where the names come from, for the error.
        entries: the lines of the list.

    Raises:
        ActionCLIPError: naming the first line that tells.
    """
    places = {loose(name): number for number, name in enumerate(names)}
    for number, name in said.items():
        meant = places.get(loose(name))
        if meant is not None and meant != number:
            entry = next(entry for entry in entries if entry.numbers == (number,))
            listed = names[number] if number < len(names) else "nothing"
            raise ActionCLIPError(
                f"{entry.file}:{entry.line}: {entry.path} has the number {number}, which is "
                f"{listed} in {origin}, where {names[meant]} is {meant}.",
                expected="The numbers of a list and the names of its classes must be of one order.",
                hint=f"Give the list of names that belongs to it: {names_option()}.",
            )


def _layout(
    name: str, looks_for: str, kind: str, suffix: str, authors: bool | None = None
) -> Layout:
    return Layout(
        name,
        looks_for,
        lambda place: _see(place, kind, suffix, authors),
        lambda place, options: _read(place, options, kind, suffix),
        rank=1,
        folds=True,
    )


MMACTION2_VIDEOS = _layout(
    "mmaction2", "lists (.txt) of lines PATH NUMBER or PATH,NUMBER", "videos", ".txt"
)
SLOWFAST = _layout("slowfast", "lists (.csv) of lines PATH NUMBER or PATH,NUMBER", "videos", ".csv")
MMACTION2_FRAMES = _layout(
    "mmaction2-rawframes", "lists (.txt) of lines FOLDER FRAMES NUMBER", "frames", ".txt", False
)
AUTHORS = _layout(
    "authors",
    "lists (.txt) of lines FOLDER FRAMES NUMBER, and a table id,name beside them",
    "frames",
    ".txt",
    True,
)
