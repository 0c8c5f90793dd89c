"""What is known of very many videos is kept until all are done, and found again after a kill.

Beside the file to come lies a folder with *parts*: some videos that stand together in the list, a
whole number of batches, each part written whole or not at all. A video is found in it by its path,
size and time, so the list may have grown.
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from actionclip.data.json_text import json_text
from actionclip.encoding.encoder import Views, frames_at_once
from actionclip.encoding.questions import Question
from actionclip.errors import cannot_write
from actionclip.evaluation.clips import BLOCK, PASSING, claim, file_key, identity
from actionclip.inference.bulk.lock import hold
from actionclip.inference.bulk.tables import write_results
from actionclip.inference.results import VideoResult
from actionclip.model.text_cache import weights_fingerprint
from actionclip.model.weights.files import Content, text_content, write_together

if TYPE_CHECKING:
    from actionclip.inference.recognizer import Recognizer
    from actionclip.video.sources import Source

PARTS = 1000
"""Of a long list: what a kill may cost is a thousandth of it, and a folder holds so few files."""


def part_size(videos: int, batch: int) -> int:
    """How many videos of a list are kept together: a whole number of batches."""
    return batch * -(-max(BLOCK, videos // PARTS) // batch)


def hold_unfinished(folder: Path) -> TextIO:
    """Keep others from a folder of work, until the file that is returned is closed.

    Raises:
        ActionCLIPError: when another process works there.
        StorageError: where nothing can be written.
    """
    try:
        return hold(
            folder,
            expected="One at a time works on a file.",
            hint="Wait until it is done, or name another file with --output.",
        )
    except OSError as error:
        raise cannot_write(folder, error) from None


class UnfinishedResults:
    """Results on their way into a file, in the order of the videos.

    Args:
        path: the file to come, of a kind that `write_results` knows.
        recognizer: answers.
        sources: the videos.
        question: what is asked about each.
        top_k: how many labels are reported; None: all.
        views: `frames`, `windows`, `spacing` and `crops`, as for `Recognizer.results`.

    Raises:
        ActionCLIPError: when the folder holds answers of another model, to another question or
            from other views, or another process works there; for options we cannot use.
        StorageError: when nothing can be written there.
    """

    def __init__(
        self,
        path: Path,
        recognizer: "Recognizer",
        sources: "Sequence[Source]",
        question: Question,
        *,
        top_k: int | None,
        **views: Any,
    ) -> None:
        self.path, self.folder = path, path.with_name(f"{path.name}.unfinished")
        chosen = Views.of(recognizer.config, **views)
        self._batch = max(1, frames_at_once(recognizer.model) // chosen.frames)
        settings = identity(recognizer.encoder, chosen, (), self._batch)
        del settings["clips"], settings["block"]
        settings["question"] = _named(recognizer, question)
        settings["labels shown"] = top_k
        claim(
            self.folder,
            settings,
            what="answers",
            same="model, labels and views",
            hint=f"Delete {self.folder} to begin anew, or name another file with --output.",
        )
        self._lock = hold_unfinished(self.folder)
        self._new = functools.partial(
            recognizer.results, labels=question, top_k=top_k, batch_size=self._batch, **views
        )
        self._sources = sources
        self._keys = [_short(file_key(source)) for source in sources]
        self._places: dict[bytes, tuple[int, int]] = {}
        """Of each video that is kept: its part and the line in it."""
        done: set[bytes] = set()
        self._number = 0
        for number, part in self._parts():
            self._number = number + 1
            for line, row in enumerate(part):
                key = bytes.fromhex(row["file"])
                self._places[key] = number, line
                passing = row["result"]["status"] in PASSING
                done.discard(key) if passing else done.add(key)
        self._done = [key in done for key in self._keys]
        self._part = functools.lru_cache(maxsize=4)(self._read)

    @property
    def found(self) -> int:
        """How many videos were done before."""
        return sum(self._done)

    def results(self) -> Iterator[VideoResult]:
        """A result for each video, in order, as they come; then the file is there.

        Raises:
            StorageError: when the disk is full.
        """
        new = self._new(s for s, done in zip(self._sources, self._done, strict=True) if not done)
        size = part_size(len(self._sources), self._batch)
        part: list[tuple[bytes, VideoResult]] = []
        for key, done in zip(self._keys, self._done, strict=True):
            if done:
                yield self._kept(key)
                continue
            result = next(new)
            part.append((key, result))
            if len(part) == size:
                self._write(part)
                part = []
            yield result
        self._write(part)
        every = (self._kept(key) for key in self._keys)
        content = Content(0, lambda place: write_results(every, place, self.path.suffix))
        write_together(self.path.parent, {self.path.name: content})
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let another process go on with what is left."""
        self._lock.close()

    def _write(self, part: list[tuple[bytes, VideoResult]]) -> None:
        lines = [json_text({"file": k.hex(), "result": r.to_dict()}) + "\n" for k, r in part]
        name = f"part-{self._number:06d}.jsonl"
        write_together(self.folder, {name: text_content("".join(lines))})
        self._places |= {key: (self._number, line) for line, (key, _) in enumerate(part)}
        self._number += 1

    def _kept(self, key: bytes) -> VideoResult:
        number, line = self._places[key]
        return VideoResult.from_dict(self._part(number)[line]["result"])

    def _parts(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The parts that are whole, in the order they were written."""
        for path in sorted(self.folder.glob("part-*.jsonl")):
            number = path.stem.rpartition("-")[2]
            if number.isdecimal():
                yield int(number), self._read(int(number))

    def _read(self, number: int) -> list[dict[str, Any]]:
        """A part's rows; none where it is damaged."""
        try:
            text = (self.folder / f"part-{number:06d}.jsonl").read_text(encoding="utf-8")
            rows = [json.loads(line) for line in text.split("\n") if line]
            for row in rows:
                VideoResult.from_dict(row["result"])
                bytes.fromhex(row["file"])
        except (OSError, ValueError, LookupError, TypeError):
            return []
        return rows


def _named(recognizer: "Recognizer", question: Question) -> str:
    """What was asked, in a few letters: the labels and all that decides their scores."""
    prompts = question.prompts
    assert prompts is not None
    parts = (
        weights_fingerprint(recognizer.model),
        *(question.labels, prompts.sentences, prompts.labels),
        *(question.scale, question.bias, question.ensemble, question.activation),
        *(question.threshold, question.calibration),
    )
    return f"{len(question.labels)} labels, {hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest()
