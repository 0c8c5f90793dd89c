"""Draws captions into a film and keeps its sound. Runs in a decoding worker, from end to end.

The worker reads the film, draws, encodes H.264 and muxes, all of it locked in; what it may write to
is one descriptor it was handed, up to a limit. The packets of the sound are copied where the new
container can carry them, else decoded and encoded as AAC; a codec on neither list is left out.
"""

import errno
import io
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from actionclip.video.decode.packets import packets_of
from actionclip.video.decode.pyav.decoding import Decoder
from actionclip.video.decode.pyav.index import promised_seconds
from actionclip.video.decode.pyav.opening import coded_errors
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.film.reading import SIGN_OF_LIFE, Clock
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits

COPIED = {
    "mp4": frozenset("aac mp3 ac3 eac3 opus flac alac".split()),  # noqa: SIM905
    "matroska": frozenset("aac mp3 mp2 ac3 eac3 opus vorbis flac alac pcm_s16le".split()),  # noqa: SIM905
}
"""Sound that is copied, packet by packet, by container."""
DECODED = COPIED["matroska"] | frozenset(
    "mp1 pcm_s16be pcm_s24le pcm_u8 pcm_f32le pcm_mulaw pcm_alaw adpcm_ima_wav adpcm_ms "  # noqa: SIM905
    "wmav1 wmav2 amrnb amr_nb mp3float".split()
)
"""Sound that is decoded where it cannot be copied."""
AAC_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
"""Samples per second at which sound is encoded; AAC knows few."""
TICKS = 90_000
"""Of the new film's clock, a second."""
HEIGHT, ROOM = 0.075, 0.96
"""A caption's height as a share of the picture's, and the most of its width that it takes."""

PRIMING = 0.05
"""Seconds before the first picture in which a codec of sound may warm up."""
MOST_EARLY = 2000
"""Packets of sound that wait for the first picture."""
NO_ROOM = (0, errno.ENOSPC, errno.EDQUOT)
MOST_SCALED = 32
"""Captions of the film's size that are kept; more do not fit into a picture."""


@dataclass(frozen=True)
class Caption:
    """A picture that is laid over a stretch of the film."""

    start: float
    end: float
    picture: int


@dataclass(frozen=True)
class Drawn:
    """How far it is, or how it went."""

    at: float
    promised: float | None
    done: bool = False
    status: Outcome = Outcome.OK
    message: str = ""
    sound: str = ""
    """`copied`, `encoded anew as AAC`, `none`, or why it is not there."""
    full: int = 0
    """The number of the error where there was no room for the new film."""


class _NewFile(io.FileIO):
    """The new film on its way to the disk; it knows whether that was full."""

    full = 0

    def write(self, data: Any, /) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            self.full = error.errno if error.errno in NO_ROOM else 0
            raise


def draw_film(
    descriptor: int,
    output: int,
    form: str,
    captions: list[Caption],
    pictures: list[NDArray[np.uint8]],
    limits: Limits,
) -> Iterator[Drawn]:
    """Write the film with its captions; nothing in the film makes it raise.

    Args:
        descriptor: of the film, open for reading.
        output: of the new file, open for writing.
        form: the new container, a key of `COPIED`.
        captions: what is shown when.
        pictures: [h, w, 4] each, red, green, blue and how much they cover.
        limits: `pixels`, `memory` and `decoded_frames` (between two signs of life) are used.
    """
    new = _NewFile(os.dup(output), "w")
    try:
        with coded_errors(), io.BufferedWriter(new) as file:
            decoder = Decoder(descriptor, limits, sound=True)
            try:
                with av.open(file, "w", format=form) as container:
                    drawing = _Drawing(decoder, container, form, _Overlay(captions, pictures))
                    yield from drawing.run()
            finally:
                decoder.close()
        yield drawing.ending()
    except VideoError as error:
        said = error.what
        yield Drawn(0.0, None, done=True, status=error.code, message=said, full=new.full)


