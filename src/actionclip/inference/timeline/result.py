"""A film is watched once, and asked for its labels: what was found, and the same as JSON.

N windows, K labels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from actionclip.data.json_text import json_text
from actionclip.encoding.encoder import Video, array_of, single_source
from actionclip.encoding.film import Look, Windows, encode_film
from actionclip.encoding.grid import Grid
from actionclip.encoding.questions import Question
from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.segments import Rules, Segment, find_segments, smooth
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import fold_rejected
from actionclip.video.film.part import Part
from actionclip.video.film.session import film, film_of_array
from actionclip.video.outcomes import HINTS, Outcome, VideoError
from actionclip.video.settings import Limits
from actionclip.video.sources import check_whole


@dataclass(frozen=True)
class TimelineResult:
    """The segments of one video, or why there are none."""

    source: str
    status: Outcome
    segments: list[Segment]
    """Sorted by time. Without `multi_label` no two overlap."""
    labels: tuple[str, ...]
    times: Float[np.ndarray, " N"]
    """The middle of each window, seconds."""
    scores: Float[np.ndarray, "N K"]
    """How well each label fits each window, smoothed; what the segments were made from."""
    seconds: float | None
    """Duration of the video, or how far it could be read; None where nothing could be."""
    frames: int
    """How many frames were encoded."""
    window: float
    stride: float
    multi_label: bool
    precision: str
    rules: Rules = field(default_factory=Rules)
    message: str = ""
    hint: str = ""
    decoder: str = ""
    notes: tuple[str, ...] = ()
    path: Path | None = None
    """The video's file, where it is one."""
    begins: float = 0.0
    """What a player's clock shows at the first frame, where all times here begin: above 0 where the
    sound begins earlier. Subtitles and pages, which players time, are moved by it."""

    def raise_for_status(self) -> "TimelineResult":
        """The result itself, if the video had frames.

        Raises:
            VideoError: if it had none.
        """
        if not self.status.usable:
            raise VideoError(f"{self.source}: {self.message}", self.status, hint=self.hint)
        return self

    def peak(self, segment: Segment) -> tuple[float, float]:
        """The window of a segment in which its label scores most: where it begins and ends.

        `Recognizer.explain` takes it as `between`.
        """
        inside = (segment.start <= self.times) & (self.times <= segment.end)
        if not inside.any():  # shorter than the stride
            inside = np.abs(self.times - (segment.start + segment.end) / 2).argmin()
        scores = np.full(len(self.times), -np.inf)
        scores[inside] = self.scores[inside, self.labels.index(segment.label)]
        middle = float(self.times[scores.argmax()])
        half = self.window / 2
        end = math.inf if self.seconds is None else self.seconds
        return max(middle - half, 0.0), min(middle + half, end)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """The stable keys of `--json`; with `scores` also `times` and `scores` of all windows."""
        row: dict[str, Any] = {
            "source": self.source,
            "status": str(self.status),
            "segments": [
                {
                    "start": round(one.start, 3),
                    "end": round(one.end, 3),
                    "label": one.label,
                    "score": round(one.score, 6),
                }
                for one in self.segments
            ],
            "labels": list(self.labels),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "begins": round(self.begins, 3),
            "frames": self.frames,
            "window": self.window,
            "stride": self.stride,
            "multi_label": self.multi_label,
            "precision": self.precision,
            "notes": list(self.notes),
        }
        if scores:
            row["times"] = [round(time, 3) for time in self.times.tolist()]
            row["scores"] = [[round(value, 5) for value in one] for one in self.scores.tolist()]
        if self.status is not Outcome.OK:
            row["error"] = {"code": str(self.status), "message": self.message, "hint": self.hint}
        return row

    def to_json(self) -> str:
        """One line of JSON. A name that is not UTF-8 keeps its bytes as lone surrogates."""
        return json_text(self.to_dict())


