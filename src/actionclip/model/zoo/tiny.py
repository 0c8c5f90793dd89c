"""`tiny`: a model that needs no download and builds in a moment, with random weights for now."""

import warnings

import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.video.settings import Preprocess, Resize, Sampling

SEED = 2109_08472

ARCHITECTURE = {
    "embed_dim": 128,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 112,
        "layers": 4,
        "width": 192,
        "head_width": 64,
        "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 128,
        "heads": 2,
        "layers": 3,
    },
}


def build_tiny() -> ActionCLIP:
    """The model `tiny`: the same random weights every time, and a warning that they are random."""
    warnings.warn(
        "the model 'tiny' has random weights: its answers mean nothing yet; choose another with "
        "--model when they should",
        UserWarning,
        stacklevel=3,
    )
    config = ModelConfig(
        backbone=BackboneConfig(name="tiny", architecture=ARCHITECTURE, licence="Apache-2.0"),
        sampling=Sampling(frames=8),
        preprocess=Preprocess(size=112, resize=Resize(size=112)),
        templates=("a video of {}",),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = ActionCLIP(OpenClipBackbone.from_architecture(ARCHITECTURE), config)
    return model.eval()
