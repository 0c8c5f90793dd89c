"""Which files a timeline is written to, and writing them: each whole or not at all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.plot import timeline_picture
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import to_csv, to_srt, to_vtt
from actionclip.model.weights.files import Content, text_content, write_together


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
        for name, endings in (("png", (".png",)), ("overlay", (".mp4", ".mkv", ".mov"))):
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
                for name in ("json", "csv", "srt", "vtt", "png")
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
        }

    def _content(self, name: str, result: TimelineResult, path: Path) -> Content:
        if name == "png":
            data = timeline_picture(result)
            return Content(len(data), lambda place: place.write_bytes(data))
        if name == "json":
            text = json.dumps(result.to_dict(scores=True), ensure_ascii=False)
            return text_content(text + "\n")
        return text_content({"csv": to_csv, "srt": to_srt, "vtt": to_vtt}[name](result))
