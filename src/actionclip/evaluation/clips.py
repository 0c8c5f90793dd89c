"""Clips become vectors once, whatever is asked about them later; what is done is kept on disk.

Work goes in *blocks*: some clips that stand together in the list, a whole number of batches. Which
clips meet in a batch is a matter of the list alone, so a run that was killed and goes on, or one
that several processes share, ends with the same bits as one process that ran through. A block's
vectors are a file, written whole or not at all.

V views of a clip, D embedding width.
"""

import hashlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from actionclip.encoding.encoder import VideoEncoder, Views, frames_at_once
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.files import Content, text_content, write_together
from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import Source

ZIP_DAMAGED = (EOFError, BadZipFile, zlib.error, RuntimeError)
"""What reading an .npz file may raise as well; the last for kinds of zip Python cannot read."""

FORMAT = 1
BLOCK = 16
"""Clips in a block, at least: what a kill may cost."""
SETTINGS = "settings.json"
PASSING = (Outcome.TIMEOUT, Outcome.MEMORY, Outcome.CRASHED)
"""What another run may do better: blocks with such a clip are done again."""

Seen = Callable[[Clip], object]


@dataclass(frozen=True)
class EncodedClip:
    """A clip as the model saw it, or why it saw nothing."""

    status: Outcome
    message: str = ""
    hint: str = ""
    seconds: float | None = None
    frames: int = 0
    """Frames the model saw, all windows together."""
    views: Float[np.ndarray, "V D"] | None = None
    """Unit vectors."""

    @classmethod
    def of(cls, clip: Clip, views: Tensor | None) -> "EncodedClip":
        """What is kept of a clip that was read."""
        return cls(
            clip.status,
            clip.message,
            clip.hint if clip.message else "",
            clip.seconds,
            0 if clip.index is None else clip.index.size,
            None if views is None else views.float().numpy(),
        )


def encode_clips(
    encoder: VideoEncoder,
    sources: Sequence[Source],
    views: Views,
    *,
    folder: Path | None = None,
    seen: Seen = lambda clip: None,
) -> list[EncodedClip]:
    """Every clip as vectors, in order. In a process group each process does a share of them.

    Args:
        encoder: the model and the processes that decode for it.
        sources: the clips.
        views: which frames of them, and how they are cut.
        folder: where what is done is kept, and found again; None: nowhere.
        seen: told about each clip of this process as it is done, for a progress bar.

    Raises:
        ActionCLIPError: when `folder` holds the vectors of another model or other settings.
        StorageError: when it cannot be written.
    """
    batch = max(1, frames_at_once(encoder.model) // views.frames)
    size = batch * -(-BLOCK // batch)
    blocks = [range(i, min(i + size, len(sources))) for i in range(0, len(sources), size)]
    store = None if folder is None else Store(folder, identity(encoder, views, sources, size))
    rank, world = _ranks()
    mine = range(rank, len(blocks), world)
    done: dict[int, list[EncodedClip]] = {}
    for block in mine if store else ():
        found = store.read(block, [sources[i] for i in blocks[block]]) if store else None
        if found is not None:
            done[block] = found
            for number, clip in zip(blocks[block], found, strict=True):
                seen(Clip(sources[number], clip.status, clip.message))
    todo = [block for block in mine if block not in done]
    stream = encoder.encode(
        (sources[number] for block in todo for number in blocks[block]), views, batch_size=batch
    )
    for block in todo:
        done[block] = list(_noted(itertools.islice(stream, len(blocks[block])), seen))
        if store:
            store.write(block, [sources[i] for i in blocks[block]], done[block])
    together = _gathered(done)
    return [clip for block in range(len(blocks)) for clip in together[block]]


def _noted(results: Iterator[tuple[Clip, Tensor | None]], seen: Seen) -> Iterator[EncodedClip]:
    for clip, embeddings in results:
        seen(replace(clip, frames=None))
        yield EncodedClip.of(clip, embeddings)


def _ranks() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _gathered(done: dict[int, list[EncodedClip]]) -> dict[int, list[EncodedClip]]:
    """The blocks of all processes, in every one of them."""
    _, world = _ranks()
    if world == 1:
        return done
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, done)
    return {block: clips for part in parts for block, clips in part.items()}


def identity(
    encoder: VideoEncoder, views: Views, sources: Sequence[Source], block: int
) -> dict[str, Any]:
    """All that the vectors depend on beside what the files hold."""
    model = encoder.model
    named = hashlib.sha256(repr([(str(s.path), s.start, s.end) for s in sources]).encode())
    return {
        "format": FORMAT,
        "model": weights_key(model),
        "precision": precision_of(model),
        "device": model.device.type,
        "decoder": encoder.decoder,
        "sampling": asdict(views.sampling),
        "preprocess": asdict(views.preprocess),
        "clips": f"{len(sources)} of list {named.hexdigest()[:8]}",
        "block": block,
    }


def precision_of(model: ActionCLIP) -> str:
    """What the image tower multiplies in: `bf16` or `fp32`."""
    kinds = {parameter.dtype for parameter in model.backbone.visual.parameters()}
    return "bf16" if torch.bfloat16 in kinds else "fp32"


def weights_key(model: ActionCLIP) -> str:
    """A hash of all that turns pixels into vectors: the image tower and the visual prompts."""
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        digest.update(f"{name} {type(module).__name__} {module.extra_repr()}\n".encode())
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        if "visual" in name or not name.startswith("backbone"):
            flat = tensor.detach().cpu().contiguous().float().reshape(-1).numpy()
            digest.update(f"{name} {tuple(tensor.shape)} {zlib.crc32(flat.data)}\n".encode())
    return digest.hexdigest()[:16]


def claim(folder: Path, settings: dict[str, Any], *, what: str, same: str, hint: str) -> None:
    """Write down what a folder's work depends on, or see that it is the same as was written there.

    Args:
        folder: where work is kept.
        settings: what it depends on.
        what: it is, in a word.
        same: the settings, in words.
        hint: what to do where they differ.

    Raises:
        ActionCLIPError: when they differ, naming those that do.
        StorageError: when the folder cannot be written.
    """
    wanted = json.loads(json.dumps(settings))
    try:
        there = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError):
        there = None
    if isinstance(there, dict) and there != wanted:
        different = [key for key in wanted if there.get(key) != wanted[key]]
        changes = "; ".join(f"{k}: {there.get(k)} there, {wanted[k]} now" for k in different)
        raise ActionCLIPError(
            f"{folder} holds {what} that were made otherwise ({changes}).",
            expected=f"The same {same} were expected.",
            hint=hint,
        )
    if not isinstance(there, dict) and _ranks()[0] == 0:
        write_together(folder, {SETTINGS: text_content(json.dumps(wanted, indent=1) + "\n")})


