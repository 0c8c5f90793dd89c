"""Kinetics, Something-Something V2, Charades, ActivityNet: what happens in a clip is in a table."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actionclip.data.layouts.base import (
    Layout,
    Options,
    Place,
    Reading,
    VideoFiles,
    lost,
    mistake,
    names_option,
    split_of,
    videos_of,
)
from actionclip.data.layouts.names import matcher
from actionclip.data.manifest import Manifest, Row
from actionclip.data.tables import beginning, columns_of, read_table, read_text
from actionclip.errors import ActionCLIPError, counted
from actionclip.model.prompts.label_files import read_file, read_json

KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")
CHARADES_COLUMNS = ("id", "actions")

Action = tuple[str, float, float]
"""A label, and when it starts and ends, in seconds."""


def _tables(place: Place, columns: tuple[str, ...]) -> list[Path]:
    """The CSV files whose header has these columns."""
    found = []
    for file in place.named(r".+\.csv"):
        if set(columns) <= set(columns_of(file)):
            found.append(file)
    return found


def _see_kinetics(place: Place) -> str:
    files = _tables(place, KINETICS_COLUMNS)
    return f"{files[0].name} has the columns {', '.join(KINETICS_COLUMNS)}" if files else ""


def _read_kinetics(place: Place, options: Options) -> Reading:
    videos, missing, rows = videos_of(place, options), [], []
    for file in _tables(place, KINETICS_COLUMNS):
        for line, cells in read_table(file):
            row, is_there = _kinetics_row(file, line, cells, videos)
            missing += [] if is_there else [row.path]
            rows.append(row)
    return Reading(Manifest(tuple(rows), options.labels or (), videos.root), lost(missing, videos))


def _kinetics_row(
    file: Path, line: int, cells: dict[str, str], videos: VideoFiles
) -> tuple[Row, bool]:
    """A clip, and whether its file is there: cut out, or as the whole video."""
    try:
        start, end = float(cells["time_start"]), float(cells["time_end"])
    except ValueError:
        raise mistake(
            file,
            line,
            f"the times are {cells['time_start']!r} and {cells['time_end']!r}.",
            "Seconds were expected.",
        ) from None
    label, video = cells.get("label", "").strip(), cells["youtube_id"].strip()
    split = cells.get("split", "").strip() or split_of(file.name)
    clip = f"{video}_{int(start):06d}_{int(end):06d}.mp4"
    folders = [f"{split}/{label}/", f"{split}/", f"{label}/", ""]
    labels = (label,) if label else ()
    if path := videos.replacement(clip) or videos.find(*(f"{each}{clip}" for each in folders)):
        return Row(path, labels, split=split, group=video), True
    if path := videos.find(*(f"{folder}{video}.mp4" for folder in folders)):
        return Row(path, labels, start, end, split=split, group=video), True
    return Row(clip, labels, split=split, group=video), False


SSV2_LIST = r".*(train|validation|val|test)\.json"


def _see_ssv2(place: Place) -> str:
    files = place.named(SSV2_LIST)
    labels = [file for file in place.nearby if re.fullmatch(r".*labels\.json", file.name)]
    return f"{files[0].name} and {labels[0].name}" if files and labels else ""


def _read_ssv2(place: Place, options: Options) -> Reading:
    labels = next(f for f in place.nearby if re.fullmatch(r".*labels\.json", f.name))
    classes = tuple(options.labels or read_file(labels))
    find = matcher(classes)
    videos, missing, rows = videos_of(place, options), [], []
    for file in place.named(SSV2_LIST):
        entries = read_json(read_text(file), file)
        if not isinstance(entries, list):
            raise ActionCLIPError(f"{file} is no list.", expected='Expected [{"id": "1", ...}].')
        for number, entry in enumerate(entries, start=1):
            path = f"{_text(file, number, entry, 'id')}.webm"
            found = videos.find(path)
            missing += [] if found else [path]
            label = _ssv2_label(file, number, entry, find) if "template" in entry else None
            rows.append(
                Row(
                    found or path,
                    () if label is None else (label,),
                    split=split_of(file.name),
                    caption=str(entry.get("label", "")),
                )
            )
    return Reading(Manifest(tuple(rows), classes, videos.root), lost(missing, videos))


def _text(file: Path, number: int, entry: Any, name: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str | int):
        raise ActionCLIPError(
            f"{file}: entry {number} has no {name}.",
            expected='Expected {"id": "1", "label": ..., "template": ...}.',
        )
    return str(value)


def _ssv2_label(file: Path, number: int, entry: Any, find: Callable[[str], str | None]) -> str:
    """The template without its brackets: `Holding [something]` is "Holding something"."""
    template = _text(file, number, entry, "template")
    label = find(template.replace("[", "").replace("]", ""))
    if label is None:
        raise ActionCLIPError(
            f"{file}: entry {number} has the template {template!r}, which is no class.",
            expected="Labels go by name: each template is in labels.json, without brackets.",
        )
    return label


def _see_charades(place: Place) -> str:
    files = _tables(place, CHARADES_COLUMNS)
    return f"{files[0].name} has the columns {', '.join(CHARADES_COLUMNS)}" if files else ""


def _read_charades(place: Place, options: Options) -> Reading:
    names = _charades_classes(place, options)
    videos, missing, rows = videos_of(place, options), [], []
    empty = momentary = 0
    for file in _tables(place, CHARADES_COLUMNS):
        for line, cells in read_table(file):
            path = f"{cells['id'].strip()}.mp4"
            found = videos.find(path)
            missing += [] if found else [path]
            actions = _charades_actions(file, line, cells["actions"], names)
            empty += not actions
            whole = Row(found or path, split=split_of(file.name), caption=cells.get("script", ""))
            found_rows = _rows_of(whole, actions, options)
            momentary += (len(actions) - len(found_rows)) * options.intervals
            rows += found_rows
    return Reading(
        Manifest(tuple(rows), tuple(names.values()), videos.root),
        [*_left_out(empty, momentary), *lost(missing, videos)],
    )


def _rows_of(whole: Row, actions: Sequence[Action], options: Options) -> list[Row]:
    """A row for the whole video, or one for each of its actions that lasts."""
    if not options.intervals:
        return [replace(whole, labels=tuple(dict.fromkeys(label for label, _, _ in actions)))]
    return [
        replace(whole, labels=(label,), start=start, end=end)
        for label, start, end in actions
        if 0 <= start < end < math.inf
    ]


def _left_out(empty: int, momentary: int) -> list[str]:
    notes = [f"{counted(empty, 'video has', 'videos have')} no action."] if empty else []
    if momentary:
        does = "action does not end after it starts, and is"
        do = "actions do not end after they start, and are"
        notes.append(f"{counted(momentary, does, do)} left out.")
    return notes


def _charades_classes(place: Place, options: Options) -> dict[str, str]:
    """The name of each code `c000`, `c001`, ..."""
    if options.labels is not None:
        return {f"c{number:03d}": name for number, name in enumerate(options.labels)}
    files = [f for f in place.nearby if re.fullmatch(r".*classes.*\.txt", f.name, re.IGNORECASE)]
    if not files:
        raise ActionCLIPError(
            f"{place.path} has codes such as c092 and no list of what they stand for.",
            expected="Charades_v1_classes.txt was expected beside it.",
            hint=f"Put it there, or take the official list: {names_option('charades')}.",
        )
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(files[0]).splitlines(), start=1):
        code, _, name = line.strip().partition(" ")
        if line.strip() and (not re.fullmatch(r"c\d{3}", code) or not name.strip()):
            raise mistake(files[0], number, f"this line is {line!r}.", "Expected: c000 NAME.")
        if line.strip():
            names[code] = name.strip()
    return names


def _charades_actions(file: Path, line: int, cell: str, names: dict[str, str]) -> list[Action]:
    """Label, start and end of each action of `c092 11.90 21.20;c147 0.00 12.60`."""
    actions = []
    for part in filter(None, (part.strip() for part in cell.split(";"))):
        words = part.split()
        try:
            code, start, end = words[0], float(words[1]), float(words[2])
        except (IndexError, ValueError):
            raise mistake(
                file, line, f"an action is {part!r}.", "Expected: c092 11.90 21.20."
            ) from None
        if code not in names:
            raise mistake(file, line, f"the code {code} is not in the list of classes.")
        actions.append((names[code], start, end))
    return actions


DATABASE = re.compile(r'"database"\s*:\s*\{')


def _databases(place: Place) -> list[Path]:
    return [file for file in place.named(r".+\.json") if DATABASE.search(beginning(file))]


def _see_activitynet(place: Place) -> str:
    files = _databases(place)
    return f"{files[0].name} has a database of videos with their segments" if files else ""


def _read_activitynet(place: Place, options: Options) -> Reading:
    find = matcher(options.labels) if options.labels else None
    videos, missing, rows = videos_of(place, options), [], []
    empty = momentary = 0
    for video, (file, entry) in _described(_databases(place)).items():
        actions = _activitynet_actions(file, video, entry, find)
        names = [f"{video}.mp4", f"v_{video}.mp4"]
        if isinstance(own := entry.get("filename"), str):
            names = [own, *names]
        found = videos.find(*names)
        missing += [] if found else [names[-1]]
        empty += not actions
        whole = Row(found or names[-1], split=str(entry.get("subset", "")))
        of_video = _rows_of(whole, actions, options)
        momentary += (len(actions) - len(of_video)) * options.intervals
        rows += of_video
    return Reading(
        Manifest(tuple(rows), options.labels or (), videos.root),
        [*_left_out(empty, momentary), *lost(missing, videos)],
    )


def _described(files: Sequence[Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """What the files say of each video, and which file says it."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for file in files:
        data = read_json(read_text(file), file)
        database = data.get("database") if isinstance(data, dict) else None
        for video, entry in database.items() if isinstance(database, dict) else ():
            if not isinstance(entry, dict) or not video:
                raise ActionCLIPError(
                    f"{file}: the video {video!r} is {entry!r}.", expected=SEGMENT
                )
            if video in found:
                raise ActionCLIPError(
                    f"The video {video} is in {found[video][0].name} and in {file.name}.",
                    expected="A video was expected in one of them.",
                    hint="Two versions of a data set? Name one of the files.",
                )
            found[video] = file, entry
    return found


