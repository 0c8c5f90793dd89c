"""What every layout shares: the files near a path, where the videos lie, what is read from them."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

from actionclip.data.layouts.names import stem, with_slashes
from actionclip.data.manifest import Manifest, classes_file, split_name
from actionclip.errors import ActionCLIPError, counted
from actionclip.video.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural

RECORD = "splits.json"
"""What was drawn stands here, beside the manifests that were drawn."""
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".parquet")
LIST_FOLDER = re.compile(r"anno|label|split|list|meta", re.IGNORECASE)
"""Folders in which annotations lie; others are not searched for them."""


@dataclass(frozen=True)
class Options:
    """What a user says about a data set beside its path."""

    root: Path | None = None
    """Where the videos lie; None: in the folder of the data set."""
    labels: tuple[str, ...] | None = None
    """The class names in the order of their numbers, for lists that have numbers only."""
    fold: int = 1
    """Which of the official train/test splits, where there are several."""
    intervals: bool = False
    """A row for each action with its times (Charades, ActivityNet), not one for each video."""


@dataclass(frozen=True)
class Place:
    """A path that a user named, and the lists that lie there."""

    path: Path
    folder: Path
    """The path itself, or the folder of the file."""
    lists: tuple[Path, ...]
    """The file itself; or the texts and tables in the folder and its annotation folders."""
    drawn: tuple[Path, ...] = ()
    """The manifests there that were drawn from a data set and are not the data set itself."""

    def named(self, pattern: str) -> list[Path]:
        """The lists whose names match a regular expression; capitals do not count."""
        return [file for file in self.lists if re.fullmatch(pattern, file.name, re.IGNORECASE)]

    @property
    def nearby(self) -> list[Path]:
        """All texts and tables from which names of classes may come."""
        beside = _lists_in(self.folder)
        above = _lists_in(self.folder.parent, deep=False) if self.path.is_file() else []
        return list(dict.fromkeys([*beside, *above, *self.lists]))


def look(path: Path) -> Place:
    """Look at a path.

    Raises:
        ActionCLIPError: when there is nothing.
    """
    if path.is_file():
        return Place(path, path.parent, (path,))
    if not path.is_dir():
        raise ActionCLIPError(
            f"There is no file or folder {str(path)!r}.", hint="Check the spelling of the path."
        )
    try:
        return Place(path, path, tuple(_lists_in(path)), tuple(_drawn_in(path)))
    except OSError as error:
        raise ActionCLIPError(f"Cannot look into {error.filename}: {error.strerror}.") from None


def _lists_in(folder: Path, *, deep: bool = True) -> list[Path]:
    """The texts and tables of a folder, then of its annotation folders; no draws."""
    lists = []
    for each in _list_folders(folder) if deep else [folder]:
        drawn = drawn_files(each)
        lists += [
            file
            for file in sorted(each.iterdir(), key=lambda path: natural(path.name))
            if file.suffix.lower() in LIST_SUFFIXES and file.name[0] != "." and file.is_file()
            if file.name not in drawn
        ]
    return lists


def _drawn_in(folder: Path) -> list[Path]:
    found = (each / name for each in _list_folders(folder) for name in sorted(drawn_files(each)))
    return [file for file in found if file.suffix == ".csv" and file.is_file()]


def _list_folders(folder: Path) -> list[Path]:
    """A folder, then its annotation folders, two levels down."""
    folders = [folder]
    for top in subfolders(folder):
        if LIST_FOLDER.search(top.name):
            folders += [top, *subfolders(top)]
    return folders


def drawn_files(folder: Path) -> set[str]:
    """The names of the files in a folder that `actionclip data split` wrote, its record too."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        if "protocol" not in record:
            return set()
        names = [str(name) for name in [*record["files"], *record.get("earlier", [])]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    lists = [Path(name) for name in names if Path(name).name == name]
    return {RECORD, *(p.name for p in lists), *(classes_file(p).name for p in lists)}


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, in natural order."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."]
    return [folder / name for name in sorted(names, key=natural)]


