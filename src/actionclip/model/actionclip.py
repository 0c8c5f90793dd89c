"""ActionCLIP: two towers, and prompts that make pictures into videos and labels into sentences.

B videos, T frames, R input size, K sentences, L context length, D embedding width.

The names of a state dict:

    backbone.clip.*      the towers, as open_clip and OpenAI name them
    pre.time_embedding   the table of times of `joint`
    post.*               the post-network prompt, as the authors name it
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.backbone import Backbone
from actionclip.model.config import ModelConfig, PromptConfig
from actionclip.model.prompts.inner import INNER
from actionclip.model.prompts.post import POST, HeadSize
from actionclip.model.prompts.pre import PRE


class ActionCLIP(nn.Module):
    """Video and text to embeddings of one space (paper section 3).

    Args:
        backbone: the towers. They belong to this model from now on: prompts hook into them.
        config: which prompts, and all else a model folder decides. The towers are taken as they
            are; `config.backbone` is not read.

    Raises:
        ActionCLIPError: for prompts that do not go together or do not fit the towers.
    """

    rounded = False
    """Whether weights were rounded so that it computes faster: what it has is then not what it was
    loaded with, and `save` refuses it."""

    def __init__(self, backbone: Backbone, config: ModelConfig) -> None:
        super().__init__()
        prompts = config.prompts
        check_combination(prompts.pre, prompts.inner, prompts.post)
        if backbone.prompts:
            raise ActionCLIPError(
                "These towers already carry the visual prompt of another model.",
                hint="Build new towers for each model.",
            )
        self.config = config
        self.backbone = backbone
        visual = backbone.visual
        frames = config.sampling.frames
        check_positions(prompts, frames)
        with torch.device(backbone.device):
            self.pre = self.inner = None
            if prompts.pre != "none":
                self.pre = PRE[prompts.pre](visual, rows=prompts.positions or frames)
                backbone.attach(self.pre)
            if prompts.inner != "none":
                self.inner = INNER[prompts.inner](visual)
                backbone.attach(self.inner)
            fixed = frames if prompts.post == "transf_cls" else None
            size = HeadSize(
                embed_dim=backbone.embed_dim,
                heads=prompts.heads or max(1, backbone.text_width // 64),
                rows=prompts.positions or fixed,
                norm_eps=prompts.norm_eps,
                position_std=prompts.position_std,
            )
            self.post = POST[prompts.post](size)

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of what multiplies the cosine, as in CLIP."""
        return self.backbone.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """What is added to the scaled cosine, for towers trained with a sigmoid (SigLIP)."""
        return self.backbone.logit_bias

    @property
    def sees_frames_alone(self) -> bool:
        """Whether a frame's vector depends on that frame only, so that windows can share it."""
        sees_neighbours = getattr(self.backbone, "motion", False)
        return self.pre is None and self.inner is None and not sees_neighbours

    @property
    def sees_window(self) -> bool:
        """Whether a frame's vector depends on its whole window (`joint`, `shift`)."""
        return self.pre is not None or self.inner is not None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of what goes into the image tower."""
        return self.backbone.dtype

    def cast(self, dtype: torch.dtype) -> "ActionCLIP":
        """Change the weights' type in place; scale and bias stay float32.

        `logit_scale` is a logarithm: rounded to bfloat16, CLIP's 100 becomes 98.9.
        """
        kept: list[Any] = [p for p in (self.logit_scale, self.logit_bias) if p is not None]
        values = [parameter.detach().float().clone() for parameter in kept]
        self.to(dtype)
        for parameter, value in zip(kept, values, strict=True):
            parameter.data = value
        return self

    def encode_frames(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        """Frames to vectors, not of unit length, in the tower's type. N is T (with `joint`: 1)."""
        return self.backbone.encode_frames(frames)

    def fuse(
        self, frame_embeddings: Float[Tensor, "B T D"], normalize: bool = True
    ) -> Float[Tensor, "B D"]:
        """The post-network prompt alone: vectors of frames to one of the video.

        Unit length and float32 if `normalize`, else as the head returns it.
        """
        weight = next(self.post.parameters(), None)
        x = frame_embeddings if weight is None else frame_embeddings.to(weight.dtype)
        return unit(self.post(x)) if normalize else self.post(x)

    def encode_video(
        self, frames: Float[Tensor, "B T 3 R R"], normalize: bool = True
    ) -> Float[Tensor, "B D"]:
        """Frames of videos to embeddings; see `fuse` for their length and type."""
        return self.fuse(self.encode_frames(frames), normalize)

    def tokenize(self, texts: list[str]) -> Int[Tensor, "K L"]:
        """Sentences to tokens. A sentence that is too long is an error that names it."""
        return self.backbone.tokenize(texts)

    def encode_text(
        self, tokens: Int[Tensor, "K L"] | list[str], normalize: bool = True
    ) -> Float[Tensor, "K D"]:
        """Sentences, or their tokens, to embeddings of unit length and float32 if `normalize`."""
        if isinstance(tokens, list):
            tokens = self.tokenize(tokens)
        embeddings = self.backbone.encode_text(tokens)
        return unit(embeddings) if normalize else embeddings

    def forward(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B D"]:
        """The same as `encode_video`, for tools that call a module."""
        return self.encode_video(frames)


def unit(x: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
    """Scaled to unit length, in float32."""
    return F.normalize(x.float(), dim=-1)


def check_combination(pre: str, inner: str, post: str) -> None:
    """Refuse visual prompts that make no sense together, or that do not exist.

    Raises:
        ActionCLIPError: saying which and why.
    """
    families = (("pre", pre, PRE), ("inner", inner, INNER), ("post", post, POST))
    for family, name, members in families:
        if name not in members and (family == "post" or name != "none"):
            choices = members if family == "post" else ["none", *members]
            raise unknown(f"{family}-network visual prompt", name, choices)
    if pre == "joint" and inner != "none":
        raise ActionCLIPError(
            f"The visual prompts 'joint' and {inner!r} do not go together.",
            expected="'joint' makes one sequence of all frames, so no frame is left to shift.",
            hint="Set prompts.pre or prompts.inner to 'none'.",
        )
    if pre == "joint" and post != "meanp":
        raise ActionCLIPError(
            f"The visual prompts 'joint' and {post!r} do not go together.",
            expected="'joint' returns one vector for a video, so no time is left to model.",
            hint="Set prompts.post to 'meanp'.",
        )


def check_positions(prompts: PromptConfig, frames: int) -> None:
    """Refuse a table of times that does not fit the frames that will be sampled.

    Raises:
        ActionCLIPError: saying how many it has room for.
    """
    default = 77 if prompts.post == "transf" else frames
    rows = prompts.positions or default
    exact = prompts.post == "transf_cls"
    told = "joint" if prompts.pre == "joint" else prompts.post
    if told in ("joint", "transf", "transf_cls") and (frames != rows if exact else frames > rows):
        raise ActionCLIPError(
            f"The visual prompt {told!r} has {rows} positions, and {frames} frames are sampled.",
            expected=f"{rows} frames." if exact else f"At most {rows} frames.",
            hint=f"Set prompts.positions or sampling.frames: both {frames} will do.",
        )
