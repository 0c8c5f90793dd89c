"""A whole film becomes vectors of sliding windows: every frame is decoded once and encoded once.

P points of a time grid, T frames in a model window, V views of a window (model windows x crops), D
embedding width, N windows, R input size.

Frames lie on a grid in time. What the tower makes of a frame is kept until the last window that
holds it has been put together, so cost grows with the frames and not with how far windows overlap,
and memory does not grow with the film but for one vector of each window and view, or what a
question that is known before makes of it. A picture that stays, as a slide does, is encoded once.

Two kinds of model see more than a frame. One whose tower sees how a frame differs from its
neighbours (`actionclip.model.towers.motion`) gets the real neighbours, one model spacing before and
after, for every frame; its own windows have none at their two edges. With `joint` and `shift` a
frame's vector depends on its window: nothing can be kept, and each window goes through the tower by
itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from actionclip.encoding.encoder import frames_at_once
from actionclip.encoding.grid import Grid, Places
from actionclip.encoding.kept import Points, Rows, Stills, repeats
from actionclip.model.actionclip import ActionCLIP
from actionclip.video.film.part import Part
from actionclip.video.settings import GridRequest, Preprocess
from actionclip.video.transforms import cut, normalise

_TINY = 1e-6
HEADS_AT_ONCE = 64
"""Windows that are put together in one pass: the visual prompt is small."""

WHOLE_WINDOWS = (
    "This model's visual prompt lets the frames of a window see each other: every window was "
    "encoded by itself, at the cost of its overlap."
)
NEIGHBOURS = (
    "The first and the last frame of a window were compared with the frames before and after it; "
    "in a clip of its own they have no such neighbour."
)


Look = Callable[[Float[Tensor, "n V D"]], Tensor]
"""What is wanted of some windows, where it is known before: [n, ...], a row for each."""


@dataclass(frozen=True)
class Windows:
    """The vectors of a film's windows, and what a reader would want to know of the film."""

    start: Float[np.ndarray, " N"]
    """Seconds."""
    end: Float[np.ndarray, " N"]
    made: tuple[Tensor, ...]
    """Of each window in turn, some at a time: its unit vectors [n, V, D], float32 on the CPU, or
    what a `Look` made of them."""
    frames: int
    """How many frames were encoded (of `joint` and `shift`: as often as they were)."""
    ending: Part
    """How reading it went."""
    spacing: float
    """Seconds between frames on the grid."""
    notes: tuple[str, ...] = ()

    @property
    def vectors(self) -> Tensor:
        """What was made of the windows, [N, ...]; put together anew each time."""
        return torch.cat(self.made)

    def each(self, look: Look) -> Tensor:
        """What a look makes of all windows, [N, ...], the same as if it had been there before."""
        return torch.cat([look(some) for some in self.made])

    @property
    def nbytes(self) -> int:
        """Bytes of what was made of the windows."""
        return sum(some.nbytes for some in self.made)

    @property
    def seconds(self) -> float:
        """How long the film is, or how far it could be read."""
        return float(self.end[-1]) if len(self.end) else 0.0


def encode_film(
    model: ActionCLIP,
    grid: Grid,
    preprocess: Preprocess,
    parts: Iterator[Part],
    again: Callable[[GridRequest], Iterator[Part]],
    look: Look | None = None,
) -> Windows:
    """A film to its windows.

    How long a film is is known for certain at its end. Where it turns out to be shorter than a
    window over which a model spreads its frames, it is read once more, and they are spread over
    what there is of it, as in a clip of its own.

    Args:
        model: what encodes.
        grid: where windows lie.
        preprocess: from a frame to the network's input.
        parts: the film, read as the grid asks.
        again: reads it anew.
        look: what is kept of the windows in place of their vectors.
    """
    found = FilmEncoder(model, grid, preprocess, look).encode(parts)
    if grid.even or not 0 < found.seconds < grid.window - _TINY:
        return found
    short = replace(grid, window=found.seconds, spacing=found.seconds / grid.frames, every=1)
    whole = FilmEncoder(model, short, preprocess, look).encode(again(short.request(preprocess)))
    if not len(whole.start):  # it was taken away in between
        return found
    return replace(whole, frames=found.frames + whole.frames)


