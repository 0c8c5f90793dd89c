"""Feeding packets to a decoder and finding one's way in a file. Nothing here decides what to read.

Whatever a damaged file makes FFmpeg say is counted and does not stop the reading; a decoder goes
on after a bad packet as best it can.
"""

import os
from collections.abc import Iterator

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from actionclip.video.decode.leaps import Leaps
from actionclip.video.decode.packets import film_and_sound, packets_of
from actionclip.video.decode.pyav.index import Given, Index
from actionclip.video.decode.pyav.opening import open_video
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits

SKIPS = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that can leave out, packet by packet, frames no other frame leans on."""

NEAR = 64
"""To go forward this many packets, reading past them is cheaper than seeking."""

LOST = 2000
"""A seek that lands more packets than this before its aim is no help."""


class Decoder:
    """One opened video and what went wrong in it so far."""

    def __init__(self, descriptor: int, limits: Limits, *, sound: bool = False) -> None:
        """Open the file; with `sound`, the sound's rate and channels are found out, too.

        Raises:
            VideoError: with the code for what stands in the way.
        """
        self.descriptor = descriptor
        self.limits = limits
        self.container: InputContainer
        self.stream: VideoStream
        self.container, self.stream = open_video(descriptor, limits, sound=sound)
        self.broken: set[int | None] = set()
        """Positions in the file, or times, of packets that did not decode as they should."""
        self.corrupt = 0
        """Packets fed so far that the container marks as incomplete."""
        self.first_error: av.error.FFmpegError | None = None
        self.frames_decoded = 0
        self.skip_before: int | None = None
        """`frames` may leave out frames shown before this time, where no other leans on them."""
        self._skips = self.stream.codec_context.name in SKIPS
        self._way = 0
        self._given: Given | None = None
        self._numbers: dict[int, int] = {}
        self._number: int | None = -1
        """Of the packet read last, where times were put right; None after a seek."""

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.descriptor).st_size

    def close(self) -> None:
        """Close the container; the descriptor stays open."""
        self.container.close()

    def reopen(self) -> None:
        """Go back to the beginning: the one way that works for every file."""
        self.close()
        self.container, self.stream = open_video(self.descriptor, self.limits)
        self._number = -1

    def follow(self, index: Index) -> None:
        """Give packets from now on the times of an index, if those of the file leap."""
        self._given = given = index.given
        if given is not None:
            places, first, how_often = np.unique(
                given.places, return_index=True, return_counts=True
            )
            alone = (how_often == 1) & (places >= 0)
            self._numbers = dict(zip(places[alone].tolist(), first[alone].tolist(), strict=True))

    def packets(self) -> Iterator[Packet]:
        """The packets of the picture from here on; a file that breaks off ends there."""
        try:
            for packet in packets_of(self.container, self.stream):
                if packet.size and (self._given is None or self._is_known(packet, self._given)):
                    yield packet
        except av.error.FFmpegError as error:
            self._note(None, error)

    def _is_known(self, packet: Packet, given: Given) -> bool:
        """Put a packet's times right; False, after a seek, where nothing says which one it is."""
        number = None if packet.pos is None else self._numbers.get(packet.pos)
        if number is None and self._number is not None:
            number = self._number + 1
        self._number = number
        if number is None or number >= len(given.times):
            return False
        packet.pts = given.times[number]
        return True

    def settled(self, leaps: Leaps) -> Iterator[Packet]:
        """The packets of the picture, read once from the beginning, their times put right."""
        try:
            for packet, is_film in leaps.settled(film_and_sound(self.container, self.stream)):
                if is_film:
                    yield packet
        except av.error.FFmpegError as error:
            self._note(None, error)

    def frames(self, packets: Iterator[Packet] | None = None) -> Iterator[VideoFrame]:
        """The frames from here on, or those of some packets, in the order shown."""
        for packet in self.packets() if packets is None else packets:
            early = self.skip_before is not None and (packet.pts or 0) < self.skip_before
            yield from self.feed(packet, wanted=not early)
        yield from self.drain()

    def feed(self, packet: Packet, *, wanted: bool = True) -> list[VideoFrame]:
        """Decode a packet; frames come out some packets later, each with its own time.

        Args:
            packet: the next one.
            wanted: whether its frame is; if not, and no other frame leans on it, it is skipped.
        """
        self.corrupt += packet.is_corrupt
        if self._skips:
            self.stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
        try:
            frames = self.stream.decode(packet)
        except av.error.FFmpegError as error:
            self._note(packet, error)
            return []
        return self._counted(frames, packet)

    def drain(self) -> list[VideoFrame]:
        """The frames the decoder still holds. Then it is ready for another place in the file."""
        try:
            frames = self.stream.decode(None)
        except av.error.FFmpegError as error:
            self._note(None, error)
            frames = []
        self.stream.codec_context.flush_buffers()
        return self._counted(frames, None)

    def _counted(self, frames: list[VideoFrame], packet: Packet | None) -> list[VideoFrame]:
        self.frames_decoded += len(frames)
        if self.frames_decoded > self.limits.decoded_frames:
            raise VideoError(
                f"More than {self.limits.decoded_frames} frames would have to be decoded.",
                Outcome.TOO_LARGE,
            )
        for frame in frames:
            if frame.is_corrupt:
                self.broken.add(frame.pts if packet is None else _place(packet))
        return frames

    def _note(self, packet: Packet | None, error: av.error.FFmpegError) -> None:
        if isinstance(error, av.error.MemoryError):
            raise error
        self.first_error = self.first_error or error
        self.broken.add(None if packet is None else _place(packet))

    def seek(self, time: int) -> bool:
        """Go to a keyframe at or before `time`, in the stream's units; whether that worked."""
        try:
            self.container.seek(time, stream=self.stream)
        except (av.error.FFmpegError, OverflowError):
            return False
        return True

    def _go_to(self, start: int, aim: int, given: Given | None) -> bool:
        """Go to a packet by its time, or by its place where times lead astray."""
        self._number = None
        if given is None or self.container.format.name != "mpegts" or given.places[start] < 0:
            return self.seek(aim)
        try:
            self.container.seek(int(given.places[start]), unsupported_byte_offset=True)
        except av.error.FFmpegError:
            return False
        return True

    def packets_from(
        self, start: int, index: Index, position_of: dict[int, int]
    ) -> Iterator[tuple[int, Packet]]:
        """The packets from number `start` on, each with its number.

        Where a seek lands depends on the container: at a time of showing (Matroska), of decoding
        (MPEG-TS), at a keyframe or not. So several aims are tried, the landing is checked, and the
        aim that worked is tried first the next time.

        Args:
            start: number of a packet in the order of the file.
            index: an exact one.
            position_of: the numbers of the packets by when they are shown.
        """
        shown, decoded = index.packet_shown, index.packet_decoded
        before = index.keys[:start].nonzero()[0]
        earlier = int(before[-1]) if len(before) else 0
        if (given := index.given) is not None:
            shown, decoded = given.shown, given.decoded
        aims = [int(shown[start]), int(decoded[start]), int(decoded[earlier])]
        ways = [*range(self._way, len(aims)), *range(self._way)]
        for way in ways:
            if not self._go_to(start, aims[way], given):
                continue
            packets = self._numbered(position_of)
            first = next(packets, None)
            if first is not None and start - LOST <= first[0] <= start:
                self._way = way
                if first[0] == start:
                    yield first
                yield from ((n, packet) for n, packet in packets if n >= start)
                return
        self.reopen()
        yield from ((n, packet) for n, packet in self._numbered(position_of) if n >= start)

    def _numbered(self, position_of: dict[int, int]) -> Iterator[tuple[int, Packet]]:
        number: int | None = None
        for packet in self.packets():
            if packet.pts is not None:
                number = position_of.get(packet.pts)
            if number is not None:  # a packet without a time goes with the one before it
                yield number, packet


def _place(packet: Packet) -> int | None:
    return packet.pts if packet.pos is None or packet.pos < 0 else packet.pos
