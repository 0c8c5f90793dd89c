"""The process that plays a stream: it opens it, locks itself in, and sends the frames wanted.

A file, standard input and what a web server sends come as an open descriptor, after the door is
locked; so does the address of an RTSP camera, which this process calls itself, for FFmpeg's RTSP
takes no descriptor: it may make TCP connections to that one port and nothing else. A camera of this
machine is opened before the door is locked: it is a device, and nobody's file.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from actionclip.video.decode.packets import film_and_sound, packets_of
from actionclip.video.decode.pyav.index import leaps_of, times_lie
from actionclip.video.decode.pyav.opening import (
    DECODERS,
    FORMATS,
    TAGS,
    coded_errors,
    size_in,
    too_large,
)
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.decode.workers import sandbox
from actionclip.video.decode.workers.protocol import Channel
from actionclip.video.decode.workers.worker import libraries, load_the_rest, silence
from actionclip.video.live.messages import (
    Ended,
    Picture,
    PlayRequest,
    play_from,
    send_end,
    send_picture,
)
from actionclip.video.live.pace import Pace
from actionclip.video.live.sources import camera_format
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits

LIVE_FORMATS = f"{FORMATS},mpjpeg"
"""Containers that are read from files, pipes and web servers; `mpjpeg` is what web cameras send."""

WITHOUT_CLOCK = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "mpegvideo", "m4v", "obu"})
"""Containers without times: what FFmpeg makes up for them is not the camera's pace."""

LONGEST_WAIT = 2.0
"""Seconds a file may make us wait between two frames; a hole is not played out."""

_FEW = 5
"""Frames that may be without a time before a stream counts as having no clock."""
_PROBE = {"probesize": "1000000", "analyzeduration": "1000000", "fpsprobesize": "0"}
_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails


class Opened(NamedTuple):
    """A stream and its picture."""

    container: InputContainer
    film: VideoStream
    clocked: bool
    """Whether its frames have times of their own."""


def main(start: dict[str, Any]) -> None:
    """Play one stream until it ends or the parent hangs up; never returns.

    Args:
        start: the socket's descriptor, the parent's process id and the limits; `camera` (a device
            to open) or `port` (of an RTSP camera).
    """
    channel = Channel(socket.socket(fileno=start["socket"]))
    limits = Limits(**start["limits"])
    silence()
    try:
        load_the_rest()
        camera = None
        if start.get("camera") is not None:
            try:
                camera = open_camera(start["camera"], limits)
            except VideoError as error:
                camera = error
        report = sandbox.enter(memory=limits.memory, parent=start["parent"], port=start.get("port"))
        channel.send({"sandbox": report, "libraries": libraries()})
        header, file = channel.receive_with_file()
        request = play_from(header)
        player = Player(channel, request, limits)
        send_end(channel, _play_all(player, request, file, camera))
    except ConnectionError:
        pass  # the parent is gone
    os._exit(0)


def _play_all(
    player: "Player", request: PlayRequest, file: int | None, camera: Opened | VideoError | None
) -> Ended:
    """Play what there is; how it ended."""
    limits = player.limits
    code, reason = Outcome.OK, ""
    try:
        if isinstance(camera, VideoError):
            raise camera
        if request.address is not None:
            opened = open_address(request.address, request.patience, limits)
        elif file is not None:
            opened = open_descriptor(file, limits)
        else:
            assert camera is not None
            opened = camera
        with coded_errors():
            player.play(opened)
    except ConnectionError:
        raise
    except VideoError as error:
        code, reason = error.code, error.what
    except MemoryError:
        code, reason = Outcome.MEMORY, "Decoding it ran out of memory."
    return Ended(code, reason, player.seen, player.broken)


