"""Watching a stream: frames in, a rolling label out, for as long as there are frames.

V crops, D embedding width.
"""

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from actionclip.encoding.asking import question_of
from actionclip.encoding.encoder import Views
from actionclip.encoding.questions import Question, ask, resolve_labels
from actionclip.errors import ActionCLIPError
from actionclip.inference.stream.events import Event, Summary, clock
from actionclip.inference.stream.label_file import LabelFile
from actionclip.inference.stream.steady import Steady
from actionclip.inference.stream.window import RollingWindow
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import ModelConfig
from actionclip.model.scoring import NONE_OF_THESE, Score
from actionclip.video.live.feed import Feed
from actionclip.video.live.queue import Connected, End, Gap, Item, LiveFrame, Lost
from actionclip.video.live.sources import LiveSettings, LiveSource, live_source
from actionclip.video.settings import Limits

Labels: TypeAlias = Sequence[str] | str | Path | Question | None

WINDOW = 2.0
"""Seconds of a window, for models that do not say how far apart their frames are."""
LATENCIES = 1000
"""Answers whose latency is kept for the summary."""


class Stream:
    """A source that is watched: iterate over it for its events.

    Iterating begins to watch and ends with the source; so does `close`, or the end of a `with`
    block. `set_labels` may be called from any thread meanwhile.
    """

    def __init__(
        self,
        model: ActionCLIP,
        feed: Feed,
        question: Question,
        views: Views,
        *,
        steady: Steady,
        top_k: int | None,
        every: float,
        options: dict[str, Any],
    ) -> None:
        self.model, self.feed, self.views = model, feed, views
        self.summary = Summary()
        self.window = RollingWindow(model, views)
        self._steady, self._top_k, self._every = steady, top_k, every
        self._options = options
        self._question, self._news = question, False
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._gap = 0.0
        self._next = 0
        self._said = float("-inf")
        self._label_file: LabelFile | None = None
        self._begun = False
        # A file that is not played but read through gets an answer for each frame.
        self._one_by_one = feed.source.kind == "file" and feed.settings.speed == 0

    @property
    def source(self) -> LiveSource:
        """What is watched."""
        return self.feed.source

    @property
    def labels(self) -> tuple[str, ...]:
        """Those in force."""
        with self._lock:
            return self._question.labels

    def set_labels(self, labels: Labels, **options: Any) -> None:
        """Ask about other labels from now on; frames seen already count for them, too.

        May be called from any thread. The labels are encoded by the caller's thread.

        Args:
            labels: as for `Recognizer.classify`.
            options: as for `Recognizer.question`; what is not given is as it was.

        Raises:
            ActionCLIPError: for labels we cannot use; the old ones stay.
        """
        if not isinstance(labels, Question):
            options = {**self._options, **options}
        labels = question_of(self.model, labels, **options)
        with self._lock:
            self._question, self._news = labels, True

    def follow_labels(
        self, path: str | Path, complain: Callable[[ActionCLIPError], None] | None = None
    ) -> None:
        """Ask about the labels in a file from now on, and read them anew whenever it changes.

        Args:
            path: the file.
            complain: called, in another thread, with what is wrong with it, if the old labels have
                to stay; by default that is a warning.
        """
        if self._label_file is not None:
            self._label_file.close()
        self._label_file = LabelFile(Path(path), self._take_over, complain or _warn)

    def _take_over(self, path: Path) -> None:
        """Use the labels of a file, where they are others than before."""
        if tuple(resolve_labels(path)) != self.labels:
            self.set_labels(path)

    def __iter__(self) -> Iterator[Event]:
        """The events, as they come.

        Raises:
            ActionCLIPError: when it cannot be watched (any more).
        """
        if self._begun:
            raise ActionCLIPError(
                "This stream was watched already.", hint="Call stream() again for another look."
            )
        self._begun = True
        self.feed.start()
        try:
            while True:
                yield from self._answer(items := self.feed.queue.take())
                if not items:
                    return  # closed
                self._count()
                if isinstance(items[-1], End):
                    if (error := items[-1].error) is not None:
                        raise error
                    return
        finally:
            self.close()

    def _answer(self, items: list[Item]) -> Iterator[Event]:
        """The events of some frames and notices; of frames in a row one label, the newest."""
        run: list[LiveFrame] = []
        for item in items:
            if isinstance(item, LiveFrame):
                run.append(item)
                if self._one_by_one:
                    yield from self._look(run)
                    run = []
                continue
            yield from self._look(run)
            run = []
            if isinstance(item, Gap):
                self.window.restart()
                self._steady.restart()
                self._gap += item.seconds
                yield self._event("gap", time=item.time, gap=item.seconds, reason=item.reason)
            elif isinstance(item, Lost):
                yield self._event("lost", reason=item.reason, wait=item.wait, attempt=item.attempt)
            elif isinstance(item, Connected):
                self.window.restart()  # whatever was missed, it was something
                yield self._event("connected")
        yield from self._look(run)

    def _look(self, run: list[LiveFrame]) -> Iterator[Event]:
        """Take some frames that follow on each other, and answer."""
        if not run:
            return
        newest = run[-1]
        missing = run[0].number != self._next
        self._next = newest.number + 1
        if missing:  # frames were dropped: the window must not span the hole
            self.window.restart()
        self.window.add([frame.image for frame in run])
        self.summary.seconds = newest.time
        if self.window.full:
            yield from self._label(newest)

    def _label(self, newest: LiveFrame) -> Iterator[Event]:
        embedding = self.window.embedding()
        with self._lock:
            question, news, self._news = self._question, self._news, False
        if news:
            self._steady.restart()
            yield self._event("labels", labels=list(question.labels))
        ranked = question.scores(embedding, top_k=None)
        latency = time.monotonic() - newest.arrived
        self._latencies.append(latency)
        before = self._steady.label
        scores = {one.label: one.score for one in ranked}
        if before is not None and before not in scores:  # below the threshold
            scores[before] = _score_of(before, question, embedding)
        label = self._steady.update(newest.time, _weights(scores, ranked))
        changed = label != before
        self.summary.answers += 1
        self.summary.changes += changed
        if not changed and newest.time - self._said < self._every:
            return
        self._said = newest.time
        gap, self._gap = self._gap, 0.0
        yield self._event(
            "label",
            label=label,
            score=scores[label],
            scores=_top(ranked, self._top_k),
            changed=changed,
            latency=latency,
            dropped=self.feed.queue.dropped,
            gap=gap,
        )

    def _event(self, event: Any, **fields: Any) -> Event:
        fields.setdefault("time", self.summary.seconds)
        return Event(event=event, clock=clock(), **fields)

    def _count(self) -> None:
        """Bring the summary up to date."""
        feed, summary = self.feed, self.summary
        summary.seen, summary.wanted, summary.broken = feed.seen, feed.wanted, feed.broken
        summary.dropped, summary.connections = feed.queue.dropped, feed.connections
        summary.gaps, summary.gap_seconds = feed.gaps, feed.gap_seconds
        summary.latencies = list(self._latencies)

    def close(self) -> None:
        """Stop watching; the decoding process ends."""
        if self._label_file is not None:
            self._label_file.close()
            self._label_file = None
        self.feed.close()
        self._count()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def watch(
    model: ActionCLIP,
    source: str | Path | int | LiveSource,
    labels: Labels,
    *,
    allow_network: bool = False,
    frames: int | None = None,
    window: float | None = None,
    spacing: float | None = None,
    every: float = 0.0,
    top_k: int | None = 5,
    margin: float = 0.1,
    hold: float = 0.5,
    settings: LiveSettings | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> Stream:
    """Get ready to watch a source; iterating over what comes back does it.

    Args:
        model: what answers.
        source: a camera's number, `http://`, `https://` or `rtsp://`, `-`, or a file.
        labels: as for `Recognizer.classify`.
        allow_network: whether an address may be called.
        frames: frames in the window, in place of the model's own number.
        window: how many seconds its frames are spread over.
        spacing: seconds from frame to frame, in place of a window.
        every: seconds between two `label` events while the label stays; 0: every answer.
        top_k: how many scores an event holds; None for all.
        margin: by how much another label has to lead before the label changes.
        hold: for how many seconds it has to.
        settings: how patiently to watch: `speed`, `retries`, `stall`, `gap`, `queue`.
        limits: what decoding may cost.
        options: as for `Recognizer.question`.

    Raises:
        ActionCLIPError: for a source, labels or options we cannot use.
    """
    if not isinstance(source, LiveSource):
        source = live_source(source, allow_network=allow_network)
    if not 0 <= every < float("inf"):
        raise ActionCLIPError(f"every is {every}.", expected="It must be 0 seconds or more.")
    if top_k is not None and top_k < 1:
        raise ActionCLIPError(f"top_k is {top_k}.", expected="It must be 1 or more, or none.")
    views = live_views(model.config, frames=frames, window=window, spacing=spacing)
    assert views.sampling.spacing is not None
    settings = settings or LiveSettings()
    feed = Feed(
        source,
        spacing=views.sampling.spacing,
        resize=views.preprocess.resize,
        settings=replace(settings, queue=settings.queue or views.sampling.frames),
        limits=limits,
    )
    steady = Steady(margin=margin, hold=hold)
    question = labels if isinstance(labels, Question) else ask(model, labels, **options)
    return Stream(
        model, feed, question, views, steady=steady, top_k=top_k, every=every, options=options
    )


def live_views(
    config: ModelConfig,
    *,
    frames: int | None = None,
    window: float | None = None,
    spacing: float | None = None,
) -> Views:
    """The frames of a rolling window: the model's own spacing, or a window divided by frames.

    Raises:
        ActionCLIPError: when both a window and a spacing are given, or one makes no sense.
    """
    if window is not None and spacing is not None:
        raise ActionCLIPError(
            f"window is {window} and spacing is {spacing}.",
            expected="Give one of them: the window is as long as its frames are apart.",
        )
    if window is not None and not 0 < window < float("inf"):
        raise ActionCLIPError(f"window is {window}.", expected="It must be above 0 seconds.")
    count = config.sampling.frames if frames is None else frames
    if spacing is None and window is None:
        spacing = config.sampling.spacing
    if spacing is None:
        spacing = (window or WINDOW) / max(count, 1)
    views = Views.of(config, spacing=spacing)
    return replace(views, sampling=replace(views.sampling, frames=count, windows=1))


def _score_of(label: str, question: Question, embedding: Tensor) -> float:
    """The score of a label that was rejected; 0 where the question has none of this name."""
    free = replace(question, threshold=None, calibration=None)
    return {one.label: one.score for one in free.scores(embedding, top_k=None)}.get(label, 0.0)


def _weights(scores: dict[str, float], ranked: list[Score]) -> dict[str, float]:
    """What labels weigh against each other: their scores, unless none reaches the threshold.

    Then *none of these* is a decision, and the score beside it is no measure of it.
    """
    if [one.label for one in ranked] == [NONE_OF_THESE]:
        return {label: float(label == NONE_OF_THESE) for label in scores}
    return scores


def _top(ranked: list[Score], top_k: int | None) -> list[Score]:
    return ranked if top_k is None else ranked[:top_k]


def _warn(error: ActionCLIPError) -> None:
    warnings.warn(f"The labels stay as they were: {error}", stacklevel=2)
