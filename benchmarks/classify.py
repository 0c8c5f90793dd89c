"""How many videos a second are classified, against the way most people would write it?

    python benchmarks/classify.py                        all of it, about twenty minutes
    python benchmarks/classify.py --models ViT-B-32 --films 320x240

H.264 clips, 8 frames each, 20 labels x 1 template, towers with random weights on the CPU. `ours` is
what the command line does with a folder (`--precision auto`), the encoding of the labels included.
The straightforward program decodes all of a video with OpenCV (or else PyAV), resizes with Pillow,
runs open_clip in float32 and encodes the labels for each video; the same with its labels encoded
once; and X-CLIP of transformers where that is installed. On a busy machine the processor seconds
are the fairer figure: more processes get a larger share of it. Goal: at least 3 times the
straightforward program with the same first label on 99 % of clips, and memory that does not grow.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from common import (
    Film,
    Program,
    architecture_of,
    machine,
    rendered,
    report,
    resident_mib,
    say,
    serve,
    take_turns,
)
from peers import Straightforward, XClip, matmuls

import actionclip
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
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
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for each other sleep. The command line sets this for itself; here all programs
get it, or on a busy machine the others would look many times slower than they are."""
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
    architecture = architecture_of(name)
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
    paths = rendered(Film(128, 96, 1) if ARGS.quick else SHORT, 8, ARGS.clips)
    with actionclip.Recognizer(model) as recognizer, torch.no_grad():
        frames = torch.stack([recognizer.embed_video(path) for path in paths])
        texts = recognizer.embed_text([TEMPLATE.format(label) for label in LABELS])
        for projection, rows in ((clip.visual.proj, frames), (clip.text_projection, texts)):
            mean = torch.nn.functional.normalize(rows.mean(dim=0), dim=0)
            projection -= torch.outer(projection @ mean, mean)


def program(way: str, folder: Path) -> Callable[[list[str]], Any]:
    """What a process does with the clips it is sent."""
    if way.startswith("ours"):
        return _ours(actionclip.load(folder, precision="fp32" if "fp32" in way else "auto"))
    model = actionclip.load(folder)
    if way == "only decoding":
        return _only_decoding(model.config)
    if way.startswith("only matrix products"):
        architecture = model.config.backbone.architecture
        products = matmuls(architecture, FRAMES, "bf16" if "bf16" in way else "fp32")
        return lambda paths: [len(products()) for _ in paths]
    if way == "X-CLIP":
        theirs: Any = XClip(model.config, LABELS)
    else:
        clip = model.model.backbone.clip
        theirs = Straightforward(clip, model.config, LABELS, cached="cached" in way)
    return lambda paths: [theirs(Path(path)) for path in paths]


def _ours(recognizer: actionclip.Recognizer) -> Callable[[list[str]], Any]:
    takes = itertools.count()

    def classify(paths: list[str]) -> list[str]:
        # Other sentences in every round: or the labels would come from the cache.
        template = [f"{TEMPLATE}, take {next(takes)}"]
        results = recognizer.results(find_videos(paths), LABELS, templates=template)
        return [result.scores[0].label for result in results]

    return classify


def _only_decoding(config: ModelConfig) -> Callable[[list[str]], Any]:
    pool = DecodePool()
    request = ReadRequest(sampling=config.sampling, resize=config.preprocess.resize)
    return lambda paths: [str(clip.status) for clip in pool.read_all(find_videos(paths), request)]


def start_programs(folder: Path, precision: str) -> dict[str, Any]:
    """What does each way's work; a process each, all ready (when quick: all in this one)."""
    ways = ["ours", "ours, fp32", "straightforward", "straightforward, labels cached"]
    ways += ["only decoding"]
    ways += [f"only matrix products, {kind}" for kind in sorted({precision, "fp32"})]
    if find_spec("transformers"):
        ways.append("X-CLIP")
    if ARGS.quick:
        return {way: program(way, folder) for way in ways if way != "X-CLIP"}
    programs = {
        way: Program(
            *(__file__, "--way", way, "--folder", str(folder)),
            environment=PASSIVE,
        )
        for way in ways
    }
    for one in programs.values():
        one.said()
    return programs


def speed(programs: dict[str, Any], film_name: str, rounds: int) -> dict[str, Any]:
    """Videos a second of every way on one kind of clip."""
    film, many, few = FILMS[film_name]
    paths = [str(path) for path in rendered(film, many, ARGS.clips)]
    clips = dict.fromkeys(programs, few)
    clips |= {"ours": many, "only decoding": many, "ours, fp32": min(many, 4)}
    busy: dict[str, list[float]] = {way: [] for way in programs}

    def run(way: str) -> None:
        before = _busy(programs[way])
        programs[way](paths[: clips[way]])
        busy[way].append((_busy(programs[way]) - before) / clips[way])

    times = take_turns({way: lambda way=way: run(way) for way in programs}, rounds)
    work = {way: round(statistics.median(spent[1:]), 3) for way, spent in busy.items()}
    rates = {way: round(clips[way] / times.seconds(way), 3) for way in programs}
    for way, rate in sorted(rates.items(), key=lambda item: -item[1]):
        say(f"  {rate:8.2f} videos/s {work[way]:8.2f} processor seconds a video  {way}")
    faster = {
        way: round(times.ratio(way, "ours") * clips["ours"] / clips[way], 2)
        for way in programs
        if way != "ours"
    }
    return {"videos/s": rates, "ours is faster": faster, "processor seconds a video": work}


def _busy(one: Any) -> float:
    return one.busy() if isinstance(one, Program) else time.process_time()


def agreement(folder: Path, film: Film, count: int) -> dict[str, Any]:
    """On how many clips the first label is that of the straightforward program.

    The lead is how far, in fp32, the first label's score is above the second's.
    """
    paths = rendered(film, count, ARGS.clips)
    with (
        actionclip.load(folder, precision="auto") as ours,
        actionclip.load(folder, precision="fp32") as exact,
    ):
        program = Straightforward(exact.model.backbone.clip, exact.config, LABELS, cached=True)
        theirs = [program(path) for path in paths]
        scores = [result.scores for result in exact.results(paths, LABELS)]
        answers = {
            "ours": [r.scores[0].label for r in ours.results(paths, LABELS)],
            "ours, fp32": [best.label for best, *_ in scores],
        }
        some = paths[:20]
        cosines = torch.cosine_similarity(ours.embed_video(some), exact.embed_video(some))
    same = {
        name: round(sum(a == b for a, b in zip(found, theirs, strict=True)) / count, 4)
        for name, found in answers.items()
    }
    leads = [best.score - second.score for best, second, *_ in scores]
    pairs = zip(leads, answers["ours"], theirs, strict=True)
    return {
        "clips": count,
        "same first label": same,
        "median lead": round(statistics.median(leads), 4),
        "lead where it differs": sorted(round(lead, 5) for lead, a, b in pairs if a != b),
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
            precision = actionclip.load(folder, precision="auto").precision
            programs = start_programs(folder, precision)
            for film in films:
                say(f"{name}, {film}: {precision}")
                row = speed(programs, film, rounds)
                results[f"{name}, {film}"] = {"precision": precision, **row}
            for one in programs.values():
                if isinstance(one, Program):
                    one.close()
            results[f"{name}, answers"] = agreement(folder, short, clips)
            say(f"  {results[f'{name}, answers']}")
        results["memory"] = memory(Path(place) / models[0], short, few, many)
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
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clips")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = _arguments()
    warnings.simplefilter("ignore")  # labels look alike to random towers
    if ARGS.way:
        serve(program(ARGS.way, ARGS.folder))
    else:
        main()
