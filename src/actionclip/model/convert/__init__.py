"""Importers: checkpoints of others become model folders.

Read are the authors' checkpoints, mmaction2's, and plain state dicts of OpenAI's and open_clip's
models. What shapes cannot tell (activation, preprocessing, scale) is what their code does; it is
written down in docs/paper.md.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.convert.halving import NOTE, halved
from actionclip.model.convert.layouts import Layout, recognise
from actionclip.model.convert.reading import read_checkpoint
from actionclip.model.convert.towers import (
    OPENAI_NUMBERS,
    infer_architecture,
    known_name,
    looks_like_quick_gelu,
)
from actionclip.model.prompts.text import AUTHORS_TEMPLATES
from actionclip.model.weights import tokenizers
from actionclip.model.weights.files import DTYPES, TensorEntry, check_against, check_finite
from actionclip.model.weights.folder import MOST_FRAMES, listed, skeleton, write_folder
from actionclip.model.zoo.pretrained import TEMPLATES, split_name, tag_config
from actionclip.video.settings import Preprocess, Resize, Sampling

FRAMES = 8
"""Frames when neither the checkpoint nor the caller says how many."""

AUTHORS_SCALE = 100.0
"""What the authors' test code multiplies the cosine with, whatever was learned."""


@dataclass(frozen=True)
class Conversion:
    """What became of a checkpoint."""

    folder: Path
    writer: str
    """Whose checkpoint it is: `authors`, `mmaction2` or `clip` (a plain state dict)."""
    config: ModelConfig
    ignored: tuple[str, ...]
    """What of the checkpoint was not needed, by name."""
    notes: tuple[str, ...]
    """What had to be assumed, and how to say otherwise. For the user to read."""


def convert(
    file: str | Path,
    folder: str | Path,
    *,
    frames: int | None = None,
    labels: Iterable[str] = (),
    name: str | None = None,
    quick_gelu: bool | None = None,
    half: bool = False,
) -> Conversion:
    """Make a model folder of a checkpoint. Nothing in the checkpoint is run.

    Args:
        file: `.pt`, `.pth`, `.bin` (of torch.save) or `.safetensors`.
        folder: where the model folder goes.
        frames: frames of a window, where the checkpoint does not fix it; None: what it says, or 8.
        labels: the labels it was trained on.
        name: for a plain state dict, which of open_clip's models it is (`architecture/tag`); None:
            inferred from the shapes, for OpenAI's kind of ViT.
        quick_gelu: the towers' activation, which no tensor tells; None: as the writer's code has
            it, and for a plain state dict what the weights look like.
        half: whether the weights are written in float16.

    Raises:
        ActionCLIPError: when the file is not of a kind that can be read safely, when a tensor is
            missing or left over, when shapes contradict each other, when the vocabulary is not
            CLIP's and no name tells which it is; with the reason.
        StorageError: when the folder cannot be written.
    """
    file, labels = Path(file), listed(labels)
    layout = recognise(read_checkpoint(file), file)
    config, notes = _configure(layout, file, frames, name, quick_gelu)
    config = dataclasses.replace(config, labels=labels)
    tensors = {f"backbone.clip.{key}": value for key, value in layout.towers.items()}
    tensors = _fit(tensors | layout.prompt_tensors, config, file, Path(folder))
    tensors = halved(tensors) if half else tensors
    about = (
        f"Converted from `{file.name}` ({layout.writer}). "
        + (f"Not taken over: {', '.join(layout.ignored)}. " if layout.ignored else "")
        + " ".join([*notes, *([NOTE] if half else [])])
    )
    tokenizer = tokenizers.kept(config.backbone.architecture)
    files = {} if tokenizer is None else tokenizers.contents(tokenizer)
    if files:
        backbone = dataclasses.replace(config.backbone, tokenizer=tokenizers.TOKENIZER)
        config = dataclasses.replace(config, backbone=backbone)
    write_folder(folder, config, tensors, about=about, more=files)
    return Conversion(Path(folder), layout.writer, config, tuple(layout.ignored), tuple(notes))