@dataclass
class VideoFiles:
    """The videos and folders of frames below a folder, found by names as lists write them.

    Lists were written for other disks: with other suffixes, other folders above, or absolute paths.
    What is meant is looked for by its path, then by its path without suffix, then by its name
    alone, where one file only is called so. Of several, that in the same folder is meant, and of
    a video and its frames that with the same suffix. Where lists have several clips of one name
    (`expect`), a file is that whose path it fits best.
    """

    root: Path
    several: dict[str, list[str]] = field(default_factory=dict)
    """What was not found because it could be any of these."""
    _listed: dict[str, set[str]] = field(default_factory=dict)
    """All paths of lists, without suffixes, by their names alone."""

    def expect(self, names: Iterable[str]) -> None:
        """Know all clips of a list before they are looked for: a clip that is gone is then not
        taken for another one of that name.
        """
        for name in map(with_slashes, names):
            self._listed.setdefault(stem(name), set()).add(_bare(name))

    @cached_property
    def _found(self) -> dict[str, list[str]]:
        """Paths by what they may be called: the path without suffix, and the name without it."""
        table: dict[str, list[str]] = {}
        for path in _walk(self.root):
            for name in {_bare(path), stem(path)}:
                table.setdefault(name, []).append(path)
        return table

    def __bool__(self) -> bool:
        return bool(self._found)

    def find(self, *names: str) -> str | None:
        """The first of these names that is there, as a path relative to the root."""
        for name in names:
            if (self.root / name).exists():
                return name
        names = tuple(map(with_slashes, names))
        for name in names:
            for key in (_bare(name), stem(name)):
                paths = _alike(self._found.get(key, []), name)
                if len(paths) == 1 and self._is_meant(name, paths[0]):
                    return paths[0]
                if len(paths) > 1:
                    self.several[names[-1]] = paths
        return None

    def replacement(self, name: str) -> str | None:
        """A file of that name in a folder `replacement` of the root.

        It comes with a copy of Kinetics for files that were damaged there.
        """
        return self._replacements.get(stem(name))

    @cached_property
    def _replacements(self) -> dict[str, str]:
        folders = [each for each in subfolders(self.root) if each.name == "replacement"]
        paths = (f"{each.name}/{path}" for each in folders for path in _walk(each))
        return {stem(path): path for path in paths}

    def _is_meant(self, name: str, path: str) -> bool:
        """Whether no other clip of that name in the lists fits a file better, or as badly."""
        others = self._listed.get(stem(name), set()) - {_bare(name)}
        mine, best = _shared(name, path), max((_shared(each, path) for each in others), default=0)
        return mine > best or mine == best > 1


def _bare(path: str) -> str:
    return str(PurePosixPath(path).with_name(stem(path)))


def _shared(name: str, path: str) -> int:
    """How many parts at their ends two paths share: the name alone is one."""
    one, other = (reversed(PurePosixPath(_bare(p).casefold()).parts) for p in (name, path))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _alike(paths: list[str], name: str) -> list[str]:
    """Those in a folder of the same name, and of them those with the same suffix, if any.

    Capitals of the folder count only where there is one that is spelt the same.

    Where the list names a folder and none is called so, a suffix does not say which is meant.
    """
    if len(paths) < 2:
        return paths
    meant = PurePosixPath(name)
    folders = {path: PurePosixPath(path).parent.name for path in paths}
    folder = meant.parent.name
    near = [path for path in paths if folders[path] == folder]
    near = near or [path for path in paths if folders[path].casefold() == folder.casefold()]
    if meant.parent.name and not near:
        return paths
    same = [path for path in near or paths if _video_suffix(path) == _video_suffix(name)]
    return same or near or paths


