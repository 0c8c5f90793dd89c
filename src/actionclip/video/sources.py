"""What a user names becomes a list of videos: files, folders, patterns, lists, standard input.

Every input is a path and nothing else. `http://host/a.mp4` or `concat:a|b` is the name of a file
that most likely does not exist; no address is ever fetched and no protocol of FFmpeg is reached.
"""

import atexit
import csv
import glob
import io
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, Literal

from actionclip.errors import ActionCLIPError, unknown

VIDEO_SUFFIXES = frozenset(  # thirty names in two lines, not in thirty
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .h264 .hevc .ivf .m2ts .m2v .m4v .mjpeg .mjpg .mkv "  # noqa: SIM905
    ".mov .mp4 .mpe .mpeg .mpg .mts .mxf .obu .ogg .ogv .ts .vob .webm .wmv .y4m".split()
)
"""Which files of a folder are taken for videos. A file named by the user is taken as it is."""

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".webp"])
"""Which files of a folder of frames are frames."""

_FLOW = re.compile(r"(flow_)?[xy]_\d+\.\w+", re.IGNORECASE)
"""Optical flow, which TSN and mmaction2 write beside the frames: `flow_x_00001.jpg`."""

_Row = tuple[str, float | None, float | None]
"""A path in a list, and where its clip starts and ends."""

STEM_BYTES = 200
"""Longest beginning of a file name; file systems take names of 255 bytes."""

STDIN_LIMIT = 4 * 2**30
"""Most bytes taken from standard input."""


