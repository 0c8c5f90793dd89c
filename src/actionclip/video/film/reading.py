"""Reads a film from its beginning to its end, once, in parts. Runs in a decoding worker.

Nothing is sought and the packets are not read through first: what a three-hour film costs is
decoding it, and the memory is that of one part. A film that breaks in the middle has given
everything before.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from actionclip.video.decode.declared import declared_size
from actionclip.video.decode.leaps import JOINED
from actionclip.video.decode.pyav.decoding import Decoder
from actionclip.video.decode.pyav.index import (
    header_seconds,
    leaps_of,
    pace_of,
    promised_seconds,
    times_lie,
)
from actionclip.video.decode.pyav.opening import coded_errors, decoder_name
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.film.part import MOST_POINTS, Part, failed
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import TICK, paced
from actionclip.video.settings import GridRequest, Limits

SIGN_OF_LIFE = 2.0
"""Seconds after which a part is sent though it is not full: the parent's stop-watch runs."""


def read_film(descriptor: int, request: GridRequest, limits: Limits) -> Iterator[Part]:
    """The parts of a film. The last one says how it went; nothing in the file makes it raise.

    Args:
        descriptor: of a regular file open for reading; its position changes, it stays open.
        request: how dense the grid is, and the size of its pictures.
        limits: `pixels`, `memory` and, for each part, `decoded_frames` are used.
    """
    reader: _FilmReader | None = None
    try:
        with coded_errors():
            decoder = Decoder(descriptor, limits)
            try:
                reader = _FilmReader(decoder, request)
                yield from reader.parts()
            finally:
                decoder.close()
    except VideoError as error:
        came = reader is not None and reader.points > 0
        yield failed(
            Outcome.DEGRADED if came else error.code,
            f"After {reader.at:.1f} s: {error.what}" if reader and came else error.what,
            spacing=request.spacing,
        )


class Clock:
    """When the frames of a film are shown, in the order they are decoded."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder, stream = decoder, decoder.stream
        self.rate = pace_of(stream)
        """Frames per second as the header says."""
        self.counts = times_lie(decoder.container, stream)
        """Whether frames are counted, as the file has no times."""
        self.start: float | None = None
        """Seconds of the film's own clock at the first frame; None before it."""
        self.lost = 0
        """Frames that were left out: without a time, with one that had passed, or a damaged one."""
        self.base = float(stream.time_base or 1 / self.rate)
        """Seconds of a tick."""
        self.leaps = leaps_of(decoder.container, stream)
        """What puts the times of the packets right, before they are decoded."""
        self._count, self._last = 0, -1.0

    def take(self, frame: VideoFrame) -> float | None:
        """Seconds after the first frame; None where it has no time, or one that has passed."""
        now = self._seconds_of(frame)
        if now is None:
            return None
        if now <= self._last:
            self.lost += now < self._last
            return None
        self._last = now
        return now

    def _seconds_of(self, frame: VideoFrame) -> float | None:
        """Seconds after the first frame; None where it has no time."""
        if self.counts:
            shown = self._count / self.rate
        elif frame.pts is None:
            self.lost += 1
            return None
        else:
            shown = frame.pts * self.base
        self._count += 1
        self.start = shown if self.start is None else self.start
        return shown - self.start

    def complaints(self) -> list[str]:
        """What went wrong with the frames, in sentences; a second's worth of them may be lost."""
        said = []
        if corrupt := self._decoder.corrupt - self.leaps.torn:
            said.append(f"Packets marked as corrupt: {corrupt}.")
        if broken := len(self._decoder.broken):
            said.append(f"Packets that did not decode as they should: {broken}.")
        if self.lost > self.rate:
            said.append(
                f"Frames left out, without a time or with one that had passed: {self.lost}."
            )
        return said


