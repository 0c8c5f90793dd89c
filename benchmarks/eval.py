"""Testing with 10x3 views against thirty passes that know nothing of each other.

A naive test decodes the video, cuts the frames and runs the network once for each view. Ours
decodes a video once, resizes a frame once, and runs each crop of each frame through the image tower
once. What that saves depends on the video: a short one shows the same frames in several clips, of a
long one the decoding alone is saved. Both are measured, in processor time of one thread, with
random weights; ours includes the start and the end of its decoding process.

    python benchmarks/eval.py
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from common import Film, architecture_of, rendered, report, say, take_turns

from actionclip.encoding.encoder import VideoEncoder, Views
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.video.resize import resize
from actionclip.video.sampling import Timeline, choose
from actionclip.video.settings import Preprocess, Resize, Sampling
from actionclip.video.transforms import to_input

WINDOWS, CROPS = 10, 3
FILMS = {"2 s": Film(320, 240, 2), "10 s": Film(320, 240, 10)}


def network(name: str, frames: int) -> ActionCLIP:
    """Random towers of open_clip's shape `name`, with the paper's head."""
    torch.manual_seed(0)
    architecture = architecture_of(name)
    size = architecture["vision_cfg"]["image_size"]
    config = ModelConfig(
        backbone=BackboneConfig(name=name, architecture=architecture),
        prompts=PromptConfig(post="transf"),
        sampling=Sampling(frames=frames, windows=WINDOWS),
        preprocess=Preprocess(size=size, resize=Resize(size=size), crops=CROPS),
    )
    return ActionCLIP(OpenClipBackbone.from_architecture(architecture), config).eval()


class Naive:
    """A pass over the video for each view: decode, choose, resize, cut, encode."""

    def __init__(self, model: ActionCLIP) -> None:
        self.model, self.encoded = model, 0

    def __call__(self, paths: list[Path]) -> list[torch.Tensor]:
        """Unit vectors [V, D] of each video."""
        self.encoded = 0
        return [torch.stack([self.view(path, v) for v in range(WINDOWS * CROPS)]) for path in paths]

    def view(self, path: Path, view: int) -> torch.Tensor:
        """One view of one video."""
        config = self.model.config
        window, crop = divmod(view, CROPS)
        with av.open(str(path)) as container:
            count = container.streams.video[0].frames
            timeline = Timeline(np.arange(count) / 25, count / 25)
            wanted = choose(config.sampling, timeline)[window].tolist()
            kept = {
                number: frame.to_ndarray(format="rgb24")
                for number, frame in enumerate(container.decode(video=0))
                if number in wanted
            }
        assert config.preprocess.resize is not None
        frames = resize(np.stack([kept[number] for number in wanted]), config.preprocess.resize)
        inputs = to_input(frames[None], config.preprocess)[crop : crop + 1]
        self.encoded += len(wanted)
        with torch.inference_mode():
            return self.model.encode_video(inputs)[0]


class Ours:
    """What `actionclip eval --views 10x3` does."""

    def __init__(self, model: ActionCLIP) -> None:
        self.model, self.encoded = model, 0
        model.backbone.visual.register_forward_pre_hook(self._count)

    def _count(self, module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        self.encoded += len(inputs[0])

    def __call__(self, paths: list[Path]) -> list[Any]:
        """Unit vectors [V, D] of each video."""
        self.encoded = 0
        encoder = VideoEncoder(self.model, workers=1)
        try:
            return [found for _, found in encoder.encode(paths, Views.of(self.model.config))]
        finally:
            encoder.close()


def measure(model: ActionCLIP, paths: list[Path], rounds: int) -> dict[str, Any]:
    """Both ways on some clips, and whether they find the same."""
    ways = {"naive": Naive(model), "ours": Ours(model)}
    results: dict[str, Any] = {}

    def run(way: str) -> None:
        results[way] = ways[way](paths)
        results[f"{way}, frames"] = ways[way].encoded

    times = take_turns({way: partial(run, way) for way in ways}, rounds, warm_up=False)
    pairs = zip(results["naive"], results["ours"], strict=True)
    clips = len(paths)
    return {
        "processor seconds a clip": {w: round(times.busy_seconds(w) / clips, 2) for w in ways},
        "seconds a clip": {w: round(times.seconds(w) / clips, 2) for w in ways},
        "frames through the tower": {w: results[f"{w}, frames"] // clips for w in ways},
        "ours is faster": round(times.busy_ratio("naive", "ours"), 2),
        "largest difference": max(float((a - b).abs().max()) for a, b in pairs),
    }


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32", help="an architecture of open_clip")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--count", type=int, default=2, help="clips of each kind")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny model and clips: does it work?")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clips")
    args = parser.parse_args()
    torch.set_num_threads(1)
    films = {"tiny": Film(128, 96, 1)} if args.quick else FILMS
    model = network("tiny" if args.quick else args.model, args.frames)
    rows = {}
    for name, film in films.items():
        paths = rendered(film, 1 if args.quick else args.count, args.clips)
        rows[name] = measure(model, paths, args.rounds)
        say(f"{name}: {rows[name]}")
    worst = min(row["ours is faster"] for row in rows.values())
    size = {"model": model.config.backbone.name, "frames": args.frames, "views": "10x3"}
    report("eval", {"worst": worst, **size, "rows": rows})


if __name__ == "__main__":
    main()
