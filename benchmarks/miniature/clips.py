"""Rendered clips in one array that all arms share, made once by many processes.

N clips, T frames, R pixels, L tokens.
"""

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.model.towers.text_tower import tokenize_clip
from miniature.actions import SETS
from miniature.processes import forked
from miniature.scale import CONTEXT, FRAMES, SIZE, SPACING, TEST_SEED, TRAIN_SEED, Scale

_ACROSS = ("frames.npy", "labels.npy", "tokens.npy")


def people(count: int, seed: int) -> People:
    """Who is rendered: half well filmed, a quarter of what happens once seen in part."""
    return People(
        PeopleConfig(
            clips=count,
            frames=FRAMES,
            size=SIZE,
            spacing=SPACING,
            easy=0.5,
            cut=0.25,
            captions=0.7,
            seed=seed,
        )
    )


@dataclass
class Clips:
    """Clips of all actions, on disk and shared by the processes that read them."""

    folder: Path
    frames: NDArray[np.uint8]
    """[N, T, 3, R, R]"""
    labels: NDArray[np.int64]
    """Numbers in `SETS["all"]`, [N]"""
    tokens: NDArray[np.int64]
    """A sentence about each, [N, L]"""
    _kept: dict[object, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def rows(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The clips of some actions, in the order they were made."""
        return np.flatnonzero(np.isin(self.labels, [SETS["all"].index(name) for name in names]))

    def drawn(self, names: Sequence[str], shots: int, seed: int) -> NDArray[np.int64]:
        """A few clips of each action, others for each seed; the more shots, the same and more."""
        found = []
        for name in names:
            rows = self.rows([name])
            found.append(np.random.default_rng([seed, len(rows)]).permutation(rows)[:shots])
        return np.sort(np.concatenate(found))

    def part(
        self,
        names: Sequence[str],
        frames: int,
        device: str,
        *,
        rows: NDArray[np.int64] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [n, t, 3, R, R], labels as numbers in `names` [n], tokens [n, L]; on the device.

        The part asked for last is kept.
        """
        chosen = self.rows(names) if rows is None else rows
        key = tuple(names), frames, device, chosen.tobytes()
        if key not in self._kept:
            self._kept.clear()
            if device != "cpu":  # parts differ in size: what is kept for later would add up
                torch.cuda.empty_cache()
            place = {SETS["all"].index(name): i for i, name in enumerate(names)}
            labels = torch.tensor([place[int(n)] for n in self.labels[chosen]])
            pixels = torch.from_numpy(self.frames[chosen[:, None], times(frames)])
            tokens = torch.from_numpy(self.tokens[chosen])
            self._kept[key] = pixels.to(device), labels.to(device), tokens.to(device)
        return self._kept[key]


def times(frames: int) -> list[int]:
    """Which of the rendered frames an arm of fewer frames sees.

    >>> times(4), times(1)
    ([2, 6, 10, 14], [8])
    """
    step = FRAMES // frames
    return list(range(step // 2, FRAMES, step))


def render(scale: Scale, folder: Path, processes: int) -> dict[str, float]:
    """Make the clips to learn from and to test on; returns what it took."""
    began = time.monotonic()
    train, test = scale.rendered
    for name, count, seed in (("train", train, TRAIN_SEED), ("test", test, TEST_SEED)):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        shapes = ((count, FRAMES, 3, SIZE, SIZE), (count,), (count, CONTEXT))
        for file, shape, kind in zip(_ACROSS, shapes, ("uint8", "int64", "int64"), strict=True):
            np.lib.format.open_memmap(place / file, "w+", np.dtype(kind), shape)
        cuts = np.linspace(0, count, min(processes, count) + 1).astype(int).tolist()
        forked(
            _render_part,
            [(place, count, seed, *ends) for ends in itertools.pairwise(cuts)],
        )
    took = {"clips": train + test, "seconds": round(time.monotonic() - began, 1)}
    (folder / "rendered.json").write_text(json.dumps(took))
    return took


def _render_part(place: Path, count: int, seed: int, start: int, stop: int) -> None:
    torch.set_num_threads(1)
    frames, labels, tokens = (np.lib.format.open_memmap(place / f, "r+") for f in _ACROSS)
    source = people(count, seed)
    for index in range(start, stop):
        example = source[index, 0]
        assert example.text is not None
        frames[index] = np.asarray(example.frames)
        labels[index] = int(example.label)
        tokens[index] = tokenize_clip([example.text], CONTEXT)[0].numpy()


def read(folder: Path) -> Clips:
    """Clips that were rendered."""
    frames, labels, tokens = (np.load(folder / f, mmap_mode="c") for f in _ACROSS)
    return Clips(folder, frames, np.asarray(labels), np.asarray(tokens))
