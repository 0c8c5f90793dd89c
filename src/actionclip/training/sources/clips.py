"""Files as examples: decoded in worker processes, cut and coloured by chance, replaced when broken.

An example depends on nothing but the seed, the index, the epoch and what is in the files. One that
cannot be read is replaced by another one, and which one is a function of the same numbers: a run
that resumes sees the same. C labels, T frames, R input size.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.config import ModelConfig
from actionclip.training.run.batches import Example
from actionclip.training.sources.failures import Failures
from actionclip.video.augment import Augment, augment, resize_before
from actionclip.video.decode import Clip, DecodePool
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import ReadRequest, Sampling
from actionclip.video.sources import Source

ATTEMPTS = 50
"""Other clips that are tried in the place of one that cannot be read."""

TRANSIENT = (Outcome.TIMEOUT, Outcome.MEMORY, Outcome.CRASHED)
"""What may have been the machine's fault: such a file is read once more."""


@dataclass(frozen=True)
class Entry:
    """One clip before it is read."""

    source: Source
    label: int | Float[Tensor, " C"] = 0
    text: str | None = None
    """A sentence about it; None: a template filled with its label."""
    start: float | None = None
    end: float | None = None


@runtime_checkable
class Entries(Protocol):
    """Clips by number."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of the labels; none where the clips have sentences of their own."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Entry:
        """The clip of a number; raises VideoError when there is nothing to read."""
        ...

    def name(self, index: int) -> str:
        """What a person calls it."""
        ...


class Clips:
    """A `ClipSource` of files.

    Args:
        entries: what there is.
        config: the model's: frames, size.
        chance: what happens to the pixels.
        seed: decides all that is drawn.
        random_frames: draw the frames of each part (and where `spaced` windows begin) instead of
            taking those of a test.
        failures: where files that cannot be read are counted.
        decoders: decoding processes; None: one a processor, at most eight.
    """

    def __init__(
        self,
        entries: Entries,
        config: ModelConfig,
        chance: Augment,
        *,
        seed: int,
        random_frames: bool,
        failures: Failures,
        decoders: int | None = None,
    ) -> None:
        self.entries, self.chance, self.seed = entries, chance, seed
        self.preprocess = config.preprocess
        self.resize = resize_before(config.preprocess, chance)
        self.sampling = training_sampling(config.sampling, random_frames)
        self.random_frames = random_frames
        self.failures = failures
        self.pool = DecodePool(decoders)
        self._threads = ThreadPoolExecutor(self.pool.workers, "actionclip-clips")

    @property
    def labels(self) -> Sequence[str]:
        """The names of the labels, in the order of their numbers."""
        return self.entries.labels

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: tuple[int, int], /) -> Example:
        """The example of an index (0 to len - 1) as augmented for an epoch (from 0).

        Raises:
            ActionCLIPError: when too many files cannot be read.
        """
        index, epoch = key
        for attempt in range(ATTEMPTS):
            place = self._stand_in(index, epoch, attempt)
            clip, entry = self._read(place, index, epoch)
            if clip.status.usable and entry is not None:
                pixels = clip.windows()[0]
                seed = (self.seed, epoch, index, 2)
                frames = augment(pixels, self.preprocess, self.chance, seed)
                return Example(frames, entry.label, entry.text)
            self.failures.add(self.entries.name(place), clip)
        raise ActionCLIPError(
            f"{ATTEMPTS} clips in a row could not be read, the last one "
            f"{self.entries.name(index)}.",
            hint="See what `actionclip data inspect` says about the data.",
        )

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Example]:
        """Several examples, read side by side; what torch's `DataLoader` asks for a batch."""
        return list(self._threads.map(self.__getitem__, keys))

    def close(self) -> None:
        """End the decoding processes; what is being read is given up."""
        self.pool.close()
        self._threads.shutdown(cancel_futures=True)

    def _stand_in(self, index: int, epoch: int, attempt: int) -> int:
        """Which clip is read for an index: itself, then others by chance."""
        if attempt == 0:
            return index
        rng = np.random.default_rng([self.seed, epoch, index, attempt, 3])
        return int(rng.integers(len(self)))

    def _read(self, place: int, index: int, epoch: int) -> tuple[Clip, Entry | None]:
        seed = np.random.SeedSequence([self.seed, epoch, index, 1]).generate_state(1)[0]
        try:
            entry = self.entries[place]
        except VideoError as error:
            nothing = Source(self.entries.name(place), path=Path())
            return Clip(nothing, error.code, error.what, advice=error.hint), None
        request = ReadRequest(
            sampling=self.sampling,
            resize=self.resize,
            start=entry.start,
            end=entry.end,
            seed=int(seed) if self.random_frames else None,
        )
        clip = self.pool.read(entry.source, request)
        if clip.status in TRANSIENT:
            clip = self.pool.read(entry.source, request)
        return clip, entry


def training_sampling(sampling: Sampling, random_frames: bool) -> Sampling:
    """One window, its frames by chance or as in a test."""
    rule = sampling.rule
    if rule != "spaced":
        rule = "random" if random_frames else "centres"
    return Sampling(rule=rule, frames=sampling.frames, spacing=sampling.spacing, windows=1)


def one_hot(numbers: Sequence[int], labels: int) -> Float[Tensor, " C"]:
    """Ones at some places of zeros."""
    vector = torch.zeros(labels)
    vector[list(numbers)] = 1
    return vector
