"""A timeline against encoding every window anew, and the memory of long films.

Windows overlap: at a stride of an eighth of a window each frame is in eight of them. Ours encodes
it once and puts windows together from what it kept. The other way decodes the film once as well,
by the same reader, keeps all frames, and runs each window through the network. Both see the same
frames in each window, and are measured twice: from the file to the vectors of all windows, and what
comes after decoding alone.

Memory is that of a process of its own for each length, and that of its decoding worker. Long films
are the short one many times over, its packets written one after the other.

    python benchmarks/timeline.py [--hours 3]
"""

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from common import Film, Program, architecture_of, rendered, report, say, serve, take_turns

import actionclip
from actionclip.encoding.film import FilmEncoder
from actionclip.encoding.grid import Grid, Places
from actionclip.inference.recognizer import Recognizer
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.video.film.part import Part
from actionclip.video.film.session import film
from actionclip.video.settings import Preprocess, Resize, Sampling
from actionclip.video.sources import find_videos
from actionclip.video.transforms import cut, normalise

OVERLAP = 8
WINDOW = 2.0
LABELS = ["walking", "running", "jumping jacks", "waving one hand", "standing still"]


def network(name: str, post: str) -> ActionCLIP:
    """The shipped `tiny`, or random towers of open_clip's shape with a head."""
    if name == "tiny":
        return actionclip.load("tiny", device="cpu").model
    torch.manual_seed(0)
    architecture = architecture_of("tiny" if name == "toy" else name)
    size = architecture["vision_cfg"]["image_size"]
    config = ModelConfig(
        backbone=BackboneConfig(name=name, architecture=architecture),
        prompts=PromptConfig(post=post),  # type: ignore[arg-type]
        sampling=Sampling(frames=8),
        preprocess=Preprocess(size=size, resize=Resize(size=size)),
    )
    return ActionCLIP(OpenClipBackbone.from_architecture(architecture), config).eval()


