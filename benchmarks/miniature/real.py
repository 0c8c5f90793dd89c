"""Real clips of people: decoded here, or carried in a file to a machine that has no videos.

N clips, W windows of each, T frames, R pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import actionclip
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import score
from actionclip.training.fewshot.heads import scale_of
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest, Resize, Sampling
from miniature.arm import Arm
from miniature.learning import Counts, Pool, embed_clips, embed_labels, fit, train_settings
from miniature.scale import SIZE, SPACING, Scale

TINY, SMALL = "as tiny sees them", "as the miniature sees them"


@dataclass(frozen=True)
class RealClips:
    """Clips of a folder, and who or what they were taken from."""

    pixels: NDArray[np.uint8]
    """[N, W, T, 3, R, R]"""
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]


def decode(manifest: Manifest, sampling: Sampling, size: int) -> RealClips:
    """All clips of a manifest, squashed to a square."""
    request = ReadRequest(
        sampling=sampling, resize=Resize(mode="squash", size=size, interpolation="bilinear")
    )
    with DecodePool(1) as pool:
        clips = list(pool.read_all((manifest.source(row) for row in manifest.rows), request))
    pixels = np.stack([clip.windows() for clip in clips])
    return RealClips(
        np.ascontiguousarray(pixels.transpose(0, 1, 2, 5, 3, 4)),
        np.array([row.labels[0] for row in manifest.rows]),
        np.array([row.group.split("/")[-1] for row in manifest.rows]),
    )


def read_videos(videos: Path, which: str) -> dict[str, RealClips]:
    """`weizmann_dev` and `ucf6_dev` of a folder, `TINY` or `SMALL`."""
    from results import weizmann

    manifests = {"weizmann_dev": weizmann(videos / "weizmann_dev")}
    if which == SMALL:
        sampling, size = Sampling(rule="spaced", frames=8, spacing=SPACING * 2, windows=3), SIZE
    else:
        config = actionclip.load("tiny").model.config
        sampling, size = config.sampling, config.preprocess.size
        manifests["ucf6_dev"] = read_data(videos / "ucf6_dev").manifest
    return {name: decode(manifest, sampling, size) for name, manifest in manifests.items()}


def write(clips: RealClips, path: Path) -> None:
    """Into a file that can be carried."""
    np.savez(path, pixels=clips.pixels, labels=clips.labels, groups=clips.groups)


def load(path: Path) -> RealClips:
    """From such a file."""
    with np.load(path) as found:
        return RealClips(found["pixels"], found["labels"], found["groups"])


def zero_shot(model: ActionCLIP, clips: RealClips) -> Counts:
    """People that a model trained on rendered ones never saw, among the labels of these clips."""
    names = tuple(sorted(set(clips.labels.tolist())))
    pixels = torch.from_numpy(clips.pixels).flatten(0, 1)
    videos = embed_clips(model, pixels).unflatten(0, clips.pixels.shape[:2])
    scores = score(videos, embed_labels(model, names), scale=scale_of(model))
    answers = np.array(names)[scores.argmax(dim=1).cpu().numpy()]
    return {"weizmann_dev": (len(answers), int((answers == clips.labels).sum()), len(names))}


def fine_tune(
    start: str, clips: RealClips, arm: Arm, seed: int, scale: Scale, device: str
) -> Iterator[tuple[str, int, int]]:
    """Leave one person (or recording) out: learn from the others, test on that one.

    Yields:
        Who was left out, clips, right answers.
    """
    from results import random_towers

    names = tuple(sorted(set(clips.labels.tolist())))
    numbers = torch.tensor([names.index(label) for label in clips.labels])
    pixels, windows = torch.from_numpy(clips.pixels), clips.pixels.shape[1]
    for group in sorted(set(clips.groups.tolist())):
        held = torch.from_numpy(clips.groups == group)
        model = actionclip.load("tiny").model if start == "tiny" else random_towers(seed)
        model = model.to(device)
        pool = Pool(
            pixels[~held].flatten(0, 1).to(device),
            numbers[~held].repeat_interleave(windows).to(device),
            names=names,
        )
        settings = train_settings(arm, seed, scale, device)
        fit(model, pool, arm, settings, arm.steps(scale), lambda: 1.0)
        videos = embed_clips(model, pixels[held].flatten(0, 1)).unflatten(0, (-1, windows))
        scores = score(videos, embed_labels(model, names), scale=scale_of(model))
        right = scores.argmax(dim=1).cpu() == numbers[held]
        yield group, len(right), int(right.sum())
