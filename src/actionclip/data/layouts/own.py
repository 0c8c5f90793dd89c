"""Layouts without a foreign annotation format: manifests, and a folder for each class."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from actionclip.data.layouts.base import (
    Layout,
    Options,
    Place,
    Reading,
    VideoFiles,
    drawn_files,
    lost,
    names_option,
    split_of,
    subfolders,
)
from actionclip.data.layouts.lists import Entry, compare, named, said_by_paths
from actionclip.data.layouts.names import said_by
from actionclip.data.manifest import (
    SPLIT_NAMES,
    Manifest,
    Row,
    column_name,
    read_manifest,
    split_name,
)
from actionclip.data.tables import TABLES, columns_of, parquet_columns
from actionclip.errors import ActionCLIPError, counted
from actionclip.video.sources import Source, find_videos


def _manifests(place: Place) -> list[Path]:
    return [file for file in place.lists if "path" in map(column_name, header(file))]


def header(file: Path) -> list[str]:
    """The columns of a table; none if it is no table."""
    if file.suffix.lower() == ".parquet":
        return parquet_columns(file)
    return columns_of(file) if file.suffix.lower() in TABLES else []


def _see_manifest(place: Place) -> str:
    files = _manifests(place)
    return f"{files[0].name} is a table with a column path" if files else ""


def _read_manifest(place: Place, options: Options) -> Reading:
    """One manifest; or several, if each is the list of another split."""
    files = _manifests(place)
    splits = [split_of(file.name) for file in files]
    if len(files) > 1 and (not all(splits) or len(set(splits)) < len(splits)):
        raise ActionCLIPError(
            f"{place.path} holds {len(files)} manifests: {', '.join(f.name for f in files)}.",
            expected="One was expected, or one for each of train, val and test.",
            hint="Name one of them.",
        )
    read, notes = [], []
    for file in files:
        manifest = read_manifest(file, root=options.root)
        manifest, note = _with_names(manifest, file, options)
        manifest, unclear = _found_below(manifest, options.root)
        read.append(manifest)
        notes += [note, *unclear]
    if len(files) == 1:
        manifest = read[0]
    else:
        rows = [
            replace(row, path=str(part.path_of(row)), split=row.split or split)
            for part, split in zip(read, splits, strict=True)
            for row in part.rows
        ]
        classes = dict.fromkeys(name for part in read for name in part.classes)
        manifest = Manifest(tuple(rows), tuple(sorted(classes)), place.folder)
    if options.labels is not None:
        manifest = replace(manifest, classes=options.labels)
    rows = tuple(_grouped(row) for row in manifest.rows)
    return Reading(replace(manifest, rows=rows), list(dict.fromkeys(notes)))


def _with_names(manifest: Manifest, file: Path, options: Options) -> tuple[Manifest, str]:
    """The manifest with names where all of its labels are numbers, and what is to be said of it."""
    labels = {label for row in manifest.rows for label in row.labels}
    if not labels or not all(re.fullmatch(r"\d+", label) for label in labels):
        return manifest, ""
    if options.labels is None:
        return manifest, (
            f"All labels of {file.name} are numbers, such as {min(labels)}, and prompts say them "
            "as they stand. Where they stand for classes, say for which: " + names_option() + "."
        )
    if labels <= set(options.labels):
        return manifest, ""
    first = 2 if file.suffix.lower() in TABLES else 1
    entries = [
        Entry(file, line, row.path, tuple(int(label) for label in row.labels))
        for line, row in enumerate(manifest.rows, start=first)
    ]
    origin = "the list given with --labels"
    compare(options.labels, said_by_paths(entries), origin, entries)
    rows = tuple(
        replace(row, labels=named(entry, options.labels))
        for row, entry in zip(manifest.rows, entries, strict=True)
    )
    return replace(manifest, rows=rows, classes=options.labels), ""


def _found_below(manifest: Manifest, root: Path | None) -> tuple[Manifest, list[str]]:
    """The manifest with clips where they lie below the root that was given, and notes.

    Absolute paths of another disk lead nowhere here; their clips are looked for by name.
    """
    if root is None:
        return manifest, []
    videos = VideoFiles(root)
    videos.expect(row.path for row in manifest.rows)
    found = {row.path: videos.find(row.path) for row in manifest.rows}
    rows = tuple(replace(row, path=found[row.path] or row.path) for row in manifest.rows)
    return replace(manifest, rows=rows), lost(list(videos.several), videos)


def _grouped(row: Row) -> Row:
    """The row with the recording that its file's name tells of, where it names none itself."""
    return row if row.group else replace(row, group=said_by(row.path).group)


