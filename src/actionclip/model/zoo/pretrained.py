"""Models by name: `ViT-B-16/datacomp_xl_s13b_b90k`, `tiny`, `hf-hub:owner/repo`, or a folder.

Names are open_clip's, architecture and tag with a slash between. What a tag was trained with (its
activation, preprocessing and scores) is taken from open_clip's record of the tag and not from the
architecture: `ViT-B-32` and `ViT-B-32/openai` differ in the activation, and mixing them gives
features that are wrong without any error.
"""

import dataclasses
import importlib.util
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.weights import hub, tokenizers
from actionclip.model.weights.files import check_finite
from actionclip.model.weights.folder import (
    CONFIG,
    LABELS,
    OPEN_CLIP_CONFIG,
    WEIGHTS,
    is_model_folder,
    is_our_config,
    load_folder,
    no_model_folder,
)
from actionclip.model.weights.hub import Wanted
from actionclip.model.weights.tokenizers import TOKENIZER
from actionclip.model.zoo.architecture import (
    check_architecture,
    named_architecture,
    without_drawing,
)
from actionclip.model.zoo.licences import UNKNOWN, licence_of
from actionclip.model.zoo.tiny import build_tiny
from actionclip.video.settings import Preprocess, Resize, Sampling

DEFAULT = "ViT-B-16/datacomp_xl_s13b_b90k"
"""The model when none is named: a permissive licence, 600 MB."""

TINY = "tiny"

TEMPLATES = ("a video of {}",)
"""How a label becomes a sentence for towers that were not fine-tuned on videos."""

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Towers:
    """Pretrained towers: what decides their answers, and the file of their weights."""

    config: ModelConfig
    weights: Path
    tokenizer: Path | None = None
    """A folder with the tokenizer's files, where it is not CLIP's; reading it asks no network."""