def open_descriptor(descriptor: int, limits: Limits) -> Opened:
    """Open a file or a pipe; FFmpeg sees this descriptor and nothing else.

    Raises:
        VideoError: with the code for what stands in the way.
    """
    options = {
        "fd": str(descriptor),
        "protocol_whitelist": "fd",
        "format_whitelist": LIVE_FORMATS,
        **_common(limits),
    }
    with coded_errors():
        try:
            container = av.open("fd:", options=options, **TAGS)
        except av.error.ArgumentError:  # what a format outside the list ends with
            raise VideoError(
                "It is in none of the containers we watch. Is it a picture, a sound, or a "
                "playlist (HLS, DASH), which only names other addresses?",
                Outcome.UNREADABLE,
            ) from None
    return _with_film(container, limits)


def open_address(address: str, patience: float, limits: Limits) -> Opened:
    """Call an RTSP camera, with all its packets over the one TCP connection.

    Raises:
        VideoError: with the code for what stands in the way.
    """
    options = {
        "rtsp_transport": "tcp",
        "timeout": str(round(patience * 1e6)),
        "protocol_whitelist": "rtsp,rtp,tcp",
        "format_whitelist": "rtsp",
        **_common(limits),
    }
    with coded_errors():
        try:
            container = av.open(address, options=options, **TAGS)
        except (ConnectionError, TimeoutError, av.error.ExitError) as error:
            raise VideoError(f"It cannot be reached ({error.strerror}).", Outcome.TIMEOUT) from None
    return _with_film(container, limits)


def open_camera(device: str, limits: Limits) -> Opened:
    """Open a camera of this machine.

    Raises:
        VideoError: with the code for what stands in the way.
    """
    with coded_errors():
        try:
            container = av.open(device, format=camera_format(), options=_common(limits))
        except OSError as error:  # the parent adds what to do
            said = {
                errno.ENOENT: f"There is no camera at {device}.",
                errno.EACCES: f"Opening the camera at {device} is not permitted: your user may "
                "have to be in the group `video`.",
                errno.EBUSY: f"The camera at {device} is busy.",
            }
            other = f"The camera at {device} gives no pictures ({error.strerror})."
            raise VideoError(said.get(error.errno or 0, other), Outcome.UNREADABLE) from None
    return _with_film(container, limits)


def _common(limits: Limits) -> dict[str, str]:
    return {
        "codec_whitelist": DECODERS,
        "max_streams": "64",
        "max_pixels": str(limits.pixels),
        **_PROBE,
    }


def _with_film(container: InputContainer, limits: Limits) -> Opened:
    """Pick the picture, as FFmpeg's own tools would, and check it."""
    with coded_errors():
        films = [s for s in container.streams.video if not s.disposition & _NOT_A_FILM]
        if not films:
            raise VideoError("The stream holds no video.", Outcome.NO_VIDEO)
        best = container.streams.best("video")
        film = next((each for each in films if each is best), films[0])
        context = film.codec_context
        if context is None:
            raise VideoError("No decoder knows its codec.", Outcome.UNSUPPORTED_CODEC)
        if context.name not in DECODERS.split(","):
            raise VideoError(
                f"Its codec, {context.name}, is not decoded.", Outcome.UNSUPPORTED_CODEC
            )
        for other in container.streams:
            other.discard = Discard.default if other is film else Discard.all
        context.thread_count, context.thread_type = 1, "NONE"
        context.options = {"max_pixels": str(limits.pixels)}
        named = set(container.format.name.split(","))
        clocked = not WITHOUT_CLOCK & named and not times_lie(container, film)
    return Opened(container, film, clocked)