class Ways:
    """Both ways for one model and one film."""

    def __init__(self, model: ActionCLIP, path: Path) -> None:
        self.model, self.path = model, path
        sampling = model.config.sampling
        # What the model sees at a time is the window, so that both ways encode windows alike.
        window = WINDOW if sampling.spacing is None else sampling.frames * sampling.spacing
        self.grid = Grid.of(model.config, window=window, stride=window / OVERLAP)
        self.request = self.grid.request(model.config.preprocess)
        self.encoded: dict[str, int] = {}
        self.network: dict[str, float] = {}
        """Processor seconds of this thread after decoding."""
        self.found: dict[str, torch.Tensor] = {}

    def parts(self) -> list[Part]:
        """The whole film, decoded."""
        return list(film(find_videos([self.path])[0], self.request))

    def ours(self) -> None:
        """As `Recognizer.watch` does."""
        parts, start = self.parts(), time.thread_time()
        windows = FilmEncoder(self.model, self.grid, self.model.config.preprocess).encode(
            iter(parts)
        )
        self.network["ours"] = time.thread_time() - start
        self.encoded["ours"], self.found["ours"] = windows.frames, windows.vectors[:, 0]

    def every_window(self) -> None:
        """Each window through the network, four at a time."""
        parts, start = self.parts(), time.thread_time()
        preprocess = self.model.config.preprocess
        rows = [cut(p.frames[None], preprocess)[0][0, 0][p.index] for p in parts if len(p)]
        frames, places = torch.cat(rows), Places(self.grid, parts[0].spacing)
        last = len(frames) - places.length
        starts = [n for k in range(len(frames)) if (n := places.start(k)) < last] + [last]
        points, found = places.of(np.array(starts, np.int64))[:, 0], []
        with torch.inference_mode():
            for some in np.array_split(points, max(len(points) // 4, 1)):
                pixels = normalise(frames[torch.as_tensor(some)], preprocess)
                found.append(self.model.encode_video(pixels))
        self.network["every window"] = time.thread_time() - start
        self.encoded["every window"], self.found["every window"] = points.size, torch.cat(found)


def speed(name: str, post: str, path: Path, rounds: int) -> dict[str, Any]:
    """Seconds of both ways, and how far their vectors are apart."""
    ways = Ways(network(name, post), path)
    both = {"ours": ways.ours, "every window": ways.every_window}
    times = take_turns(both, rounds, warm_up=rounds > 1)
    after = ways.network
    cosines = (ways.found["ours"] * ways.found["every window"]).sum(dim=-1)
    return {
        "windows": len(ways.found["ours"]),
        "frames through the tower": ways.encoded,
        "seconds": {way: round(times.seconds(way), 2) for way in times.wall},
        "processor seconds": {way: round(times.busy_seconds(way), 2) for way in times.busy},
        "of these after decoding": {way: round(after[way], 2) for way in after},
        "ours is faster": round(times.ratio("every window", "ours"), 2),
        "in processor time": round(times.busy_ratio("every window", "ours"), 2),
        "after decoding": round(after["every window"] / after["ours"], 2),
        "mean cosine": round(float(cosines.mean()), 5),
    }


def repeated(path: Path, times: int, folder: Path) -> Path:
    """A film that shows another one many times; nothing is decoded or encoded."""
    long = folder / f"{path.stem}-times-{times}.mp4"
    if long.is_file():
        return long
    unfinished = folder / f"{long.stem}.part.mp4"
    with av.open(str(path)) as source, av.open(str(unfinished), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [
            (bytes(p), p.pts, p.dts, p.duration, p.is_keyframe)
            for p in source.demux(stream)
            if p.size
        ]
        base, length = stream.time_base, sum(duration or 0 for *_, duration, _ in packets)
        assert isinstance(base, Fraction)
        for turn in range(times):
            for data, pts, dts, duration, key in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts = (pts or 0) + turn * length, (dts or 0) + turn * length
                packet.duration, packet.time_base, packet.is_keyframe = duration, base, key
                packet.stream = copy
                target.mux(packet)
    unfinished.replace(long)
    return long


def remember(path: str) -> dict[str, Any]:
    """A whole timeline in this process: how long, and the most memory of it and of its worker."""
    torch.set_num_threads(1)
    start, decoder = time.perf_counter(), [0.0]
    with Recognizer(network("tiny", "")) as model:
        found = model.timeline(path, LABELS, seen=lambda *_: decoder.append(largest_child()))
    mine = most_memory("self")
    return {
        "film, s": round(found.seconds or 0, 1),
        "took, s": round(time.perf_counter() - start, 1),
        "status": str(found.status),
        "windows": len(found.times),
        "MiB": round(mine),
        "MiB of the decoder": round(max(decoder)),
    }


def largest_child() -> float:
    """The most memory that a child of this process has had so far, MiB (Linux)."""
    found = [0.0]
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            found.append(most_memory(child))
    return max(found)


def most_memory(process: str) -> float:
    """The most memory that a process has had since its program began, MiB (Linux).

    Not `getrusage`, whose number a child takes over from the process that started it.
    """
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=32.0)
    parser.add_argument("--hours", type=float, default=0.0, help="also a film of this length")
    parser.add_argument("--memory", action="store_true", help="only the memory")
    parser.add_argument("--quick", action="store_true", help="only whether it works")
    parser.add_argument("--clips", type=Path, help="where rendered films are kept")
    parser.add_argument("--remember", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.remember:
        serve(remember)
        return
    torch.set_num_threads(1)
    seconds = 6.0 if args.quick else args.seconds
    [path] = rendered(
        Film(160, 120, seconds) if args.quick else Film(320, 240, seconds), 1, args.clips
    )
    models = {"ViT-B-32, transf": ("ViT-B-32", "transf"), "tiny (shipped)": ("tiny", "")}
    if args.quick:
        models = {"toy, transf": ("toy", "transf")}
    if args.memory:
        models = {}
    rows = {}
    for name, (tower, post) in models.items():
        rows[name] = speed(tower, post, path, args.rounds)
        say(f"{name}: {rows[name]}")
    [minute] = rendered(Film(160, 120, 2.0 if args.quick else 60.0), 1, args.clips)
    lengths = [1, 3] if args.quick else [1, 10, *([round(args.hours * 60)] if args.hours else [])]
    memory = []
    for times in lengths:
        program = Program(sys.argv[0], "--remember")
        program.said()
        memory.append(program(str(repeated(minute, times, minute.parent))))
        program.close()
        say(str(memory[-1]))
    worst = min((row["after decoding"] for row in rows.values()), default=None)
    report(
        "timeline",
        {"overlap": OVERLAP, "film, s": seconds, "rows": rows, "memory": memory, "worst": worst},
    )


if __name__ == "__main__":
    main()
