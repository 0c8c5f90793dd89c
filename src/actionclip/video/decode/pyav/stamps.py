"""Packets that have no time, or the time of another one, among packets that tell their times.

A recorder that is busy gives two pictures the same millisecond, and of a transmission the lines
that say the time of a picture may be lost. The times of all the others are good.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

MOST_OUT = 0.1
"""Share of the frames that may have no time of their own, or one that has passed; where there are
more of them, none of the times is believed."""


def placed(stamps: Sequence[int | None]) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """When each packet's frame is shown, [P], and which packets have no time of their own, [P].

    Those stand with the packet before them, whose frame is the one on screen.

        >>> times, without = placed([0, 40, 40, *range(80, 880, 40)])
        >>> times[:4].tolist(), without[:4].tolist()
        ([0, 40, 40, 80], [False, False, True, False])

    Returns:
        None where too many have none.
    """
    filled = list(_filled(stamps))
    if not filled or max(filled) - min(filled) >= 2**53:  # centuries: not a time but a broken file
        return None
    times = np.array(filled, np.int64)
    without = np.ones(len(times), bool)
    without[np.unique(times, return_index=True)[1]] = False
    return None if without.mean() > MOST_OUT else (times, without)


def _filled(stamps: Sequence[int | None]) -> Iterator[int]:
    """The times, with that of the packet before where one is missing; none where all are."""
    last = next((stamp for stamp in stamps if stamp is not None), None)
    for stamp in stamps:
        last = last if stamp is None else stamp
        if last is not None:
            yield last


def numbers_of(times: NDArray[np.int64]) -> tuple[dict[int, int], set[int]]:
    """The number of the first packet with each time, and the times that several have.

    Args:
        times: in the order of the file, [P].
    """
    different, first, packets = np.unique(times, return_index=True, return_counts=True)
    numbers = dict(zip(different.tolist(), first.tolist(), strict=True))
    return numbers, set(different[packets > 1].tolist())
