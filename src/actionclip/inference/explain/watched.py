"""A video goes through a model once more, and is looked at on the way.

W windows, T frames of a window, F their vectors (T; 1 with `joint`), N different frames, V views
(windows x crops), R input size, D embedding width, C labels (the chosen one and the runner-up).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from actionclip.encoding.encoder import Views, frames_at_once
from actionclip.inference.explain.explanation import MapKind
from actionclip.inference.explain.maps import mixes_frames, watching
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.video.decode.clip import Clip
from actionclip.video.settings import Preprocess
from actionclip.video.transforms import cut, normalise

CELLS = 6
"""Rows and columns of what is hidden, place by place, for `occlusion`."""


@dataclass(frozen=True)
class Windows:
    """What the network reads of a clip: each different frame and crop once."""

    pixels: UInt8[Tensor, "crops N 3 R R"]
    crops: tuple[int, ...]
    """Which of these crops is which; one may stand for several."""
    centre: int
    index: Int[np.ndarray, "W T"]
    """Which frame stands where."""
    preprocess: Preprocess

    @classmethod
    def of(cls, clip: Clip, views: Views) -> "Windows":
        """The windows of a clip that was read."""
        clip.raise_for_status()
        assert clip.frames is not None
        assert clip.index is not None
        cuts, crops = cut(clip.frames[None], views.preprocess)
        return cls(cuts[0], tuple(crops), crops[len(crops) // 2], clip.index, views.preprocess)

    @property
    def places(self) -> Int[np.ndarray, "V T"]:
        """Which frame stands where in every view; the crops of a window stand together."""
        return self.index.repeat(len(self.crops), axis=0)

    def numbers(self, crop: int, model: ActionCLIP) -> Float[Tensor, "N 3 R R"]:
        """The frames of one crop as the network reads them, where it is."""
        scaled = normalise(self.pixels[crop], self.preprocess)
        return scaled.to(model.device, model.dtype)


def encode_windows(model: ActionCLIP, windows: Windows) -> Float[Tensor, "V F D"]:
    """Frame vectors of all views, not of unit length; with `joint` one for a window."""
    per_crop = [encode_crop(model, windows, crop) for crop in range(len(windows.pixels))]
    chosen = torch.stack([per_crop[crop] for crop in windows.crops], dim=1)
    return chosen.flatten(0, 1)


def encode_crop(model: ActionCLIP, windows: Windows, crop: int) -> Float[Tensor, "W F D"]:
    """Frame vectors of each window, one crop."""
    return encode(model, windows.numbers(crop, model), windows.index)


def encode(
    model: ActionCLIP, frames: Float[Tensor, "N 3 R R"], index: Int[np.ndarray, "W T"]
) -> Float[Tensor, "W F D"]:
    """Frame vectors of each window; a frame that is seen alone goes through the tower once."""
    places = torch.as_tensor(index, device=frames.device)
    step = frames_at_once(model)
    if model.sees_frames_alone:
        parts = [model.encode_frames(part[:, None])[:, 0] for part in frames.split(step)]
        return torch.cat(parts)[places]
    step = max(1, step // index.shape[1])
    return torch.cat([model.encode_frames(frames[part]) for part in places.split(step)])


def pooled(model: ActionCLIP, vectors: Float[Tensor, "V F D"]) -> Float[Tensor, "V D"]:
    """Unit vectors of views, on the CPU."""
    return model.fuse(vectors).cpu()


def draw_maps(
    model: ActionCLIP, windows: Windows, kind: MapKind, labels: Float[Tensor, "C D"]
) -> Float[np.ndarray, "N rows columns C"]:
    """A map of each different frame's centre crop; of one in several windows, the mean."""
    frames = windows.numbers(windows.centre, model)
    labels = labels.to(model.device, torch.float32)
    if kind == "occlusion":
        found = _occluded(model, frames, windows.index, labels)
    else:
        found = _watched(model, frames, windows.index, kind, labels)
    places = torch.as_tensor(windows.index).flatten()
    flat = found.float().cpu().flatten(0, 1)
    sums = torch.zeros(len(frames), *flat.shape[1:]).index_add_(0, places, flat)
    counts = places.bincount(minlength=len(frames)).clamp(min=1)
    return (sums / counts[:, None, None, None]).numpy()


def _watched(
    model: ActionCLIP,
    frames: Float[Tensor, "N 3 R R"],
    index: Int[np.ndarray, "W T"],
    kind: MapKind,
    labels: Float[Tensor, "C D"],
) -> Float[Tensor, "W T rows columns C"]:
    """What the tower has for each place, window by window."""
    found = []
    with watching(model, kind) as read:
        for window in torch.as_tensor(index, device=frames.device):
            vectors = model.encode_frames(frames[window][None])
            found.append(read(vectors[0], labels))
    return torch.stack(found)


def _occluded(
    model: ActionCLIP,
    frames: Float[Tensor, "N 3 R R"],
    index: Int[np.ndarray, "W T"],
    labels: Float[Tensor, "C D"],
) -> Float[Tensor, "W T rows columns C"]:
    """What similarity is lost when one place is grey in all frames."""

    def seen(frames: Tensor) -> Tensor:
        vectors = encode(model, frames, index)
        if mixes_frames(model):
            vectors = model.fuse(vectors)[:, None]
        return similarity(vectors, labels)

    whole = seen(frames)
    edges = np.linspace(0, frames.shape[-1], CELLS + 1).round().astype(int)
    lost = []
    for top, bottom in pairwise(edges.tolist()):
        for left, right in pairwise(edges.tolist()):
            hidden = frames.clone()
            hidden[..., top:bottom, left:right] = 0  # the mean colour, after normalising
            lost.append(whole - seen(hidden))
    maps = torch.stack(lost, dim=2).unflatten(2, (CELLS, CELLS))
    return maps.expand(-1, index.shape[1], -1, -1, -1)  # one for all frames, where they are mixed


def similarity(
    vectors: Float[Tensor, "V F D"], labels: Float[Tensor, "C D"]
) -> Float[Tensor, "V F C"]:
    """Products of unit vectors of frames with labels."""
    return unit(vectors) @ labels.to(vectors.device, torch.float32).T
