"""What is kept while a film is read: the points of windows still to come, and what windows became.

n rows at a time, P points.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK_BYTES = 1 << 22
"""Of rows that are kept together."""


@dataclass
class Points:
    """What windows are made of: one row for each point, from `first` on."""

    first: int = 0
    rows: Tensor | None = None

    @property
    def until(self) -> int:
        """The point after the last one."""
        return self.first + (0 if self.rows is None else len(self.rows))

    def add(self, rows: Tensor) -> None:
        """The rows of the points that come next, [n, ...]."""
        self.rows = rows if self.rows is None else torch.cat([self.rows, rows])

    def forget_before(self, point: int) -> None:
        """No window needs what lies before a point any more."""
        if self.rows is not None and point > self.first:
            self.rows = self.rows[point - self.first :].clone()  # not a view of what it forgets
            self.first = point

    def at(self, points: NDArray[np.int64]) -> Tensor:
        """The rows at points, [*points, ...]; after the end the last one is repeated."""
        assert self.rows is not None
        places = (points - self.first).clip(0, len(self.rows) - 1)
        return self.rows[torch.as_tensor(places, device=self.rows.device)]


class Stills:
    """Tells pictures that are the same as the one before: slides, screens, a camera that waits."""

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self.last = -1
        """The number of the picture before; -1 where there is none."""

    def number(self, pictures: Tensor) -> Tensor:
        """A number for each of the next pictures, [M, ...], the same where nothing changes, [M]."""
        before = pictures[:1] if self._before is None else self._before
        changes = (torch.cat([before, pictures[:-1]]) != pictures).flatten(1).any(dim=1)
        numbers = max(self.last, 0) + changes.cumsum(0)
        self._before, self.last = pictures[-1:].clone(), int(numbers[-1])
        return numbers


def repeats(numbers: NDArray[np.int64], step: int) -> NDArray[np.bool_]:
    """Which points are the same as those a step before, and so are the neighbours of both, [P].

        >>> repeats(np.array([0, 0, 0, 0, 0, 1]), 1).tolist()
        [False, False, True, True, False, False]

    Args:
        numbers: which picture is at each point, [P].
        step: points from neighbour to neighbour.
    """
    beyond = np.full(step, -1)
    before = np.concatenate([beyond, numbers])[: len(numbers)]
    after = np.concatenate([numbers, beyond])[step:]
    still = (numbers == before) & (numbers == after)
    return still & np.concatenate([np.zeros(step, bool), still])[: len(numbers)]


class Rows:
    """Rows for as long as the film is read, a few at a time, in blocks of memory.

    Thousands of small tensors that stay would lie between the large ones that come and go, and the
    memory between them could not be used again: a process grew by 130 MiB in a film of three hours
    of which it kept 0.4 MiB.
    """

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []
        self._full: list[list[int]] = []
        """Of each block, after how many rows each addition ended."""

    def add(self, rows: Tensor) -> None:
        """More rows, [n, ...] on the CPU; they are copied."""
        used = self._full[-1][-1] if self._full else 0
        if not self._blocks or used + len(rows) > len(self._blocks[-1]):
            a_row = max(rows.element_size() * math.prod(rows.shape[1:]), 1)
            size = max(BLOCK_BYTES // a_row, len(rows))
            self._close()
            self._blocks.append(rows.new_empty((size, *rows.shape[1:])))
            self._full.append([])
            used = 0
        self._blocks[-1][used : used + len(rows)] = rows
        self._full[-1].append(used + len(rows))

    def _close(self) -> None:
        """Give back what the last block has left."""
        if self._blocks:
            self._blocks[-1] = self._blocks[-1][: self._full[-1][-1]].clone()

    def parts(self) -> tuple[Tensor, ...]:
        """All rows, as they were added; nothing may be added afterwards."""
        self._close()
        found = []
        for block, ends in zip(self._blocks, self._full, strict=True):
            found += block.tensor_split(ends[:-1])
        return tuple(found)