class _Overlay:
    """Captions, scaled to a film's size."""

    def __init__(self, captions: list[Caption], pictures: list[NDArray[np.uint8]]) -> None:
        self.captions, self.pictures = captions, pictures
        self._scaled: dict[int, NDArray[np.float32]] = {}

    def onto(self, image: NDArray[np.uint8], now: float) -> None:
        """Lay what is shown now over a picture [H, W, 3], from the bottom up."""
        height, width = image.shape[:2]
        margin = max(round(height * 0.02), 1)
        bottom = height - margin
        for caption in self.captions:
            if not caption.start <= now < caption.end:
                continue
            picture = self._fitting(caption.picture, height, width)
            top = bottom - picture.shape[0]
            if top < 0:
                return
            spot = image[top:bottom, margin : margin + picture.shape[1]]
            shown = picture[:, : spot.shape[1]]
            cover = shown[..., 3:] / 255
            spot[:] = (spot * (1 - cover) + shown[..., :3] * cover).astype(np.uint8)
            bottom = top - margin

    def _fitting(self, number: int, height: int, width: int) -> NDArray[np.float32]:
        if number not in self._scaled:
            if len(self._scaled) >= MOST_SCALED:
                self._scaled.clear()
            picture = Image.fromarray(self.pictures[number])
            scale = min(
                max(HEIGHT * height, 12) / picture.height, ROOM * width / picture.width, 4.0
            )
            size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
            resized = picture.resize(size, Image.Resampling.LANCZOS)
            self._scaled[number] = np.asarray(resized, np.float32)
        return self._scaled[number]