@dataclass(frozen=True)
class Watched:
    """A film as one model saw it: labels can be changed without reading it again."""

    source: str
    windows: Windows
    window: float
    stride: float
    precision: str
    path: Path | None = None

    def check(self, **asked: float | None) -> None:
        """Refuse a `window` or `stride` other than those that the film was seen with.

        Raises:
            ActionCLIPError: naming it.
        """
        for name, value in asked.items():
            had = getattr(self, name)
            if value is not None and value != had:
                raise ActionCLIPError(
                    f"A {name} of {value:g} s was asked of a film that was seen with {had:g} s.",
                    hint=f"Watch it again, with {name}={value:g}.",
                )

    def ask(
        self, question: Question, *, multi_label: bool = False, rules: Rules | None = None
    ) -> TimelineResult:
        """When the labels of a question happen."""
        every = self.windows.each(partial(scores_of, question))
        return self.answer(question, every, multi_label=multi_label, rules=rules)

    def answer(
        self,
        question: Question,
        every: Float[Tensor, "N K1"],
        *,
        multi_label: bool = False,
        rules: Rules | None = None,
    ) -> TimelineResult:
        """The same where the scores of all windows are known; see `scores_of`."""
        rules, seen = rules or Rules(), self.windows
        count, ending = len(question.labels), self.windows.ending
        times = (seen.start + seen.end) / 2
        values = smooth(every.double().cpu().numpy(), times, rules.smooth)
        scores, none = values[:, :count], values[:, count:]
        segments = find_segments(
            scores,
            seen.start,
            seen.end,
            question.labels,
            rules,
            multi_label=multi_label,
            none=none[:, 0] if none.shape[1] else None,
        )
        return TimelineResult(
            source=self.source,
            status=ending.status,
            segments=segments,
            labels=question.labels,
            times=times,
            scores=scores,
            seconds=seen.seconds if len(times) else ending.seconds,
            frames=seen.frames,
            window=self.window,
            stride=self.stride,
            multi_label=multi_label,
            precision=self.precision,
            rules=rules,
            message=ending.message,
            hint=HINTS[ending.status] if ending.advice is None else ending.advice,
            decoder=ending.decoder,
            notes=seen.notes,
            path=self.path,
            begins=ending.begins,
        )


def scores_of(question: Question, windows: Float[Tensor, "n V D"]) -> Float[Tensor, "n K1"]:
    """How well each label fits each window; with labels to reject, *none of these* comes last."""
    return fold_rejected(question.matrix(windows), len(question.labels), question.activation)


Seen = Callable[[float, float | None], None]
"""Called now and then with the seconds read so far and the seconds promised."""


def watch(
    model: ActionCLIP,
    video: Video,
    *,
    window: float,
    stride: float,
    precision: str,
    limits: Limits | None = None,
    seen: Seen | None = None,
    look: Look | None = None,
) -> Watched:
    """Every frame decoded once and encoded once; see `actionclip.encoding.film`.

    Args:
        model: which model.
        video: a file, a folder of frames, or frames as uint8 [T, H, W, 3] (RGB).
        window: seconds of a window.
        stride: seconds from window to window.
        precision: what the model multiplies in, for the record.
        limits: what reading may cost, for each part of the film.
        seen: told how far it is.
        look: what is kept of the windows in place of their vectors.

    Raises:
        ActionCLIPError: for a window or stride that is not above zero, an array that is no video,
            or a stretch of a video.
    """
    preprocess = model.config.preprocess
    grid = Grid.of(model.config, window=window, stride=stride)
    if isinstance(video, (np.ndarray, Tensor)):
        name, path = "frames in memory", None
        read = partial(film_of_array, array_of(video))
    else:
        source = single_source(video)
        check_whole([source], "A timeline")
        name, path = source.name, source.path if source.data is None else None
        read = partial(film, source, limits=limits)
    parts = read(grid.request(preprocess))
    parts = parts if seen is None else _told(parts, seen)
    windows = encode_film(model, grid, preprocess, parts, read, look)
    return Watched(name, windows, grid.window, grid.stride, precision, path)


def find(
    model: ActionCLIP,
    video: Video,
    question: Question,
    *,
    multi_label: bool = False,
    rules: Rules | None = None,
    **watching: Any,
) -> TimelineResult:
    """When the labels of a question happen: of a window no more than its scores is kept.

    Args:
        model: which model.
        video: as for `watch`.
        question: the labels.
        multi_label: whether several may hold at once.
        rules: how scores become segments.
        watching: the other arguments of `watch`.

    Raises:
        ActionCLIPError: as `watch` does.
    """
    seen = watch(model, video, look=partial(scores_of, question), **watching)
    return seen.answer(question, seen.windows.vectors, multi_label=multi_label, rules=rules)


def _told(parts: Iterator[Part], seen: Seen) -> Iterator[Part]:
    at = 0.0
    for part in parts:
        at += len(part) * part.spacing
        seen(at, part.promised)
        yield part
