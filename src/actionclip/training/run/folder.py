"""The folder of a run, for people and for the run itself.

config.toml             all settings; of a recipe, the whole recipe
environment.json        versions, hardware, and the command
metrics.jsonl           a line for every so many steps and for every evaluation
training.safetensors    the state from which the run goes on
last/                   a model folder: the newest weights
best/                   a model folder: the best evaluation so far
start/                  a model folder: the weights it began with, where they are needed later
interpolated/           a model folder: between the start and the end, if that is wanted
"""

import fcntl
import json
import math
import os
import platform
import socket
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import torch

from actionclip import __version__
from actionclip.config import to_dict
from actionclip.errors import ActionCLIPError, StorageError, cannot_write
from actionclip.model.weights.files import sweep, text_content, write_together
from actionclip.training.settings import MAY_CHANGE, TrainConfig

CONFIG, ENVIRONMENT, METRICS, LOCK = "config.toml", "environment.json", "metrics.jsonl", ".lock"
LAST, BEST, START, BETWEEN = "last", "best", "start", "interpolated"


_SHOWN = 4
"""Members of a list that an error names at most."""


@dataclass(frozen=True)
class Record:
    """What a run writes down about itself."""

    settings: Mapping[str, Any]
    """The content of config.toml."""
    may_change: frozenset[str] = MAY_CHANGE
    """Settings (or tables of them) that may differ when the run is resumed."""
    about: str = ""
    """What it is trained on and how, for the cards of its models: whole sentences."""
    earlier: Mapping[str, Any] = field(default_factory=dict)
    """What older versions wrote for a setting, by its name; it counts as the same."""
    measure: str = ""
    """How the scores are measured, besides their names: where it is another one than before, they
    are not compared with those before."""
    when_open: Callable[[], object] | None = None
    """Called in the first process once the folder is this run's, to write more into it."""

    @classmethod
    def of(cls, config: TrainConfig) -> "Record":
        """What a run without a recipe writes down."""
        return cls(to_dict(config.in_words), earlier={"templates": config.templates})


class RunFolder:
    """The files of a run that are not weights. Only one process at a time may have a folder open.

    Args:
        path: the folder; made when it is not there.
        record: what is written down.

    Raises:
        ActionCLIPError: when another process is training there, or when a run with other settings
            is in it.
        StorageError: when it cannot be written.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self._metrics: BinaryIO | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / LOCK).open("a+")
        except OSError as error:
            raise _cannot_write(path, error) from None
        try:
            _take(self._lock, path)
            for place in (path, *(path / name for name in (LAST, BEST, START, BETWEEN))):
                sweep(place)  # what a killed process left half written
            _check_same(path / CONFIG, record)
            files = {
                CONFIG: text_content(write_toml(record.settings)),
                ENVIRONMENT: text_content(json.dumps(environment(), indent=2) + "\n"),
            }
            write_together(path, files)
            if record.when_open is not None:
                record.when_open()
        except BaseException:
            self._lock.close()
            raise

    def open_metrics(self, length: int) -> None:
        """Go on with metrics.jsonl at a length: lines of steps that will be done again go away."""
        try:
            self._metrics = (self.path / METRICS).open("ab")
            self._metrics.truncate(min(length, self._metrics.tell()))
            self._metrics.seek(0, os.SEEK_END)
        except OSError as error:
            raise _cannot_write(self.path / METRICS, error) from None

    def log(self, line: Mapping[str, Any]) -> int:
        """Add a line to metrics.jsonl; returns the file's length.

        Raises:
            StorageError: when it cannot be written.
        """
        assert self._metrics is not None
        try:
            self._metrics.write(json.dumps(dict(line), allow_nan=False).encode() + b"\n")
            self._metrics.flush()
            return self._metrics.tell()
        except OSError as error:
            raise _cannot_write(self.path / METRICS, error) from None

    def close(self) -> None:
        """Let another process have it."""
        try:
            if self._metrics is not None:
                self._metrics.close()
        except OSError:
            pass  # a full disk again: it was reported when the line was written
        finally:
            self._lock.close()


def finite(value: float) -> float | None:
    """The number, or None: JSON has no NaN."""
    return value if math.isfinite(value) else None


def _take(lock: Any, path: Path) -> None:
    """Hold the lock until this process ends, however it ends (its children do not inherit it)."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        raise ActionCLIPError(
            f"Another process is training in {path}: {lock.read().strip() or 'unknown'}.",
            expected="One training for each folder.",
            hint="Wait for it, stop it, or choose another folder.",
        ) from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()


