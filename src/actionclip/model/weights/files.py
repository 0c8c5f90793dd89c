"""Weights on disk: written whole or not at all, and read only after they were looked at.

A safetensors file is 8 bytes (the length of the header), a JSON header that gives each tensor's
type, shape and place, and the numbers. The header is checked here against the file and against what
the model expects before anything is allocated, so that a file that lies about its sizes costs
nothing.
"""

import contextlib
import json
import math
import os
import secrets
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError, cannot_write, is_stream

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The number types of safetensors that a model may hold."""

LARGEST_HEADER = 16 * 2**20
"""The header of a model with 10,000 tensors is 2 MB."""

LARGEST_CONFIG = 8 * 2**20
"""A JSON file of settings, or of a vocabulary's rules."""

_TEMPORARY = ".actionclip-writing-"


@dataclass(frozen=True)
class TensorEntry:
    """What a file says about a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Content:
    """What is to be in a file: how many bytes, and what writes them to a path."""

    size: int
    write: Callable[[Path], object]


def text_content(text: str) -> Content:
    """A text file's content. File names in it that are not UTF-8 stay the bytes they are."""
    data = text.encode("utf-8", "surrogateescape")
    return Content(len(data), lambda path: path.write_bytes(data))


def tensor_content(tensors: Mapping[str, Tensor]) -> Content:
    """A safetensors file's content: every tensor with its own numbers, in its own precision."""

    def write(path: Path) -> None:
        from safetensors.torch import save_file

        # Tied weights share memory, which the format does not have: clone.
        own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(own, path, metadata={"format": "pt"})

    return Content(sum(value.nbytes for value in tensors.values()), write)