class Player:
    """Sends the frames that are wanted of one stream."""

    def __init__(self, channel: Channel, request: PlayRequest, limits: Limits) -> None:
        self.limits = limits
        self._channel, self._request = channel, request
        self._pace = Pace(request.spacing)
        self._pictures: Pictures | None = None
        self._shape: tuple[int, int, int] | None = None
        self._start: float | None = None
        self._last = 0.0
        self.seen = self.broken = 0

    @property
    def is_file(self) -> bool:
        """Whether it can be read ahead."""
        return self._request.speed is not None

    def play(self, opened: Opened) -> None:
        """Send the frames wanted until the stream ends.

        Raises:
            VideoError: when not one frame came of it, or the pictures are too large.
            ConnectionError: the parent is gone.
        """
        rate = float(opened.film.guessed_rate or 25)
        without, told = 0 if opened.clocked else _FEW + 1, False
        for frame, read in _frames(opened, self):
            self.seen += 1
            stamp = None
            if without <= _FEW and frame.pts is not None and frame.time_base:
                stamp, told = float(frame.pts * frame.time_base), True
            elif told and self.is_file:
                continue  # damage took its time from it
            elif without <= _FEW and not self.is_file:
                without += 1  # the first of a camera in the network have none; two clocks in turn
                continue  # would be worse than a frame less
            elif self.is_file:
                without = _FEW + 1
                stamp = self.seen / rate
            self.show(frame, stamp, read)
        if not self.seen:
            broken = f" (damaged packets: {self.broken})" if self.broken else ""
            raise VideoError(f"Not one frame came of it{broken}.", Outcome.EMPTY)

    def show(self, frame: VideoFrame, stamp: float | None, read: float) -> None:
        """Send a frame if it is wanted; of a file, when it is its turn.

        Args:
            frame: the next one.
            stamp: its time on the stream's own clock.
            read: when the last of it had been read, on the clock of `time.monotonic`.
        """
        if not self._pace.wants(read if stamp is None else stamp):
            return
        if self._request.speed:
            assert stamp is not None  # files without times are numbered
            read = self._turn(stamp, self._request.speed)
        shape = (frame.width, frame.height, frame.rotation)
        if self._pictures is None or shape != self._shape:  # it may change at any time
            self._pictures = Pictures(self._request.resize, self.limits, 1)
            self._shape = shape
        image = self._pictures.make(frame)
        age = max(time.monotonic() - read, 0.0)
        send_picture(self._channel, Picture(image, stamp, age, self.seen, self.broken))

    def _turn(self, stamp: float, speed: float) -> float:
        """Wait until it is this frame's turn; when that was."""
        now = time.monotonic()
        if self._start is None:
            self._start = now - stamp / speed
        turn = self._start + stamp / speed
        longest = max(LONGEST_WAIT, 2 * self._request.spacing / speed)
        if not -longest < turn - now < longest:  # a hole, or a clock that went back
            self._start, turn = now - stamp / speed, now
        time.sleep(max(turn - now, 0.0))
        return max(turn, now)


def _frames(opened: Opened, player: Player) -> Iterator[tuple[VideoFrame, float]]:
    """The frames, each with when it had been read; what does not decode is counted."""
    film, codec = opened.film, opened.film.codec_context.name
    packets = _packets(opened, is_file=player.is_file)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            player.broken += 1
            return  # the stream broke off
        if packet is None:
            return
        read = time.monotonic()
        try:
            frames = film.decode(packet)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            player.broken += 1
            if not player.seen:
                _check_size(film, codec, packet, player.limits)
            continue
        for frame in frames:
            yield frame, read


def _packets(opened: Opened, *, is_file: bool) -> Iterator[Packet]:
    """The packets of the picture, and at last an empty one.

    Of a file they come with times that do not leap.
    """
    container, film, clocked = opened
    if not (is_file and clocked):
        yield from packets_of(container, film)
        return
    for packet, is_film in leaps_of(container, film).settled(film_and_sound(container, film)):
        if is_film:
            yield packet
    last = Packet()  # an empty one: the decoder gives what it still holds
    if film.time_base is not None:
        last.time_base = film.time_base  # what those frames count in
    yield last


def _check_size(film: VideoStream, codec: str, packet: Packet, limits: Limits) -> None:
    """A decoder refuses a picture that is too large as it refuses a damaged one."""
    width, height = size_in(film.codec_context, codec, packet)
    if width * height > limits.pixels:
        raise too_large(width, height, limits)