class _Drawing:
    """One film on its way to another."""

    def __init__(
        self, decoder: Decoder, container: OutputContainer, form: str, overlay: _Overlay
    ) -> None:
        self.decoder, self.container, self.overlay = decoder, container, overlay
        self.clock = Clock(decoder)
        self.promised = promised_seconds(decoder.container, decoder.stream)
        self.pictures = Pictures(None, decoder.limits, 1)
        self.at, self._last = 0.0, -1
        self._video: Any = None
        self.sound = _Sound(decoder, container, form)

    def run(self) -> Iterator[Drawn]:
        """Read, draw, write."""
        said = time.monotonic()
        for packet in self._packets():
            if packet.stream is self.decoder.stream:
                self._take(self.decoder.feed(packet))
            else:
                self.sound.take(packet, self.clock.start)
            if time.monotonic() - said > SIGN_OF_LIFE / 2:
                said, self.decoder.frames_decoded = time.monotonic(), 0
                yield Drawn(self.at, self.promised)
        self._take(self.decoder.drain())
        if self._video is None:
            raise self.decoder.first_error or VideoError("The file holds no frames.", Outcome.EMPTY)
        self.container.mux(self._video.encode(None))
        self.sound.finish(self.clock.start or 0.0)

    def ending(self) -> Drawn:
        """How it went."""
        message = " ".join(self.clock.complaints())
        return Drawn(
            self.at,
            self.promised,
            done=True,
            status=Outcome.DEGRADED if message else Outcome.OK,
            message=message,
            sound=self.sound.said,
        )

    def _packets(self) -> Iterator[Packet]:
        film = self.decoder.stream
        streams = [film, *self.sound.streams]
        packets = (
            (packet, packet.stream is film)
            for packet in packets_of(self.decoder.container, streams)
            if packet.size
        )
        try:
            for packet, _ in self.clock.leaps.settled(packets):
                yield packet
        except av.error.FFmpegError as error:
            if isinstance(error, av.error.MemoryError):
                raise
            self.decoder.broken.add(None)

    def _take(self, frames: list[VideoFrame]) -> None:
        """Draw frames and encode them."""
        for frame in frames:
            now = self.clock.take(frame)
            if now is None or (ticks := round(now * TICKS)) <= self._last:
                continue
            image = self.pictures.make(frame)
            height, width = (side - side % 2 for side in image.shape[:2])
            if self._video is None:
                self._video = self._encoder(width, height)
            image = np.ascontiguousarray(image[:height, :width])
            self.overlay.onto(image, now)
            drawn = av.VideoFrame.from_ndarray(image, format="rgb24")
            drawn.pts, drawn.time_base = ticks, Fraction(1, TICKS)
            self.container.mux(self._video.encode(drawn))
            self.at, self._last = now, ticks

    def _encoder(self, width: int, height: int) -> Any:
        if min(width, height) < 2:
            raise VideoError("Its picture is too small to be encoded.", Outcome.UNREADABLE)
        rate = Fraction(self.clock.rate).limit_denominator(1001)
        stream: Any = self.container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        ratio = self.decoder.stream.sample_aspect_ratio
        if ratio:  # pixels need not be square
            stream.codec_context.sample_aspect_ratio = 1 / ratio if self.pictures.turned else ratio
        # The matrix that pictures are converted with; untold, players guess by the size.
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        source = self.decoder.stream.codec_context
        stream.codec_context.color_primaries = source.color_primaries
        stream.codec_context.color_trc = source.color_trc
        stream.options = {"crf": "20", "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        self.sound.open()
        self.container.start_encoding()
        return stream


class _Sound:
    """The film's first sound, copied or encoded anew."""

    def __init__(self, decoder: Decoder, container: OutputContainer, form: str) -> None:
        self._container, self._form = container, form
        self._source: Any = next(iter(decoder.container.streams.audio), None)
        self._target: Any = None
        self._resampler: AudioResampler | None = None
        self._early: list[Packet] = []
        self._until: Fraction | None = None
        """Seconds of the new film's clock up to which there is sound."""
        self.said = "none"
        context = None if self._source is None else self._source.codec_context
        self._name = "unknown" if context is None else context.name.removesuffix("float")
        if self._source is not None:
            self._source.discard = Discard.default

    @property
    def streams(self) -> list[Any]:
        """What has to be read for it."""
        return [] if self._source is None else [self._source]

    def open(self) -> None:
        """Make the stream of the new film, before its first packet."""
        if self._source is None:
            return
        try:
            told = self._source.codec_context.sample_rate or 0
            if not told:
                self.said = f"left out: {self._name} of an unknown rate cannot be kept"
                return
            if self._name in COPIED[self._form]:
                self._target = self._container.add_stream_from_template(self._source)
                self.said = "copied"
                return
            if self._name in DECODED:
                rate = min(AAC_RATES, key=lambda rate: abs(rate - told))
                self._target = self._container.add_stream("aac", rate=rate)
                self._resampler = AudioResampler("fltp", "stereo", rate)
                self.said = "encoded anew as AAC"
                return
        except (av.error.FFmpegError, ValueError):
            self._target = None
        self.said = f"left out: {self._name} cannot be kept"

    def take(self, packet: Packet, start: float | None) -> None:
        """A packet of the sound; the film begins at `start` seconds of its own clock.

        Sound that comes before the first picture waits for it.
        """
        if start is None:
            if len(self._early) < MOST_EARLY:
                self._early.append(packet)
            return
        early, self._early = self._early, []
        for one in (*early, packet):
            self._put(one, start)

    def _put(self, packet: Packet, start: float) -> None:
        if self._target is None or packet.dts is None or not packet.time_base:
            return
        late = round(start / packet.time_base)
        if self._resampler is None:
            packet.dts -= late
            packet.pts = packet.dts if packet.pts is None else packet.pts - late
            at = packet.dts * packet.time_base
            if at >= -PRIMING and self._goes_on(at):
                packet.stream = self._target
                self._mux(packet)
            return
        try:
            frames = self._source.codec_context.decode(packet)
        except av.error.FFmpegError:
            return  # a bad packet of sound is a moment of silence
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(start / frame.time_base)
                if not self._goes_on(frame.pts * frame.time_base):
                    continue
            try:
                pieces = self._resampler.resample(frame)
            except (av.error.ArgumentError, ValueError):
                continue  # its rate or channels changed
            for piece in pieces:
                self._mux(self._target.encode(piece))

    def _goes_on(self, at: Fraction) -> bool:
        """Whether sound at `at` seconds comes after what came; the clock may go back, where two
        recordings were copied into one file.
        """
        if self._until is not None and at < self._until:
            return False
        self._until = at
        return True

    def _mux(self, packets: Packet | list[Packet]) -> None:
        """Write sound; what the container does not take is a moment of silence."""
        with suppress(av.error.ArgumentError):
            self._container.mux(packets)

    def finish(self, start: float) -> None:
        """What is still on its way."""
        for one in self._early:
            self._put(one, start)
        if self._target is None or self._resampler is None:
            return
        for piece in self._resampler.resample(None):
            self._mux(self._target.encode(piece))
        self._mux(self._target.encode(None))