class Store:
    """A folder with a file for each block that is done.

    Args:
        folder: where it is, or will be.
        settings: all that the vectors depend on beside what the files hold.
        hint: what to do where the folder holds other vectors.

    Raises:
        ActionCLIPError: when the folder holds the blocks of something else.
        StorageError: when it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        *,
        hint: str = "Choose another folder with --out, or delete this one.",
    ) -> None:
        self.folder = folder
        same = "model, views and list of clips" if "clips" in settings else "model and views"
        claim(folder, settings, what="vectors", same=same, hint=hint)

    def write(self, block: int, sources: Sequence[Source], clips: Sequence[EncodedClip]) -> None:
        """Keep a block.

        Raises:
            StorageError: when the disk is full or the place is not writable.
        """
        vectors = [clip.views for clip in clips if clip.views is not None]
        table: dict[str, Any] = {
            "files": np.array([file_key(source) for source in sources]),
            "status": np.array([str(clip.status) for clip in clips]),
            "message": np.array([clip.message for clip in clips]),
            "hint": np.array([clip.hint for clip in clips]),
            "seconds": np.array([np.nan if c.seconds is None else c.seconds for c in clips]),
            "frames": np.array([clip.frames for clip in clips]),
            "read": np.array([clip.views is not None for clip in clips]),
            "views": np.stack(vectors) if vectors else np.zeros((0, 0, 0), np.float32),
        }
        data = BytesIO()
        np.savez(data, **table)
        whole = data.getvalue()
        content = Content(len(whole), lambda path: path.write_bytes(whole))
        write_together(self.folder, {_name(block): content})

    def read(self, block: int, sources: Sequence[Source]) -> list[EncodedClip] | None:
        """A block that is done, if its files are still the same."""
        files, clips = _block(self.folder / _name(block))
        same = files == [file_key(source) for source in sources]
        return clips if same and not any(clip.status in PASSING for clip in clips) else None

    def all(self) -> dict[str, EncodedClip]:
        """Every clip that is done, by its `file_key`, in whatever list it stood."""
        return {
            file: clip
            for path in sorted(self.folder.glob(_name("*")))
            for file, clip in zip(*_block(path), strict=True)
            if clip.status not in PASSING
        }

    def unused(self) -> int:
        """The number of a block after all that are there."""
        there = [path.stem.rpartition("-")[2] for path in self.folder.glob(_name("*"))]
        return max((int(number) + 1 for number in there if number.isdecimal()), default=0)


def _block(path: Path) -> tuple[list[str], list[EncodedClip]]:
    """The keys of a block's clips, and the clips; none where it is not there or damaged."""
    try:
        data = BytesIO(path.read_bytes())
        with np.load(data, allow_pickle=False) as file:
            table = {key: file[key] for key in file.files}
        status = [Outcome(each) for each in table["status"].tolist()]
        files = table["files"].tolist()
        if len(files) != len(status):
            return [], []
        views = iter(table["views"])
        return files, [
            EncodedClip(
                status[i],
                str(table["message"][i]),
                str(table["hint"][i]),
                None if np.isnan(table["seconds"][i]) else float(table["seconds"][i]),
                int(table["frames"][i]),
                next(views) if table["read"][i] else None,
            )
            for i in range(len(status))
        ]
    except (OSError, ValueError, LookupError, StopIteration, *ZIP_DAMAGED):
        return [], []


def _name(block: int | str) -> str:
    return f"block-{block:06d}.npz" if isinstance(block, int) else f"block-{block}.npz"


def file_key(source: Source) -> str:
    """What tells that a clip is still the one that was read."""
    if source.data is not None:
        return hashlib.sha256(source.data).hexdigest()
    try:
        status = source.path.stat()
        state = f"{status.st_size}-{status.st_mtime_ns}"
    except OSError:
        state = "missing"
    return f"{source.path}|{source.start}|{source.end}|{state}"
