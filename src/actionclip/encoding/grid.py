"""Where the windows of a film lie on points in time, before and after the film's rate is known.

T frames in a model window, N windows.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionclip.encoding.encoder import NEARLY
from actionclip.errors import ActionCLIPError
from actionclip.model.config import ModelConfig
from actionclip.video.settings import GridRequest, Preprocess, plain

_TINY = 1e-6
LEAST, MOST = 0.001, 86_400.0
"""Seconds of a window or a stride: less than any frame, more than any scene."""


@dataclass(frozen=True)
class Grid:
    """How windows lie on points in time, before the film's rate is known."""

    spacing: float
    """Seconds between points."""
    even: bool
    """Whether points keep to whole frames."""
    frames: int
    """T."""
    every: int
    """Points from frame to frame of a window; above 1 where windows begin more densely."""
    window: float
    """Seconds of a window."""
    stride: float
    """Seconds from one window to the next."""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: ModelConfig, *, window: float, stride: float) -> "Grid":
        """The grid of a model: its own spacing if it has one, else frames spread over the window.

        Raises:
            ActionCLIPError: for a window or stride that is not above zero, or senseless.
        """
        window, stride = plain(window), plain(stride)
        for name, value in (("window", window), ("stride", stride)):
            if not LEAST <= value <= MOST:
                raise ActionCLIPError(
                    f"The {name} is {value} seconds.",
                    expected=f"It must be above 0: from {LEAST:g} s to a day.",
                )
        sampling, notes = config.sampling, []
        own = sampling.spacing
        spacing = window / sampling.frames if own is None else own
        span = spacing * sampling.frames
        if own is not None and window < span - _TINY:
            notes.append(f"This model sees {span:g} s at a time: windows are {span:g} s long.")
            window = span
        every = max(1, math.ceil(spacing / stride - _TINY))
        return cls(
            spacing=spacing / every,
            even=own is not None,
            frames=sampling.frames,
            every=every,
            window=window,
            stride=stride,
            notes=tuple(notes),
        )

    def request(self, preprocess: Preprocess) -> GridRequest:
        """What to ask a film reader for."""
        return GridRequest(spacing=self.spacing, even=self.even, resize=preprocess.resize)


class Places:
    """Where windows stand on a film's own grid, whose spacing may differ a little."""

    def __init__(self, grid: Grid, spacing: float) -> None:
        self.spacing, self.every, self.frames = spacing, grid.every, grid.frames
        self.stride = max(grid.stride, spacing)  # or two windows would begin at one point
        self.span = grid.frames * grid.every
        """Points of a model window."""
        whole = max(round(grid.window / spacing), self.span) if grid.even else self.span
        views = math.ceil(whole / self.span - NEARLY)
        self.offsets = np.unique(np.linspace(0, whole - self.span, max(views, 1)).round()).astype(
            np.int64
        )
        """Where the model windows of a window begin, in points after it: several where a window is
        longer than what the model sees at a time."""
        self.length = int(self.offsets[-1]) + self.span
        """Points of a window."""

    def start(self, number: int) -> int:
        """The point at which a window begins."""
        return round(number * self.stride / self.spacing)

    def starts(self, first: int, until: int) -> NDArray[np.int64]:
        """The points at which some windows begin."""
        return np.array([self.start(number) for number in range(first, until)], np.int64)

    def of(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The points of windows that begin at some points, [N, model windows, T]."""
        inside = self.offsets[:, None] + self.every * np.arange(self.frames)
        return starts[:, None, None] + inside
