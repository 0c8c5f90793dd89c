"""Encoded label sets are kept: in memory for the next video, on disk for the next run.

An entry is found by what its numbers depend on: the weights of the text tower, the sentences and
the precision. So it is never out of date, and anything wrong with the place on disk only costs the
time to encode again.

N sentences, D embedding width.
"""

import contextlib
import functools
import hashlib
import os
import sys
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.files import tensor_content, write_together

FORMAT = "1"
"""To be raised when the same sentences and weights give other numbers."""
DISK_LIMIT = 2**30
MEMORY_LIMIT = 2**28
NOT_TEXT = ("visual", "logit_scale", "logit_bias")
SAMPLES = 256
"""Values of each tensor that are looked at every time."""


def encode_cached(
    model: ActionCLIP, sentences: Sequence[str], cache: "TextCache | None" = None
) -> Float[Tensor, "N D"]:
    """Unit vectors for sentences, on the CPU, encoded only if the cache does not have them.

    Args:
        model: whose text tower reads them.
        sentences: prompts, as they go to the tokenizer.
        cache: None: the one of this process in `cache_folder()`.

    Raises:
        ActionCLIPError: naming a sentence that is too long for the text tower.
    """
    cache = cache or _shared(cache_folder() / "texts")
    precision = f"{model.dtype} on {model.device.type}"
    key = text_key(weights_fingerprint(model), sentences, precision)

    def encode() -> Tensor:
        # Within a caller's autocast they would be kept for all who ask without.
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            return model.encode_text(list(sentences))

    return cache.fetch(key, len(sentences), encode)


@functools.cache
def _shared(folder: Path) -> "TextCache":
    return TextCache(folder)


def cache_folder() -> Path:
    """Where this program keeps what it can compute again: `$ACTIONCLIP_CACHE`, or the system's
    place for such files (`$XDG_CACHE_HOME`, `~/.cache`) with `actionclip` behind it.

    A user without a home, as in a container, has none of it: the place that is given then can be
    neither written nor read.
    """
    if own := os.environ.get("ACTIONCLIP_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "actionclip"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "actionclip"
    places = {"win32": "AppData/Local", "darwin": "Library/Caches"}
    try:
        return Path.home() / places.get(sys.platform, ".cache") / "actionclip"
    except RuntimeError:
        return Path(os.devnull) / "actionclip"


class TextCache:
    """Text embeddings by key, the most recently used first to stay.

    Safe to use from several threads, and from several processes with one folder. What it returns is
    shared: do not write into it.

    Args:
        folder: where the files go; None: `texts` in `cache_folder()`.
        disk: bytes to keep on disk; 0 keeps nothing there.
        memory: bytes to keep in memory.
    """

    def __init__(
        self, folder: Path | None = None, *, disk: int = DISK_LIMIT, memory: int = MEMORY_LIMIT
    ) -> None:
        self.folder = cache_folder() / "texts" if folder is None else folder
        self._disk, self._memory = disk, memory
        self._entries: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def fetch(
        self, key: str, rows: int, encode: Callable[[], Float[Tensor, "N D"]]
    ) -> Float[Tensor, "N D"]:
        """The embeddings called `key`, on the CPU: from memory, from disk, or from `encode`.

        Args:
            key: see `text_key`.
            rows: N, which an entry on disk must have.
            encode: makes the embeddings; called only when there are none.
        """
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        embeddings = self._read(key, rows)
        if embeddings is None:
            with torch.inference_mode(False):  # for callers that train with what they get
                embeddings = encode().detach().cpu().clone()
            self._write(key, embeddings)
        self._remember(key, embeddings)
        return embeddings

    def _remember(self, key: str, embeddings: Tensor) -> None:
        with self._lock:
            self._entries[key] = embeddings
            while sum(value.nbytes for value in self._entries.values()) > self._memory:
                self._entries.popitem(last=False)

    def _read(self, key: str, rows: int) -> Tensor | None:
        path = self.folder / f"{key}.safetensors"
        try:
            found = load_file(path)
            # the file is mapped: a copy stays as it is, whatever happens to the file
            embeddings, checksum = found["embeddings"].clone(), int(found["checksum"])
            sound = embeddings.shape[0] == rows and _checksum(embeddings) == checksum
        except (OSError, SafetensorError, LookupError, ValueError, TypeError, RuntimeError):
            return None
        if embeddings.ndim != 2 or not sound:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the sweep goes by the time of last use
        return embeddings

    def _write(self, key: str, embeddings: Tensor) -> None:
        """Keep an entry if the disk lets us: a full or read-only disk is no reason to stop."""
        if embeddings.nbytes > self._disk:
            return
        tensors = {"embeddings": embeddings, "checksum": torch.tensor(_checksum(embeddings))}
        with contextlib.suppress(ActionCLIPError, OSError):
            write_together(self.folder, {f"{key}.safetensors": tensor_content(tensors)})
            self._sweep()

    def _sweep(self) -> None:
        """Remove the files used longest ago until the rest fits the limit."""
        files = [(path.stat(), path) for path in self.folder.glob("*.safetensors")]
        excess = sum(status.st_size for status, _ in files) - self._disk
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= status.st_size


def text_key(fingerprint: str, sentences: Sequence[str], precision: str) -> str:
    """The name of an encoded set of sentences: a hash of all that its numbers depend on.

    Args:
        fingerprint: of the weights, see `weights_fingerprint`.
        sentences: in the order of the rows.
        precision: of the tower's arithmetic, as in "fp32".
    """
    digest = hashlib.sha256()
    for part in (FORMAT, fingerprint, precision, *sentences):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:40]


_known: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()


def weights_fingerprint(model: ActionCLIP) -> str:
    """A hash of the text tower: its weights and what its tokenizer makes of a sentence.

    All modules, parameters and buffers of the backbone count, but for the image tower and the
    logits' scale and bias (modules, because the same weights under another activation are another
    tower). Reading 60 million weights takes most of 0.1 s, so the result is kept until
    torch's own counters say that a weight was written to (a step of `build_optimizer`'s,
    `load_state_dict`, `.to()`), or one of 256 samples of a tensor has another value; the latter is
    for writes that torch does not count: through `.data`, and those of a fused optimiser that is
    not ours. One that misses every sample is missed.
    """
    tensors = {
        name: tensor.detach()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if _is_text(name)
    }
    modules = [
        f"{name} {type(module).__name__} {module.extra_repr()}"
        for name, module in model.named_modules()
        if _is_text(name)
    ]
    state = (*modules, *((name, *_state(tensor)) for name, tensor in tensors.items()))
    if model in _known and _known[model][0] == state:
        return _known[model][1]
    tokens = model.tokenize(["A person's cafe\u0301, 2 dogs!"]).tolist()
    config = model.config.backbone.architecture.get("text_cfg")  # heads and pooling are no weights
    digest = hashlib.sha256(str((tokens, modules, config)).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        content = f"{name} {tensor.dtype} {tuple(tensor.shape)} {_checksum(tensor)} "
        digest.update(content.encode())
    _known[model] = (state, digest.hexdigest())
    return digest.hexdigest()


def _is_text(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "backbone" and not any(part in NOT_TEXT for part in parts)


def _state(tensor: Tensor) -> tuple[object, ...]:
    """What changes when a tensor is written to."""
    version = None if tensor.is_inference() else tensor._version
    step = max(tensor.numel() // SAMPLES, 1)
    return tensor.data_ptr(), version, tensor.dtype, _checksum(tensor.reshape(-1)[::step])


def _checksum(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes: fast, and sure to differ when a single value does."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return zlib.crc32(flat.view(torch.uint8).numpy().data)
