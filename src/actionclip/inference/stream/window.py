"""The newest frames of a stream, and the video embedding of them, with as little work as possible.

C crops of a frame, T frames of the window, R input size, D embedding width.

Three kinds of models: where a frame's vector depends on that frame alone, each frame is encoded
once. Where it depends on its neighbours too (`model/towers/motion.py`), each is encoded once inside
the window, and its first and newest frame, which have only one neighbour, anew. Where frames see
their whole window (Joint, Shift), the window is encoded anew each time.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from actionclip.encoding.encoder import Views, frames_at_once
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.towers.motion import motion_input
from actionclip.video.transforms import cut, normalise


class RollingWindow:
    """The last T frames of a stream, seen by one model.

    Args:
        model: whose embedding it is.
        views: how many frames, and how they are cut.
    """

    def __init__(self, model: ActionCLIP, views: Views) -> None:
        self.model, self.frames = model, views.sampling.frames
        self._preprocess = views.preprocess
        self._pixels: deque[Tensor] = deque(maxlen=self.frames)  # each [C, 3, R, R], uint8
        self._vectors: deque[Tensor | None] = deque(maxlen=self.frames)  # each [C, D]
        self.encoded = 0
        """Passes of one picture through the image tower so far."""

    @property
    def full(self) -> bool:
        """Whether there are enough frames for an embedding."""
        return len(self._pixels) == self.frames

    @property
    def way(self) -> str:
        """`alone`, `neighbours` or `window`: what a frame's vector depends on."""
        model = self.model
        if model.sees_frames_alone:
            return "alone"
        return "neighbours" if model.pre is None and model.inner is None else "window"

    def restart(self) -> None:
        """Forget all frames: what comes now does not follow on them."""
        self._pixels.clear()
        self._vectors.clear()

    def add(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Take frames [H, W, 3] that follow on those before; sizes may differ."""
        for image in images[-self.frames :]:
            pixels, places = cut(image[None, None], self._preprocess)
            self._pixels.append(pixels[0, places, 0])
            self._vectors.append(None)

    def embedding(self) -> Float[Tensor, "C D"]:
        """Unit vectors of the window, one for each crop; only of a window that is `full`."""
        with torch.inference_mode():
            if self.way == "window":
                return self._anew().cpu()
            vectors = self._one_by_one() if self.way == "alone" else self._among_neighbours()
            return self.model.fuse(torch.stack(vectors, dim=1)).cpu()

    def _anew(self) -> Tensor:
        pixels = torch.stack(list(self._pixels), dim=1)  # [C, T, 3, R, R]
        self.encoded += pixels.shape[0] * pixels.shape[1]
        return self.model.encode_video(self._numbers(pixels))

    def _one_by_one(self) -> list[Tensor]:
        """The vectors of all frames, [C, D] each; encodes those that have none yet."""
        new = [place for place, vector in enumerate(self._vectors) if vector is None]
        inputs = [self._numbers(self._pixels[place]) for place in new]
        return self._completed(new, self._pictures(inputs))

    def _among_neighbours(self) -> list[Tensor]:
        """The same where a vector depends on the frames beside; the ends are made each time."""
        last = self.frames - 1
        if last == 0:
            return self._pictures([self._input(0, 1)[:, 0]])
        new = [place for place in range(1, last) if self._vectors[place] is None]
        inputs = [self._input(place - 1, place + 2)[:, 1] for place in new]
        ends = [self._input(0, 2)[:, 0], self._input(last - 1, last + 1)[:, 1]]
        *found, first, newest = self._pictures([*inputs, *ends])
        self._vectors[0], self._vectors[last] = first, newest
        vectors = self._completed(new, found)
        self._vectors[last] = None  # the next frame will be its neighbour
        return vectors

    def _completed(self, new: list[int], found: list[Tensor]) -> list[Tensor]:
        for place, vector in zip(new, found, strict=True):
            self._vectors[place] = vector
        return [vector for vector in self._vectors if vector is not None]

    def _input(self, start: int, stop: int) -> Float[Tensor, "C n 3 R R"]:
        """Some frames as the tower reads them, with their neighbours among them."""
        some = [self._pixels[place] for place in range(start, stop)]
        return motion_input(self._numbers(torch.stack(some, dim=1)))

    def _pictures(self, inputs: list[Tensor]) -> list[Tensor]:
        """Inputs [C, 3, R, R] through the tower, to [C, D] each."""
        if not inputs:
            return []
        flat = torch.cat(inputs)
        self.encoded += len(flat)
        backbone = self.model.backbone
        found = [backbone.encode_images(part) for part in flat.split(frames_at_once(self.model))]
        return list(torch.cat(found).split([len(one) for one in inputs]))

    def _numbers(self, pixels: UInt8[Tensor, "*n 3 R R"]) -> Float[Tensor, "*n 3 R R"]:
        return normalise(pixels, self._preprocess).to(self.model.device, self.model.dtype)