def _video_suffix(path: str) -> str:
    """The suffix of a video; nothing for a folder of frames, whatever dots its name has."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in VIDEO_SUFFIXES else ""


def _walk(root: Path) -> Iterator[str]:
    """Videos, and folders of images. Links are followed, each folder once, and none above."""
    above = [os.stat(folder) for folder in Path(os.path.realpath(root)).parents]  # noqa: PTH116
    seen = {(folder.st_dev, folder.st_ino) for folder in above}
    for top, below, files in os.walk(root, followlinks=True):
        here = os.stat(top)  # noqa: PTH116
        if (here.st_dev, here.st_ino) in seen:
            below.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        inside = Path(top).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        below[:] = sorted((name for name in below if name[0] != "."), key=natural)
        suffixes = {PurePosixPath(name).suffix.lower() for name in files}
        if suffixes & IMAGE_SUFFIXES and prefix and not suffixes & VIDEO_SUFFIXES:
            yield inside
        for name in sorted(files, key=natural):
            if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES and name[0] != ".":
                yield prefix + name


def videos_of(place: Place, options: Options) -> VideoFiles:
    """Where the videos of a data set are looked for: what the user says, or around its lists."""
    if options.root is not None:
        return VideoFiles(options.root)
    here = VideoFiles(place.folder)
    above = place.folder.parent
    return VideoFiles(above) if LIST_FOLDER.search(place.folder.name) and not here else here


def split_of(name: str) -> str:
    """The split that a list's name speaks of, or an empty text.

    >>> split_of("kinetics_val_list.txt"), split_of("train1_few_shot_2.txt"), split_of("all.csv")
    ('val', 'train', '')
    """
    words = re.split(r"[\W_\d]+", name.lower())
    known = [split_name(word) for word in words if split_name(word) in ("train", "val", "test")]
    return known[0] if known else ""


@dataclass
class Reading:
    """What a layout gives: a manifest, and what a careful reader would want to know about it."""

    manifest: Manifest
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """A way in which data sets lie on disk."""

    name: str
    looks_for: str
    """By what it is recognised, for a person."""
    see: Callable[[Place], str]
    """What speaks for this layout here, in words; empty: it is another."""
    read: Callable[[Place, Options], Reading]
    rank: int = 0
    """It counts only where no layout of a lower rank is seen: some look like others, and more."""
    folds: bool = False
    """Whether there may be several official splits, of which `read` takes the one asked for."""


def names_option(value: str = "FILE") -> str:
    """How a user says which names belong to the numbers of a list."""
    return f"--labels {value} (of eval and calibrate --class-names {value}, in a recipe labels)"


def no_folds(path: Path, fold: int) -> ActionCLIPError:
    """An official split was asked for by its number, and there are none."""
    return ActionCLIPError(
        f"{path} has no official splits by number, and split {fold} was asked for.",
        expected="UCF101 and HMDB51 have three; their lists were expected there.",
        hint="Leave out --fold (in a recipe: fold), or name the folder with those lists.",
    )


def lost(missing: Sequence[str], videos: VideoFiles) -> list[str]:
    """The notes about clips of a list whose files are not there, or are there several times."""
    notes = []
    unclear = [path for path in dict.fromkeys(missing) if path in videos.several]
    if unclear:
        some = " and ".join(videos.several[unclear[0]][:2])
        notes.append(
            f"{counted(len(unclear), 'clip of the list is', 'clips of the list are')} there "
            f"several times, for example {some}. "
            "Say which are meant with --root."
        )
    if gone := [path for path in missing if path not in videos.several]:
        notes.append(
            f"{counted(len(gone), 'clip of the list is', 'clips of the list are')} not below "
            f"{videos.root}, for example {gone[0]}. "
            "Name the folder of the videos with --root."
        )
    return notes


def mistake(
    file: Path, line: int, what: str, expected: str = "", hint: str = ""
) -> ActionCLIPError:
    """The error for a line of a list."""
    return ActionCLIPError(f"{file}:{line}: {what}", expected=expected, hint=hint)
