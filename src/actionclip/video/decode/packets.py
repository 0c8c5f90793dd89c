"""The packets of a container, whatever turns up in it."""

from collections.abc import Iterator

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream


def packets_of(container: InputContainer, streams: Stream | list[Stream]) -> Iterator[Packet]:
    """The packets of some streams; further streams may begin at any place of a broadcast.

    PyAV stumbles over the first packet of a stream that was not there when the file was opened. It
    is none of those that were asked for, and reading goes on behind it.
    """
    while True:
        try:
            yield from container.demux(streams)
        except IndexError:
            continue
        return
