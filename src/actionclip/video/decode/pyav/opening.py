"""Opening a file that may be hostile: which containers and codecs are read, and what errors mean.

FFmpeg opens the descriptor it is given and nothing else: the only protocol allowed is `fd`, and
containers that name other files (playlists, `ffconcat`, SDP) are not on the list. Containers and
codecs that hardly anyone uses are left out because most of FFmpeg's holes are found there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from actionclip.video.decode.declared import declared_size
from actionclip.video.decode.packets import packets_of
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits

FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,gif,asf,ogg,mxf,ivf,h264,hevc,m4v,obu,"
    "mjpeg,yuv4mpegpipe"
)
"""Containers that are read, by the names of FFmpeg's demuxers, with commas between."""

DECODERS = (
    "h264,hevc,vvc,mpeg4,mpeg2video,mpeg1video,msmpeg4,msmpeg4v1,msmpeg4v2,wmv1,wmv2,wmv3,vc1,"
    "vp6,vp6a,vp6f,vp8,vp9,libdav1d,av1,mjpeg,gif,flv,h263,h263p,theora,prores,dnxhd,dvvideo,"
    "ffv1,ffvhuff,huffyuv,utvideo,rawvideo,png,qtrle,cinepak,svq1,svq3,rv30,rv40,msvideo1,cfhd"
)
"""Codecs that are decoded, by the names of FFmpeg's decoders, with commas between."""

SOUND_DECODERS = "aac,mp3,mp3float,mp2,ac3,eac3,opus,flac,alac,vorbis"
"""Codecs of sound that FFmpeg may look into where sound is wanted: of a transport stream only the
packets say the rate and the channels."""

TAGS: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) > 18 else {"metadata_errors": "replace"}
)
"""For `av.open`: told nothing, PyAV 18 refuses a file with a tag that is not UTF-8. 19 reads it
and takes no such word."""

_PROBE = {"probesize": "5000000", "analyzeduration": "5000000", "max_streams": "64"}
_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails


@contextmanager
def coded_errors() -> Iterator[None]:
    """Turn whatever a decoding library raises into a `VideoError`.

    The types PyAV raises say little: a broken GIF is a PermissionError, a tag in Latin-1 a
    UnicodeDecodeError. So everything is caught; an error of ours passes through.
    """
    try:
        yield
    except VideoError:
        raise
    except (MemoryError, av.error.MemoryError):
        raise VideoError("Decoding it ran out of memory.", Outcome.MEMORY) from None
    except (av.error.PatchWelcomeError, av.error.DecoderNotFoundError) as error:
        raise VideoError(
            f"It uses a feature FFmpeg does not decode ({_said(error)}).",
            Outcome.UNSUPPORTED_CODEC,
        ) from None
    except Exception as error:
        raise VideoError(
            f"It is not a video we can read ({_said(error)}).", Outcome.UNREADABLE
        ) from None


