"""Foreign checkpoints, read without running anything that is in them.

A `.pt` file is a program for a small stack machine (pickle) beside raw numbers. PyTorch's
restricted reader (`weights_only=True`) refuses every instruction that would call foreign code. It
is used here always, with no way round it, and not alone: before it runs, the archive is checked to
hold no more than its size allows, and after it every tensor is checked to have its own numbers in
the file.
"""

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.weights.files import read_tensors

MOST_ENTRIES = 100_000
"""Files in an archive: one for each tensor and a few more."""

LARGEST_PROGRAM = 64 * 2**20
"""The pickle of a checkpoint holds names and shapes: a megabyte is much."""

_RESAVE = (
    "Where you trust the file, load it with the code that made it and save the weights alone: "
    "torch.save(model.state_dict(), 'weights.pt')."
)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The top level of a checkpoint: names of tensors, of tables of tensors, and of plain values.

    Args:
        path: a file of `torch.save` (zip or the older format), or a safetensors file.

    Raises:
        ActionCLIPError: when it is not such a file, is a TorchScript program, holds objects other
            than tensors and plain values, or says it is larger than it is. Nothing in it is run.
    """
    if not path.is_file():
        raise ActionCLIPError(
            f"There is no file {path}.", expected="A checkpoint to convert must be a file."
        )
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        _check_archive(path)
        loaded = _load(path, mmap=True)
    elif path.suffix == ".safetensors" or start[8:] == b"{":
        return dict(read_tensors(path))
    elif start[:1] == b"\x80":
        loaded = _load(path, mmap=False)
    else:
        raise _refused(
            path,
            "it begins like none of the formats of weights",
            "It must be a file of torch.save or a safetensors file.",
            "Download it again; a web page saved in its place is a common cause.",
        )
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise _refused(
            path,
            f"it holds {type(loaded).__name__}, not named tensors",
            "It must hold a state dict, alone or inside a checkpoint's table.",
            _RESAVE,
        )
    _check_tensors(dict(tensors_in(loaded)), path)
    return loaded


def tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor anywhere inside, with the path to it."""
    # A list of work and not recursion: a hostile file may be nested more deeply than the stack.
    work: list[tuple[str, Any]] = [(name, value)]
    seen: set[int] = set()
    while work:
        name, value = work.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping | list | tuple | set | frozenset):
            if id(value) in seen:  # shared or circular
                continue
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            work.extend((f"{name}.{key}" if name else str(key)[:200], item) for key, item in items)


def _check_archive(path: Path) -> None:
    """Refuse TorchScript, and archives that would unpack to more than they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
        raise _refused(
            path,
            f"its archive is damaged ({error})",
            "It must be a whole file of torch.save.",
            "Download it again.",
        ) from None
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names or any("/code/" in entry.filename for entry in entries):
        raise _refused(
            path,
            "it is a TorchScript archive, which is a program and not only weights",
            "Only weights are read: a state dict saved with torch.save, or a safetensors file.",
            "OpenAI's own files are this kind; the same weights are the models "
            "ViT-B-32/openai, ViT-B-16/openai and ViT-L-14/openai. Otherwise, where you trust the "
            "file: torch.save(torch.jit.load(file, 'cpu').state_dict(), 'weights.pt').",
        )
    size = path.stat().st_size
    declared = sum(entry.file_size for entry in entries)
    program = max(
        (e.file_size for e in entries if e.filename.rpartition("/")[2] == "data.pkl"), default=0
    )
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if len(entries) > MOST_ENTRIES or declared > size or compressed or program > LARGEST_PROGRAM:
        raise _refused(
            path,
            f"its archive of {size:,} bytes declares {len(entries):,} files of {declared:,} bytes"
            + (", compressed" if compressed else ""),
            "torch.save stores every tensor as it is.",
            _RESAVE,
        )


def _load(path: Path, *, mmap: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise _refused(
            path,
            f"it holds more than weights: {_foreign(path, error)}",
            "Only tensors and plain values are read; anything else could run code.",
            _RESAVE,
        ) from None
    except Exception as error:
        raise _refused(
            path,
            f"it is damaged ({str(error).strip().partition(chr(10))[0][:200]})",
            "It must be a whole file of torch.save.",
            "Download it again.",
        ) from None


def _foreign(path: Path, error: Exception) -> str:
    """The foreign classes and functions in a checkpoint, found without running it."""
    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:
        names = []
    if names:
        return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if "nsupported" in line or "GLOBAL" in line]
    return (telling or lines or ["an instruction that is not allowed"])[0][:200]


def _check_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors whose numbers are not in the file.

    A tensor is a view of a stored run of numbers. With a stride of 0 a view of one number can claim
    any size, and costs that much as soon as it is copied.
    """
    limit = path.stat().st_size
    total = 0
    for name, value in tensors.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise _refused(
                path,
                f"{name!r} is a {value.layout} tensor on {value.device}",
                "Weights are dense and have their numbers in the file.",
                _RESAVE,
            )
        total += value.numel() * value.element_size()
        stored = value.untyped_storage().nbytes()
        if value.numel() * value.element_size() > stored or total > 2 * limit:
            raise _refused(
                path,
                f"{name!r} claims the shape {list(value.shape)}, more than the file's "
                f"{limit:,} bytes hold",
                "Every number of a tensor must be in the file.",
                _RESAVE,
            )


def _refused(path: Path, reason: str, expected: str, hint: str) -> ActionCLIPError:
    return ActionCLIPError(f"{path} is not read: {reason}.", expected=expected, hint=hint)
