"""Small models for each answer to: what does a frame's vector depend on?"""

import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.video.settings import Preprocess, Resize, Sampling

ARCHITECTURE = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 16,
        "patch_size": 8,
        "width": 64,
        "layers": 1,
        "head_width": 64,
    },
    "text_cfg": {"vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
KINDS = {
    "alone": {"post": "transf"},
    "neighbours": {"post": "transf"},
    "joint": {"pre": "joint", "post": "meanp"},
    "shift": {"inner": "shift", "post": "meanp"},
}
"""On the frame, on its neighbours too (motion), on the whole window."""


def model_of(kind):
    """A model of a kind, random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = OpenClipBackbone.from_architecture(ARCHITECTURE, motion=kind == "neighbours")
        config = ModelConfig(
            backbone=BackboneConfig(
                name="small",
                architecture=ARCHITECTURE,
                motion=kind == "neighbours",
                licence="MIT",
            ),
            prompts=PromptConfig(**KINDS[kind]),
            sampling=Sampling(frames=4),
            preprocess=Preprocess(
                size=16, resize=Resize(size=18), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
            ),
            templates=("a video of {}",),
        )
        model = ActionCLIP(backbone, config).eval()
        for parameter in model.post.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        if model.pre is not None:
            torch.nn.init.normal_(model.pre.time_embedding, std=0.1)
    return model
