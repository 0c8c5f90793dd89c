"""Videos become embeddings: decoding in worker processes while the model works on the last batch.

V views of a video (windows x crops), T frames, R input size, D embedding width.
"""

import dataclasses
import itertools
import math
import reprlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
from actionclip.video.settings import (
    Limits,
    Preprocess,
    ReadRequest,
    Sampling,
    check_counts,
    plain,
)
from actionclip.video.sources import Source, find_videos
from actionclip.video.transforms import cut, normalise

Video: TypeAlias = str | Path | Source | np.ndarray | Tensor
Decoder: TypeAlias = Literal["pyav", "torchcodec"]
Encoded: TypeAlias = tuple[Clip, Float[Tensor, "V D"] | None]
"""A video's frames, and the unit vectors of its views; None where it gave no frames."""

FRAMES_AT_ONCE = 512
"""Frames in one pass through the image tower on an accelerator."""

PATCHES_AT_ONCE = 3200
"""Patches of frames in one pass on a CPU; more fall out of its caches.

Measured, bf16, milliseconds of one core for 8 frames, in passes of 8, 16, 32 and 64 frames:
ViT-B/16 (196 patches) 446, 429, 527, 657; ViT-B/32 (49 patches) 122, 112, 107, 102. Towers of
convolutions are fastest with few frames (RN50 fp32: 930 in passes of 8, 1150 of 32).
"""

