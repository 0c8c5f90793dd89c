"""How many videos a second are classified, against the way most people would write it?

    python benchmarks/classify.py                        all of it, about twenty minutes
    python benchmarks/classify.py --models ViT-B-32 --films 320x240

H.264 clips, 8 frames each, 20 labels x 1 template, towers with random weights on the CPU. `ours` is
what the command line does with a folder (`--precision auto`), the encoding of the labels included.
The straightforward program decodes all of a video with OpenCV (or else PyAV), resizes with Pillow,
runs open_clip in float32 and encodes the labels for each video; the same with its labels encoded
once; and X-CLIP of transformers where that is installed. Goal: at least 3 times the
straightforward program with the same first label on 99 % of clips, and memory that does not grow.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import Film, machine, rendered, report, resident_mib, say, take_turns
from peers import Straightforward, XClip, matmuls

import actionclip
from actionclip.inference.encoder import Views
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.architecture import named_architecture
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.tiny import ARCHITECTURE
from actionclip.video.decode import DecodePool
from actionclip.video.settings import Preprocess, ReadRequest, Resize
from actionclip.video.sources import find_videos

LABELS = [
    "archery",
    "basketball dunk",
    "bending down",
    "brushing hair",
    "climbing stairs",
    "cutting in kitchen",
    "diving",
    "drinking from a cup",
    "horse riding",
    "juggling balls",
    "jumping jacks",
    "mopping the floor",
    "playing piano",
    "playing violin",
    "running",
    "shaking hands",
    "surfing",
    "walking the dog",
    "washing dishes",
    "waving both hands",
]
TEMPLATE = "a video of a person {}"
FRAMES = 8

FILMS = {
    "320x240": (Film(320, 240, 10), 16, 2),
    "720p": (Film(1280, 720, 10), 6, 1),
}
"""What is classified, how many clips ours takes in a round, and how many the slow programs take."""
SHORT = Film(320, 240, 2)
"""For counting equal answers, which takes many clips."""


def model_folder(name: str, place: Path) -> Path:
    """A model folder with random towers of open_clip's shape `name`.

    The projections of random towers map everything close to one point, and one label would win
    whatever the clip. So the mean is taken out of both, as training would.
    """
    torch.manual_seed(0)
    architecture = ARCHITECTURE if name == "tiny" else named_architecture(name)
    size = architecture["vision_cfg"]["image_size"]
    config = ModelConfig(
        backbone=BackboneConfig(name=name, architecture=architecture),
        preprocess=Preprocess(size=size, resize=Resize(size=size)),
        templates=(TEMPLATE,),
    )
    model = ActionCLIP(OpenClipBackbone.from_architecture(architecture), config).eval()
    _spread_out(model)
    actionclip.save(model, place / name)
    return place / name


def _spread_out(model: ActionCLIP) -> None:
    """Turn the projections away from the mean clip and the mean label."""
    clip = model.backbone.clip
    paths = rendered(SHORT, 8, ARGS.clips)
    with actionclip.Recognizer(model) as recognizer, torch.no_grad():
        frames = torch.stack([recognizer.embed_video(path) for path in paths])
        texts = recognizer.embed_text([TEMPLATE.format(label) for label in LABELS])
        for projection, rows in ((clip.visual.proj, frames), (clip.text_projection, texts)):
            mean = torch.nn.functional.normalize(rows.mean(dim=0), dim=0)
            projection -= torch.outer(projection @ mean, mean)


def speed(folder: Path, film_name: str, rounds: int) -> dict[str, Any]:
    """Videos a second of every way on one kind of clip."""
    film, many, few = FILMS[film_name]
    paths = rendered(film, many, ARGS.clips)
    threads = torch.get_num_threads()
    with (
        actionclip.load(folder, precision="auto") as ours,
        actionclip.load(folder, precision="fp32") as exact,
        DecodePool() as pool,
    ):
        plain = Straightforward(exact.model.backbone.clip, exact.config, LABELS)
        cached = Straightforward(exact.model.backbone.clip, exact.config, LABELS, cached=True)
        views = Views.of(exact.config)
        request = ReadRequest(sampling=views.sampling, resize=views.preprocess.resize)
        takes = iter(range(10**6))

        def classify(recognizer: actionclip.Recognizer) -> None:
            # Other sentences in every round: or the labels would come from the cache.
            template = [f"{TEMPLATE}, take {next(takes)}"]
            list(recognizer.results(paths, LABELS, templates=template))

        def each(program: Any) -> None:
            torch.set_num_threads(threads)
            for path in paths[:few]:
                program(path)

        ways = {
            "ours": lambda: classify(ours),
            "ours, fp32": lambda: classify(exact),
            "straightforward": lambda: each(plain),
            "straightforward, labels cached": lambda: each(cached),
            "only decoding": lambda: list(pool.read_all(find_videos(paths), request)),
        }
        clips = {name: few if name.startswith("straight") else many for name in ways}
        x_clip = XClip.build(exact.config, LABELS)
        if x_clip is not None:
            ways["X-CLIP"], clips["X-CLIP"] = lambda: each(x_clip), few
        for precision in {ours.precision, "fp32"}:
            name = f"only matrix products, {precision}"
            products = matmuls(exact.config.backbone.architecture, FRAMES, precision)
            ways[name], clips[name] = products, 1
        times = take_turns(ways, rounds)
    rates = {name: round(clips[name] / times.seconds(name), 3) for name in ways}
    for name, rate in sorted(rates.items(), key=lambda item: -item[1]):
        say(f"  {rate:8.2f} videos/s  {name}")
    faster = {
        name: round(times.ratio(name, "ours") * clips["ours"] / clips[name], 2)
        for name in ways
        if name != "ours"
    }
    return {"precision": ours.precision, "videos/s": rates, "ours is faster": faster}


def agreement(folder: Path, film: Film, count: int) -> dict[str, Any]:
    """On how many clips the first label is that of the straightforward program."""
    paths = rendered(film, count, ARGS.clips)
    with (
        actionclip.load(folder, precision="auto") as ours,
        actionclip.load(folder, precision="fp32") as exact,
    ):
        program = Straightforward(exact.model.backbone.clip, exact.config, LABELS, cached=True)
        theirs = [program(path) for path in paths]
        answers = {
            "ours": [r.scores[0].label for r in ours.results(paths, LABELS)],
            "ours, fp32": [r.scores[0].label for r in exact.results(paths, LABELS)],
        }
        cosines = torch.cosine_similarity(ours.embed_video(paths), exact.embed_video(paths))
    same = {
        name: round(sum(a == b for a, b in zip(found, theirs, strict=True)) / count, 4)
        for name, found in answers.items()
    }
    return {
        "clips": count,
        "same first label": same,
        "different first labels": len(set(theirs)),
        "smallest cosine to fp32": round(float(cosines.min()), 5),
    }


def memory(folder: Path, film: Film, few: int, many: int) -> dict[str, Any]:
    """Memory of the parent process after a few and after many videos, the same files by links."""
    path = rendered(film, 1, ARGS.clips)[0]
    with (
        tempfile.TemporaryDirectory() as place,
        actionclip.load(folder, precision="auto") as recognizer,
    ):
        for number in range(many):
            (Path(place) / f"{number:04d}.mp4").symlink_to(path)
        found = {}
        for done, _ in enumerate(recognizer.results(find_videos([place]), LABELS), start=1):
            if done in (few, many):
                found[done] = resident_mib()
    growth = found[many] - found[few]
    return {**{f"MiB after {n}": round(m) for n, m in found.items()}, "growth MiB": round(growth)}


def main() -> None:
    """Measure everything that was asked for."""
    models, films = list(ARGS.models), list(ARGS.films)
    rounds, clips, few, many, short = ARGS.rounds, ARGS.agreement, 20, 200, SHORT
    if ARGS.quick:
        FILMS["tiny"] = (Film(128, 96, 1), 2, 1)
        short = FILMS["tiny"][0]
        models, films, rounds, clips, few, many = ["tiny"], ["tiny"], 1, 2, 2, 4
    start = machine()["load"]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        os.environ["ACTIONCLIP_CACHE"] = str(Path(place) / "cache")
        for name in models:
            folder = model_folder(name, Path(place))
            for film in films:
                say(f"{name}, {film}")
                results[f"{name}, {film}"] = speed(folder, film, rounds)
            results[f"{name}, answers"] = agreement(folder, short, clips)
            say(f"  {results[f'{name}, answers']}")
        results["memory"] = memory(folder, short, few, many)
        say(f"  {results['memory']}")
    faster = [r["ours is faster"]["straightforward"] for r in results.values() if "precision" in r]
    report(
        "classify",
        {
            "goal": "at least 3 times the straightforward program",
            "worst": min(faster),
            "load before": start,
            "frames": FRAMES,
            "labels": len(LABELS),
            "rows": results,
        },
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["ViT-B-32", "ViT-B-16"])
    parser.add_argument("--films", nargs="*", choices=FILMS, default=list(FILMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--agreement", type=int, default=100, help="clips to compare answers on")
    parser.add_argument("--quick", action="store_true", help="tiny model and clips: does it work?")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clips")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = _arguments()
    main()
