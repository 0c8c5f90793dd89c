"""The packets of a container, whatever turns up in it."""

from collections.abc import Iterator
from contextlib import suppress

from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream

from actionclip.video.decode.leaps import JOINED


def packets_of(container: InputContainer, streams: Stream | list[Stream]) -> Iterator[Packet]:
    """The packets of some streams; further streams may begin at any place of a broadcast.

    PyAV does not know those, and stumbles over them at the end of the file, where it flushes all
    streams. By then every packet that was asked for has been given.
    """
    with suppress(IndexError):
        yield from container.demux(streams)


def film_and_sound(container: InputContainer, film: Stream) -> Iterator[tuple[Packet, bool]]:
    """The packets of a film, True with each; the other ones are of its first sound.

    Sound is read only where it tells whether a leap of the clock is a pause.
    """
    streams = [film]
    if container.format.name in JOINED:
        streams += container.streams.audio[:1]
        for stream in streams:
            stream.discard = Discard.default
    for packet in packets_of(container, streams):
        if packet.size:
            yield packet, packet.stream is film
