"""Heads on frozen towers: every clip goes through the image tower once, and its frames are kept.

N clips, T frames, D embedding width.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from actionclip.encoding.questions import scale_and_bias
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.training.fewshot.heads import Shots, train_head
from actionclip.video.transforms import as_input
from miniature.actions import SETS
from miniature.arm import Arm
from miniature.clips import Clips, times
from miniature.learning import AT_ONCE, Counts, ask, embed_labels
from miniature.scale import FRAMES, Scale
from miniature.towers import build, stage_1

LABELS = "moves"
"""What heads learn."""


@torch.no_grad()
def embed(arm: Arm, seed: int, folder: Path, train: Clips, test: Clips, device: str) -> None:
    """Keep the frames of the clips that heads learn from and are tested on.

    Only towers without differences: a frame is then the same however many are around it.
    """
    model = build(replace(arm, frames=FRAMES, prompt="meanp"), seed, folder, device).eval()
    found = {
        "train": _frames(model, train.part(SETS[LABELS], FRAMES, "cpu")[0]),
        "labels": train.part(SETS[LABELS], FRAMES, "cpu")[1],
        "test": _frames(model, test.part(SETS["all"], FRAMES, "cpu")[0]),
    }
    place = embedded(arm, seed, folder)
    torch.save(found, place.with_suffix(".part"))
    place.with_suffix(".part").rename(place)


def embedded(arm: Arm, seed: int, folder: Path) -> Path:
    """Where the frames are kept."""
    return stage_1(arm, seed, folder).with_suffix(".frames.pt")


def _frames(model: ActionCLIP, pixels: Tensor) -> Tensor:
    found = []
    for part in pixels.split(AT_ONCE):
        frames = as_input(part, model.config.preprocess, model.device)
        with torch.autocast(model.device.type, torch.bfloat16, model.device.type != "cpu"):
            found.append(model.encode_frames(frames).float().cpu())
    return torch.cat(found)


def learn_head(
    arm: Arm, seed: int, folder: Path, test: Clips, scale: Scale, device: str
) -> tuple[ActionCLIP, Counts]:
    """Train the prompt of an arm on kept frames, and test it."""
    model = build(arm, seed, folder, device).eval()
    kept = torch.load(embedded(arm, seed, folder), weights_only=True)
    seen = times(arm.frames)
    shots = Shots(kept["train"][:, None, seen].to(device), kept["labels"].to(device))
    texts = embed_labels(model, SETS[LABELS])
    if any(True for _ in model.post.parameters()):
        steps = train_head(
            *(model.post, shots, texts, scale_and_bias(model)[0]),
            **{"steps": (arm.steps(scale),), "lr": arm.rate, "batch_size": arm.batch(scale)},
            seed=seed,
        )
        list(steps)
    with torch.no_grad():
        videos = unit(model.post.eval()(kept["test"][:, seen].to(device)))
    labels = torch.from_numpy(test.labels).to(device)
    return model, ask(model, videos, labels, arm.tests, arm.labels)
