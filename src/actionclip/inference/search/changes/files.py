"""What has become of the files of an index: new, changed, renamed, copied, gone, or as before.

A file is known by its content: a hash of its bytes. As long as its path, size and modification time
are those of the index it is not read at all.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actionclip.errors import ActionCLIPError
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import Source, check_whole, find_videos, frame_files, walk

TIMES = (1 - 2**63, 2**63 - 1)
"""The first and the last time that a column can hold; disks know later ones."""
_PART = 2**20
_LISTS = (".txt", ".csv")


@dataclass(frozen=True)
class Entry:
    """A file that the index knows."""

    path: str
    """Absolute, symbolic links resolved."""
    content: str
    """Hash of its bytes."""
    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since 1970, within `TIMES`."""
    root: str = ""
    """The folder it was found in, or the list: where the user pointed."""
    windows: int = 0
    """How many are in the index; 0 for a file that could not be read."""
    status: Outcome = Outcome.OK
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Seen:
    """A video that was asked for, as it lies on disk now."""

    source: Source
    root: str
    size: int = -1
    """Bytes; -1: it is not there."""
    modified: int = 0

    @property
    def path(self) -> str:
        """Its key in the index."""
        return str(self.source.path)


@dataclass
class Plan:
    """What is to be done about each file."""

    unchanged: list[Entry] = field(default_factory=list)
    """Nothing; those that could not be read are still those files, and are not tried again."""
    touched: list[tuple[Seen, Entry]] = field(default_factory=list)
    """Another time or size, the same content: remember the time."""
    renamed: list[tuple[Seen, Entry]] = field(default_factory=list)
    """A new path with the content of a file that is gone."""
    copied: list[tuple[Seen, Entry]] = field(default_factory=list)
    """A new path with the content of a file that is still there."""
    encode: list[tuple[Seen, str]] = field(default_factory=list)
    """New or changed, with the content's hash; empty: not computed yet."""
    twins: list[tuple[Seen, str]] = field(default_factory=list)
    """The same content as one of `encode`: copied from it later."""
    gone: list[Entry] = field(default_factory=list)
    """In the index, and no longer in the folders asked for."""


def find(inputs: Sequence[str | Path]) -> tuple[list[Seen], list[str]]:
    """The videos that are meant, each once, and the folders that were searched."""
    found: dict[str, Seen] = {}
    roots: list[str] = []
    for item in inputs:
        if str(item) == "-":
            raise ActionCLIPError(
                "Standard input cannot be searched later.", hint="Save the video as a file first."
            )
        real = os.path.realpath(item)
        is_folder = os.path.isdir(real)  # noqa: PTH112
        is_list = real.lower().endswith(_LISTS)
        root = real if is_folder or is_list else os.path.dirname(real)  # noqa: PTH120
        roots += [root] if is_folder else []
        sources = find_videos([item])
        check_whole(sources, "An index")
        for source in sources:
            found.setdefault(str(source.path), look(source, root))
    if not found:
        raise ActionCLIPError("No videos were given.", hint="Name a file, a folder or a list.")
    return list(found.values()), roots


def look(source: Source, root: str) -> Seen:
    """A video's size and time; those of a folder of frames are the sum and the latest."""
    try:
        if source.kind == "frames" and source.path.is_dir():
            found = [path.stat() for path in frame_files(source.path)]
        else:
            found = [source.path.stat()]
    except (OSError, ValueError):
        return Seen(source, root)
    latest = max((one.st_mtime_ns for one in found), default=0)
    within = min(max(latest, TIMES[0]), TIMES[1])
    return Seen(source, root, sum(one.st_size for one in found), within)