def build(
    name: str | Path = DEFAULT,
    *,
    prompts: PromptConfig | None = None,
    sampling: Sampling | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> ActionCLIP:
    """The model called `name`, ready to answer (`eval` mode).

    Args:
        name: `architecture/tag` of open_clip, `tiny`, `hf-hub:owner/repo`, or a folder: one of
            ours, or one with open_clip's `open_clip_config.json` and weights.
        prompts: visual prompts to put around pretrained towers, untrained; None: the mean frame.
        sampling: frames for pretrained towers; None: eight, from the middle of equal parts.
        device: where to put it; None: the CPU.
        dtype: the precision to compute in.

    Raises:
        ActionCLIPError: for a name nobody knows, with the nearest one; when files are neither in
            the cache nor to be had, naming them; when they are broken; for prompts that do not fit
            or are asked of a model that has its own.
    """
    name = str(name)
    found = None if name == TINY else find(name)
    if not isinstance(found, Towers) and (prompts or sampling):
        raise ActionCLIPError(
            f"The model {name!r} has its own visual prompts and frames.",
            expected="Only the towers of open_clip take others.",
        )
    if isinstance(found, Path):
        return load_folder(found, device=device, dtype=dtype)
    if found is None:
        return build_tiny(device=device, dtype=dtype)
    config = found.config
    if prompts is not None:
        config = dataclasses.replace(config, prompts=prompts)
    if sampling is not None:
        config = dataclasses.replace(config, sampling=sampling)
    model = ActionCLIP(load_towers(found), config)
    if dtype != torch.float32:
        model.cast(dtype)
    return (model if device is None else model.to(device)).eval()


def find(name: str) -> Path | Towers:
    """What a name stands for: a model folder, or towers with their weights, downloaded if need be.

    Raises:
        ActionCLIPError: as `build`.
    """
    if name.startswith(hub.PREFIX):
        return _on_hub(name)
    if is_model_folder(Path(name)):
        return Path(name)
    if (Path(name) / OPEN_CLIP_CONFIG).is_file():
        return _in_open_clip_folder(Path(name))
    return _by_tag(*split_name(name))


def files_to_come(name: str) -> list[Wanted]:
    """What `build` would have to download; nothing for a model that is on this machine.

    Raises:
        ActionCLIPError: for a name nobody knows.
    """
    if name.startswith(hub.PREFIX):
        repo = hub.check_repo(name.removeprefix(hub.PREFIX))
        path = _config_here(repo)
        if path is None:
            names = (CONFIG, OPEN_CLIP_CONFIG)
            return [Wanted(repo, names), Wanted(repo, (WEIGHTS, *_WEIGHTS))]
        weights = Wanted(repo, (WEIGHTS,) if path.name == CONFIG else _WEIGHTS)
        return [weights] if hub.cached(weights) is None else []
    if name == TINY or is_model_folder(Path(name)) or (Path(name) / OPEN_CLIP_CONFIG).is_file():
        return []
    return _not_here(tag_config(*split_name(name)))


def _not_here(config: ModelConfig) -> list[Wanted]:
    """The files of a tag that are not in the cache."""
    weights, more = wanted_files(config)
    return [item for item in (weights, *more) if hub.cached(item) is None]


def split_name(name: str) -> tuple[str, str]:
    """`architecture/tag` in its halves, both known to open_clip.

    Raises:
        ActionCLIPError: with the nearest name for the half that is not known.
    """
    import open_clip

    path = Path(name)
    if path.is_dir():
        raise no_model_folder(path)
    if path.is_file():
        raise ActionCLIPError(
            f"{name} is a file.",
            expected="A model is a name or a folder.",
            hint=f"Make a folder of it: actionclip convert {name} FOLDER",
        )
    architecture, _, tag = name.partition("/")
    tags: dict[str, list[str]] = {}
    for known, known_tag in open_clip.list_pretrained():
        tags.setdefault(known, []).append(known_tag)
    if architecture not in tags:
        openai = name.replace("/", "-").replace("@336px", "-336")  # who write it ViT-B/16
        near = f"Did you mean '{openai}/openai'?" if openai in tags else ""
        near = near or unknown("model", architecture, [*tags, TINY]).hint
        raise ActionCLIPError(
            f"No model is called {name!r}.",
            expected="A name is architecture/tag as `actionclip models` lists them, 'tiny', "
            "hf-hub:owner/repo or a folder.",
            hint=near or f"For example: {DEFAULT}.",
        )
    cleaned = tag.lower().replace("-", "_")  # as open_clip reads tags
    if cleaned not in tags[architecture]:
        if not tag:
            raise unknown(
                "model", name, [f"{architecture}/{known}" for known in tags[architecture]]
            )
        raise unknown(f"tag of {architecture}", tag, tags[architecture])
    return architecture, cleaned


def tag_config(architecture: str, tag: str) -> ModelConfig:
    """What decides the answers of pretrained towers; nothing is downloaded.

    The activation is the tag's. Where the tag's record is silent it is the architecture's.
    """
    import open_clip

    record: Mapping[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    towers = named_architecture(architecture)
    towers["quick_gelu"] = bool(record.get("quick_gelu", towers.get("quick_gelu", False)))
    name = f"{architecture}/{tag}"
    return _zero_shot(name, towers, record, licence_of(name, record.get("hf_hub", "")))


def _zero_shot(
    name: str, towers: dict[str, Any], pixels: Mapping[str, Any], licence: str
) -> ModelConfig:
    """The configuration of towers as they are, with open_clip's preprocessing for them."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    settings = merge_preprocess_dict(PreprocessCfg(), dict(pixels))
    size = towers["vision_cfg"].get("image_size", 224)
    mode, interpolation = settings["resize_mode"], settings["interpolation"]
    if mode not in ("shortest", "longest", "squash") or interpolation not in (
        "bicubic",
        "bilinear",
    ):
        raise ActionCLIPError(
            f"The model {name!r} wants the resize {mode!r} with {interpolation!r}.",
            expected="shortest, longest or squash; bicubic or bilinear.",
        )
    return ModelConfig(
        backbone=BackboneConfig(name=name, architecture=towers, licence=licence),
        preprocess=Preprocess(
            size=size,
            resize=Resize(mode=mode, size=size, interpolation=interpolation),
            mean=_three(settings["mean"]),
            std=_three(settings["std"]),
        ),
        templates=TEMPLATES,
        activation="softmax" if towers.get("init_logit_bias") is None else "sigmoid",
    )


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def wanted_files(config: ModelConfig) -> tuple[Wanted, list[Wanted]]:
    """The weights file of a tag, and the files its text tower needs from the Hub besides."""
    import open_clip

    place = open_clip.get_pretrained_cfg(*config.backbone.name.split("/"))["hf_hub"]
    repo, _, file = place.rpartition("/")
    if not file:
        names = _WEIGHTS
    elif file.endswith((".bin", ".pth")):  # open_clip prefers a safe file of the same name
        names = (f"{file[:-4]}.safetensors", file)
    else:
        names = (file,)
    return Wanted(repo, names), tokenizers.wanted(config.backbone.architecture)


def _by_tag(architecture: str, tag: str) -> Towers:
    import open_clip

    config = tag_config(architecture, tag)
    name, towers = config.backbone.name, config.backbone.architecture
    weights, _ = wanted_files(config)
    missing = _not_here(config)
    if missing and (reason := hub.offline_reason()):
        raise hub.unavailable(name, missing, reason)
    _check_transformers(name, towers)
    tokenizer = tokenizers.fetch(towers, model=name)
    path = hub.cached(weights)
    if path is None:
        record = open_clip.get_pretrained_cfg(architecture, tag)
        try:
            with hub.quiet():
                file = open_clip.download_pretrained(record, cache_dir=str(hub.cache_folder()))
        except Exception as error:
            raise hub.unavailable(name, missing, str(error)[:300]) from None
        path = Path(file)
    return Towers(config, path, tokenizer)


def _on_hub(name: str) -> Path | Towers:
    """A repository on the Hub: an actionclip folder, or one of open_clip's kind."""
    repo = hub.check_repo(name.removeprefix(hub.PREFIX))
    path = _config_here(repo)
    if path is None or (path.name == CONFIG and hub.cached(Wanted(repo, (WEIGHTS,))) is None):
        if reason := hub.offline_reason():
            either = (f"{CONFIG} and {WEIGHTS}", f"{OPEN_CLIP_CONFIG} and {_WEIGHTS[0]}")
            raise hub.unavailable(name, [Wanted(repo, either)], reason)
        path = _fetch_config(repo, name)
    if path.name == CONFIG:
        if is_our_config(path):  # else it is refused, and its weights need not come
            hub.fetch(Wanted(repo, (WEIGHTS,)), model=name)
        return path.parent
    config = _open_clip_config(name, path)
    tokenizer = tokenizers.fetch(config.backbone.architecture, model=name)
    return Towers(config, hub.fetch(Wanted(repo, _WEIGHTS), model=name), tokenizer)


def _config_here(repo: str) -> Path | None:
    """The configuration of a repository in the cache, ours or open_clip's, never transformers'."""
    ours = hub.cached(Wanted(repo, (CONFIG,)))
    if ours is not None and is_our_config(ours):
        return ours
    return hub.cached(Wanted(repo, (OPEN_CLIP_CONFIG,)))


def _fetch_config(repo: str, name: str) -> Path:
    """The configuration of a repository from the Hub, with what belongs to one of ours."""
    hub.fetch_if_there(Wanted(repo, (CONFIG,)), model=name)
    if _config_here(repo) is None:
        hub.fetch_if_there(Wanted(repo, (OPEN_CLIP_CONFIG,)), model=name)
    path = _config_here(repo)
    if path is None:
        return hub.fetch(Wanted(repo, (CONFIG,)), model=name)
    if path.name == CONFIG:
        hub.fetch_if_there(Wanted(repo, (LABELS,)), model=name)
        hub.fetch_below(repo, TOKENIZER, tokenizers.SUFFIXES, model=name)
    return path


def _in_open_clip_folder(folder: Path) -> Towers:
    """A folder as open_clip's repositories on the Hub are, its tokenizer's files included."""
    config = _open_clip_config(str(folder), folder / OPEN_CLIP_CONFIG)
    towers = config.backbone.architecture
    files = [folder / name for name in _WEIGHTS if (folder / name).is_file()]
    if not files:
        raise ActionCLIPError(
            f"There are no weights in {folder}.",
            expected=f"{' or '.join(_WEIGHTS)} beside {OPEN_CLIP_CONFIG}.",
        )
    if towers["text_cfg"].get("hf_tokenizer_name") and (folder / "tokenizer.json").is_file():
        tokenizers.check_no_code(folder)
        return Towers(config, files[0], folder)
    return Towers(config, files[0], tokenizers.fetch(towers, model=str(folder)))


def _open_clip_config(name: str, path: Path) -> ModelConfig:
    """What an open_clip_config.json says, by whoever made it."""
    try:
        data = json.loads(path.read_text("utf-8"))
        towers, pixels = data["model_cfg"], data.get("preprocess_cfg", {})
        check_architecture(towers, source=str(path))
        config = _zero_shot(name, towers, pixels, UNKNOWN)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ActionCLIPError(
            f"{path} cannot be used: {type(error).__name__}: {str(error)[:200]}.",
            expected="open_clip's configuration, with model_cfg and preprocess_cfg.",
        ) from None
    _check_transformers(name, towers)
    return config


def _check_transformers(name: str, towers: Mapping[str, Any]) -> None:
    if tokenizers.wanted(towers) and importlib.util.find_spec("transformers") is None:
        raise ActionCLIPError(
            f"The text tower of {name!r} needs the package transformers, which is not installed.",
            expected="Models with CLIP's own vocabulary need nothing more.",
            hint=f'pip install "actionclip[siglip]"; or use {DEFAULT}.',
        )


def load_towers(towers: Towers) -> OpenClipBackbone:
    """The towers with their weights, read by open_clip as tensors only.

    Raises:
        ActionCLIPError: when the file is damaged or holds other weights.
    """
    from open_clip.factory import load_checkpoint

    backbone, path = towers.config.backbone, towers.weights
    tokenizer = backbone.architecture["text_cfg"].get("hf_tokenizer_name") or "clip"
    with without_drawing():
        model = OpenClipBackbone.from_architecture(
            backbone.architecture, tokenizer=tokenizer, tokenizer_dir=towers.tokenizer
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_checkpoint(model.clip, str(path), strict=True, weights_only=True)
    except Exception as error:
        raise ActionCLIPError(
            f"{path} does not hold the weights of {backbone.name!r}: {str(error).strip()[:300]}",
            expected="A whole file of weights for these towers.",
            hint=_another_file(path),
        ) from None
    check_finite(model.state_dict(), path)
    return model


def _another_file(path: Path) -> str:
    """What to do about a file of weights that cannot be used; only a download may be deleted."""
    if path.absolute().is_relative_to(hub.cache_folder().absolute()):
        return "Delete it and let it be downloaded again."
    return (
        "Where it was downloaded, download it again. Where it is a checkpoint of your own, keep "
        "it, and write its weights alone, torch.save(model.state_dict(), FILE), into another "
        f"folder with {OPEN_CLIP_CONFIG}."
    )