class FilmEncoder:
    """Turns the parts of one film into windows.

    Args:
        model: what encodes.
        grid: where windows lie.
        preprocess: from a frame to the network's input.
        look: what is kept of the windows in place of their vectors.
    """

    def __init__(
        self, model: ActionCLIP, grid: Grid, preprocess: Preprocess, look: Look | None = None
    ) -> None:
        self.model, self.grid, self.preprocess, self.look = model, grid, preprocess, look
        self.encoded = 0
        """Frames that went through the image tower."""
        self._kept, self._made = Points(), Rows()
        self._near = Points()  # pixels, for models that see a frame's neighbours
        self._shown = Points()  # which picture that is, by `Stills`
        self._stills = Stills()
        self._newest: Tensor | None = None
        """What the frame before became."""
        self._count = 0
        """Windows so far, but for one that ends where the film does."""
        self._last: int | None = None
        """The point at which that one begins."""
        self._places: Places | None = None
        self._crops: list[int] = [0]

    def encode(self, parts: Iterator[Part]) -> Windows:
        """Read a film to its end; a film without a single frame gives no windows."""
        with torch.inference_mode():
            for part in parts:
                self._places = self._places or Places(self.grid, part.spacing)
                if part.frames is not None:
                    self._take(part.frames, part.index)
                    self._put_together()
                if part.done:
                    self._finish()
                    return self._windows(part)
        raise AssertionError("the last part of a film says that it is the last")

    def _take(self, frames: UInt8[np.ndarray, "M H W 3"], index: Int[np.ndarray, " P"]) -> None:
        """Frames become rows: vectors, or pixels where the model needs whole windows."""
        cuts, self._crops = cut(frames[None], self.preprocess)
        pixels = cuts[0].transpose(0, 1)  # [M, Cd, 3, R, R]
        if self.model.sees_window:
            self._kept.add(pixels[index])
        elif self.model.sees_frames_alone:
            self._kept.add(self._encode_changes(pixels)[index])
        else:
            self._near.add(pixels[index])
            self._shown.add(self._stills.number(pixels)[index])
            self._encode_near(self._near.until - self.grid.every)

    def _encode_near(self, until: int) -> None:
        """Encode the points before `until` that were not yet, each with its two neighbours; a
        picture that stays once.
        """
        every, first = self.grid.every, self._kept.until
        at_once = frames_at_once(self.model)
        if until <= first:
            return
        again = repeats(self._shown.at(np.arange(self._shown.first, until + every)).numpy(), every)
        points = np.arange(first, until)
        again = again[first - self._shown.first :][: len(points)]
        found: dict[int, Tensor] = {}
        for phase in range(min(every, len(points))):
            mine = points[phase::every][~again[phase::every]]
            for start in range(0, len(mine), at_once):
                found |= self._among_neighbours(mine[start : start + at_once])
        for point in points[again].tolist():
            before = point - every
            found[point] = found[before] if before in found else self._kept.at(np.array(before))
        self._kept.add(torch.stack([found[point] for point in points.tolist()]))
        self._near.forget_before(until - every)
        self._shown.forget_before(until - 2 * every)

    def _among_neighbours(self, mine: NDArray[np.int64]) -> dict[int, Tensor]:
        """The vectors of points that follow on each other but for repeated ones, [Cd, D] each."""
        every = self.grid.every
        # Where the film begins or ends a frame is its own neighbour: nothing changes.
        before = mine[:1] - every if mine[0] >= every else mine[:1]
        after = mine[-1:] + every if mine[-1] + every < self._near.until else mine[-1:]
        around = np.concatenate([before, mine, after])
        pixels = self._near.at(around).transpose(0, 1)  # [Cd, P + 2, 3, R, R]
        self.encoded += pixels.shape[0] * len(mine)
        vectors = self.model.backbone.encode_inner(self._numbers(pixels)).transpose(0, 1)
        return dict(zip(mine.tolist(), vectors, strict=True))

    def _encode_changes(self, pixels: UInt8[Tensor, "M Cd 3 R R"]) -> Float[Tensor, "M Cd D"]:
        """The vectors of frames; one that is the same as that before has the same."""
        last, numbers = self._stills.last, self._stills.number(pixels)
        new = numbers.diff(prepend=torch.tensor([last])) != 0
        parts = [] if self._newest is None else [self._newest]
        parts += [self._encode(pixels[new])] if new.any() else []
        vectors = torch.cat(parts)[numbers - max(last, 0)]
        self._newest = vectors[-1:].clone()
        return vectors

    def _encode(self, pixels: UInt8[Tensor, "M Cd 3 R R"]) -> Float[Tensor, "M Cd D"]:
        flat = pixels.flatten(0, 1)
        self.encoded += len(flat)
        found = [
            self.model.encode_frames(self._numbers(part)[:, None])[:, 0]
            for part in flat.split(frames_at_once(self.model))
        ]
        return torch.cat(found).unflatten(0, pixels.shape[:2])

    def _numbers(self, pixels: Tensor) -> Tensor:
        return normalise(pixels, self.preprocess).to(self.model.device, self.model.dtype)

    def _put_together(self) -> None:
        """The windows that are complete by now."""
        places, count = self._places, self._count
        assert places is not None
        while places.start(self._count) + places.length <= self._kept.until:
            self._count += 1
        if self._count > count:
            self._add(places.starts(count, self._count))
        self._kept.forget_before(min(places.start(self._count), self._kept.until - places.length))

    def _finish(self) -> None:
        """What was waiting for a neighbour, and a last window that ends where the film does."""
        places = self._places
        assert places is not None
        if self._near.rows is not None:
            self._encode_near(self._near.until)
            self._put_together()
        if self._kept.rows is None:
            return
        if self._kept.until < places.length:  # the film is shorter: the window is all of it
            seconds = self._kept.until * places.spacing
            places = self._places = Places(replace(self.grid, window=seconds), places.spacing)
        last = max(self._kept.until - places.length, 0)
        if not self._count or places.start(self._count - 1) < last:
            self._last = last
            self._add(np.array([last], np.int64))

    def _add(self, starts: NDArray[np.int64]) -> None:
        assert self._places is not None
        points = self._places.of(starts)  # [N, model windows, T]
        begins, which = np.unique(points[..., 0], return_inverse=True)
        inside = points[0, 0] - points[0, 0, 0]
        vectors = self._vectors(begins[:, None] + inside)  # [model windows, C, D]
        chosen = vectors[torch.as_tensor(which).reshape(len(starts), -1)]
        self._keep(chosen.flatten(1, 2))

    def _keep(self, vectors: Float[Tensor, "n V D"]) -> None:
        self._made.add(vectors if self.look is None else self.look(vectors))

    def _vectors(self, points: NDArray[np.int64]) -> Float[Tensor, "W C D"]:
        """Unit vectors of model windows [W, T]."""
        at_once = HEADS_AT_ONCE
        if self.model.sees_window:
            at_once = max(1, frames_at_once(self.model) // self.grid.frames)
        found = []
        for start in range(0, len(points), at_once):
            rows = self._kept.at(points[start : start + at_once])  # [w, T, Cd, ...]
            windows = rows.transpose(1, 2).flatten(0, 1)  # [w * Cd, T, ...]
            if self.model.sees_window:
                self.encoded += windows.shape[0] * windows.shape[1]
                fused = self.model.encode_video(self._numbers(windows))
            else:
                fused = self.model.fuse(windows)
            found.append(fused.unflatten(0, (len(rows), -1))[:, self._crops].cpu())
        return torch.cat(found)

    def _windows(self, ending: Part) -> Windows:
        places = self._places
        assert places is not None
        until = self._kept.until * places.spacing
        seconds = until if ending.seconds is None else ending.seconds
        starts = places.starts(0, self._count)
        if self._last is not None:
            starts = np.append(starts, self._last)
        begin = (starts * places.spacing).clip(0, seconds)
        end = ((starts + places.length) * places.spacing).clip(0, seconds)
        if len(end):
            end[-1] = seconds
        if not len(starts):
            self._keep(torch.zeros(0, 1, self.model.backbone.embed_dim))
        notes = list(self.grid.notes)
        if self.model.sees_window:
            notes.append(WHOLE_WINDOWS)
        elif not self.model.sees_frames_alone:
            notes.append(NEIGHBOURS)
        return Windows(
            start=begin,
            end=end,
            made=self._made.parts(),
            frames=self.encoded,
            ending=ending,
            spacing=places.spacing,
            notes=(*notes, *ending.notes),
        )