def _said(error: BaseException) -> str:
    """FFmpeg's words without the name of the file, which is only a descriptor."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0][:200]


def open_video(
    descriptor: int, limits: Limits, *, sound: bool = False
) -> tuple[InputContainer, VideoStream]:
    """Open a file and pick its picture.

    Of several video streams it is the one FFmpeg's own tools would play. Cover art is no video.

    Args:
        descriptor: of a regular file, open for reading. It stays open and its position changes.
        limits: `pixels` is the largest picture accepted.
        sound: whether the sound is wanted, too.

    Raises:
        VideoError: with the code for what stands in the way.
    """
    more = {"max_pixels": str(limits.pixels)}
    if sound:
        more["codec_whitelist"] = f"{DECODERS},{SOUND_DECODERS}"
    with coded_errors():
        try:
            container = _open(descriptor, more)
        except av.error.ArgumentError:  # what a format outside the list ends with
            raise VideoError(
                "It is in none of the containers we read (a picture or a sound?), or damaged.",
                Outcome.UNREADABLE,
            ) from None
    try:
        with coded_errors():
            stream = _film(container, descriptor)
            _check(descriptor, stream, limits)
            for other in container.streams:
                other.discard = Discard.default if other is stream else Discard.all
            context = stream.codec_context
            context.thread_count, context.thread_type = 1, "NONE"
            context.options = {"max_pixels": str(limits.pixels)}
    except VideoError:
        container.close()
        raise
    return container, stream


def _open(descriptor: int, more: dict[str, str]) -> InputContainer:
    os.lseek(descriptor, 0, os.SEEK_SET)  # FFmpeg starts where the descriptor stands
    options = {
        "fd": str(descriptor),
        "protocol_whitelist": "fd",
        "format_whitelist": FORMATS,
        "codec_whitelist": DECODERS,
        **_PROBE,
        **more,
    }
    return av.open("fd:", mode="r", options=options, **TAGS)


def _film(container: InputContainer, descriptor: int) -> VideoStream:
    """The video stream to read."""
    films = [s for s in container.streams.video if not s.disposition & _NOT_A_FILM]
    if not films:
        size = os.fstat(descriptor).st_size
        declared = declared_size(descriptor, container.format.name)
        heard = container.streams.video or container.streams.audio
        if not heard and declared is not None and declared > size:
            raise VideoError(
                f"The file is cut off: {size} of its {declared} bytes are there, not enough to "
                "find the pictures.",
                Outcome.UNREADABLE,
            )
        what = "only a cover picture" if container.streams.video else "no video stream"
        raise VideoError(f"The file holds {what}.", Outcome.NO_VIDEO)
    best = container.streams.best("video")
    return next((film for film in films if film is best), films[0])


def _check(descriptor: int, stream: VideoStream, limits: Limits) -> None:
    """Refuse a codec we do not decode and a picture that is too large."""
    context = stream.codec_context
    if context is None:  # PyAV found no decoder
        raise VideoError("No decoder knows its codec.", Outcome.UNSUPPORTED_CODEC)
    if context.name not in DECODERS.split(","):
        raise VideoError(f"Its codec, {context.name}, is not decoded.", Outcome.UNSUPPORTED_CODEC)
    width, height = context.width, context.height
    if not width or not height:
        # A picture over `max_pixels` loses its size; without decoders the header still says it.
        with _open(descriptor, {"codec_whitelist": "none"}) as again:
            width, height = _parsed_size(again, again.streams[stream.index])
    if width * height > limits.pixels:
        raise too_large(width, height, limits)


def _parsed_size(container: InputContainer, stream: Stream) -> tuple[int, int]:
    """Width and height as the file's header says, or else as the first packet does; 0 unknown."""
    context = stream.codec_context
    if not isinstance(context, VideoCodecContext):
        return 0, 0
    if context.width:
        return context.width, context.height
    packet = next(packets_of(container, stream), None)
    return (0, 0) if packet is None else size_in(context, context.name, packet)


def size_in(context: VideoCodecContext, codec: str, packet: Packet) -> tuple[int, int]:
    """Width and height as a packet says, which a decoder may refuse; 0 unknown.

    Args:
        context: of the stream.
        codec: its name as long as it had one: FFmpeg forgets it when the decoder cannot be opened,
            and PyAV 19 ends the process that asks then.
        packet: the first one.
    """
    parser = VideoCodecContext.create(codec, "r")
    assert isinstance(parser, VideoCodecContext)
    parser.extradata = context.extradata
    parser.parse(bytes(packet))
    parser.parse(None)
    return parser.width, parser.height


def too_large(width: int, height: int, limits: Limits) -> VideoError:
    """The refusal of a picture over the limit."""
    return VideoError(
        f"Its picture is {width} x {height}, more than {limits.pixels} pixels.", Outcome.TOO_LARGE
    )


def decoder_name() -> str:
    """Name and versions of what decodes, for the record."""
    version = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return f"PyAV {av.__version__} / libavcodec {version}"
