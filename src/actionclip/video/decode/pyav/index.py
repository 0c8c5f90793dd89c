"""Which frames a video holds and when they are shown, found out without decoding any.

Reading through a file's packets costs a hundredth of decoding them. Their presentation times,
sorted, number the frames exactly. Three kinds of file do not tell:

- *no usable times* (raw streams; AVI with B-frames, where FFmpeg makes times up): such files are
  decoded in order and counted;
- *too long to read through*: times are taken from the container's own index or from its duration
  and frame rate, and frame numbers are estimates;
- *broken* ones, which show only while decoding.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actionclip.video.decode.declared import declared_size
from actionclip.video.decode.leaps import JOINED, Leaps
from actionclip.video.decode.packets import film_and_sound
from actionclip.video.decode.pyav.stamps import placed

SCAN_BYTES = 2**30
SCAN_PACKETS = 200_000
"""Larger files are not read through."""

ASSUMED_RATE = 25.0
"""Frames per second where a file does not say."""

REORDERING = frozenset(
    "h264 hevc vvc mpeg4 mpeg1video mpeg2video wmv3 vc1 rv30 rv40 svq3 cfhd".split()  # noqa: SIM905
)
"""Codecs that may show frames in another order than they are stored in."""

SEEKABLE = REORDERING | frozenset(
    "av1 libdav1d cinepak dnxhd dvvideo ffv1 ffvhuff flv h263 h263p huffyuv mjpeg msmpeg4 "  # noqa: SIM905
    "msmpeg4v1 msmpeg4v2 png prores rawvideo theora utvideo vp6 vp6a vp6f vp8 vp9 wmv1 wmv2".split()
)
"""Codecs whose keyframes need nothing before them. (A GIF calls every frame a keyframe.)"""

WAITING = frozenset({"h264", "hevc", "mpeg2video"})
"""Codecs whose decoders show nothing from before the first keyframe."""

_TELL_THE_END = ("matroska", "asf")
"""Containers whose header says when the last frame ends by a clock that need not begin at 0: a
segment of a recording may keep the clock of the whole."""

_RAW_STREAMS = frozenset("h264 hevc m4v mpegvideo mjpeg obu".split())  # noqa: SIM905


class Times(Enum):
    """How far an index is to be trusted."""

    EXACT = "exact"
    COUNTED = "counted"
    """The file has no times: frames come in the order decoded, at an even pace."""
    ESTIMATED = "estimated"
    """The file was not read through."""


@dataclass(frozen=True)
class Index:
    """The frames of a video. N frames, P packets."""

    kind: Times
    shown: NDArray[np.int64]
    """When each frame is shown, ascending, in units of `time_base`, [N]."""
    time_base: float
    """Seconds."""
    seconds: float
    """From the first frame's appearance to the last one's end."""
    packets: NDArray[np.int64]
    """The packet each frame comes from, [N]; empty unless exact."""
    packet_shown: NDArray[np.int64]
    """When each packet's frame is shown, in the order of the file, [P]; empty unless exact. Of
    packets with the same time the first one's is."""
    packet_decoded: NDArray[np.int64]
    """When each packet is to be decoded, same unit, [P]; empty unless exact."""
    keys: NDArray[np.bool_]
    """Whether decoding may begin at a packet, [P]; empty unless exact."""
    notes: tuple[str, ...] = ()
    damage: str = ""
    """What the file lacks, if it does."""
    given: "Given | None" = None
    """How the file has its packets, where their times were put right."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds after the first frame, [N]."""
        return (self.shown - self.shown[0]) * self.time_base

    def __len__(self) -> int:
        return len(self.shown)


@dataclass(frozen=True)
class Given:
    """The packets of a file whose times leap, [P] each."""

    times: tuple[int | None, ...]
    """When each is shown, put right; None where nothing tells."""
    shown: NDArray[np.int64]
    """When it is by what the file says; that is what it can be sought by."""
    decoded: NDArray[np.int64]
    places: NDArray[np.int64]
    """The byte at which it begins; -1 where that is not known."""


@dataclass
class _Scan:
    """What was seen while reading through the packets of a stream."""

    leaps: Leaps
    shown: list[int | None] = field(default_factory=list)
    decoded: list[int | None] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)
    given: list[tuple[int | None, int | None, int | None]] = field(default_factory=list)
    """As the file has them: when shown, when decoded, and where."""
    corrupt: int = 0
    breaks_off: bool = False
    has_b_frames: bool = False


