"""Frames of clips as the image tower sees them: computed once and kept on disk.

The post-network prompt reads nothing else of a video, so whoever trains or compares such prompts
with frozen towers needs the towers once for each clip.

N clips, W windows of each, T frames (with `joint`: 1), D embedding width.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from actionclip.config import to_dict
from actionclip.data.manifest import Manifest, Row
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.text_cache import TextCache, cache_folder
from actionclip.video.decode import Clip, DecodePool
from actionclip.video.settings import Preprocess, ReadRequest
from actionclip.video.sources import Source
from actionclip.video.transforms import to_input

FORMAT = "1"
"""To be raised when the same clips and weights give other numbers."""
_PART = 2**20


@dataclass(frozen=True)
class Features:
    """Clips that could be read, and what the tower makes of their frames."""

    rows: tuple[Row, ...]
    embeddings: Float[Tensor, "N W T D"]
    failed: tuple[tuple[Row, str], ...] = ()
    """Clips that could not be read, and why."""


def frame_embeddings(
    model: ActionCLIP,
    manifest: Manifest,
    *,
    workers: int | None = None,
    seen: Callable[[], object] = lambda: None,
) -> Features:
    """The frames of every clip of a manifest through the image tower, the model's own views of it.

    What was computed before for the same file, weights and settings is read from the cache
    (`frames/` in `$ACTIONCLIP_CACHE`).

    Args:
        model: which frames it wants is a matter of its configuration.
        manifest: the clips.
        workers: decoding processes; None: one for each core.
        seen: called after each clip.

    Raises:
        ActionCLIPError: when no clip can be read.
    """
    sampling = model.config.sampling
    preprocess = replace(model.config.preprocess, crops=1)
    shape = sampling.windows, 1 if model.config.prompts.pre == "joint" else sampling.frames
    cache = TextCache(cache_folder() / "frames", memory=0)
    base = image_key(model)
    found: dict[int, Tensor] = {}
    failed: list[tuple[Row, str]] = []
    todo: list[tuple[int, Source, str]] = []
    for number, row in enumerate(manifest.rows):
        source = manifest.source(row)
        key = clip_key(base, source)
        kept = _kept(cache, key, shape[0] * shape[1])
        if kept is None:
            todo.append((number, source, key))
        else:
            found[number] = kept
            seen()
    request = ReadRequest(sampling=sampling, resize=preprocess.resize)
    with DecodePool(workers) as pool:
        clips = pool.read_all((source for _, source, _ in todo), request)
        for (number, _, key), clip in zip(todo, clips, strict=True):
            if clip.status.usable:
                value = _encode(model, clip, preprocess)
                found[number] = cache.fetch(key, len(value), lambda value=value: value)
            else:
                failed.append((manifest.rows[number], clip.message))
            seen()
    if not found:
        first = f"{failed[0][0].path}: {failed[0][1]}" if failed else "there is none."
        raise ActionCLIPError(
            f"Not one of {len(manifest.rows)} clips can be read; the first: {first}",
            hint="`actionclip data inspect` opens all of them and says what is wrong.",
        )
    order = sorted(found)
    embeddings = torch.stack([found[number] for number in order]).unflatten(1, shape)
    return Features(tuple(manifest.rows[n] for n in order), embeddings, tuple(failed))


def image_key(model: ActionCLIP) -> str:
    """A hash of all that decides a frame's embedding but the frame: weights, prompts, settings."""
    settings = to_dict(model.config)
    kept = {key: settings[key] for key in ("sampling", "preprocess", "backbone", "prompts")}
    kept["prompts"] = {key: kept["prompts"][key] for key in ("pre", "inner", "positions")}
    modules = [
        f"{name} {type(module).__name__} {module.extra_repr()}"
        for name, module in model.named_modules()
        if _is_image(name)
    ]
    digest = hashlib.sha256(str((FORMAT, kept, modules, str(model.dtype))).encode())
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        if _is_image(name):
            flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name} {tuple(tensor.shape)}".encode() + flat.numpy().tobytes())
    return digest.hexdigest()


def clip_key(base: str, source: Source) -> str:
    """The name of a clip's embeddings: a hash of the file's content, the stretch and `base`."""
    digest = hashlib.sha256(f"{base} {source.start} {source.end} {source.kind}".encode())
    files = sorted(source.path.iterdir()) if source.path.is_dir() else [source.path]
    for path in files:
        if path.is_file():
            digest.update(f"{path.name if len(files) > 1 else ''} {path.stat().st_size}".encode())
            digest.update(_content(path))
    return digest.hexdigest()[:40]


def _content(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.digest()


def _is_image(name: str) -> bool:
    return name.startswith(("backbone.clip.visual", "pre.", "inner."))


class _Missing(Exception):
    """There is no such entry."""


def _kept(cache: TextCache, key: str, rows: int) -> Tensor | None:
    def missing() -> Tensor:
        raise _Missing

    try:
        return cache.fetch(key, rows, missing)
    except _Missing:
        return None


@torch.no_grad()
def _encode(model: ActionCLIP, clip: Clip, settings: Preprocess) -> Float[Tensor, "WT D"]:
    pixels = to_input(clip.windows(), settings).to(model.device, model.dtype)
    return model.encode_frames(pixels).flatten(0, 1).float().cpu()
