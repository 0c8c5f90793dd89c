"""Which files a timeline is written to, and writing them: each whole or not at all."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from actionclip.data.json_text import json_text
from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.overlay import write_overlay
from actionclip.inference.timeline.page import check_embedded, timeline_page
from actionclip.inference.timeline.plot import timeline_picture
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import to_csv, to_srt, to_vtt
from actionclip.model.weights.files import Content, write_together
from actionclip.video.film.recording import FORMS
from actionclip.video.outcomes import VideoError
from actionclip.video.sources import Source, refuse_overwriting, stem_of


@dataclass
class Wanted:
    """Files for one video by their kind, and a folder in which each video gets all of them."""

    csv: Path | None = None
    srt: Path | None = None
    vtt: Path | None = None
    png: Path | None = None
    html: Path | None = None
    overlay: Path | None = None
    folder: Path | None = None
    embed_video: bool = False
    """Whether the page holds the video itself."""
    notes: list[str] = field(default_factory=list)
    """What was worth saying while writing."""

    def check(self, sources: Sequence[Source], inputs: Iterable[str | Path | None] = ()) -> None:
        """Refuse what cannot be written as asked, before any video is read.

        Args:
            sources: the videos.
            inputs: what else was named; where that is a file, nothing is written over it.

        Raises:
            ActionCLIPError: a video for a page where there is none, one file for several videos, an
                ending that does not fit, an output that is an input or another output, a video that
                is no file where one is needed.
        """
        if self.embed_video and self.html is None and self.folder is None:
            raise ActionCLIPError(
                "--embed-video is about a page, and no page is asked for.",
                expected="A page is written by --html FILE or --save-all FOLDER.",
            )
        named = {name: path for name, path in self._files().items() if path is not None}
        if len(sources) > 1 and named:
            raise ActionCLIPError(
                f"{len(sources)} videos would all be written to {next(iter(named.values()))}.",
                expected="A file holds the timeline of one video.",
                hint="Give --save-all FOLDER: each video gets its files there.",
            )
        for name, endings in (("png", (".png",)), ("overlay", tuple(FORMS))):
            path = named.get(name)
            if path is not None and path.suffix.lower() not in endings:
                raise ActionCLIPError(
                    f"{path} ends in {path.suffix!r}.", expected=f"{' or '.join(endings)}."
                )
        for source in sources:
            self._check_file(source)
        refuse_overwriting(self.paths(sources), sources, inputs)

    def paths(self, sources: Sequence[Source]) -> list[Path]:
        """Every file that `write` will write for these videos."""
        paths = [path for path in self._files().values() if path is not None]
        for number, source in enumerate(sources, start=len(sources) > 1):
            paths += self._in_folder(stem_of(source.name, source.path), number).values()
        return paths

    def _check_file(self, source: Source) -> None:
        """Refuse early what `write` would after a long film was read."""
        if source.kind != "file" and (self.overlay is not None or self.embed_video):
            raise ActionCLIPError(
                f"{source.name} is a folder of frames.",
                expected="--overlay and --embed-video are for a video that is a file.",
            )
        if self.embed_video:
            with suppress(OSError, ValueError):  # a missing file is a result like any other
                check_embedded(source.path)

    def write(self, result: TimelineResult, *, number: int = 0) -> Iterator[Path]:
        """Write all that is wanted of a video; each path once its file is there.

        Args:
            result: what was found.
            number: which of several videos it is, from 1; 0 where it is the only one.

        Raises:
            StorageError: when a file cannot be written; what was there before stays whole.
            VideoError: when the video cannot be drawn into; all other files are there by then.
        """
        for name, path in self._files().items():
            if path is not None and name != "overlay":
                write_together(path.parent, {path.name: self._content(name, result, path)})
                yield path
        paths = self._in_folder(stem_of(result.source, result.path), number)
        if self.folder is not None:
            write_together(
                self.folder,
                {path.name: self._content(name, result, path) for name, path in paths.items()},
            )
            yield paths["json"].with_suffix(".*")
        if self.overlay is not None:  # last: the video is read again for it, and may be gone
            content = self._content("overlay", result, self.overlay)
            write_together(self.overlay.parent, {self.overlay.name: content})
            yield self.overlay

    def _in_folder(self, stem: str, number: int) -> dict[str, Path]:
        """The files of a video in the folder, if there is to be one."""
        if self.folder is None:
            return {}
        stem = f"{number:04d}-{stem}" if number else stem
        kinds = ("json", "csv", "srt", "vtt", "png", "html")
        return {name: self.folder / f"{stem}.{name}" for name in kinds}

    def _files(self) -> dict[str, Path | None]:
        return {
            "csv": self.csv,
            "srt": self.srt,
            "vtt": self.vtt,
            "png": self.png,
            "html": self.html,
            "overlay": self.overlay,
        }

    def _content(self, name: str, result: TimelineResult, path: Path) -> Content:
        if name == "overlay":
            return Content(0, lambda place: self._draw(result, path, place))
        data = timeline_picture(result) if name == "png" else self._text(name, result, path)
        return Content(len(data), lambda place: place.write_bytes(data))

    def _text(self, name: str, result: TimelineResult, path: Path) -> bytes:
        if name == "html":
            text = timeline_page(result, path, embed_video=self.embed_video)
        elif name == "json":
            text = json_text(result.to_dict(scores=True)) + "\n"
        else:
            text = {"csv": to_csv, "srt": to_srt, "vtt": to_vtt}[name](result)
        return text.encode("utf-8", "surrogateescape")  # a name that is not UTF-8 keeps its bytes

    def _draw(self, result: TimelineResult, path: Path, place: Path) -> None:
        try:
            drawn = write_overlay(result, place)
        except VideoError as error:
            said = f"{path} is not written: {error.what}"
            raise VideoError(said, error.code, hint=error.hint) from None
        self.notes.append(f"sound: {drawn.sound}")
        if drawn.message:
            self.notes.append(f"{drawn.status}: {drawn.message}")
