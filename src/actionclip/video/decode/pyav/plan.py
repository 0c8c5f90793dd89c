"""Where to start decoding, and where to stop, to see some frames of a video. No video is opened.

Packets are counted in the order they lie in the file, which is the order they are decoded in and
not the order they are shown in. Decoding may begin at a keyframe only. What costs time is the
number of packets decoded, so the plan leaves out whatever lies between the last frame wanted so
far and the keyframe that leads to the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Stretch:
    """Packets to decode one after the other, from a keyframe to the last frame wanted."""

    start: int
    """The keyframe's packet. Packets after it that are shown before it (leading pictures of an
    open group) need an earlier keyframe and are left out, unless the file begins here."""
    wanted: tuple[int, ...]
    """The packets whose frames are wanted, ascending."""

    @property
    def last(self) -> int:
        """The last packet to decode."""
        return self.wanted[-1]


def plan(wanted: Iterable[int], shown: NDArray[np.int64], keys: NDArray[np.bool_]) -> list[Stretch]:
    """Stretches that together hold the wanted packets, and decode the fewest.

    Args:
        wanted: packets whose frames are wanted.
        shown: presentation time of each packet, [P], any unit, no two the same.
        keys: whether decoding may begin at the packet, [P].

        >>> shown = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7])
        >>> plan([1, 8], shown, np.array([1, 0, 0, 1, 0, 0, 1, 0, 0], bool))
        [Stretch(start=0, wanted=(1,)), Stretch(start=6, wanted=(8,))]
    """
    entries = np.flatnonzero(keys)
    stretches: list[tuple[int, list[int]]] = []
    for packet in sorted(set(wanted)):
        start, joined = entry(packet, shown, entries), [packet]
        # A leading picture may begin before the stretch of a packet that lies before it.
        while stretches and start <= stretches[-1][1][-1] + 1:
            earlier, packets = stretches.pop()
            start, joined = min(start, earlier), packets + joined
        stretches.append((start, joined))
    return [Stretch(start, tuple(packets)) for start, packets in stretches]


def entry(packet: int, shown: NDArray[np.int64], entries: NDArray[np.int64]) -> int:
    """The last keyframe from which `packet` decodes exactly; 0 when none does.

    That keyframe lies no later in the file and is shown no later: a picture that is decoded after
    a keyframe and shown before it may lean on pictures before that keyframe.
    """
    for candidate in entries[: np.searchsorted(entries, packet, side="right")][::-1]:
        if shown[candidate] <= shown[packet]:
            return int(candidate)
    return 0


def nearest_entries(
    frames: NDArray[np.int64], packets: NDArray[np.int64], keys: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The keyframes nearest to some frames, both as frame numbers, same shape as `frames`.

    Args:
        frames: frame numbers.
        packets: the packet of each frame of the video, [N].
        keys: whether decoding may begin at a packet, [P].
    """
    entries = np.flatnonzero(keys[packets])
    if not len(entries):
        return np.zeros_like(frames)
    right = np.searchsorted(entries, frames).clip(0, len(entries) - 1)
    left = (right - 1).clip(0)
    closer = np.abs(entries[left] - frames) <= np.abs(entries[right] - frames)
    return np.where(closer, entries[left], entries[right]).astype(np.int64)
