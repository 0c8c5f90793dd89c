"""A small data set of real files, and a network of two layers, for tests of the whole room."""

import torch

from actionclip.data.manifest import Manifest, Row
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.video.settings import Preprocess, Resize, Sampling
from architectures import ARCHITECTURES
from sample_videos import write_video

CLASSES = ("hop", "run", "sit", "wave")


def make_clips(folder, count=12):
    """`count` clips in turn of four classes; two of each three are for testing."""
    rows = []
    for number in range(count):
        path = write_video(folder / f"{number:02d}.mp4", frames=8, size=(32, 48), seed=number)
        split = "train" if number % 3 == 0 else "test"
        rows.append(Row(path.name, (CLASSES[number % 4],), split=split))
    return Manifest(tuple(rows), CLASSES, folder)


def two_layers(seed=0, **prompts):
    """Towers of two layers with random weights that see four frames of 32 x 32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = OpenClipBackbone.from_architecture(ARCHITECTURES["vit"])
        config = ModelConfig(
            backbone=BackboneConfig(name="two layers", architecture=ARCHITECTURES["vit"]),
            prompts=PromptConfig(**prompts),
            sampling=Sampling(frames=4),
            preprocess=Preprocess(size=32, resize=Resize(size=32)),
            templates=("a video of {}", "{}"),
        )
        return ActionCLIP(backbone, config).eval()
