"""The packets of a container, whatever turns up in it."""

from collections.abc import Iterator
from contextlib import suppress

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream


def packets_of(container: InputContainer, streams: Stream | list[Stream]) -> Iterator[Packet]:
    """The packets of some streams; further streams may begin at any place of a broadcast.

    PyAV does not know those, and stumbles over them at the end of the file, where it flushes all
    streams. By then every packet that was asked for has been given.
    """
    with suppress(IndexError):
        yield from container.demux(streams)
