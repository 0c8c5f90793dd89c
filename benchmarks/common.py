"""What the benchmarks share: videos to measure on, a fair stop-watch, and the line of JSON.

Times are compared within one run only: the ways take turns, each round runs all of them, and ratios
are medians over rounds. So whatever else the machine does hits all alike. The first round is thrown
away.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGES = ("actionclip", "torch", "av", "opencv-python-headless", "torchcodec", "transformers")
BITS = 16
"""Blocks along the upper edge of a numbered frame: its number, the lowest bit on the left."""


TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
"""Towers that only show whether a benchmark works."""


def architecture_of(name: str) -> dict[str, Any]:
    """The shape that open_clip knows by a name, or that of `tiny`, which is `TINY`."""
    import open_clip

    architecture = TINY if name == "tiny" else open_clip.get_model_config(name)
    assert architecture is not None, f"open_clip has no {name}"
    return architecture


@dataclass
class Times:
    """Wall and processor seconds of several ways to do the same, a value for each round."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    busy: dict[str, list[float]] = field(default_factory=dict)
    """Processor seconds of this process (all threads) and of its children that have ended."""

    def seconds(self, way: str) -> float:
        """Median wall time."""
        return statistics.median(self.wall[way])

    def busy_seconds(self, way: str) -> float:
        """Median processor time."""
        return statistics.median(self.busy[way])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times longer `slow` takes: the median over the rounds."""
        return _median_ratio(self.wall[slow], self.wall[fast])

    def busy_ratio(self, slow: str, fast: str) -> float:
        """The same in processor time."""
        return _median_ratio(self.busy[slow], self.busy[fast])


def _median_ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def take_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: bool = True
) -> Times:
    """Time all ways in every round, in changing order; one more round first to warm up."""
    times = Times({name: [] for name in ways}, {name: [] for name in ways})
    for turn in range(0 if warm_up else 1, rounds + 1):
        for name in sorted(ways, reverse=bool(turn % 2)):
            busy, start = _processor(), time.perf_counter()
            ways[name]()
            seconds, work = time.perf_counter() - start, _processor() - busy
            if turn:
                times.wall[name].append(seconds)
                times.busy[name].append(work)
    return times


class Program:
    """A process of its own that does its work each time it is called.

    It says a line when it is ready, and one for each line it is sent; every line is JSON.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def said(self) -> Any:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)

    def __call__(self, request: Any) -> Any:
        """Have it work once; its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.said()

    def busy(self) -> float:
        """Processor seconds so far, with those of its children (Linux)."""
        return _processor_of(self._process.pid)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve(work: Callable[[Any], Any]) -> None:
    """The other side of `Program`: answer requests until there are no more."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)


