"""Model folders: everything that decides what a model answers, in files that run no code.

    model.safetensors   the weights, named as in `model.state_dict()`
    config.json         towers, prompts, frames, preprocessing, templates, scores (`ModelConfig`)
    labels.txt          the labels it was trained on, one a line; empty when there are none
    README.md           a card for people and for the Hugging Face Hub
    tokenizer/          only for text towers that do not use CLIP's vocabulary

A folder from a stranger is read with suspicion: unknown settings, absurd sizes, tensors that do not
fit, NaN, paths out of the folder and requests for foreign code are errors that say so.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from actionclip.config import parse, to_dict
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import ModelConfig
from actionclip.model.weights.card import model_card
from actionclip.model.weights.files import (
    Content,
    check_against,
    check_finite,
    copied,
    read_header,
    read_json,
    read_tensors,
    some,
    tensor_content,
    text_content,
    write_together,
)
from actionclip.model.weights.tokenizers import TOKENIZER, check_tokenizer, contents
from actionclip.model.zoo.architecture import check_architecture, known_names, without_drawing

FORMAT = 1
"""The newest layout of config.json that this version reads, and the one it writes."""

WEIGHTS, CONFIG, LABELS, CARD = ("model.safetensors", "config.json", "labels.txt", "README.md")
OPEN_CLIP_CONFIG = "open_clip_config.json"
"""What a folder of open_clip's kind has; transformers' files of our names may lie beside it."""
MOST_FRAMES, MOST_WINDOWS, LARGEST_PICTURE = 4096, 1000, 8192

_CANNOT_BUILD = (RuntimeError, TypeError, ValueError, OverflowError, MemoryError, ArithmeticError)


def save(
    model: ActionCLIP,
    folder: str | Path,
    *,
    labels: Iterable[str] | None = None,
    about: str = "",
    tensors: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a model folder; what was there before stays whole until the new one is complete.

    Args:
        model: the model; its weights are written in the precision they have.
        folder: where to; made when it is not there.
        labels: the labels it was trained on; None keeps those of its configuration.
        about: a paragraph for the card: what it was trained on, how well it does.
        tensors: the weights, named as in the model's state dict; None: the model's own.

    Returns:
        The folder.

    Raises:
        StorageError: when the disk is full or the place is not writable.
        ActionCLIPError: for weights that are not finite or were rounded for speed, a label with a
            line break, or labels that are one text.
    """
    config = model.config
    if labels is not None:
        config = dataclasses.replace(config, labels=listed(labels))
    tokenizer = getattr(model.backbone, "tokenizer_dir", None)
    files = {} if tokenizer is None else contents(Path(tokenizer))
    if files:
        backbone = dataclasses.replace(config.backbone, tokenizer=TOKENIZER)
        config = dataclasses.replace(config, backbone=backbone)
    if tensors is None and model.rounded:
        raise ActionCLIPError(
            "The weights of this model were rounded to bfloat16 for speed.",
            expected="What is saved is what was loaded.",
            hint="Load it with precision='fp32', and save that.",
        )
    weights = model.state_dict() if tensors is None else tensors
    return write_folder(folder, config, weights, about=about, more=files)


def write_folder(
    folder: str | Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    *,
    about: str = "",
    more: Mapping[str, Content] | None = None,
) -> Path:
    """Write a model folder from its parts; see `save`.

    Args:
        folder: where to.
        config: what config.json is to hold.
        tensors: the weights, named as in the model's state dict.
        about: a paragraph for the card.
        more: further files by their path below the folder.
    """
    folder = Path(folder)
    if any(label.splitlines() != [label] or not label.strip() for label in config.labels):
        raise ActionCLIPError(
            "A label is empty or has a line break.", expected="labels.txt holds one label a line."
        )
    check_finite(tensors, folder / WEIGHTS)
    contents = {
        **(more or {}),
        WEIGHTS: tensor_content(tensors),
        CONFIG: _config_content(config),
        LABELS: _labels_content(config),
        CARD: text_content(model_card(config, sum(t.numel() for t in tensors.values()), about)),
    }
    write_together(folder, contents)
    return folder