def write_together(folder: Path, contents: Mapping[str, Content]) -> None:
    """Write several files so that a full disk or a kill never leaves a broken one.

    All are first written and flushed in a temporary folder inside `folder`; only when all are there
    do they take their places. Temporary folders that a killed process left are removed. What goes
    to a pipe or `/dev/null` is poured into it once it is whole.

    Args:
        folder: where the files go; made when it is not there.
        contents: for each file, by its path below `folder`, what is to be in it.

    Raises:
        StorageError: when a file cannot be written; those that were there before are untouched.
    """
    temporary = folder / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    path = folder / next(iter(contents)) if len(contents) == 1 else folder
    streams = {name for name in contents if is_stream(folder / name)}
    contents = dict(contents)
    try:
        for name in streams:
            path = folder / name
            _pour(contents.pop(name), path)
        if streams and not contents:
            return
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        for name, content in contents.items():
            path = folder / name
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).touch()
            mode = (temporary / name).stat().st_mode
            content.write(temporary / name)
            (temporary / name).chmod(mode)  # safetensors makes files only their owner can read
            _flush(temporary / name)
        for name in contents:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).replace(folder / name)
        for parent in {(folder / name).parent for name in contents}:
            _flush(parent)
    except Exception as error:
        # safetensors reports a full disk with an exception of its own.
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        raise cannot_write(
            path,
            error,
            needed=sum(content.size for content in contents.values()),
            hint="Free some space or choose another folder; what was there before is untouched.",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pour(content: Content, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / path.name
        content.write(whole)
        with whole.open("rb") as source, path.open("ab") as target:
            shutil.copyfileobj(source, target)


def sweep(folder: Path) -> None:
    """Remove the temporary folders of processes that are no longer alive."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        owner = path.name.removeprefix(_TEMPORARY).partition("-")[0]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_header(path: Path) -> dict[str, TensorEntry]:
    """What is in a safetensors file, from its header alone.

    Raises:
        ActionCLIPError: when it is not such a file, or its header does not fit the file: a length
            that is not there, places that overlap or leave gaps, sizes that do not match.
    """
    with _reasons(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise ValueError(f"it has {size} bytes, too few for a header")
            (length,) = struct.unpack("<Q", start)
            if length > min(LARGEST_HEADER, size - 8):
                raise ValueError(f"its header claims {length:,} bytes of a file of {size:,}")
            header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_no_repeats)
        if not isinstance(header, dict):
            raise ValueError("its header is not a table")
        header.pop("__metadata__", None)
        places = {name: _place(name, entry) for name, entry in header.items()}
        _check_places(sorted(places.values()), size - 8 - length)
        return {
            name: TensorEntry(tuple(entry["shape"]), DTYPES[entry["dtype"]])
            for name, entry in header.items()
        }


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("its header names something twice")
    return table


def _place(name: str, entry: object) -> tuple[int, int]:
    """Where a tensor's bytes begin and end."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise ValueError(f"its header describes {name!r} as {str(entry)[:80]}")
    if dtype not in DTYPES:
        raise ValueError(f"{name!r} has the type {dtype!r}, which no model uses")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape) or len(shape) > 8:
        raise ValueError(f"{name!r} has the shape {str(shape)[:80]}")
    if end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
        raise ValueError(f"{name!r} has the shape {shape} but {end - begin:,} bytes")
    return begin, end


def _check_places(places: list[tuple[int, int]], size: int) -> None:
    position = 0
    for begin, end in places:
        if begin != position:
            raise ValueError(f"its tensors overlap or leave a gap at byte {begin:,}")
        position = end
    if position != size:
        raise ValueError(f"its tensors take {position:,} bytes and the file has {size:,} for them")


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever reading a hostile file may raise into one error that says why."""
    try:
        yield
    except ActionCLIPError:
        raise
    except RecursionError:
        raise _unreadable(path, "its header is nested too deeply") from None
    except Exception as error:
        raise _unreadable(path, str(error) or type(error).__name__) from None


def _unreadable(path: Path, reason: str) -> ActionCLIPError:
    return ActionCLIPError(
        f"{path} cannot be read: {reason}.",
        expected="It must be a whole safetensors file.",
        hint="Download or save it again.",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the precision they were saved in.

    Raises:
        ActionCLIPError: as `read_header`, and when a number is NaN or infinite.
    """
    header = read_header(path)
    with _reasons(path):
        from safetensors.torch import load_file

        tensors = load_file(path)
        if {name: TensorEntry(tuple(t.shape), t.dtype) for name, t in tensors.items()} != header:
            raise ValueError("it changed while it was read")
    check_finite(tensors, path)
    return tensors


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights with NaN or infinite numbers: every answer would be NaN."""
    broken = [name for name, value in tensors.items() if not _is_finite(value)]
    if broken:
        raise ActionCLIPError(
            f"{path} has NaN or infinite numbers in {some(broken)}.",
            expected="Weights are finite numbers.",
            hint="The training diverged or the file is damaged: use an earlier one.",
        )


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_floating_point() and tensor.element_size() == 1:
        tensor = tensor.float()  # torch cannot ask numbers of eight bits
    return bool(torch.isfinite(tensor).all())


def check_against(
    found: Mapping[str, TensorEntry], expected: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse a file whose tensors are not those of the model.

    Args:
        found: what the file holds.
        expected: the model's state dict; on the meta device will do.
        path: the file, for the error.

    Raises:
        ActionCLIPError: naming what is missing, what is left over and what has another shape.
    """
    problems: list[str] = []
    if missing := sorted(expected.keys() - found.keys()):
        problems.append(f"missing: {some(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        problems.append(f"left over: {some(extra)}")
    for name in sorted(expected.keys() & found.keys()):
        shape, value = found[name].shape, expected[name]
        if shape != tuple(value.shape):
            problems.append(f"{name} is {list(shape)} and must be {list(value.shape)}")
        elif found[name].dtype.is_floating_point != value.dtype.is_floating_point:
            problems.append(f"{name} is {found[name].dtype} and must be {value.dtype}")
    if problems:
        raise ActionCLIPError(
            f"{path} does not fit the model: {'; '.join(problems[:6])}"
            + (f"; and {len(problems) - 6} more." if len(problems) > 6 else "."),
            expected="Every tensor of the model must be in it, with its shape, and no other.",
            hint="Is config.json that of another model?",
        )


def some(names: list[str], most: int = 5) -> str:
    """A few names for an error message."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a model folder: a table, of finite numbers, of a sane size.

    Raises:
        ActionCLIPError: when it is not there or is anything else.
    """
    if not path.is_file():
        raise ActionCLIPError(
            f"There is no {path.name} in {path.parent}.",
            expected="A model folder holds model.safetensors and config.json.",
        )
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        data = json.loads(
            path.read_text("utf-8"), parse_constant=_no_constant, parse_float=_finite_float
        )
    except (ValueError, RecursionError, OSError) as error:
        raise ActionCLIPError(
            f"{path} cannot be read: {str(error)[:200]}.", expected="It must be JSON."
        ) from None
    if not isinstance(data, dict):
        raise ActionCLIPError(f"{path} is not a table.", expected="It must be a JSON object.")
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}")


def _finite_float(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"it holds {text}")
    return float(text)


def copied(path: Path) -> Content:
    """What another file holds."""
    data = path.read_bytes()
    return Content(len(data), lambda target: target.write_bytes(data))
