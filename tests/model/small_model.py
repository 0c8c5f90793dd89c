"""A model small enough to be saved hundreds of times."""

import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.video.settings import Preprocess, Resize, Sampling

ARCHITECTURE = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 16,
        "patch_size": 8,
        "width": 64,
        "layers": 1,
        "head_width": 64,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408 // 64,
        "width": 64,
        "heads": 1,
        "layers": 1,
    },
}


def small_model(seed=0, **prompts):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = OpenClipBackbone.from_architecture(ARCHITECTURE)
        config = ModelConfig(
            backbone=BackboneConfig(name="small", architecture=ARCHITECTURE, licence="MIT"),
            prompts=PromptConfig(**prompts),
            sampling=Sampling(frames=4),
            preprocess=Preprocess(size=16, resize=Resize(size=18)),
            templates=("a video of {}",),
        )
        return ActionCLIP(backbone, config).eval()
