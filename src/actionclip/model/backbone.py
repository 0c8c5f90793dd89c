"""The seam to the towers: everything else in the house sees CLIP through this class alone.

B videos, T frames, R input size, K sentences, L context length, D embedding width.
"""

import contextlib
import copy
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from open_clip import CLIP, CoCa, CustomTextCLIP
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.tower import TowerPrompt, videos_of
from actionclip.model.towers import text_tower
from actionclip.model.towers.class_token import ClassTokenOnly
from actionclip.model.towers.motion import motion_input


@runtime_checkable
class Backbone(Protocol):
    """What ActionCLIP asks of a pair of towers. Embeddings are raw: not of unit length."""

    @property
    def visual(self) -> nn.Module:
        """The image tower, for prompts to hook into."""
        ...

    @property
    def prompts(self) -> tuple[TowerPrompt, ...]:
        """The prompts in the image tower."""
        ...

    @property
    def embed_dim(self) -> int:
        """D, the width both towers end in."""
        ...

    @property
    def image_size(self) -> int:
        """R, height and width of a frame in pixels."""
        ...

    @property
    def context_length(self) -> int:
        """L, the tokens a sentence may have, marks included."""
        ...

    @property
    def text_width(self) -> int:
        """Width of the text tower."""
        ...

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of what multiplies the cosine."""
        ...

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """What is added to the scaled cosine, for towers trained with a sigmoid (SigLIP)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of what goes into the image tower."""
        ...

    def attach(self, prompt: TowerPrompt) -> None:
        """Take note of a prompt that has hooked itself into the image tower."""
        ...

    def encode_frames(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        """Frames to vectors; N is T, or 1 where a prompt in the tower joins the frames."""
        ...

    def encode_inner(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        """The same of all but the first and the last frame, which are there as neighbours."""
        ...

    def encode_images(self, images: Float[Tensor, "N 3 R R"]) -> Float[Tensor, "M D"]:
        """What the image tower makes of its input as it is."""
        ...

    def tokenize(self, texts: list[str]) -> Int[Tensor, "K L"]:
        """Sentences to tokens."""
        ...

    def encode_text(self, tokens: Int[Tensor, "K L"]) -> Float[Tensor, "K D"]:
        """Tokens to vectors."""
        ...


class OpenClipBackbone(nn.Module):
    """The towers of an open_clip model; `.clip` is that model, its parameter names unchanged.

    Args:
        clip: open_clip's `CLIP`, `CustomTextCLIP` or `CoCa`.
        text_config: open_clip's `text_cfg` of the model; says how to tokenise.
        tokenizer: `clip` for the vocabulary inside open_clip, else a name on the Hugging Face Hub.
        tokenizer_dir: a folder with that tokenizer's files, which then needs no network.
        motion: the image tower sees `motion_input` in place of colours.
    """

    def __init__(
        self,
        clip: nn.Module,
        *,
        text_config: dict[str, Any] | None = None,
        tokenizer: str = "clip",
        tokenizer_dir: str | Path | None = None,
        motion: bool = False,
    ) -> None:
        super().__init__()
        self.clip: Any = clip
        self.text_config = dict(text_config or {})
        if tokenizer == "clip":  # what the architecture names is never CLIP's vocabulary
            tokenizer = self.text_config.get("hf_tokenizer_name") or "clip"
        self.tokenizer = tokenizer
        self.tokenizer_dir = None if tokenizer_dir is None else str(tokenizer_dir)
        self._prompts: tuple[TowerPrompt, ...] = ()
        self.motion = motion
        self._causal = text_tower.is_causal(clip)
        visual = self.clip.visual
        self._narrow = ClassTokenOnly(visual) if ClassTokenOnly.fits(visual) else None
        # More than the one that cuts patches: such towers are quicker on colours laid together.
        self._convolves = sum(isinstance(part, nn.Conv2d) for part in visual.modules()) > 1

    @classmethod
    def from_architecture(
        cls,
        architecture: dict[str, Any],
        *,
        quick_gelu: bool | None = None,
        tokenizer: str = "clip",
        tokenizer_dir: str | Path | None = None,
        motion: bool = False,
    ) -> "OpenClipBackbone":
        """Towers of a given shape with random weights; nothing is downloaded.

        Args:
            architecture: open_clip's model configuration (`embed_dim`, `vision_cfg`, `text_cfg`).
            quick_gelu: overrides the configuration's; must be what the weights were trained with.
            tokenizer: as for the class.
            tokenizer_dir: as for the class.
            motion: as for the class.

        Raises:
            ActionCLIPError: if open_clip cannot build that.
        """
        settings = copy.deepcopy(architecture)
        if quick_gelu is not None:
            settings["quick_gelu"] = quick_gelu
        custom = settings.pop("custom_text", False)
        try:
            text, vision = settings["text_cfg"], settings["vision_cfg"]
            if "timm_model_name" in vision:
                vision["timm_model_pretrained"] = False
            if text.get("hf_model_name"):
                text["hf_model_pretrained"], custom = False, True
            kind = (CoCa if "multimodal_cfg" in settings else CustomTextCLIP) if custom else CLIP
            clip = kind(**settings)
            if isinstance(clip, CoCa):  # nobody uses it, and open_clip leaves it as the memory was
                nn.init.zeros_(clip.text_decoder.text_projection)
        except (TypeError, KeyError, ValueError, AssertionError, RuntimeError) as error:
            raise ActionCLIPError(
                f"open_clip cannot build this architecture: {type(error).__name__}: {error}",
                expected="A model configuration of open_clip: embed_dim, vision_cfg, text_cfg.",
                hint="Compare with open_clip.get_model_config('ViT-B-16').",
            ) from error
        return cls(
            clip,
            text_config=text,
            tokenizer=tokenizer,
            tokenizer_dir=tokenizer_dir,
            motion=motion,
        )

    @property
    def visual(self) -> nn.Module:
        """The image tower, for prompts to hook into."""
        return self.clip.visual

    @property
    def prompts(self) -> tuple[TowerPrompt, ...]:
        """The prompts in the image tower; they belong to the model, not to the towers."""
        return self._prompts

    @property
    def embed_dim(self) -> int:
        """D, the width both towers end in."""
        return text_tower.output_width(self.clip)

    @property
    def image_size(self) -> int:
        """R, height and width of a frame in pixels."""
        visual = self.clip.visual
        embed = getattr(getattr(visual, "trunk", None), "patch_embed", None)
        size = getattr(embed, "img_size", None) or visual.image_size  # the trunk itself knows best
        height, width = size if isinstance(size, tuple | list) else (size, size)
        if height != width:
            raise ActionCLIPError(
                f"The image tower takes {height} x {width} pixels.", expected="A square input."
            )
        return int(height)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of patches; None for a tower without patches."""
        visual = self.clip.visual
        embed = getattr(getattr(visual, "trunk", None), "patch_embed", None)
        grid = getattr(visual, "grid_size", None) or getattr(embed, "grid_size", None)
        return None if grid is None else (int(grid[0]), int(grid[1]))

    @property
    def context_length(self) -> int:
        """L, the tokens a sentence may have, marks included."""
        parts: Any = text_tower.text_parts(self.clip)
        if hasattr(parts, "positional_embedding"):
            return int(parts.context_length)
        return int(self.text_config.get("context_length", 77))  # open_clip's default

    @property
    def text_width(self) -> int:
        """Width of the text tower; the authors derive the heads of `transf` from it."""
        return text_tower.width(self.clip)

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of what multiplies the cosine."""
        return self.clip.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """What is added to the scaled cosine, for towers trained with a sigmoid (SigLIP)."""
        return self.clip.logit_bias

    @property
    def device(self) -> torch.device:
        """Where the image tower is."""
        return next(self.clip.visual.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of what goes into the image tower: that of its first convolution."""
        return next(p for p in self.clip.visual.parameters() if p.ndim == 4).dtype

    def attach(self, prompt: TowerPrompt) -> None:
        """Remember a prompt that has hooked itself into the image tower, to tell it about time."""
        self._prompts = (*self._prompts, prompt)

    def encode_frames(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        """Frames to vectors, raw: not of unit length.

        N is T. Where a prompt in the tower joins the frames of a video (`joint`), N is 1.
        """
        videos, count = frames.shape[:2]
        for prompt in self._prompts:
            if prompt.frames != count:
                prompt.frames = count
        if self.motion:
            frames = motion_input(frames)
        if torch.compiler.is_compiling() or not self._prompts:
            return self._images(frames, videos)
        with videos_of(count):
            return self._images(frames, videos)

    def encode_inner(self, frames: Float[Tensor, "B T 3 R R"]) -> Float[Tensor, "B N D"]:
        """Vectors of all frames but the first and the last of each stretch; N is T - 2.

        Those two are there as neighbours, for a tower that sees how a frame differs from them.
        """
        seen = motion_input(frames) if self.motion else frames
        return self._images(seen[:, 1:-1], len(frames))

    def _images(self, frames: Float[Tensor, "B T 3 R R"], videos: int) -> Float[Tensor, "B N D"]:
        return self.encode_images(frames.flatten(0, 1)).unflatten(0, (videos, -1))

    def encode_images(self, images: Float[Tensor, "N 3 R R"]) -> Float[Tensor, "M D"]:
        """What the image tower makes of its input as it is: of `motion_input` where it reads that.

        M is N, but for `joint`, which makes one of the frames of a video.
        """
        images = images.to(self.dtype)
        if self._convolves and images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        return self.clip.encode_image(images, normalize=False)

    def all_tokens(self) -> contextlib.AbstractContextManager[None]:
        """Within it patches go through the last block too, for who wants to look at them there.

        Otherwise a tower that ends in its class token computes no more than that.
        """
        return contextlib.nullcontext() if self._narrow is None else self._narrow.off()

    def tokenize(self, texts: list[str]) -> Int[Tensor, "K L"]:
        """Sentences to tokens, on the CPU.

        Raises:
            ActionCLIPError: naming a sentence that is too long, or a tokenizer that is not there.
        """
        if self.tokenizer == "clip":
            return text_tower.tokenize_clip(texts, self.context_length)
        settings = dict(self.text_config.get("tokenizer_kwargs") or {})
        if self.text_config.get("tokenizer_mode"):
            settings["tokenizer_mode"] = self.text_config["tokenizer_mode"]
        source = self.tokenizer_dir or self.tokenizer
        return text_tower.tokenize_hub(texts, source, self.context_length, settings)

    def encode_text(self, tokens: Int[Tensor, "K L"]) -> Float[Tensor, "K D"]:
        """Tokens to vectors, raw: not of unit length.

        A causal tower runs only as far as the sentences go. Others need all L positions.
        """
        tokens = tokens.to(self.device)
        if self._causal:
            return text_tower.encode_causal(self.clip, tokens)
        if tokens.shape[1] != self.context_length:
            raise ActionCLIPError(
                f"The text tower got {tokens.shape[1]} tokens for each sentence.",
                expected=f"It is not causal and needs all {self.context_length}.",
                hint="Use the tokens of tokenize() as they are.",
            )
        batches = tokens.split(text_tower.BATCH)  # one empty batch where there is no sentence
        return torch.cat([self.clip.encode_text(batch, normalize=False) for batch in batches])