def is_gone(path: str) -> bool:
    """Whether a path is certain to be gone; a folder that is closed or a disk that fails is not."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def content_of(source: Source) -> str:
    """A hash of a video's bytes (of a folder of frames: of its names and bytes), in hex.

    Empty where it cannot be read, or is no regular file; reading it as a video will say why.
    """
    digest = hashlib.sha256()
    try:
        if source.kind == "frames" and source.path.is_dir():
            for path in frame_files(source.path):
                digest.update(os.fsencode(path.name) + b"\0" + _bytes_hash(path))
        elif source.path.is_file():
            digest.update(_bytes_hash(source.path))
        else:
            return ""
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()[:40]


def _bytes_hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.digest()


def make_plan(
    seen: Sequence[Seen],
    known: Mapping[str, Entry],
    *,
    roots: Iterable[str],
    retry: bool = False,
) -> Plan:
    """Compare what is on disk with what the index holds; reads files only where it must.

    Args:
        seen: the videos asked for, each path once.
        known: what the index holds, by path.
        roots: folders that were searched: what the index holds below them and is not on disk is
            gone, and so is what was found through a link in them and no link leads to any more.
        retry: whether files that could not be read are tried again though they did not change.
    """
    plan = Plan()
    paths = {one.path for one in seen}
    missing = {path: entry for path, entry in known.items() if path not in paths and is_gone(path)}
    contents = {entry.content for entry in known.values() if entry.windows and entry.content}
    sizes = Counter(one.size for one in seen if one.path not in known)
    sizes.update({entry.size for entry in known.values()})
    first: set[str] = set()
    moving: list[tuple[Seen, str]] = []
    for one in seen:
        entry = known.get(one.path)
        if entry is not None and (one.size, one.modified) == (entry.size, entry.modified):
            if entry.windows or not retry:
                plan.unchanged.append(entry)
            else:
                plan.encode.append((one, entry.content))
            continue
        alike = entry is not None or sizes[one.size] > 1
        content = content_of(one.source) if alike else ""
        if entry is not None and content and content == entry.content:
            plan.touched.append((one, entry))
        elif content in contents:
            moving.append((one, content))
        elif content and content in first:
            plan.twins.append((one, content))
        else:
            first.add(content)
            plan.encode.append((one, content))
    _find_origins(plan, moving, known, missing)
    paths |= {entry.path for _, entry in plan.renamed}
    unseen = {path: entry for path, entry in known.items() if path not in paths}
    plan.gone = _find_gone(unseen, missing, known, roots)
    return plan


def _find_gone(
    unseen: Mapping[str, Entry],
    missing: Mapping[str, Entry],
    known: Mapping[str, Entry],
    roots: Iterable[str],
) -> list[Entry]:
    """Of the files that were not seen those that have left the folders that were searched.

    A file elsewhere was found through a link. It leaves once nothing in the folders leads to it,
    unless it lies in another folder that the index was asked for.
    """
    searched = list(roots)
    below = tuple(_inside(root) for root in searched)
    gone = [entry for path, entry in unseen.items() if path in missing and path.startswith(below)]
    linked = [
        entry
        for path, entry in unseen.items()
        if _inside(entry.root).startswith(below) and not path.startswith(below)
    ]
    if not linked:
        return gone
    others = tuple({_inside(entry.root) for entry in known.values()})
    reach = _Reach(searched)
    for entry in linked:
        is_missing = entry.path in missing
        if entry.root in reach.folders:
            is_sure = is_missing or reach.is_whole
        else:  # a hidden folder, a list; or it is gone, and a folder above it was named
            is_list = entry.root.lower().endswith(_LISTS)
            is_sure = is_missing and is_gone(entry.root) and not is_list
        if is_sure and not entry.path.startswith(others) and not reach.leads_to(entry.path):
            gone.append(entry)
    return gone


def behind_links(folder: str, known: Mapping[str, Entry]) -> list[str]:
    """Files of the index that were found through links, and to which one in a folder leads now.

    What was found in this folder itself, or below it, is not among them: the index remembers that
    of each file (`Entry.root`). So there is something only for folders within those.

    Args:
        folder: its path, absolute with links resolved.
        known: what the index holds, by path.
    """
    here = _inside(folder)
    elsewhere = [
        path
        for path, entry in known.items()
        if here.startswith(root := _inside(entry.root))
        and here != root
        and not path.startswith((root, here))
    ]
    if not elsewhere:
        return []
    reach = _Reach([folder])
    return [path for path in elsewhere if reach.leads_to(path)]


def _inside(folder: str) -> str:
    """What the path of everything in a folder begins with."""
    return folder.rstrip(os.sep) + os.sep


class _Reach:
    """Where folders and the links in them lead, whatever lies there."""

    def __init__(self, roots: Iterable[str]) -> None:
        self.folders, self._files = set[str](), set[str]()
        closed: list[OSError] = []
        for root in roots:
            for top, files in walk(root, True, closed.append):
                self.folders.add(os.path.realpath(top))
                self._files |= {os.path.realpath(os.path.join(top, name)) for name in files}  # noqa: PTH118
        self.is_whole = not closed
        """Whether all folders could be looked into."""

    def leads_to(self, path: str) -> bool:
        """Also to what lies in a folder that is not there now, as on a disk that is not mounted."""
        above = map(str, Path(path).parents)
        return path in self.folders or path in self._files or not self._files.isdisjoint(above)


def _find_origins(
    plan: Plan,
    moving: Sequence[tuple[Seen, str]],
    known: Mapping[str, Entry],
    missing: Mapping[str, Entry],
) -> None:
    """Where new paths with known contents come from; a file that is gone is the origin of one.

    Of several with the same content one of the same name is preferred.
    """
    left: dict[str, list[Entry]] = {}
    for entry in missing.values():
        if entry.windows and entry.content:
            left.setdefault(entry.content, []).append(entry)
    strangers: list[tuple[Seen, str]] = []
    for one, content in moving:
        name = Path(one.path).name
        same = [entry for entry in left.get(content, ()) if Path(entry.path).name == name]
        if same:
            left[content].remove(same[0])
            plan.renamed.append((one, same[0]))
        else:
            strangers.append((one, content))
    there = [entry for path, entry in known.items() if path not in missing]
    of_content = {e.content: e for e in [*missing.values(), *there] if e.windows}
    for one, content in strangers:
        if left.get(content):
            plan.renamed.append((one, left[content].pop(0)))
        else:
            plan.copied.append((one, of_content[content]))