@dataclass(frozen=True)
class Source:
    """One video that a user named: a file, or a folder whose images are its frames."""

    name: str
    """As the user gave it, or the path found inside what they gave; of a stretch followed by
    `#t=START,END`, as a media fragment is written."""
    path: Path
    """Absolute, symbolic links resolved. It need not exist: a missing file becomes a result too."""
    kind: Literal["file", "frames"] = "file"
    """`frames`: a folder of images, or one image: a video of one frame."""
    data: bytes | None = field(default=None, repr=False)
    """The file's content, where it lies in no file of its own."""
    start: float | None = None
    """Seconds after the beginning of the video, where only a stretch of it is meant."""
    end: float | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is anything to open."""
        return self.data is not None or _test(self.path.exists)

    def explain_missing(self) -> str:
        """Why there is no such file, in a sentence that suggests what was meant."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", self.name):
            return f"There is no file {self.name!r}; addresses are not fetched: download it first."
        named = Path(re.sub(r"#t=[\d.,]+$", "", self.name))
        if named.name not in ("", "..", self.path.name) or _test(named.is_symlink):
            return f"{self.name!r} is a link to {str(self.path)!r}, and there is no such file."
        try:
            beside = [entry.name for entry in os.scandir(self.path.parent)]
        except (OSError, ValueError):
            return f"There is no file {self.name!r}: its folder does not exist or is not readable."
        near = get_close_matches(self.path.name, beside, n=1)
        return f"There is no file {self.name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def find_videos(
    inputs: str | Path | Iterable[str | Path], *, recursive: bool = True
) -> list[Source]:
    """The videos behind `inputs`, in the order given; inside folders and patterns, natural order.

    An input is a video file; a folder of videos, or of images that are one video's frames; a
    pattern such as `clips/*.mp4`; a text file (`.txt`) with a path on each line; a table (`.csv`)
    with a column `path`; or `-` for a video on standard input. Paths in a list are relative to
    the list, or to the current folder where only that one exists. Where a table has columns
    `start` and `end`, in seconds, only that stretch of the video is meant.

    A named file that does not exist stays in the list, so that it shows up among the results.

    Args:
        inputs: paths as a user types them, or one alone.
        recursive: whether folders are searched to any depth.

    Raises:
        ActionCLIPError: if a folder, pattern or list holds no video at all, or a table a stretch
            that is none.
    """
    sources: list[Source] = []
    for item in [inputs] if isinstance(inputs, (str, Path)) else inputs:
        found = list(_expand_one(item, recursive))
        if not found:
            raise ActionCLIPError(
                f"There is no video in {str(item)!r}.",
                expected="A folder, pattern or list has to lead to at least one video.",
                hint=f"Suffixes taken for videos: {' '.join(sorted(VIDEO_SUFFIXES))}.",
            )
        sources.extend(found)
    if not sources:
        raise ActionCLIPError("No videos were given.", hint="Name a file, a folder or a list.")
    return sources


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder of frames in natural order: `frame2.jpg` before `frame10.jpg`.

    Optical flow beside them is left out.
    """
    try:
        names = [e.name for e in folder.iterdir() if _is_visible(e.name, "image")]
    except OSError:
        return []
    seen = [name for name in names if not _FLOW.fullmatch(name)]
    return [folder / name for name in sorted(seen or names, key=natural)]


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sorting key under which numbers inside names count as numbers.

    >>> sorted(["clip10", "clip9", "Clip1"], key=natural)
    ['Clip1', 'clip9', 'clip10']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), p) if p[:1].isdigit() and p.isascii() else (1, 0, p.lower()) for p in parts]


def _expand_one(item: str | Path, recursive: bool) -> Iterator[Source]:
    text = os.fspath(item)
    path = Path(text)
    if text == "-":
        yield spool(None if sys.stdin is None else sys.stdin.buffer)
    elif _test(path.is_dir):
        yield from _folder(text, recursive)
    elif _test(path.exists) or not glob.has_magic(text):
        suffix = path.suffix.lower()
        if suffix in (".txt", ".csv") and _test(path.is_file):
            yield from _listed(path, _read_table(path) if suffix == ".csv" else _read_lines(path))
        else:
            yield _source(text)
    else:
        yield from _matches(text, recursive)


def resolved(name: str | Path) -> Path:
    """An absolute path, symbolic links resolved; of what cannot exist as well."""
    try:
        return Path(os.path.realpath(name))
    except ValueError:  # a null character: no such file can exist
        return Path(os.path.abspath(name))  # noqa: PTH100  Path.absolute keeps `..`


def stem_of(name: str, path: Path | None) -> str:
    """What files about a video are called: its name without folder and ending, cut to a length
    that leaves room for a number before it and an ending.

    Args:
        name: as the user gave it.
        path: where it lies; asked where the name says nothing, as in `.` for the current folder.

    >>> stem_of("clips/a.mp4", None), stem_of(".", Path("/films/jumping"))
    ('a', 'jumping')
    """
    says_nothing = Path(name).name in ("", "..", "-")
    stem = (path if says_nothing and path is not None else Path(name)).stem[:STEM_BYTES]
    while len(os.fsencode(stem)) > STEM_BYTES:
        stem = stem[:-1]
    return stem


def _source(name: str, kind: Literal["file", "frames"] = "file") -> Source:
    return Source(name, resolved(name), kind)


def _test(question: Callable[[], bool]) -> bool:
    """`Path.exists` and its like raise for names that are too long or in a forbidden folder."""
    try:
        return question()
    except (OSError, ValueError):
        return False


def _is_visible(name: str, kind: Literal["video", "image"]) -> bool:
    suffixes = VIDEO_SUFFIXES if kind == "video" else IMAGE_SUFFIXES
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


def _folder(folder: str, recursive: bool) -> Iterator[Source]:
    """The videos of a folder; if there are none, its folders of images."""
    closed: list[Source] = []
    videos: list[str] = []
    images: list[str] = []

    def note(error: OSError) -> None:
        closed.append(_source(str(error.filename)))

    for top, files in walk(folder, recursive, note):
        videos += [os.path.join(top, name) for name in files if _is_visible(name, "video")]  # noqa: PTH118
        if any(_is_visible(name, "image") for name in files):
            images.append(top)
    if videos:
        yield from (_source(name) for name in sorted(videos, key=natural))
    else:
        yield from (_source(name, "frames") for name in sorted(images, key=natural))
    yield from closed


def walk(
    folder: str, recursive: bool, note: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str]]]:
    """Each visible folder and its files, once: what lies there first, then where links lead.

    A link that leads upwards is left alone: it would bring what was not asked for.
    """
    seen, waiting, start = set[Path](), [folder], resolved(folder)
    while waiting:
        links: list[Path] = []
        for top, below, files in os.walk(waiting.pop(0), onerror=note):
            place = resolved(top)
            below[:] = [name for name in below if not name.startswith(".")] if recursive else []
            if place in seen or (place != start and start.is_relative_to(place)):
                below.clear()
                continue
            seen.add(place)
            links += [path for name in below if (path := Path(top, name)).is_symlink()]
            yield top, files
        waiting += sorted(map(os.fspath, links), key=natural)


def _matches(pattern: str, recursive: bool) -> Iterator[Source]:
    """What a pattern finds. Unless the pattern names a suffix, only videos and folders count."""
    named = Path(pattern).suffix
    any_file = bool(named) and not glob.has_magic(named)
    for name in sorted(glob.glob(pattern, recursive=True), key=natural):  # noqa: PTH207
        if _test(Path(name).is_dir):
            yield from _folder(name, recursive)
        elif any_file or _is_visible(Path(name).name, "video"):
            yield _source(name)


def check_whole(sources: Iterable[Source], purpose: str) -> None:
    """Refuse stretches where only whole videos can be read.

    Args:
        sources: the videos.
        purpose: what they are for, as in `A timeline`.

    Raises:
        ActionCLIPError: naming the first.
    """
    for source in sources:
        if source.start is not None or source.end is not None:
            raise ActionCLIPError(
                f"{purpose} is of whole videos, and {source.name} is a stretch of one.",
                hint="Give the videos themselves, or a table without start and end.",
            )


def refuse_overwriting(
    outputs: Iterable[Path],
    sources: Iterable[Source],
    inputs: Iterable[str | Path | None] = (),
    *,
    hint: str = "",
) -> None:
    """Refuse outputs that would take the place of what they are made from, or of each other.

    Args:
        outputs: files to be written.
        sources: the videos; the images of a folder of frames are meant with it.
        inputs: what else was named; it need not be a file.
        hint: what to do.

    Raises:
        ActionCLIPError: naming the first.
    """
    videos = list(sources)
    read = {resolved(one) for one in inputs if one and _test(Path(one).exists)}
    read |= {source.path for source in videos}
    folders = {source.path for source in videos if source.kind == "frames"}
    written = set[Path]()
    for output in outputs:
        path = resolved(output)
        is_frame = path.parent in folders and _is_visible(path.name, "image")
        if path in read or (is_frame and _test(path.exists)):
            raise ActionCLIPError(
                f"{output} is read, and would be written over.",
                expected="An output has another name than what it is made from.",
                hint=hint,
            )
        if path in written:
            raise ActionCLIPError(
                f"Two outputs have the same name, {output}.", expected="A file for each."
            )
        written.add(path)


def _listed(file: Path, rows: list[_Row]) -> Iterator[Source]:
    """The rows of a list. A row never stops the rest: whatever it names becomes a source."""
    for row, start, end in rows:
        beside = file.parent / row
        path = Path(row) if not _test(beside.exists) and _test(Path(row).exists) else beside
        is_frames = _test(path.is_dir) and bool(frame_files(path))
        found = _source(os.fspath(path), "frames" if is_frames else "file")
        stretch = start is not None or end is not None
        times = f"#t={start or 0:g}" + ("" if end is None else f",{end:g}")
        yield Source(row + times * stretch, found.path, found.kind, start=start, end=end)


def _read_lines(file: Path) -> list[_Row]:
    """The paths of a text file; empty lines and lines starting with `#` are left out."""
    lines = (line.strip() for line in _text(file).split("\n"))
    return [(line, None, None) for line in lines if line and not line.startswith("#")]


def _read_table(file: Path) -> list[_Row]:
    """The columns `path`, `start` and `end` of a table."""
    table = csv.DictReader(io.StringIO(_text(file), newline=""))
    columns = [name.strip() for name in table.fieldnames or ()]
    if "path" not in columns:
        raise unknown(f"column of {file}", "path", columns)
    table.fieldnames = columns
    rows = [(table.line_num, row) for row in table if (row["path"] or "").strip()]
    return [(row["path"].strip(), *_stretch(row, f"{file}, line {line}")) for line, row in rows]


def _stretch(row: dict[str, str | None], place: str) -> tuple[float | None, float | None]:
    """Where a row of a table says that its clip starts and ends; nothing where it is silent."""
    told = [(row.get(column) or "").strip() for column in ("start", "end")]
    try:
        start, end = (float(text) if text else None for text in told)
        if not (0 <= (start or 0) < (math.inf if end is None else end) and (end or 0) < math.inf):
            raise ValueError
    except ValueError:
        raise ActionCLIPError(
            f"{place} has a clip from {told[0] or '0'!r} to {told[1] or 'its end'!r}.",
            expected="Seconds after the beginning of the video, the end after the start.",
        ) from None
    return start, end


def _text(file: Path) -> str:
    """A list's text. Names that are not UTF-8 survive the way Python keeps them in paths."""
    try:
        return file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise ActionCLIPError(
            f"The list {str(file)!r} cannot be read: {error.strerror or error}."
        ) from None


def spool(stream: BinaryIO | Any, *, limit: int = STDIN_LIMIT) -> Source:
    """A video from a stream, copied to a temporary file that is removed when Python ends.

    A file and not a pipe, because reading a few frames of a video means seeking in it.

    Args:
        stream: open for reading bytes; None: a closed one.
        limit: most bytes taken.

    Raises:
        ActionCLIPError: if nothing comes, or more than `limit` bytes.
    """
    if stream is None or stream.isatty():
        what = "closed" if stream is None else "a terminal"
        raise ActionCLIPError(
            f"'-' stands for a video on standard input, and that is {what}.",
            hint="Send a video into the command: actionclip classify - --labels ... < video.mp4",
        )
    folder = tempfile.mkdtemp(prefix="actionclip-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "stdin"
    size = 0
    with path.open("wb") as file:
        while block := stream.read(2**20):
            size += len(block)
            if size > limit:
                break
            file.write(block)
    if not 0 < size <= limit:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"holds more than {limit} bytes" if size else "is empty"
        raise ActionCLIPError(f"Standard input {what}.", hint="Give the video as a file.")
    return Source("-", path.resolve())
