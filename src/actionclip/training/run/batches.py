"""Batches whose order and texts depend on nothing but the seed, the epoch and the rank.

No iterator is ever saved: a run that resumes in the middle of an epoch makes the order again and
goes on where it was. B videos, T frames, R input size, L tokens, C labels.
"""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from actionclip.data.example import Example
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.prompts.text import make_prompts, read_templates
from actionclip.training.ranks import Ranks
from actionclip.training.settings import TrainConfig

AHEAD = 2
"""Batches that are prepared while the model computes."""

LEAVE = 5.0
"""Seconds that the end of an epoch, or of the run, waits for a batch that is being read."""


@runtime_checkable
class ClipSource(Protocol):
    """Videos to train on. The same index and epoch must always give the same example."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of the labels, in the order of their numbers."""
        ...

    def __len__(self) -> int:
        """How many videos an epoch has."""
        ...

    def __getitem__(self, key: tuple[int, int], /) -> Example:
        """The example of an index (0 to len - 1) as augmented for an epoch (from 0)."""
        ...


@dataclass(frozen=True)
class Batch:
    """What goes into one step."""

    frames: UInt8[Tensor, "B T 3 R R"] | Float[Tensor, "B T 3 R R"]
    """Pixels, normalised where the model is (a quarter of the bytes to move), or numbers."""
    labels: Int64[Tensor, " B"] | Float[Tensor, "B C"]
    tokens: Int[Tensor, "B L"]
    text_labels: Int64[Tensor, " B"]
    """The label that each sentence names; -1 in a batch of captions."""

    def rows(self, start: int, end: int) -> "Batch":
        """Some of the videos."""
        return Batch(*(getattr(self, field.name)[start:end] for field in fields(self)))


def order(clips: int, batch_size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Which videos each step of an epoch sees: [steps, batch_size].

    Raises:
        ActionCLIPError: when there are fewer videos than a batch needs.
    """
    if clips < batch_size:
        raise ActionCLIPError(
            f"There are {clips} videos to train on, and a batch has {batch_size}.",
            expected="At least one whole batch.",
            hint=f"Set batch_size = {max(clips, 1)} or less.",
        )
    shuffled = np.random.default_rng([seed, epoch]).permutation(clips)
    steps = clips // batch_size
    return shuffled[: steps * batch_size].reshape(steps, batch_size)


class Texts:
    """Sentences about labels: every template with every label, tokenised once."""

    def __init__(self, model: ActionCLIP, labels: Sequence[str], settings: TrainConfig) -> None:
        own = settings.templates
        self.templates = read_templates(own) if own else model.config.templates
        prompts = make_prompts(labels, self.templates, clean_labels=model.config.clean_labels)
        if labels:  # captions bring their own sentences
            self.table = model.tokenize(list(prompts.sentences))
        self.model, self.labels, self.seed = model, labels, settings.seed

    def draw(self, index: int, epoch: int, label: int | Tensor) -> tuple[int, int]:
        """A row of the table for a video in an epoch, and the label that it names."""
        rng = np.random.default_rng([self.seed, epoch, index])
        template = int(rng.integers(len(self.templates)))
        if isinstance(label, Tensor):
            present = label.nonzero().flatten().tolist()
            if not present:
                raise ActionCLIPError(f"Video {index} has no label.", expected="At least one.")
            label = present[int(rng.integers(len(present)))]
        return template * len(self.labels) + int(label), int(label)


class Batches:
    """The batches of this rank.

    Args:
        source: the videos.
        texts: what is said about their labels.
        settings: batch size, seed, workers.
        ranks: which share of each batch is ours.

    Raises:
        ActionCLIPError: when the batch cannot be shared out, or is larger than the source.
    """

    def __init__(
        self,
        source: ClipSource,
        texts: Texts,
        settings: TrainConfig,
        ranks: Ranks,
    ) -> None:
        if settings.batch_size % (ranks.world * settings.accumulate):
            raise ActionCLIPError(
                f"A batch of {settings.batch_size} cannot be shared by {ranks.world} processes in "
                f"{settings.accumulate} equal parts each.",
                hint="Choose a batch_size that is a multiple of processes x accumulate.",
            )
        self.source, self.texts = source, texts
        self.settings, self.ranks = settings, ranks
        self.steps_per_epoch = len(order(len(source), settings.batch_size, settings.seed, 0))

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Our batches of an epoch from a step on, prepared ahead."""
        settings, ranks = self.settings, self.ranks
        share = settings.batch_size // ranks.world
        rows = order(len(self.source), settings.batch_size, settings.seed, epoch)[start:]
        ours = rows[:, ranks.rank * share : (ranks.rank + 1) * share]
        keys = [[(index, epoch) for index in row] for row in ours.tolist()]
        loader = DataLoader(
            cast(Dataset[Any], self.source),
            batch_sampler=_Given(keys),
            collate_fn=list,
            num_workers=settings.workers,
            generator=torch.Generator(),  # or each iterator would draw from the global one
        )
        ready = (self.collate(row, batch) for row, batch in zip(keys, loader, strict=True))
        with contextlib.closing(_in_thread(ready)) as ahead:
            yield from ahead

    def collate(self, keys: Sequence[tuple[int, int]], examples: Sequence[Example]) -> Batch:
        """One batch of examples, with a sentence for each."""
        pixels = torch.stack([torch.as_tensor(example.frames) for example in examples])
        labels = torch.stack([torch.as_tensor(example.label) for example in examples])
        captions = [example.text for example in examples if example.text is not None]
        if len(captions) == len(examples):
            tokens = self.texts.model.tokenize(captions)
            named = torch.full((len(examples),), -1)
        elif captions:
            raise ActionCLIPError("Some videos of a batch have a text and others have none.")
        else:
            drawn = [
                self.texts.draw(index, epoch, example.label)
                for (index, epoch), example in zip(keys, examples, strict=True)
            ]
            tokens = self.texts.table[[row for row, _ in drawn]]
            named = torch.tensor([label for _, label in drawn])
        labels = labels.long() if labels.ndim == 1 else labels.float()
        if self.texts.model.device.type == "cuda":
            pixels = pixels.pin_memory()  # so that copying it waits for nothing
        return Batch(pixels, labels, tokens, named)


class _Given:
    """A sampler of batches that are already decided."""

    def __init__(self, keys: list[list[tuple[int, int]]]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


def _in_thread(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same, read a little ahead by a thread that ends when nobody listens any more."""
    ready: queue.Queue[Any] = queue.Queue(AHEAD)
    left = threading.Event()

    def put(item: object) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in batches:
                if not put(item):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=read, name="actionclip-batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        thread.join(LEAVE)  # a daemon: what it still reads does not keep anybody waiting