SEGMENT = 'Expected {"subset": ..., "annotations": [{"segment": [0.5, 12.6], "label": ...}]}.'


def _activitynet_actions(
    file: Path, video: str, entry: dict[str, Any], find: Callable[[str], str | None] | None
) -> list[Action]:
    actions, listed = [], entry.get("annotations") or []
    for each in listed if isinstance(listed, list) else [listed]:
        try:
            start, end = map(float, each["segment"])
            label = each["label"].strip()
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ActionCLIPError(
                f"{file}: an annotation of the video {video} is {each!r}.", expected=SEGMENT
            ) from None
        known = find(label) if find else label
        if known is None:
            raise ActionCLIPError(
                f"{file}: the video {video} has the label {label!r}, which is no class.",
                expected="Labels go by name.",
            )
        actions.append((known, start, end))
    return actions


KINETICS = Layout(
    "kinetics",
    "CSV files with the columns label,youtube_id,time_start,time_end,split",
    _see_kinetics,
    _read_kinetics,
)
SSV2 = Layout("ssv2", "labels.json with train.json and validation.json", _see_ssv2, _read_ssv2)
CHARADES = Layout(
    "charades",
    "CSV files with the columns id and actions, and Charades_v1_classes.txt",
    _see_charades,
    _read_charades,
)
ACTIVITYNET = Layout(
    "activitynet",
    "JSON with a database of videos, their subset and annotations, as activity_net.v1-3.min.json",
    _see_activitynet,
    _read_activitynet,
)
