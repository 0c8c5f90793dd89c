"""Videos become embeddings: decoding in worker processes while the model works on the last batch.

V views of a video (windows x crops), T frames, R input size, D embedding width.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.config import ModelConfig
from actionclip.video.decode import Clip, DecodePool
from actionclip.video.outcomes import Outcome
from actionclip.video.resize import resize
from actionclip.video.sampling import Timeline, choose_for
from actionclip.video.settings import Limits, Preprocess, ReadRequest, Sampling
from actionclip.video.sources import Source, find_videos
from actionclip.video.transforms import to_input

Video: TypeAlias = str | Path | Source | np.ndarray | Tensor
Decoder: TypeAlias = Literal["pyav", "torchcodec"]

FRAMES_AT_ONCE = 512
"""Frames in one pass through the image tower on an accelerator."""

PATCHES_AT_ONCE = 3200
"""Patches of frames in one pass on a CPU; more fall out of its caches.

Measured, bf16, milliseconds of one core for 8 frames, in passes of 8, 16, 32 and 64 frames:
ViT-B/16 (196 patches) 446, 429, 527, 657; ViT-B/32 (49 patches) 122, 112, 107, 102. Towers of
convolutions are fastest with few frames (RN50 fp32: 930 in passes of 8, 1150 of 32).
"""

ARRAY_RATE = 25.0
"""Frames per second assumed for frames that come without times."""


@dataclasses.dataclass(frozen=True)
class Views:
    """Which frames of a video the model sees, and how they are cut."""

    sampling: Sampling
    preprocess: Preprocess

    @property
    def frames(self) -> int:
        """Frames the model sees of one video, all views together."""
        return self.sampling.windows * self.sampling.frames * self.preprocess.crops

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        *,
        frames: int | None = None,
        windows: int | None = None,
        spacing: float | None = None,
        crops: Literal[1, 3] | None = None,
    ) -> "Views":
        """The model's own views, with what is given in their place."""
        sampling = config.sampling
        if spacing is not None:
            sampling = dataclasses.replace(sampling, rule="spaced", spacing=spacing)
        sampling = dataclasses.replace(
            sampling, frames=frames or sampling.frames, windows=windows or sampling.windows
        )
        preprocess = config.preprocess
        if crops is not None:
            preprocess = dataclasses.replace(preprocess, crops=crops)
        return cls(sampling, preprocess)


class VideoEncoder:
    """Encodes any number of videos in constant memory.

    The decoding workers start with the first file and stop with `close()`.
    """

    def __init__(
        self,
        model: ActionCLIP,
        *,
        workers: int | None = None,
        limits: Limits | None = None,
        decoder: Decoder = "pyav",
    ) -> None:
        self.model = model
        self._workers, self._limits, self._decoder = workers, limits or Limits(), decoder
        self._pool: DecodePool | None = None

    def encode(
        self, videos: Iterable[Video], views: Views, *, batch_size: int | None = None
    ) -> Iterator[tuple[Clip, Float[Tensor, "V D"] | None]]:
        """Each video in the order given, with its unit vectors, or None if it gave no frames."""
        clips = self._clips(videos, views)
        size = batch_size or max(1, frames_at_once(self.model) // views.frames)
        while batch := list(itertools.islice(clips, size)):
            inputs = [
                to_input(clip.windows(), views.preprocess) for clip in batch if clip.status.usable
            ]
            embeddings = iter(self._forward(inputs))
            for clip in batch:
                yield clip, next(embeddings) if clip.status.usable else None

    def _forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Encode all views of some videos at once."""
        if not inputs:
            return []
        frames = torch.cat(inputs)
        views = max(1, frames_at_once(self.model) // frames.shape[1])
        with torch.inference_mode():
            parts = [
                self.model.encode_video(part.to(self.model.device, self.model.dtype)).cpu()
                for part in frames.split(views)
            ]
        return list(torch.cat(parts).split([len(one) for one in inputs]))

    def _clips(self, videos: Iterable[Video], views: Views) -> Iterator[Clip]:
        """The frames of each video; runs of files go through the workers together."""
        request = ReadRequest(sampling=views.sampling, resize=views.preprocess.resize)
        for are_arrays, run in itertools.groupby(videos, key=_is_array):
            if are_arrays:
                for frames in run:
                    assert not isinstance(frames, (str, Path, Source))
                    yield clip_of_array(frames, request)
            else:
                yield from self._decoders().read_all(map(_source, run), request)

    def _decoders(self) -> DecodePool:
        if self._pool is None:
            self._pool = DecodePool(self._workers, limits=self._limits, decoder=self._decoder)
        return self._pool

    def close(self) -> None:
        """Stop the decoding workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def frames_at_once(model: ActionCLIP) -> int:
    """Frames in one pass through the image tower: as many as are fast."""
    if model.device.type != "cpu":
        return FRAMES_AT_ONCE
    grid = getattr(model.backbone, "grid", None)
    return 8 if grid is None else max(1, min(32, PATCHES_AT_ONCE // (grid[0] * grid[1])))


def _is_array(video: Video) -> bool:
    return isinstance(video, (np.ndarray, Tensor))


def _source(video: Video) -> Source:
    if isinstance(video, Source):
        return video
    assert isinstance(video, (str, Path))
    found = find_videos([video])
    if len(found) > 1:
        raise ActionCLIPError(
            f"{video} stands for {len(found)} videos.",
            expected="One file, or one folder of frames, was expected here.",
            hint="Make a list of it first: actionclip.find_videos([...]).",
        )
    return found[0]


def clip_of_array(frames: np.ndarray | Tensor, request: ReadRequest) -> Clip:
    """Frames already in memory, uint8 [T, H, W, 3] in RGB, sampled and resized as from a file.

    Raises:
        ActionCLIPError: for another shape or type.
    """
    array = frames.cpu().numpy() if isinstance(frames, Tensor) else np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise ActionCLIPError(
            f"A video in memory has type {array.dtype} and shape {list(array.shape)}.",
            expected="It must be uint8 of shape [T, H, W, 3]: T RGB frames of H x W pixels.",
        )
    seconds = len(array) / ARRAY_RATE
    timeline = Timeline(times=np.arange(len(array)) / ARRAY_RATE, duration=seconds)
    numbers = choose_for(request, timeline)
    distinct, index = np.unique(numbers, return_inverse=True)
    chosen = array[distinct]
    return Clip(
        source=Source(name="frames in memory", path=Path(), kind="frames"),
        status=Outcome.OK,
        frames=chosen if request.resize is None else resize(chosen, request.resize),
        index=index.reshape(numbers.shape).astype(np.int64),
        frame_numbers=numbers,
        times=timeline.times[numbers],
        seconds=seconds,
        decoder="none",
        notes=(f"no times given: {ARRAY_RATE:g} frames per second assumed",),
    )