@dataclass
class _Waiting:
    """What was found and not yet sent."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


class _FilmReader:
    """One film and how far it is read."""

    def __init__(self, decoder: Decoder, request: GridRequest) -> None:
        self.decoder, self.request = decoder, request
        self.clock = Clock(decoder)
        self.spacing, self._first = paced(request.spacing, self.clock.rate, even=request.even)
        self.pictures = Pictures(request.resize, decoder.limits, request.points)
        self.promised = promised_seconds(decoder.container, decoder.stream)
        self.points = 0
        """Of the grid, passed so far."""
        self.at = 0.0
        """Seconds after the first frame of the newest one."""
        self._size: tuple[int, int] | None = None
        self._waiting = _Waiting()

    def parts(self) -> Iterator[Part]:
        """Decode all there is."""
        before: VideoFrame | None = None
        gap = 1 / self.clock.rate
        for frame, now in self._timed():
            if before is not None:
                yield from self._show(before, now)
                gap = now - self.at
            before, self.at = frame, now
            if self._size is None:
                self._size = (frame.height, frame.width)
            if time.monotonic() - self._waiting.since > SIGN_OF_LIFE:
                yield self._part()
        if before is None:
            raise self.decoder.first_error or VideoError("The file holds no frames.", Outcome.EMPTY)
        seconds = self.at + self._held(before, gap)
        # A film shorter than half a cell has one point all the same.
        yield from self._show(before, max(seconds, self._first + 2 * TICK))
        yield self._last(seconds)

    def _timed(self) -> Iterator[tuple[VideoFrame, float]]:
        decoder, clock = self.decoder, self.clock
        for frame in decoder.frames(decoder.settled(clock.leaps)):
            if (now := clock.take(frame)) is not None:
                yield frame, now

    def _held(self, last: VideoFrame, gap: float) -> float:
        """Seconds that the last frame is on screen, by its own duration where that can be true.

        It may go to where the header says that the film ends; without such a promise, and where
        frames are counted, the frame lasts as long as the one before, `gap` seconds.
        """
        end = header_seconds(self.decoder.container, self.decoder.stream)
        if self.clock.counts or end is None or not last.duration:
            return gap
        held = last.duration * self.clock.base  # the frame's own is not known to PyAV 18
        return min(held, max(end - self.at, gap)) if held > 0 else gap

    def _show(self, frame: VideoFrame, until: float) -> Iterator[Part]:
        """The points of the grid at which a frame is on screen."""
        placed = False
        while self.points * self.spacing + self._first < until - TICK:
            if self.points >= MOST_POINTS:
                raise VideoError(
                    f"It is longer than {MOST_POINTS:,} steps of {self.spacing:g} s.",
                    Outcome.TOO_LARGE,
                )
            waiting = self._waiting
            if not placed or not waiting.frames:
                waiting.frames.append(self.pictures.make(frame))
                placed = True
            waiting.index.append(len(waiting.frames) - 1)
            self.points += 1
            if len(waiting.index) >= self.request.points:
                yield self._part()
                placed = False

    def _part(self) -> Part:
        waiting, self._waiting = self._waiting, _Waiting()
        self.decoder.frames_decoded = 0
        return Part(
            frames=np.stack(waiting.frames) if waiting.frames else None,
            index=np.array(waiting.index, np.int64),
            spacing=self.spacing,
            promised=self.promised,
        )

    def _last(self, seconds: float) -> Part:
        rest = self._part()
        complaint, notes = self._judged(seconds)
        notes += [] if self.clock.counts else self.clock.leaps.notes()
        if self.clock.counts:
            notes.append("The file has no usable timestamps: frames were counted.")
        if self.pictures.changed:
            notes.append("The picture changes its size; all frames were scaled to the first one's.")
        return Part(
            frames=rest.frames,
            index=rest.index,
            spacing=self.spacing,
            promised=self.promised,
            done=True,
            status=Outcome.DEGRADED if complaint else Outcome.OK,
            message=complaint,
            seconds=seconds,
            begins=self._begins(),
            size=self._size,
            notes=tuple(notes),
            decoder=decoder_name(),
        )

    def _begins(self) -> float:
        """What a player's clock shows at the first frame; less than a frame is nothing."""
        first = self.clock.start
        if self.clock.counts or first is None:
            return 0.0
        sounds = [
            float(stream.start_time * stream.time_base)
            for stream in self.decoder.container.streams.audio
            if stream.start_time is not None and stream.time_base
        ]
        late = first - min(sounds, default=first)
        return late if late > 1 / self.clock.rate else 0.0

    def _judged(self, seconds: float) -> tuple[str, list[str]]:
        """What is wrong with the film, in sentences, empty when nothing is; and what is worth a
        note.
        """
        decoder, promised = self.decoder, self.promised
        declared = declared_size(decoder.descriptor, decoder.container.format.name)
        size = decoder.file_size
        if decoder.container.format.name in JOINED and self.clock.leaps.any:
            promised = None  # no header said it, but the times that leap
        said, notes = [], []
        if declared is not None and declared > size:
            said.append(f"The file is cut off: {size} of its {declared} bytes are there.")
        elif promised is not None and promised - seconds > max(1.0, 0.1 * promised):
            lasts = f"the pictures last {seconds:.2f} s."
            # As for clips: a file that says its size, and has it, has a header that is wrong.
            (said if declared is None else notes).append(
                f"The header promises {promised:.2f} s, {lasts}"
            )
        return " ".join([*said, *self.clock.complaints()]), notes