@dataclass(frozen=True)
class ClassFolder:
    """A folder named like a class, and the videos in it."""

    split: str
    name: str
    videos: list[Source]


def _videos(folder: Path, *, recursive: bool = True) -> list[Source]:
    try:
        return find_videos([folder], recursive=recursive)
    except ActionCLIPError:
        return []


def _class_folders(place: Place) -> list[ClassFolder]:
    if place.path.is_file():
        return []
    below = [f for f in subfolders(place.folder) if not drawn_files(f) or _videos(f)]
    splits = [folder for folder in below if folder.name.lower() in SPLIT_NAMES]
    inside = [
        ClassFolder(split_name(top.name), folder.name, _videos(folder))
        for top in splits
        for folder in subfolders(top)
    ]
    others = [ClassFolder("", f.name, _videos(f)) for f in below if f not in splits]
    alone = splits and not any(folder.videos for folder in others)
    if alone or _are_splits(splits, inside):
        return inside
    return [ClassFolder("", folder.name, _videos(folder)) for folder in below]


def _are_splits(tops: list[Path], inside: list[ClassFolder]) -> bool:
    """Whether folders named like splits, with other videos beside them, are splits, not classes.

    A split has no video but those in its class folders, and there are two classes. A folder of
    frames is a video.
    """
    direct = {str(top / folder.name) for top in tops for folder in inside}
    frames = any(video.name in direct for folder in inside for video in folder.videos)
    flat = frames or any(_videos(top, recursive=False) for top in tops)
    return not flat and len({folder.name for folder in inside if folder.videos}) > 1


def _see_folders(place: Place) -> str:
    folders = [folder for folder in _class_folders(place) if folder.videos]
    classes = {folder.name for folder in folders}
    if len(classes) < 2:
        return ""
    splits = list(dict.fromkeys(folder.split for folder in folders if folder.split))
    inside = f" in {', '.join(splits)}" if splits else ""
    return f"{len(classes)} folders with videos{inside}, one for each class"


def _read_folders(place: Place, options: Options) -> Reading:
    rows, notes, classes, tops = [], [], set(), [place.folder]
    folders = _class_folders(place)
    if any(folder.split for folder in folders):
        below = subfolders(place.folder)
        tops += [top for top in below if top.name.lower() in SPLIT_NAMES]
        for other in (folder for folder in below if folder not in tops):
            if count := len(_videos(other)):
                left = counted(count, "video is", "videos are")
                notes.append(f"The folder {other.name} is of no split: its {left} left out.")
    for folder in folders:
        if folder.videos:
            classes.add(folder.name)
        else:
            notes.append(f"The folder {folder.name} has no video.")
        for source in folder.videos:
            path = Path(source.name).relative_to(place.folder).as_posix()
            group = said_by(path).group
            rows.append(Row(path, (folder.name,), split=folder.split, group=group))
    beside = [video for top in tops for video in _videos(top, recursive=False)]
    if outside := [video for video in beside if video.kind == "file"]:
        lie = "video lies in no class folder and is", "videos lie in no class folder and are"
        notes.append(f"{counted(len(outside), *lie)} left out.")
    names = options.labels or tuple(sorted(classes))
    return Reading(Manifest(tuple(rows), names, place.folder), notes)


MANIFEST = Layout(
    "manifest",
    "a table (.csv, .tsv, .parquet) with a column path",
    _see_manifest,
    _read_manifest,
)
FOLDERS = Layout(
    "folders",
    "two or more folders with videos, one for each class; or train/, val/, test/ with such folders",
    _see_folders,
    _read_folders,
    rank=2,
)