NEARLY = 0.05
"""Of a model's window: so little more than a number of windows takes no further one."""

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
        """The model's own views, with what is given in their place.

        Raises:
            ActionCLIPError: for a number that is none.
        """
        frames, windows, spacing, crops = map(plain, (frames, windows, spacing, crops))
        sampling = config.sampling
        if spacing is not None:
            sampling = dataclasses.replace(sampling, rule="spaced", spacing=spacing)
        sampling = dataclasses.replace(
            sampling,
            frames=sampling.frames if frames is None else frames,
            windows=sampling.windows if windows is None else windows,
        )
        preprocess = config.preprocess
        if crops is not None:
            preprocess = dataclasses.replace(preprocess, crops=crops)
        return cls(sampling, preprocess)

    def covering(self, between: tuple[float, float]) -> "Views":
        """The same for a part of a video: as many windows as it takes to see all of it.

        Args:
            between: seconds where the part begins and ends.

        Raises:
            ActionCLIPError: for a part that does not end after it begins.
        """
        start, end = between
        if not 0 <= start < end < math.inf:
            raise ActionCLIPError(
                f"The part of the video is from {start} to {end} seconds.",
                expected="It begins at 0 or later, and ends after it begins.",
            )
        spacing = self.sampling.spacing
        if spacing is None:
            return self
        windows = math.ceil((end - start) / (spacing * self.sampling.frames) - NEARLY)
        sampling = dataclasses.replace(self.sampling, windows=max(windows, 1))
        return dataclasses.replace(self, sampling=sampling)


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
        self._workers, self.limits, self.decoder = workers, limits or Limits(), decoder
        self._pool: DecodePool | None = None
        self._starting = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied, or sent to another process, an encoder will start workers of its own."""
        settings = {"workers": self._workers, "limits": self.limits, "decoder": self.decoder}
        return partial(type(self), **settings), (self.model,)

    def encode(
        self, videos: Video | Iterable[Video], views: Views, *, batch_size: int | None = None
    ) -> Iterator[Encoded]:
        """Each video in the order given, with its unit vectors, or None if it gave no frames.

        One video alone is as good as a list of one: text is a name, never letters.

        Raises:
            ActionCLIPError: for a size of batches that is none, at once.
        """
        if batch_size is not None:
            check_counts(batch_size=batch_size)
        size = batch_size or max(1, frames_at_once(self.model) // views.frames)
        alone = isinstance(videos, (str, Path, Source, np.ndarray, Tensor))
        return self._encode([videos] if alone else videos, views, size)

    def _encode(self, videos: Iterable[Video], views: Views, size: int) -> Iterator[Encoded]:
        clips = self.clips(videos, views)
        while batch := list(itertools.islice(clips, size)):
            embeddings = iter(self.forward([c for c in batch if c.status.usable], views))
            for clip in batch:
                yield clip, next(embeddings) if clip.status.usable else None

    def read(
        self, source: Source, views: Views, *, heed: Callable[[], object] | None = None
    ) -> Clip:
        """The frames of one file; for callers with threads of their own, which may share this.

        A bad file is a clip with another status than `ok`, never an exception.

        Args:
            source: which file.
            views: which frames.
            heed: called now and then meanwhile; what it raises ends the reading.
        """
        request = ReadRequest(sampling=views.sampling, resize=views.preprocess.resize)
        return self.decoders.read(source, request, heed=heed)

    def forward(self, clips: list[Clip], views: Views) -> list[Float[Tensor, "V D"]]:
        """The unit vectors of clips that have frames, read for these views, in one go."""
        if not clips:
            return []
        with torch.inference_mode():
            if self.model.sees_frames_alone:
                return _by_frames(self.model, clips, views)
            return _by_windows(self.model, clips, views)

    def clips(
        self,
        videos: Iterable[Video],
        views: Views,
        between: tuple[float, float] | None = None,
    ) -> Iterator[Clip]:
        """The frames of each video; runs of files go through the workers together.

        Args:
            videos: which.
            views: which frames of each.
            between: the seconds of the file between which they are taken; None: from all of it.

        Raises:
            ActionCLIPError: for seconds outside the stretch that a video's `start` and `end` name.
        """
        start, end = map(plain, between or (None, None))
        request = ReadRequest(
            sampling=views.sampling, resize=views.preprocess.resize, start=start, end=end
        )
        for are_arrays, run in itertools.groupby(videos, key=_is_array):
            if are_arrays:
                for frames in run:
                    assert not isinstance(frames, (str, Path, Source))
                    yield clip_of_array(frames, request)
            else:
                sources = (_inside(single_source(video), between) for video in run)
                yield from self.decoders.read_all(sources, request)

    @property
    def decoders(self) -> DecodePool:
        """The decoding workers; their processes start when there is work."""
        with self._starting:
            if self._pool is None:
                self._pool = DecodePool(self._workers, limits=self.limits, decoder=self.decoder)
            return self._pool

    def close(self) -> None:
        """Stop the decoding workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _by_frames(model: ActionCLIP, clips: list[Clip], views: Views) -> list[Tensor]:
    """Each crop of each frame goes through the tower once; windows are made of what comes out."""
    crops = [cut(_frames(clip)[None], views.preprocess) for clip in clips]
    pixels = [different[0] for different, _ in crops]  # of each clip [crops, N, 3, R, R]
    shapes = [one.shape[:2] for one in pixels]
    flat = torch.cat([one.flatten(0, 1) for one in pixels])
    found = [
        model.encode_frames(_numbers(part, views, model)[:, None])[:, 0]
        for part in flat.split(frames_at_once(model))
    ]
    per_clip = torch.cat(found).split([places * frames for places, frames in shapes])
    windows = []
    for clip, (_, places), shape, embeddings in zip(clips, crops, shapes, per_clip, strict=True):
        of_crop = embeddings.unflatten(0, shape)[places]
        index = torch.as_tensor(clip.index, device=of_crop.device)
        windows.append(of_crop[:, index].transpose(0, 1).flatten(0, 1))  # [V, T, D]
    parts = torch.cat(windows).split(max(1, frames_at_once(model)))
    fused = torch.cat([model.fuse(part).cpu() for part in parts])
    return list(fused.split([len(one) for one in windows]))