def read_index(container: InputContainer, stream: VideoStream, descriptor: int) -> Index | None:
    """The index of a video just opened; of length 0 if it holds no packets.

    None if it is too long to read through and does not say how long.

    The container's position changes. Errors are PyAV's: call it inside `coded_errors`.
    """
    size = os.fstat(descriptor).st_size
    scan = _scan(container, stream) if size <= SCAN_BYTES else None
    if scan is None:
        return estimated(container, stream)
    index = _exact(container, stream, scan) or counted(stream, len(scan.shown))
    declared = declared_size(descriptor, container.format.name)
    damage = _damage(scan, declared, size)
    notes = list(index.notes)
    if stream.frames and stream.frames != len(scan.shown):
        notes.append(
            f"The header promises {stream.frames} frames, the file holds {len(scan.shown)}."
        )
    notes += scan.leaps.notes() if index.kind is Times.EXACT else []
    end = promised_seconds(container, stream)
    if container.format.name in JOINED and scan.leaps.any:
        end = None  # no header said it, but the times that leap
    if end is not None and abs(end - index.seconds) > max(1.0, 0.1 * end):
        differ = f"The header promises {end:.2f} s, the pictures last {index.seconds:.2f} s."
        # Headers are often wrong. That part of a file is missing its size tells better, if it can.
        if declared is None and end > index.seconds and not damage:
            damage = differ
        else:
            notes.append(differ)
    return replace(index, notes=tuple(notes), damage=damage)


def counted(stream: VideoStream, frames: int) -> Index:
    """The index of `frames` frames at an even pace, for a file without usable times."""
    rate = pace_of(stream)
    none = np.zeros(0, np.int64)
    note = "The file has no usable timestamps: frames were counted and times assume an even pace."
    return Index(
        kind=Times.COUNTED,
        shown=np.arange(frames, dtype=np.int64),
        time_base=1 / rate,
        seconds=frames / rate,
        packets=none,
        packet_shown=none,
        packet_decoded=none,
        keys=none.astype(bool),
        notes=(note,),
    )


def _scan(container: InputContainer, stream: VideoStream) -> _Scan | None:
    """Read through the packets; None when there are too many."""
    scan = _Scan(leaps_of(container, stream))
    name = stream.codec_context.name
    look_for_b = name == "mpeg4" and container.format.name == "avi"
    for packet, is_film in scan.leaps.settled(
        _until_broken(film_and_sound(container, stream), scan)
    ):
        if not is_film:
            continue
        if len(scan.shown) >= SCAN_PACKETS:
            return None
        scan.shown.append(packet.pts)
        scan.decoded.append(packet.dts)
        scan.duration.append(packet.duration or 0)
        scan.key.append(packet.is_keyframe)
        # VP8 keeps pictures that are only leant on in packets of their own.
        scan.hidden.append(packet.is_discard or (name == "vp8" and not memoryview(packet)[0] & 16))
        scan.corrupt += packet.is_corrupt
        if look_for_b and not scan.has_b_frames:
            scan.has_b_frames = _has_b_frame(bytes(packet))
    scan.corrupt -= scan.leaps.torn
    return scan


def _until_broken(
    packets: Iterator[tuple[Packet, bool]], scan: _Scan
) -> Iterator[tuple[Packet, bool]]:
    """The packets up to the place where the container makes no more sense, noted as they are."""
    try:
        for packet, is_film in packets:
            if is_film:
                scan.given.append((packet.pts, packet.dts, packet.pos))
            yield packet, is_film
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError:
        scan.breaks_off = True


def _has_b_frame(packet: bytes) -> bool:
    """Whether an MPEG-4 packet holds a B-frame, or two frames."""
    start = packet.find(b"\0\0\1\xb6")
    is_b = 0 <= start < len(packet) - 4 and packet[start + 4] >> 6 == 2
    return is_b or packet.find(b"\0\0\1\xb6", start + 4) > 0


def _exact(container: InputContainer, stream: VideoStream, scan: _Scan) -> Index | None:
    """An index by the packets' own times; None if they cannot be what they say."""
    name = stream.codec_context.name
    made_up = times_lie(container, stream, has_b_frames=scan.has_b_frames)
    found = None if made_up else placed(scan.shown)
    if found is None or (found[1].any() and any(scan.hidden)):
        return None
    shown, without = found
    decoded = np.array(
        [s if d is None else d for s, d in zip(shown.tolist(), scan.decoded, strict=True)], np.int64
    )
    keys = np.array(scan.key, bool) & ~without
    if name not in SEEKABLE:
        keys[1:] = False
    hidden = np.array(scan.hidden, bool) | without
    # In these formats FFmpeg tells keyframes by the picture itself, not by a table that may lie.
    waits = name in WAITING and container.format.name in ("mpegts", "mpeg") and keys.any()
    torn = ~hidden & (shown < shown[keys.argmax()]) & waits
    visible = np.flatnonzero(~hidden & ~torn)
    if not len(visible):
        return None
    early = int(np.count_nonzero(torn))
    note = f"The file begins within a group of pictures: its first {early} cannot be shown."
    packets = visible[np.argsort(shown[visible])]
    frames = shown[packets]
    base = float(stream.time_base or 1 / ASSUMED_RATE)
    last = scan.duration[packets[-1]] * base or _pace(frames, base)
    if not last:  # a single frame
        last = promised_seconds(container, stream) or 1 / pace_of(stream)
    return Index(
        kind=Times.EXACT,
        shown=frames,
        time_base=base,
        seconds=float(frames[-1] - frames[0]) * base + last,
        packets=packets,
        packet_shown=shown,
        packet_decoded=decoded,
        keys=keys,
        notes=(note,) if early else (),
        given=_given(scan, shown, decoded) if scan.leaps.any else None,
    )