def _configure(
    layout: Layout, file: Path, frames: int | None, name: str | None, quick_gelu: bool | None
) -> tuple[ModelConfig, list[str]]:
    """Everything but the weights, and what had to be assumed."""
    notes: list[str] = []
    sampling = Sampling(frames=_frames(layout, frames, file, notes))
    prompts = PromptConfig(**layout.prompts)
    if name is not None:
        if layout.writer != "clip":
            raise ActionCLIPError(
                f"{file} is of {layout.writer}, and {name!r} was given as its name.",
                expected="A name is for a plain state dict; this file says what it is.",
                hint="Leave the name away.",
            )
        config = tag_config(*split_name(name))
        towers = config.backbone.architecture
        if quick_gelu is not None:
            towers["quick_gelu"] = quick_gelu
        foreign = towers["text_cfg"].get("hf_tokenizer_name")
        if foreign and tokenizers.kept(towers) is None:
            notes.append(
                f"The tokenizer {foreign!r} is not on this machine and not in the folder: the "
                "model will fetch it from the Hugging Face Hub."
            )
        return dataclasses.replace(config, prompts=prompts, sampling=sampling), notes
    towers = infer_architecture(layout.towers, file)
    known, full = known_name(towers)
    if layout.writer == "clip":
        towers = full  # the authors' code knows no heads but 64 wide
    vision = towers["vision_cfg"]
    if quick_gelu is None:
        marked = bool(set(layout.ignored) & set(OPENAI_NUMBERS))
        quick_gelu = layout.writer != "clip" or marked or looks_like_quick_gelu(layout.towers)
        if layout.writer == "clip":
            notes.append(
                f"The activation was taken to be {'QuickGELU' if quick_gelu else 'GELU'}, which no "
                "tensor tells; quick_gelu or name says otherwise."
            )
    towers["quick_gelu"] = quick_gelu
    size = vision["image_size"]
    title = known or f"ViT-{vision['width']}x{vision['layers']}-p{vision['patch_size']}"
    config = ModelConfig(
        backbone=BackboneConfig(name=title, architecture=towers),
        prompts=prompts,
        sampling=sampling,
        **_manner(layout.writer, size),
    )
    if "init_logit_bias" in towers:
        config = dataclasses.replace(config, activation="sigmoid")
    return config, notes


def _frames(layout: Layout, asked: int | None, file: Path, notes: list[str]) -> int:
    told, rows = layout.frames, layout.prompts.get("positions")
    if asked is not None and not 1 <= asked <= MOST_FRAMES:
        raise ActionCLIPError(
            f"{asked} frames were asked for.", expected=f"Between 1 and {MOST_FRAMES}."
        )
    if asked is not None and layout.prompts.get("post") == "transf_cls" and asked != told:
        raise ActionCLIPError(
            f"{file} was trained with {told} frames and {asked} were asked for.",
            expected="The head transf_cls takes no other number of frames.",
        )
    if asked is not None and rows is not None and asked > rows:
        raise ActionCLIPError(
            f"{asked} frames were asked for.", expected=f"{file} has places for 1 to {rows}."
        )
    if asked is None and told is None:
        notes.append(
            f"The checkpoint does not say how many frames it was trained with; {FRAMES} were "
            "assumed. frames says otherwise."
        )
    return asked or told or FRAMES


def _manner(writer: str, size: int) -> dict[str, Any]:
    """How the writer's test code prepares frames and makes scores."""
    if writer == "clip":
        return {
            "preprocess": Preprocess(size=size, resize=Resize(size=size)),
            "templates": TEMPLATES,
        }
    resize = Resize(size=size * 256 // 224)
    preprocess = Preprocess(size=size, resize=resize)
    if writer == "mmaction2":
        preprocess = Preprocess(
            size=size,
            resize=dataclasses.replace(resize, interpolation="bilinear"),
            mean=(122.771 / 255, 116.746 / 255, 104.093 / 255),
            std=(68.500 / 255, 66.632 / 255, 70.323 / 255),
        )
    return {
        "preprocess": preprocess,
        "templates": AUTHORS_TEMPLATES,
        "ensemble": "scores",
        "scale": AUTHORS_SCALE,
        "clean_labels": False,
    }


def _fit(
    tensors: dict[str, Tensor], config: ModelConfig, file: Path, folder: Path
) -> dict[str, Tensor]:
    """The tensors as the model has them; refuses when one is missing, left over or misshapen."""
    expected = skeleton(config, folder).state_dict()
    for key in ("backbone.clip.logit_scale", "backbone.clip.logit_bias"):
        if key in tensors and key in expected and tensors[key].numel() == 1:
            tensors[key] = tensors[key].reshape(expected[key].shape)  # some save it as a vector
    entries = {key: TensorEntry(tuple(t.shape), t.dtype) for key, t in tensors.items()}
    check_against(entries, expected, file)
    check_finite(tensors, file)
    odd = [key for key, value in tensors.items() if value.dtype not in DTYPES.values()]
    return {key: value.float() if key in odd else value for key, value in tensors.items()}
