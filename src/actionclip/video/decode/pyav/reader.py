"""Reads chosen frames of one video, exactly those, at the least cost. Runs in a decoding worker.

First the index is made, then frames are chosen on it, then decoded in one of three ways:

- *planned*: seek to the keyframes that the plan names and decode from there. The rule.
- *through*: decode everything in order. For files whose packets have no usable times, and for
  files where the plan did not find what the index promised.
- *sparse*: seek by time and take the nearest frame. For films too long for anything else.

A frame that cannot be had is replaced by the nearest one that can, and the reading says `degraded`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from actionclip.video.decode.images import read_images
from actionclip.video.decode.pyav.decoding import NEAR, Decoder
from actionclip.video.decode.pyav.index import Index, Times, counted, estimated, read_index
from actionclip.video.decode.pyav.opening import coded_errors, decoder_name
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.decode.pyav.plan import Stretch, nearest_entries, plan
from actionclip.video.decode.pyav.stamps import MOST_OUT, numbers_of
from actionclip.video.decode.reading import Reading
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import Timeline, choose_for
from actionclip.video.settings import Limits, ReadRequest

Numbers = NDArray[np.int64]

__all__ = ["Reading", "read_images", "read_video"]

THROUGH_PIXELS = 3_000_000_000
"""Most pixels decoded to read a file through: about five seconds of work."""

SPARSE_REACH = 2.0
"""Seconds that are decoded rather than sought past, where no keyframe is known in between."""

BACK = (0.0, 3.0, 15.0)
"""Seconds before a wanted time to seek to: MPEG-TS lands between keyframes, and an open group's
leading pictures belong to the keyframe before."""


def read_video(descriptor: int, request: ReadRequest, limits: Limits) -> Reading:
    """The frames that `request` chooses from a video, or the reason why there are none.

    Never raises for what is in the file: every failure is a `Reading` with its outcome.

    Args:
        descriptor: of a regular file open for reading; its position changes, it stays open.
        request: what to read.
        limits: `pixels`, `memory` and `decoded_frames` are used; time is the caller's to watch.
    """
    try:
        with coded_errors():
            decoder = Decoder(descriptor, limits)
            try:
                return replace(_Reader(decoder, request).read(), decoder=decoder_name())
            finally:
                decoder.close()
    except VideoError as error:
        return Reading(error.code, error.what, error.hint, decoder=decoder_name())


class _Reader:
    """One request on one opened video."""

    def __init__(self, decoder: Decoder, request: ReadRequest) -> None:
        self.decoder = decoder
        self.request = request
        sampling = request.sampling
        wanted = sampling.windows * sampling.frames
        self.pictures = Pictures(request.resize, decoder.limits, wanted)
        self.found: dict[int, NDArray[np.uint8]] = {}
        """Pictures by the time of showing, in the stream's units (a count where it has none)."""
        self.disordered = False
        """Frames did not come in the order of their times: some are wrong, or all."""
        self._repeats: set[int] = set()
        """Times that several packets have; the first of them is shown."""
        self._left_out = 0
        """Frames that came when their time had passed, when the file was last read through."""

    def read(self) -> Reading:
        """Choose, decode, and say how it went."""
        decoder = self.decoder
        index = read_index(decoder.container, decoder.stream, decoder.descriptor)
        if index is not None and not len(index):
            raise VideoError("The file holds no frames.", Outcome.EMPTY)
        if index is not None and index.kind is Times.COUNTED and not self._affordable(len(index)):
            index = estimated(decoder.container, decoder.stream) or index
        if index is None:
            raise VideoError(
                "It is too long to read through, and does not say how long.", Outcome.TOO_LARGE
            )
        decoder.follow(index)
        if index.kind is Times.EXACT and index.keys.any() and not index.keys[0]:
            index = self._without_head(index)
        numbers = self._choose(index)
        if index.kind is Times.EXACT:
            self._planned(index, np.unique(numbers))
            if self.disordered or not self._has_all(index, numbers):
                index, numbers = self._second_try(index, numbers)
        elif index.kind is Times.COUNTED:
            index, numbers = self._recount(index, numbers)
        else:
            self._sparse(index, np.unique(numbers))
        return self._reading(index, numbers)

    def _choose(self, index: Index) -> Numbers:
        timeline = Timeline(index.times, index.seconds)
        numbers = choose_for(self.request, timeline)
        if self.request.nearest_keyframes and len(index.packets):
            numbers = nearest_entries(numbers, index.packets, index.keys)
        return numbers

    def _without_head(self, index: Index) -> Index:
        """The index from the first frame that the decoder shows, where that one is a later one.

        What was cut without being decoded may begin far from a keyframe. Whether the first one in
        the container's table is the first one only decoding tells.
        """
        self.decoder.reopen()
        first = next((frame.pts for frame in self.decoder.frames()), None)
        lost = 0 if first is None else int(np.searchsorted(index.shown, first))
        if self.decoder.broken or not 0 < lost < len(index):
            self._forget()
            return index
        note = f"The file begins within a group of pictures: its first {lost} cannot be shown."
        return replace(
            index,
            shown=index.shown[lost:],
            seconds=index.seconds - float(index.times[lost]),
            packets=index.packets[lost:],
            notes=(*index.notes, note),
        )

    def _affordable(self, packets: int) -> bool:
        context = self.decoder.stream.codec_context
        return packets * max(context.width * context.height, 1) <= THROUGH_PIXELS

    def _has_all(self, index: Index, numbers: Numbers) -> bool:
        return all(time in self.found for time in index.shown[np.unique(numbers)].tolist())

    def _planned(self, index: Index, wanted: Numbers) -> None:
        """Decode by plan. What that did not yield is tried again from one keyframe earlier."""
        packets = index.packets[wanted].tolist()
        failed = self._follow(plan(packets, index.packet_shown, index.keys), index)
        if failed and not self.disordered:
            keys = index.keys.copy()
            keys[[stretch.start for stretch in failed]] = False
            packets = [packet for stretch in failed for packet in stretch.wanted]
            self._follow(plan(packets, index.packet_shown, keys), index)

    def _follow(self, stretches: list[Stretch], index: Index) -> list[Stretch]:
        """Decode stretches, and return those worth a second try.

        A keyframe that is none shows itself by errors or missing frames after seeking to it.
        """
        decoder = self.decoder
        position_of, self._repeats = numbers_of(index.packet_shown)
        failed: list[Stretch] = []
        packets = iter(())
        last = None
        for stretch in stretches:
            if last is None or stretch.start - last > NEAR:
                packets = decoder.packets_from(stretch.start, index, position_of)
            known = set(decoder.broken)
            last = stretch.last if self._decode(stretch, packets, index.packet_shown) else None
            missing = any(
                time not in self.found for time in index.packet_shown[list(stretch.wanted)].tolist()
            )
            if stretch.start and (missing or decoder.broken != known):
                decoder.broken = known
                failed.append(stretch)
        return failed

    def _decode(
        self,
        stretch: Stretch,
        packets: Iterator[tuple[int, Packet]],
        shown: Numbers,
    ) -> bool:
        """Decode one stretch; False if the file ended before the stretch did."""
        wanted = set(stretch.wanted)
        times = {int(shown[packet]) for packet in wanted}
        begins = int(shown[stretch.start])
        latest: int | None = None
        reached = False
        for number, packet in packets:
            is_leading = stretch.start > 0 and shown[number] < begins
            frames = []
            if number >= stretch.start and not is_leading:
                frames = self.decoder.feed(packet, wanted=number in wanted)
            reached = number >= stretch.last
            for frame in [*frames, *(self.decoder.drain() if reached else ())]:
                if frame.pts is None or (latest is not None and frame.pts <= latest):
                    self.disordered |= not self._repeats or frame.pts not in (None, latest)
                    continue
                latest = frame.pts
                if latest in times:
                    self.found[latest] = self.pictures.make(frame)
            if reached:
                break
        if not reached:
            for frame in self.decoder.drain():
                if frame.pts in times:
                    self.found[frame.pts] = self.pictures.make(frame)
        return reached

    def _second_try(self, index: Index, numbers: Numbers) -> tuple[Index, Numbers]:
        """After the plan failed: what does the file hold really?"""
        decoder = self.decoder
        if not self._affordable(len(index.packet_shown)):
            guess = estimated(decoder.container, decoder.stream) if self.disordered else None
            if guess is not None:
                self._forget()
                index = replace(guess, damage=index.damage)
                numbers = self._choose(index)
                self._sparse(index, np.unique(numbers))
            return index, numbers
        self._forget()
        seen = self._through(index.shown[np.unique(numbers)].tolist(), count=False)
        if self.disordered and self._left_out > MOST_OUT * len(seen):
            self._forget()
            bare = counted(decoder.stream, len(seen) + self._left_out)
            index = replace(bare, notes=(*bare.notes, *index.notes), damage=index.damage)
            return self._recount(index, self._choose(index))
        if decoder.broken or not seen or seen == index.shown.tolist():
            return index, numbers  # damage: the index is right and frames are missing
        # Not damaged, only different: packets without a frame of their own, fields of one frame, a
        # head that was cut off its keyframe.
        note = f"The file has {len(index)} packets with pictures and {len(seen)} frames."
        head = (seen[0] - int(index.shown[0])) * index.time_base
        index = replace(
            index,
            shown=np.array(seen, np.int64),
            seconds=index.seconds - head,
            packets=np.zeros(0, np.int64),
            notes=(*index.notes, note),
        )
        numbers = self._choose(index)
        self._forget()
        self._through(index.shown[np.unique(numbers)].tolist(), count=False)
        return index, numbers

    def _forget(self) -> None:
        self.found.clear()
        self.decoder.broken = set()

    def _recount(self, index: Index, numbers: Numbers) -> tuple[Index, Numbers]:
        """Read a file without times through; choose again if it has another number of frames."""
        seen = self._through(np.unique(numbers).tolist(), count=True)
        if seen and len(seen) != len(index):
            new = counted(self.decoder.stream, len(seen))
            index = replace(new, notes=index.notes, damage=index.damage)
            numbers = self._choose(index)
            if not self._has_all(index, numbers):
                self._forget()
                self._through(np.unique(numbers).tolist(), count=True)
        return index, numbers

    def _through(self, targets: list[int], *, count: bool) -> list[int]:
        """Decode the whole file; keep the frames at the target times, or else the nearest ones.

        Args:
            targets: times in the stream's units, ascending.
            count: whether times are the number of frames before a frame, not its timestamp.

        Returns:
            The time of every frame there is, ascending.
        """
        self.decoder.reopen()
        self._left_out = 0
        seen: list[int] = []
        waiting = deque(targets)
        before: VideoFrame | None = None
        for frame in self.decoder.frames():
            time = len(seen) if count else frame.pts
            if time is None or (seen and time <= seen[-1]):
                self._left_out += 1
                continue
            while waiting and waiting[0] <= time:
                target = waiting.popleft()
                if before is not None and target - seen[-1] < time - target:
                    self.found[seen[-1]] = self.pictures.make(before)
                else:
                    self.found[time] = self.pictures.make(frame)
            seen.append(time)
            before = frame
        if waiting and before is not None:
            self.found[seen[-1]] = self.pictures.make(before)
        return seen

    def _sparse(self, index: Index, wanted: Numbers) -> None:
        """Seek to each wanted time, and decode from the keyframe before it, or just that."""
        decoder = self.decoder
        pace = index.seconds / len(index) / index.time_base
        frames: Iterator[VideoFrame] = iter(())
        before: VideoFrame | None = None
        after: VideoFrame | None = None
        decoder.reopen()
        for target in index.shown[wanted].tolist():
            decoder.skip_before = int(target - 3 * pace)
            if after is None or self._is_far(target, after, index.time_base):
                frames, before, after = self._frames_before(target, index), None, None
            while after is None or (after.pts or 0) < target:
                if after is not None and self.request.nearest_keyframes:
                    break
                frame = next(frames, None)
                if frame is None:
                    break
                if frame.pts is not None:
                    before, after = after, frame
            around = [frame for frame in (before, after) if frame is not None]
            if around:
                nearest = min(around, key=lambda frame: abs((frame.pts or 0) - target))
                self.found[nearest.pts or 0] = self.pictures.make(nearest)

    def _frames_before(self, target: int, index: Index) -> Iterator[VideoFrame]:
        """The frames from a keyframe at or before a time on, as far as the file can be sought."""
        decoder = self.decoder
        begin = int(index.shown[0])
        landed: Iterator[VideoFrame] = iter(())
        for back in BACK:
            aim = target - int(back / index.time_base)
            if aim < begin:
                decoder.reopen()
                return decoder.frames()
            if decoder.seek(aim):
                frames = decoder.frames()
                first = next(frames, None)
                if first is not None:
                    landed = chain([first], frames)
                    if (first.pts or 0) <= target:
                        break
        return landed

    def _is_far(self, target: int, frame: VideoFrame, time_base: float) -> bool:
        """Whether seeking to a time beats decoding on from a frame."""
        now = frame.pts or 0
        entries = self.decoder.stream.index_entries
        entry = entries.search_timestamp(target) if len(entries) > 1 else -1
        if entry >= 0:
            return entries[entry].timestamp > now
        return (target - now) * time_base > SPARSE_REACH

    def _reading(self, index: Index, numbers: Numbers) -> Reading:
        """Put what was found where it is wanted."""
        if not self.found:
            if isinstance(self.decoder.first_error, av.error.PatchWelcomeError):
                raise self.decoder.first_error
            raise VideoError("Not one frame could be decoded.", Outcome.EMPTY)
        have = np.array(sorted(self.found), np.int64)
        wanted = index.shown[numbers]
        right = np.searchsorted(have, wanted).clip(0, len(have) - 1)
        left = (right - 1).clip(0)
        closer = np.abs(have[left] - wanted) <= np.abs(have[right] - wanted)
        rows = np.where(closer, left, right)
        kept, rows = np.unique(rows, return_inverse=True)
        taken = have[kept][rows].reshape(numbers.shape)
        # An estimated time is hardly ever met to the tick.
        slack = 0 if index.kind is not Times.ESTIMATED else int(1 / index.time_base)
        replaced = np.unique(numbers[np.abs(taken - wanted) > slack])
        if self.request.nearest_keyframes and index.kind is Times.ESTIMATED:
            replaced = replaced[:0]
        if index.kind is not Times.ESTIMATED:
            numbers = np.searchsorted(index.shown, taken).clip(0, len(index) - 1)
        message = self._complaint(index, len(replaced))
        notes = list(index.notes)
        if self.pictures.changed:
            notes.append("The picture changes its size; all frames were scaled to the first one's.")
        return Reading(
            status=Outcome.DEGRADED if message else Outcome.OK,
            message=message,
            frames=np.stack([self.found[time] for time in have[kept].tolist()]),
            index=rows.reshape(numbers.shape).astype(np.int64),
            frame_numbers=numbers.astype(np.int64),
            times=(taken - index.shown[0]) * index.time_base,
            seconds=index.seconds,
            notes=tuple(notes),
        )

    def _complaint(self, index: Index, replaced: int) -> str:
        """What is wrong with the video, in sentences; empty when nothing is."""
        complaints = [index.damage] if index.damage else []
        if broken := len(self.decoder.broken):
            complaints.append(f"Packets that did not decode as they should: {broken}.")
        if replaced:
            complaints.append(f"Wanted frames replaced by the nearest there is: {replaced}.")
        return " ".join(complaints)