def _processor_of(process: int) -> float:
    """Processor seconds of a process and of all that descend from it and still run (Linux)."""
    table = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rsplit(")", 1)[1].split()
            table[int(status.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    family = {process}
    while more := {child for child, (parent, _) in table.items() if parent in family} - family:
        family |= more
    return sum(table[one][1] for one in family if one in table) / os.sysconf("SC_CLK_TCK")


def _processor() -> float:
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def say(message: str) -> None:
    """Something for a person to read while waiting."""
    print(message, file=sys.stderr, flush=True)


def report(benchmark: str, results: Mapping[str, Any]) -> None:
    """The last line of stdout: the numbers, and what is needed to compare them with others."""
    line = {"benchmark": benchmark, "command": _command(), "machine": machine(), **results}
    print(json.dumps(line), flush=True)


def _command() -> str:
    """What was typed, without the folder of this machine in which clips are kept."""
    words = list(sys.argv[1:])
    if "--clips" in words:
        place = words.index("--clips")
        del words[place : place + 2]
    words = [word for word in words if not word.startswith("--clips=")]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def machine() -> dict[str, Any]:
    """Processor, cores, threads that torch uses, how busy it is, and the versions of what ran."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        **({"threads": sys.modules["torch"].get_num_threads()} if "torch" in sys.modules else {}),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        **{package: found for package in PACKAGES if (found := _version(package))},
    }


def _cpu_name() -> str:
    """The processor's name, and the instructions for low precision it has."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    found = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(found)})"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def resident_mib() -> float:
    """Memory of this process now, without its children, in MiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


@dataclass(frozen=True)
class Film:
    """A video to render: shape, length, and how it is compressed."""

    width: int
    height: int
    seconds: float
    rate: int = 25
    preset: str = "medium"
    keyframes: int = 250
    """At most this many frames from one keyframe to the next; 250 is x264's default."""
    numbered: bool = False
    """Whether every frame carries its number."""
    codec: str = "libx264"
    suffix: str = "mp4"

    @property
    def frames(self) -> int:
        """How many there are."""
        return round(self.seconds * self.rate)

    @property
    def name(self) -> str:
        """All of the above as a file name."""
        marks = "-numbered" if self.numbered else ""
        marks += "" if self.codec == "libx264" else f"-{self.codec}"
        return (
            f"{self.width}x{self.height}-{self.frames}at{self.rate}"
            f"-{self.preset}-g{self.keyframes}{marks}"
        )


def rendered(film: Film, count: int, folder: Path | None = None) -> list[Path]:
    """Files with `count` different films, rendered unless they are there from an earlier run.

    Args:
        film: their form.
        count: how many.
        folder: where they are kept; None: a folder for temporary files.
    """
    place = (folder or Path(tempfile.gettempdir()) / "actionclip-benchmarks") / film.name
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{seed:03d}.{film.suffix}" for seed in range(count)]
    missing = [seed for seed, path in enumerate(paths) if not path.is_file()]
    if missing:
        say(f"rendering {len(missing)} x {film.name} into {place.parent}")
    for seed in missing:
        _write(film, seed, paths[seed])
    return paths


def _write(film: Film, seed: int, path: Path) -> None:
    import av

    unfinished = path.with_suffix(f".part.{film.suffix}")
    with av.open(str(unfinished), "w") as container:
        stream: Any = container.add_stream(film.codec, rate=film.rate)
        stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
        stream.options = {"g": str(film.keyframes)}
        # MPEG-4 Part 2 as Xvid wrote it: two pictures between others, good quality.
        more = {"preset": film.preset} if film.codec == "libx264" else {"bf": "2", "qscale": "3"}
        stream.options |= more
        for number, picture in enumerate(_pictures(film, seed)):
            if film.numbered:
                _mark(picture, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    unfinished.replace(path)


def _pictures(film: Film, seed: int) -> Iterator[NDArray[np.uint8]]:
    """A hand-held camera before a wall with texture, three things that move, a noisy sensor."""
    rng = np.random.default_rng(seed)
    width, height, room = film.width, film.height, max(film.height // 4, 4)
    wall = _texture(height + 2 * room, width + 2 * room, rng)
    things = [_thing(height, rng) for _ in range(3)]
    tempo, phase = rng.uniform(0.5, 2, (4, 2)), rng.uniform(0, 6.28, (4, 2))
    noise = rng.normal(0, 5, (height + 16, width + 16, 1)).astype(np.int16)
    for number in range(film.frames):
        swing = np.sin(tempo * number / film.rate * 2 + phase) / 2 + 0.5
        top, left = (swing[0] * 2 * room).astype(int)
        picture = wall[top : top + height, left : left + width].copy()
        for (texture, mask), place in zip(things, swing[1:], strict=True):
            size = len(mask)
            row, column = (place * (height - size, width - size)).astype(int)
            spot = picture[row : row + size, column : column + size]
            np.copyto(spot, texture, where=mask)
        row, column = rng.integers(0, 16, 2)
        grain = noise[row : row + height, column : column + width]
        yield (picture + grain).clip(0, 255).astype(np.uint8)


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """A coloured cloud with detail at every scale, as photographs have."""
    from PIL import Image

    total = np.zeros((height, width, 3), np.float32)
    cells, strength = 3, 1.0
    while cells < width:
        coarse = rng.integers(0, 256, (max(cells * height // width, 2), cells, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
        total += strength * (np.asarray(smooth, np.float32) - 128)
        cells, strength = cells * 2, strength * 0.75
    return (128 + total * rng.uniform(0.6, 1, 3)).clip(0, 255).astype(np.int16)


def _thing(height: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Something that moves: a textured ellipse and where it covers what is behind."""
    size = max(int(height * rng.uniform(0.2, 0.45)), 4)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    mask = (x / rng.uniform(0.4, 1)) ** 2 + y**2 < 1
    texture = _texture(size, size, rng) // 2 + rng.integers(0, 128, 3).astype(np.int16)
    return texture, np.repeat(mask[..., None], 3, axis=2)


def _mark(picture: NDArray[np.uint8], number: int) -> None:
    """Write a frame's number into its upper edge, black and white blocks."""
    block = picture.shape[1] // BITS
    bits = (number >> np.arange(BITS)) & 1
    stripe = np.repeat(bits * 255, block).astype(np.uint8)
    picture[:block, : len(stripe)] = stripe[None, :, None]


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a decoded frame [H, W, 3] carries."""
    block = picture.shape[1] // BITS
    middle = picture[block // 4 : block * 3 // 4, : block * BITS, 1].astype(float)
    blocks = middle.reshape(len(middle), BITS, block)[:, :, block // 4 : block * 3 // 4]
    return int(((blocks.mean(axis=(0, 2)) > 127) << np.arange(BITS)).sum())
