"""What `classify.py` compares with: the programs people write today, and the work no one can avoid.

T frames, R input size of the network.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import open_clip
import torch
from PIL import Image
from torchvision import transforms

from actionclip.model.config import ModelConfig


def read_everything(path: Path, count: int) -> list[Image.Image]:
    """Decode all of a video, keep the middle frame of each of `count` equal parts."""
    frames = _opencv_frames(path) or _pyav_frames(path)
    middles = ((np.arange(count) + 0.5) * len(frames) / count - 0.5).astype(int)
    return [Image.fromarray(frames[number]) for number in middles]


def _opencv_frames(path: Path) -> list[np.ndarray]:
    try:
        import cv2
    except ImportError:
        return []
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        good, frame = capture.read()
        if not good:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def _pyav_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def preprocessing(config: ModelConfig) -> Callable[[Image.Image], torch.Tensor]:
    """CLIP's own, from torchvision."""
    settings = config.preprocess
    return transforms.Compose(
        [
            transforms.Resize(settings.size, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(settings.size),
            transforms.ToTensor(),
            transforms.Normalize(settings.mean, settings.std),
        ]
    )


class Straightforward:
    """Decode, resize, open_clip in float32, the labels each time; returns the best label."""

    def __init__(
        self, clip: Any, config: ModelConfig, labels: Sequence[str], *, cached: bool = False
    ) -> None:
        self.clip, self.config, self.labels = clip, config, list(labels)
        self.preprocess = preprocessing(config)
        self.tokenizer = open_clip.SimpleTokenizer()
        self.texts = self._encode_labels() if cached else None

    @torch.no_grad()
    def __call__(self, path: Path) -> str:
        """The label that fits best."""
        images = read_everything(path, self.config.sampling.frames)
        pixels = torch.stack([self.preprocess(image) for image in images])
        video = self.clip.encode_image(pixels).mean(dim=0)
        video = video / video.norm()
        texts = self._encode_labels() if self.texts is None else self.texts
        scores = (self.clip.logit_scale.exp() * texts @ video).softmax(dim=0)
        return self.labels[int(scores.argmax())]

    @torch.no_grad()
    def _encode_labels(self) -> torch.Tensor:
        template = self.config.templates[0]
        texts = self.clip.encode_text(self.tokenizer([template.format(x) for x in self.labels]))
        return texts / texts.norm(dim=-1, keepdim=True)


class XClip:
    """X-CLIP of Hugging Face transformers, with random weights: as its documentation uses it."""

    def __init__(self, config: ModelConfig, labels: Sequence[str]) -> None:
        """Of the same size as the model of `config`."""
        from transformers import XCLIPConfig, XCLIPModel, XCLIPVisionConfig

        self.config, self.labels = config, list(labels)
        self.preprocess = preprocessing(config)
        vision = config.backbone.architecture["vision_cfg"]
        settings = XCLIPVisionConfig(
            patch_size=vision["patch_size"],
            image_size=vision["image_size"],
            num_frames=config.sampling.frames,
        )
        self.model = XCLIPModel(XCLIPConfig(vision_config=settings.to_dict())).eval()
        template = config.templates[0]
        tokens = open_clip.SimpleTokenizer()([template.format(label) for label in labels])
        length = int((tokens != 0).sum(dim=1).max())  # its processor pads to the longest
        self.tokens, self.mask = tokens[:, :length], (tokens[:, :length] != 0).long()

    @torch.no_grad()
    def __call__(self, path: Path) -> str:
        """The label that fits best."""
        images = read_everything(path, self.config.sampling.frames)
        pixels = torch.stack([self.preprocess(image) for image in images])[None]
        answer = self.model(input_ids=self.tokens, attention_mask=self.mask, pixel_values=pixels)
        return self.labels[int(answer.logits_per_video[0].argmax())]


def matmuls(
    architecture: dict[str, Any], frames: int, precision: str
) -> Callable[[], torch.Tensor]:
    """The matrix products of the image tower for the frames of one video, and nothing else.

    Only those whose results are used: behind the last block the class token alone is.

    The function returned runs them with torch's threads, on operands that are made beforehand.
    """
    vision = architecture["vision_cfg"]
    width, patch = vision["width"], vision["patch_size"]
    heads = width // vision.get("head_width", 64)
    patches = (vision["image_size"] // patch) ** 2
    tokens, part = patches + 1, width // heads
    shapes = [(1, frames * patches, 3 * patch * patch, width)]
    for layer in range(vision["layers"]):
        left = tokens if layer + 1 < vision["layers"] else 1  # only the class token leaves the last
        rows, kept = frames * tokens, frames * left
        shapes += [(1, kept, width, width), (1, rows, width, 2 * width), (1, kept, width, width)]
        shapes += [(1, kept, width, 4 * width), (1, kept, 4 * width, width)]
        shapes += [(frames * heads, left, part, tokens), (frames * heads, left, tokens, part)]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    operands = {
        shape: (
            torch.randn(shape[0], shape[1], shape[2]).to(dtype),
            torch.randn(shape[0], shape[3], shape[2]).to(dtype).transpose(1, 2),
        )
        for shape in set(shapes)
    }

    @torch.inference_mode()
    def run() -> torch.Tensor:
        result = torch.empty(0)
        for shape in shapes:
            left, right = operands[shape]
            result = left[0] @ right[0] if shape[0] == 1 else left @ right
        return result

    return run