def _check_same(path: Path, record: Record) -> None:
    """Refuse to go on with a run that was started with other settings."""
    if not path.is_file():
        return
    try:
        before = _flat(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ActionCLIPError(
            f"{path} cannot be read: {error}.",
            hint="It belongs to a run: restore it, or train in another folder.",
        ) from None
    now = _flat(tomllib.loads(write_toml(record.settings)))
    changed = [
        _difference(key, before.get(key, "not set"), now.get(key, "not set"))
        for key in sorted(before.keys() | now.keys())
        if before.get(key) not in (now.get(key), record.earlier.get(key, now.get(key)))
        and not _is_in(key, record.may_change)
    ]
    if changed:
        raise ActionCLIPError(
            f"{path.parent} holds a run with other settings: {'; '.join(changed)}.",
            expected="A run goes on with the settings it was started with.",
            hint="Train in another folder, or remove this one to start anew.",
        )


def _difference(key: str, old: Any, new: Any) -> str:
    """What has changed, for a person; of long lists only what is not in both.

    >>> _difference("templates", ["{}", *"abcd"], ["a {}", *"abcd"])
    "templates was with ['{}'] and is with ['a {}']"
    """
    lists = isinstance(old, list) and isinstance(new, list)
    if not lists or max(len(old), len(new)) <= _SHOWN:
        return f"{key} was {old!r} and is {new!r}"
    gone, come = [i for i in old if i not in new], [i for i in new if i not in old]
    if not gone and not come:
        return f"{key} was in another order, or had other members twice"
    return f"{key} was with {_first(gone)} and is with {_first(come)}"


def _first(members: list[Any]) -> str:
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return f"{members[:_SHOWN]}{more}"


def _is_in(key: str, names: frozenset[str]) -> bool:
    """Whether a setting is one of these, or in one of these tables."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return found


def write_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Plain settings as TOML; what is None is left out, as TOML has no word for it.

    >>> print(write_toml({"seed": 1, "name": None, "optim": {"lr": 0.5}}))
    seed = 1
    <BLANKLINE>
    [optim]
    lr = 0.5
    <BLANKLINE>
    """
    lines = [
        f"{key} = {_value(value)}"
        for key, value in table.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    text = "\n".join(lines) + "\n" if lines else ""
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{key}"
            text += f"\n[{name}]\n" + write_toml(value, f"{name}.")
    return text


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case _:
            return repr(value)


def environment() -> dict[str, Any]:
    """What the run runs on, so that its numbers can be understood later."""
    packages = ("open_clip_torch", "numpy", "safetensors")
    return {
        "command": sys.argv,
        "versions": {
            "actionclip": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            **{name: version(name) for name in packages},
        },
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def what_changed(folder: Path) -> str:
    """A sentence about what a run runs on now and did not when it was started last, if anything.

    Weights depend on it in their last digits.
    """
    try:
        before = _flat(json.loads((folder / ENVIRONMENT).read_text("utf-8")))
    except (OSError, ValueError, AttributeError):
        return ""
    now = _flat(environment())
    names = [name for name in now if name.startswith("versions.")]
    told = [
        f"{name.removeprefix('versions.')} {before[name]} and now {now[name]}"
        for name in (*names, "threads", "gpus", "processes")
        if name in before and before[name] != now[name]
    ]
    if not told:
        return ""
    return (
        f"The run was started with {', '.join(told)}: it goes on, and its weights may differ in "
        "their last digits from those of one start."
    )


def _cannot_write(path: Path, error: OSError) -> StorageError:
    untouched = "Free some space and run the same command again: the last save is untouched."
    return cannot_write(path, error, hint=untouched)
