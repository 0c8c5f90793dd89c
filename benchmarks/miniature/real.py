"""Real clips of people: decoded here, or carried in a file to a machine that has no videos.

N clips, W windows of each, T frames, R pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from results import random_towers, weizmann

from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest
from actionclip.encoding.questions import scale_and_bias
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import score
from actionclip.model.zoo.tiny import build_tiny, tiny_config
from actionclip.training.settings import TrainConfig
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest, Resize, Sampling
from miniature.arm import Arm
from miniature.learning import Counts, Pool, embed_clips, embed_labels, fit
from miniature.scale import SIZE, SPACING

SMALL = "weizmann_dev, small"
"""As models of this measurement see them; the others are as `tiny` does."""
LEFT_OUT = "one left out"


@dataclass(frozen=True)
class RealClips:
    """Clips of a folder, and who or what they were taken from."""

    pixels: NDArray[np.uint8]
    """[N, W, T, 3, R, R]"""
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]


def decode(manifest: Manifest, sampling: Sampling, size: int) -> RealClips:
    """All clips of a manifest, squashed to a square."""
    resize = Resize(mode="squash", size=size, interpolation="bilinear")
    request = ReadRequest(sampling=sampling, resize=resize)
    with DecodePool(1) as pool:
        clips = list(pool.read_all((manifest.source(row) for row in manifest.rows), request))
    pixels = np.stack([clip.windows() for clip in clips])
    return RealClips(
        np.ascontiguousarray(pixels.transpose(0, 1, 2, 5, 3, 4)),
        np.array([row.labels[0] for row in manifest.rows]),
        np.array([row.group.split("/")[-1] for row in manifest.rows]),
    )


def pack(videos: Path, path: Path) -> None:
    """Decode `weizmann_dev` and `ucf6_dev` of a folder into a file that can be carried."""
    people, sports = weizmann(videos / "weizmann_dev"), read_data(videos / "ucf6_dev").manifest
    small = Sampling(rule="spaced", frames=8, spacing=SPACING * 2, windows=3)
    config = tiny_config()
    theirs, size = config.sampling, config.preprocess.size
    middle = Sampling(rule="spaced", frames=theirs.frames, spacing=theirs.spacing)
    found = {
        SMALL: decode(people, small, SIZE),
        "weizmann_dev": decode(people, theirs, size),
        "ucf6_dev": decode(sports, middle, size),
    }
    np.savez_compressed(
        path,
        **{
            f"{name}/{part}": getattr(clips, part)
            for name, clips in found.items()
            for part in ("pixels", "labels", "groups")
        },
    )


def load(path: Path, name: str) -> RealClips:
    """From such a file."""
    with np.load(path) as found:
        return RealClips(*(found[f"{name}/{part}"] for part in ("pixels", "labels", "groups")))


def zero_shot(model: ActionCLIP, clips: RealClips) -> Counts:
    """People that a model trained on rendered ones never saw, among the labels of these clips."""
    names = tuple(sorted(set(clips.labels.tolist())))
    answers = _answers(model, torch.from_numpy(clips.pixels), names)
    right = int((np.array(names)[answers.numpy()] == clips.labels).sum())
    return {"weizmann_dev": (len(answers), right, len(names))}


@torch.no_grad()
def _answers(model: ActionCLIP, pixels: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
    """The number of the best label of each clip, the mean over its windows."""
    videos = embed_clips(model, pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    return (
        score(videos, embed_labels(model, names), scale=scale_and_bias(model)[0])
        .argmax(dim=1)
        .cpu()
    )


def fine_tune(
    arm: Arm,
    clips: RealClips,
    settings: TrainConfig,
    steps: int,
    device: str,
    time_left: Callable[[], float],
) -> tuple[Counts, int]:
    """Leave one person (or recording) out in turn: learn from the others, test on that one.

    Returns:
        Counts over all turns, and how many windows were learnt from at most.

    Raises:
        OutOfTime: when the whole measurement must end.
    """
    names = tuple(sorted(set(clips.labels.tolist())))
    numbers = torch.tensor([names.index(label) for label in clips.labels])
    pixels, windows = torch.from_numpy(clips.pixels), clips.pixels.shape[1]
    right = learnt = 0
    for group in sorted(set(clips.groups.tolist())):
        held = torch.from_numpy(clips.groups == group)
        model = random_towers(settings.seed) if arm.start == "random" else build_tiny()
        model = model.to(device)
        pool = Pool(
            pixels[~held].flatten(0, 1).to(device),
            numbers[~held].repeat_interleave(windows).to(device),
            names=names,
        )
        fit(model, pool, arm, settings, steps, time_left)
        right += int((_answers(model, pixels[held], names) == numbers[held]).sum())
        learnt = max(learnt, len(pool.labels))
    return {LEFT_OUT: (len(numbers), right, len(names))}, learnt