def _given(scan: _Scan, shown: NDArray[np.int64], decoded: NDArray[np.int64]) -> Given:
    """How the file has its packets; what it does not say is as it was put right."""
    told = zip(scan.given, shown.tolist(), decoded.tolist(), strict=True)
    rows = [(p if p is not None else s, d if d is not None else c) for (p, d, _), s, c in told]
    places = [-1 if place is None else place for _, _, place in scan.given]
    raw = np.array(rows, np.int64)
    return Given(tuple(scan.shown), raw[:, 0], raw[:, 1], np.array(places, np.int64))


def leaps_of(container: InputContainer, stream: VideoStream) -> Leaps:
    """What puts the times of a film's packets right."""
    name, joined = stream.codec_context.name, container.format.name in JOINED
    return Leaps(
        float(stream.time_base or 1 / ASSUMED_RATE),
        pace_of(stream),
        shuffled=name in REORDERING,
        joined=joined,
        made_up=container.format.name.startswith("matroska") and name in REORDERING,
        seconds=None if joined else header_seconds(container, stream),
    )


def times_lie(
    container: InputContainer, stream: VideoStream, *, has_b_frames: bool = False
) -> bool:
    """Whether FFmpeg makes the times of this kind of file up: raw streams, AVI with B-frames.

    Args:
        container: the opened file.
        stream: its picture.
        has_b_frames: whether B-frames were seen; the header of an MPEG-4 stream need not say so.
    """
    context, format_name = stream.codec_context, container.format.name
    return format_name in _RAW_STREAMS or (
        format_name == "avi"
        and context.name in REORDERING
        and (context.name != "mpeg4" or has_b_frames or bool(context.has_b_frames))
    )


def _pace(frames: NDArray[np.int64], base: float) -> float:
    """The usual time from frame to frame in seconds; 0 for a single frame."""
    return float(np.median(np.diff(frames))) * base if len(frames) > 1 else 0.0


def pace_of(stream: VideoStream) -> float:
    """Frames per second as the header says; 1000 is the time base of some files, and no rate.

    AVI has no time base but its rate, and what is recorded at high speed has a high one.
    """
    most = 10_000 if stream.container.format.name == "avi" else 240
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= most:
            return float(rate)
    return ASSUMED_RATE


def header_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """The duration in the header, from the first picture on; sound may outlast the pictures."""
    if stream.duration is not None and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / 1e6
    else:
        return None
    late = 0.0
    if container.format.name.startswith(_TELL_THE_END) and stream.start_time and stream.time_base:
        late = float(stream.start_time * stream.time_base)
    return seconds - late if 0 < late < seconds else seconds


def promised_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the pictures last by the header; None where it is about other streams as well."""
    if stream.duration is None and len(container.streams) != 1:
        return None
    return header_seconds(container, stream)


def estimated(container: InputContainer, stream: VideoStream) -> Index | None:
    """An index without reading through the file; None if its header does not say how long it is."""
    base = float(stream.time_base or 1 / ASSUMED_RATE)
    seconds = header_seconds(container, stream) or 0.0
    start = stream.start_time or 0
    entries = stream.index_entries
    if 1 < stream.frames == len(entries):  # MP4 lists every packet; MKV only some keyframes
        stamps = np.sort([entry.timestamp for entry in entries if not entry.is_discard])
        shown = stamps.astype(np.int64) - int(stamps[0]) + start
        seconds = seconds or float(shown[-1] - shown[0]) * base
    elif seconds <= 0:
        return None
    else:
        frames = max(int(seconds * pace_of(stream)), 1)
        shown = start + np.round(np.arange(frames) / pace_of(stream) / base).astype(np.int64)
    none = np.zeros(0, np.int64)
    return Index(
        kind=Times.ESTIMATED,
        shown=shown,
        time_base=base,
        seconds=seconds,
        packets=none,
        packet_shown=none,
        packet_decoded=none,
        keys=none.astype(bool),
        notes=("The file is too long to read through: its frame numbers are estimates.",),
    )


def _damage(scan: _Scan, declared: int | None, size: int) -> str:
    """What the packets and the file's size say about missing parts; empty when nothing."""
    if declared is not None and declared > size:
        return f"The file is cut off: {size} of its {declared} bytes are there."
    if scan.breaks_off:
        return f"The file makes no sense after its packet {len(scan.shown)}."
    if scan.corrupt:
        return f"Packets marked as corrupt: {scan.corrupt} of {len(scan.shown)}."
    return ""