def listed(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels as a model folder holds them.

    Raises:
        ActionCLIPError: for a text, whose labels would be its letters.
    """
    if isinstance(labels, str):
        raise ActionCLIPError(
            f"The labels are the text {labels!r}.", expected="A list of labels, each a text."
        )
    return tuple(labels)


def check_texts(texts: Iterable[str]) -> None:
    """Refuse labels and templates that a model folder cannot hold: names of odd bytes.

    Raises:
        ActionCLIPError: naming the first.
    """
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ActionCLIPError(
                f"A label or template of the model, {text!r}, is not UTF-8.",
                hint="Rename it: labels are the names of folders where no list has others.",
            ) from None


def _config_content(config: ModelConfig) -> Content:
    check_texts((*config.labels, *config.templates))
    return text_content(json.dumps(to_dict(config), indent=2, ensure_ascii=False) + "\n")


def _labels_content(config: ModelConfig) -> Content:
    return text_content("".join(f"{label}\n" for label in config.labels))


def copy_folder(
    source: Path, target: Path, config: ModelConfig, more: Mapping[str, Content] | None = None
) -> Path:
    """A model folder with another configuration; the weights stay as they lie on disk.

    Args:
        source: a model folder.
        target: where to; may be `source` itself, of which only config.json is then replaced.
        config: the configuration.
        more: files to write in place of the source's.

    Raises:
        StorageError: when it cannot be written; what was there before stays whole.
    """
    contents, more = {CONFIG: _config_content(config)}, dict(more or {})
    if source.resolve() != target.resolve():
        names = [WEIGHTS, CARD]
        names += [f"{TOKENIZER}/{path.name}" for path in sorted((source / TOKENIZER).glob("*"))]
        kept = [name for name in names if name not in more and (source / name).is_file()]
        contents |= {name: copied(source / name) for name in kept}
        contents[LABELS] = _labels_content(config)  # `target` may hold those of another model
    write_together(target, contents | more)
    return target


def is_model_folder(path: Path) -> bool:
    """Whether a folder is one of ours, and not one of open_clip's with transformers' files."""
    whole = (path / CONFIG).is_file() and (path / WEIGHTS).is_file()
    return whole and (not (path / OPEN_CLIP_CONFIG).is_file() or is_our_config(path / CONFIG))


def no_model_folder(path: Path) -> ActionCLIPError:
    """The error for a folder that is no model; it names those inside, as in the folder of a run."""
    inside = [found.parent for found in sorted(path.glob(f"*/{CONFIG}"))]
    models = [str(folder) for folder in inside if is_model_folder(folder)]
    hint = "A checkpoint becomes a model folder with `actionclip convert FILE FOLDER`."
    if models:
        hint = f"There are models in it. Name one: {some(models)}."
    return ActionCLIPError(
        f"The folder {path} is not a model folder.",
        expected=f"It must hold {CONFIG} and {WEIGHTS}, or {OPEN_CLIP_CONFIG} and weights.",
        hint=hint,
    )


def is_our_config(path: Path) -> bool:
    """Whether a config.json is ours and not transformers': a broken one may be."""
    try:
        return "backbone" in read_json(path)
    except ActionCLIPError:
        return True


def load_folder(
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> ActionCLIP:
    """The model in a folder, ready to answer (`eval` mode).

    Args:
        folder: a folder that `save` or `convert` wrote.
        device: where to put it; None: the CPU.
        dtype: the precision to compute in, whatever the file's.

    Raises:
        ActionCLIPError: when something in it is missing, broken, does not fit together, or asks for
            what a model folder may not ask for.
    """
    folder = Path(folder)
    config = read_config(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ActionCLIPError(
            f"There is no {WEIGHTS} in {folder}.",
            expected="A model folder holds model.safetensors and config.json.",
            hint="Copy the whole folder, or make one with `actionclip convert`.",
        )
    check_against(read_header(weights), skeleton(config, folder).state_dict(), weights)
    tensors = read_tensors(weights)
    with without_drawing():
        model = _build(config, folder)
    model.load_state_dict(tensors, strict=True)
    if dtype != torch.float32:
        model.cast(dtype)
    return (model if device is None else model.to(device)).eval()


def skeleton(config: ModelConfig, folder: Path) -> ActionCLIP:
    """The model without numbers (on the meta device): names, shapes and types for no memory.

    Raises:
        ActionCLIPError: when no such model can be built.
    """
    with torch.device("meta"), without_drawing():
        model = _build(config, folder)
    if config.preprocess.size != model.backbone.image_size:
        raise ActionCLIPError(
            f"{folder / CONFIG} has preprocess.size = {config.preprocess.size}.",
            expected=f"Its image tower takes {model.backbone.image_size} pixels.",
        )
    return model


def _build(config: ModelConfig, folder: Path) -> ActionCLIP:
    name = config.backbone.tokenizer
    where = folder / TOKENIZER if name == TOKENIZER else None
    if where is not None:
        check_tokenizer(where)
    try:
        backbone = OpenClipBackbone.from_architecture(
            config.backbone.architecture,
            tokenizer=name,
            tokenizer_dir=where,
            motion=config.backbone.motion,
        )
        return ActionCLIP(backbone, config)
    except _CANNOT_BUILD as error:
        raise ActionCLIPError(
            f"{folder / CONFIG} describes a model that cannot be built: {str(error)[:200]}.",
            expected="Towers and prompts that fit together.",
        ) from None


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder, checked.

    Raises:
        ActionCLIPError: for a missing or broken file, unknown settings (remote code is one), sizes
            beyond all reason, a newer layout, or labels.txt that disagrees.
    """
    path = folder / CONFIG
    data = read_json(path)
    version = data.get("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise ActionCLIPError(
            f"{path} has the layout {version!r}.",
            expected=f"This version reads the layout {FORMAT}.",
            hint="Update actionclip: pip install --upgrade actionclip.",
        )
    if "backbone" not in data:
        raise ActionCLIPError(
            f"{path} is not the configuration of an actionclip model: it names no backbone.",
            expected="A folder written by `actionclip convert` or actionclip.save.",
        )
    config = parse(ModelConfig, data, source=str(path))
    check_architecture(config.backbone.architecture, source=str(path))
    _check_names(config.backbone.tokenizer, path)
    _check_sizes(config, path)
    _check_labels(config, folder / LABELS)
    return config


def _check_names(tokenizer: str, path: Path) -> None:
    if tokenizer in ("clip", TOKENIZER) or tokenizer in known_names("hf_tokenizer_name"):
        return
    pure = PurePosixPath(tokenizer)
    outside = pure.is_absolute() or ".." in pure.parts
    raise ActionCLIPError(
        f"{path} asks for the tokenizer {tokenizer!r}"
        + (", which is outside the model folder." if outside else "."),
        expected="It may be 'clip', 'tokenizer' (the folder of that name inside the model folder) "
        "or one that open_clip itself uses.",
        hint="Put the tokenizer's files into the folder 'tokenizer'.",
    )


def _check_sizes(config: ModelConfig, path: Path) -> None:
    """Numbers that would be accepted and then cost all memory or time."""
    for name, value, most in (
        ("sampling.frames", config.sampling.frames, MOST_FRAMES),
        ("sampling.windows", config.sampling.windows, MOST_WINDOWS),
        ("preprocess.size", config.preprocess.size, LARGEST_PICTURE),
        ("preprocess.resize.size", config.preprocess.resize.size, LARGEST_PICTURE),
        ("prompts.positions", config.prompts.positions or 1, MOST_FRAMES),
        ("prompts.heads", config.prompts.heads or 1, MOST_FRAMES),
    ):
        if not 1 <= value <= most:
            raise ActionCLIPError(
                f"{path} has {name} = {value}.", expected=f"It must be between 1 and {most}."
            )


def _check_labels(config: ModelConfig, path: Path) -> None:
    if not path.is_file():
        return
    lines = tuple(path.read_text("utf-8", "replace").splitlines())
    if lines != config.labels:
        raise ActionCLIPError(
            f"{path} holds {len(lines)} labels and config.json beside it {len(config.labels)}, or "
            "others.",
            expected="Both must name the same labels in the same order.",
            hint="Correct one of them; labels.txt may also be deleted.",
        )
