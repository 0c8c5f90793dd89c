"""Which files a timeline is written to, and writing them: each whole or not at all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.overlay import write_overlay
from actionclip.inference.timeline.page import timeline_page
from actionclip.inference.timeline.plot import timeline_picture
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import to_csv, to_srt, to_vtt
from actionclip.model.weights.files import Content, text_content, write_together
from actionclip.video.film.recording import FORMS


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

    def check(self, videos: int) -> None:
        """Refuse what cannot be written as asked, before any video is read.

        Raises:
            ActionCLIPError: one file for several videos, or an ending that does not fit.
        """
        named = {name: path for name, path in self._files().items() if path is not None}
        if videos > 1 and named:
            raise ActionCLIPError(
                f"{videos} videos would all be written to {next(iter(named.values()))}.",
                expected="A file holds the timeline of one video.",
                hint="Give --save-all FOLDER: each video gets its files there.",
            )
        for name, endings in (("png", (".png",)), ("overlay", tuple(FORMS))):
            path = named.get(name)
            if path is not None and path.suffix.lower() not in endings:
                raise ActionCLIPError(
                    f"{path} ends in {path.suffix!r}.", expected=f"{' or '.join(endings)}."
                )
        if len(set(named.values())) < len(named):
            raise ActionCLIPError("Two outputs have the same name.", expected="A file for each.")

    def write(self, result: TimelineResult, *, number: int = 0) -> Iterator[Path]:
        """Write all that is wanted of a video; each path once its file is there.

        Raises:
            StorageError: when a file cannot be written; what was there before stays whole.
        """
        for name, path in self._files().items():
            if path is not None:
                write_together(path.parent, {path.name: self._content(name, result, path)})
                yield path
        if self.folder is not None:
            stem = Path(result.source).stem
            stem = f"{number:04d}-{stem}" if number else stem
            paths = {
                name: self.folder / f"{stem}.{name}"
                for name in ("json", "csv", "srt", "vtt", "png", "html")
            }
            write_together(
                self.folder,
                {path.name: self._content(name, result, path) for name, path in paths.items()},
            )
            yield self.folder / f"{stem}.*"

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
            return Content(0, lambda place: self._draw(result, place))
        if name == "png":
            data = timeline_picture(result)
            return Content(len(data), lambda place: place.write_bytes(data))
        if name == "html":
            return text_content(timeline_page(result, path, embed_video=self.embed_video))
        if name == "json":
            text = json.dumps(result.to_dict(scores=True), ensure_ascii=False)
            return text_content(text + "\n")
        return text_content({"csv": to_csv, "srt": to_srt, "vtt": to_vtt}[name](result))

    def _draw(self, result: TimelineResult, place: Path) -> None:
        drawn = write_overlay(result, place)
        self.notes.append(f"sound: {drawn.sound}")
        if drawn.message:
            self.notes.append(f"{drawn.status}: {drawn.message}")