def _by_windows(model: ActionCLIP, clips: list[Clip], views: Views) -> list[Tensor]:
    """Each crop of each different window goes through the network; frames see their window."""
    pixels, which = [], []
    for clip in clips:
        assert clip.index is not None
        different, place = np.unique(clip.index, axis=0, return_inverse=True)
        cuts, crops = cut(_frames(clip)[different], views.preprocess)
        first = torch.as_tensor(place).reshape(-1, 1) * cuts.shape[1]
        which.append((first + torch.tensor(crops)).flatten())
        pixels.append(cuts.flatten(0, 1))
    flat = torch.cat(pixels)
    found = [
        model.encode_video(_numbers(part, views, model)).cpu()
        for part in flat.split(max(1, frames_at_once(model) // flat.shape[1]))
    ]
    per_clip = torch.cat(found).split([len(one) for one in pixels])
    return [embeddings[places] for embeddings, places in zip(per_clip, which, strict=True)]


def _frames(clip: Clip) -> np.ndarray:
    assert clip.frames is not None
    return clip.frames


def _numbers(pixels: Tensor, views: Views, model: ActionCLIP) -> Tensor:
    """Pixels as the network reads them, where it is."""
    return normalise(pixels, views.preprocess).to(model.device, model.dtype)


def frames_at_once(model: ActionCLIP) -> int:
    """Frames in one pass through the image tower: as many as are fast."""
    if model.device.type != "cpu":
        return FRAMES_AT_ONCE
    grid = getattr(model.backbone, "grid", None)
    return 8 if grid is None else max(1, min(32, PATCHES_AT_ONCE // (grid[0] * grid[1])))


def _is_array(video: Video) -> bool:
    return isinstance(video, (np.ndarray, Tensor))


def _inside(source: Source, between: tuple[float, float] | None) -> Source:
    """The same video, if the part that is meant lies in the stretch it names."""
    start, end = source.start or 0.0, math.inf if source.end is None else source.end
    if between is not None and not start <= between[0] < between[1] <= end:
        raise ActionCLIPError(
            f"The part from {between[0]:g} to {between[1]:g} seconds is not in {source.name}.",
            expected=f"Seconds of the file, from {start:g}"
            + (" on." if end == math.inf else f" to {end:g}."),
        )
    return source


def single_source(video: Video) -> Source:
    """The one file or folder that a video stands for.

    Raises:
        ActionCLIPError: when it stands for several, or is no name at all.
    """
    if isinstance(video, Source):
        return video
    if not isinstance(video, (str, Path)):
        is_content = isinstance(video, (bytes, bytearray, memoryview))
        raise ActionCLIPError(
            f"A video is {f'{len(video):,} bytes' if is_content else reprlib.repr(video)}.",
            expected="A file, a folder of frames, or frames as uint8 [T, H, W, 3] were expected.",
            hint="What is in memory as a file can be written to one, and that named.",
        )
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
    array = array_of(frames)
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


def array_of(frames: np.ndarray | Tensor) -> np.ndarray:
    """Frames in memory as NumPy has them.

    Raises:
        ActionCLIPError: for another shape or type than uint8 [T, H, W, 3].
    """
    array = frames.cpu().numpy() if isinstance(frames, Tensor) else np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise ActionCLIPError(
            f"A video in memory has type {array.dtype} and shape {list(array.shape)}.",
            expected="It must be uint8 of shape [T, H, W, 3]: T RGB frames of H x W pixels.",
            hint=_how_to_turn(array),
        )
    return array


def _how_to_turn(array: np.ndarray) -> str:
    """How what other programs give becomes such frames."""
    shape = array.shape
    if array.size and array.ndim == 3 and shape[-1] == 3:
        return "A list is one of videos. Frames of one video are one array: np.stack(frames)."
    if array.size and array.ndim == 4 and shape[-1] != 3 and 3 in shape[:2]:
        turned = "transpose(0, 2, 3, 1)" if shape[1] == 3 else "transpose(1, 2, 3, 0)"
        return f"Colours come last: np.asarray(frames).{turned}."
    if array.size and array.ndim == 4 and shape[-1] == 3 and array.dtype.kind == "f":
        return "Where 1.0 is white: (np.asarray(frames) * 255).round().astype(np.uint8)."
    return ""
