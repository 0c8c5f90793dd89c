"""How fast is a training step, what does it hold in memory, and does it wait for its videos?

    python benchmarks/train_step.py --one-at-a-time         all sizes: hours on a CPU, 16 GiB
    python benchmarks/train_step.py --sizes ViT-B-32/8 --precisions fp32 --rounds 2
    python benchmarks/train_step.py --sizes ViT-B-32/8 --batch 16 --one-at-a-time
    python benchmarks/train_step.py --quick                           does it work?

A step is forward, backward and optimiser for a batch of videos and their sentences. Five ways, each
in a process of its own, so that its largest memory is its own: ours, ours with activation
checkpointing, ours with compiled blocks (on a GPU), the same step as open_clip's own calls make it
(all 77 positions of each sentence, a loss and an optimiser in plain torch, no tricks), and the
matrix products of the image tower alone, forward and backward, which no program can leave out (on a
CPU). Random weights, one thread on a CPU, mean over frames. Times are compared as processor time on
a CPU, which a busy machine does not change.

Then real files: how many videos a second come out of decoding and augmentation alone with so many
decoding processes, and for what share of a run the step waits for them. On a GPU also TFLOP/s and,
with --peak-tflops, what share of the card's that is.
"""

import argparse
import csv
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from common import Film, Program, rendered, report, say, serve
from peers import matmuls

from actionclip.model.actionclip import ActionCLIP
from actionclip.training import OptimConfig, ScheduleConfig, TrainConfig, build_optimizer
from actionclip.training.ranks import Ranks
from actionclip.training.recipes.models import build_model
from actionclip.training.recipes.running import Run
from actionclip.training.recipes.settings import DataSettings, ModelSettings, Recipe
from actionclip.training.run.batches import Batch, Batches, Texts
from actionclip.training.run.step import apply_gradients, find_gradients
from actionclip.training.spread.compiled import compiled
from actionclip.training.spread.on_cpu import keep_freed_memory
from actionclip.training.trained import checkpointed, choose_trained, set_training_mode
from actionclip.video.transforms import normalise

SIZES = ("ViT-B-32/8", "ViT-B-32/16", "ViT-B-16/8", "ViT-B-16/16")
WAYS = ("ours", "ours, checkpointing", "plain open_clip")
"""Everywhere; on a GPU also compiled, on a CPU also the matrix products alone."""
WARM_UP = 2
"""Steps that do not count: AdamW's averages are made in the first, memory grows in the second."""
FILM = Film(320, 240, 10)
SENTENCE = "a video of a person who opens a door"


def model_of(size: str) -> ActionCLIP:
    """Random towers of a size, `NAME/FRAMES`."""
    name, frames = size.split("/")
    settings = ModelSettings(architecture=name, sampling={"frames": int(frames)})
    return build_model(settings).to("cuda" if torch.cuda.is_available() else "cpu")


def settings_of(precision: Any, batch: int) -> TrainConfig:
    """What is trained and how."""
    return TrainConfig(
        batch_size=batch,
        precision=precision,
        optim=OptimConfig(lr=1e-6),
        schedule=ScheduleConfig(epochs=1, warmup_epochs=0),
        save_minutes=None,
        log_every=1,
    )


def batch_for(model: ActionCLIP, size: int) -> Batch:
    """Noise, and a sentence for each."""
    side, frames = model.config.preprocess.size, model.config.sampling.frames
    numbers = torch.arange(size)
    pixels = torch.randint(0, 256, (size, frames, 3, side, side), dtype=torch.uint8)
    if model.device.type == "cuda":
        pixels = pixels.pin_memory()  # as training does
    return Batch(pixels, numbers, model.tokenize([SENTENCE] * size), numbers)


def ours(size: str, precision: str, videos: int, **how: bool) -> Callable[[], object]:
    """The step of `actionclip.training.train`."""
    model = model_of(size)
    settings = replace(settings_of(precision, videos), **how)
    choose_trained(model, settings)
    set_training_mode(model)
    optimizer, batch = build_optimizer(model, settings.optim), batch_for(model, videos)

    def step() -> None:
        saving = settings.activation_checkpointing
        with compiled(model, settings.compile), checkpointed(model, saving):
            loss = find_gradients(model, batch, settings, 0)
        apply_gradients(model, optimizer, settings, loss)

    return step


def plain(size: str, precision: str, videos: int) -> Callable[[], object]:
    """The same with open_clip's own calls."""
    model = model_of(size)
    clip, device = model.backbone.clip.train(), model.device  # type: ignore[attr-defined]
    batch = batch_for(model, videos)
    numbers = normalise(batch.frames, model.config.preprocess)  # as their loaders bring them
    tokens = open_clip.SimpleTokenizer()([SENTENCE] * videos)
    optimizer = torch.optim.AdamW(clip.parameters(), lr=1e-6, betas=(0.9, 0.98), weight_decay=0.2)
    target = F.softmax(10 * torch.eye(videos, device=device), dim=1)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            frames = numbers.to(device)
            image = clip.encode_image(frames.flatten(0, 1))
            video = image.unflatten(0, frames.shape[:2]).mean(dim=1)
            text = clip.encode_text(tokens.to(device))
        video, text = F.normalize(video.float(), dim=1), F.normalize(text.float(), dim=1)
        logits = clip.logit_scale.exp() * video @ text.T
        loss = sum(
            F.kl_div(F.log_softmax(rows, dim=1), target, reduction="batchmean")
            for rows in (logits, logits.T)
        )
        optimizer.zero_grad()
        (loss / 2).backward()  # type: ignore[union-attr]
        optimizer.step()

    return step


def products(size: str, precision: str, videos: int) -> Callable[[], object]:
    """The matrix products of the image tower: once forward, and twice as many backward."""
    name, frames = size.split("/")
    architecture = open_clip.get_model_config(name)
    assert architecture is not None
    forward = matmuls(architecture, int(frames) * videos, precision)

    def step() -> None:
        for _ in range(3):
            forward()

    return step


def program(way: str, size: str, precision: str, videos: int) -> Callable[[Any], Any]:
    """What a process does each time it is asked."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if way.startswith("ours"):
        saving, quick = way == "ours, checkpointing", way == "ours, compiled"
        if not saving:
            keep_freed_memory()  # as `actionclip train` does
        step = ours(size, precision, videos, activation_checkpointing=saving, compile=quick)
    elif way == "plain open_clip":
        step = plain(size, precision, videos)
    else:
        step = products(size, precision, videos)
    on_gpu = torch.cuda.is_available()

    def work(_: Any) -> Any:
        wall, busy = time.perf_counter(), time.process_time()
        step()
        if on_gpu:
            torch.cuda.synchronize()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            "wall": time.perf_counter() - wall,
            "busy": time.process_time() - busy,
            "peak": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak,
        }

    return work


def measure(size: str, precision: str, videos: int, rounds: int, peak: float) -> dict[str, Any]:
    """All ways, in turns, or one after the other."""
    on_gpu = torch.cuda.is_available()
    ways = [*WAYS, "ours, compiled" if on_gpu else "only matrix products"]
    words = [size, precision, str(videos)]
    times: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for group in [[way] for way in ways] if ARGS.one_at_a_time else [ways]:
        programs = {way: Program(__file__, "--way", way, *words) for way in group}
        try:
            for one in programs.values():
                one.said()
            for turn in range(-WARM_UP, rounds):
                for way in sorted(group, reverse=bool(turn % 2)):
                    answer = programs[way](None)
                    if turn >= 0:
                        times[way].append(answer)
        finally:
            for one in programs.values():
                one.close()
    key = "wall" if on_gpu else "busy"
    seconds = {way: [each[key] for each in times[way]] for way in ways}
    row: dict[str, Any] = {
        "precision": precision,
        "batch": videos,
        "time": "wall" if on_gpu else "processor",
        "videos/s": {way: round(videos / statistics.median(seconds[way]), 3) for way in ways},
        "peak MiB": {way: round(max(e["peak"] for e in times[way])) for way in ways},
        "plain takes longer": ratio(seconds["plain open_clip"], seconds["ours"]),
        "checkpointing takes longer": ratio(seconds["ours, checkpointing"], seconds["ours"]),
    }
    if on_gpu:
        row["ours takes longer than compiled"] = ratio(seconds["ours"], seconds["ours, compiled"])
        for way in ("ours", "ours, compiled", "plain open_clip"):
            row[f"{way}, used"] = utilisation(size, videos, statistics.median(seconds[way]), peak)
    else:
        row["over the products"] = ratio(seconds["ours"], seconds["only matrix products"])
    return row


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times longer: the median over the rounds."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 3)


def utilisation(size: str, videos: int, seconds: float, peak: float) -> dict[str, float]:
    """Operations of the image tower's matrix products in a step, a second."""
    from torch.utils.flop_counter import FlopCounterMode

    name, frames = size.split("/")
    architecture = open_clip.get_model_config(name)
    assert architecture is not None
    with FlopCounterMode(display=False) as counter:
        matmuls(architecture, int(frames), "fp32")()
    rate = 3 * videos * counter.get_total_flops() / seconds / 1e12
    shares = {"share of the peak": round(rate / peak, 3)} if peak else {}
    return {"TFLOP/s": round(rate, 2), **shares}


def loader(run: Run) -> float:
    """Videos a second out of decoding and augmentation, once the decoding processes run."""
    settings = run.recipe.training
    texts = Texts(run.model, run.data.source.labels, settings)
    stream = Batches(run.data.source, texts, settings, Ranks()).epoch(0)
    next(stream)
    began, seen = time.perf_counter(), 0
    for batch in stream:
        seen += len(batch.labels)
    return seen / (time.perf_counter() - began)


def real_files(
    size: str, precision: Any, videos: int, steps: int, film: Film, clips: Path | None
) -> dict[str, Any]:
    """Decoding and augmentation alone, and a run that needs them."""
    paths = rendered(film, min(2 * videos, 16), clips)
    with tempfile.TemporaryDirectory() as place:
        manifest = Path(place) / "clips.csv"
        with manifest.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label"))
            rows = videos * steps
            writer.writerows((paths[i % len(paths)], f"label {i % 2}") for i in range(rows))
        name, frames = size.split("/")
        recipe = Recipe(
            model=ModelSettings(architecture=name, sampling={"frames": int(frames)}),
            data=DataSettings(path=str(manifest), decoders=ARGS.decoders[-1]),
            training=settings_of(precision, videos),
        )
        alone = {}
        for count in ARGS.decoders:
            with Run.prepare(replace(recipe, data=replace(recipe.data, decoders=count))) as run:
                alone[count] = round(loader(run), 2)
        with Run.prepare(recipe, "cuda" if torch.cuda.is_available() else "cpu") as run:
            run.train(Path(place) / "run")
            lines = (Path(place) / "run" / "metrics.jsonl").read_text().splitlines()
    waited = [json.loads(line)["waited"] for line in lines if "waited" in line]
    return {
        "loader alone, videos/s by decoders": alone,
        "share of a run that waits": round(statistics.mean(waited[1:]), 4),
        "steps": len(waited),
    }


def main() -> None:
    """Measure everything that was asked for."""
    sizes, precisions, film = list(ARGS.sizes), list(ARGS.precisions), FILM
    rounds, videos, steps = ARGS.rounds, ARGS.batch, ARGS.steps
    if ARGS.quick:
        sizes, precisions, film = ["ViT-S-32-alt/2"], ["fp32"], Film(64, 48, 1)
        rounds, videos, steps = 1, 2, 3
    torch.set_num_threads(1)
    rows: dict[str, Mapping[str, Any]] = {}
    for size in sizes:
        for precision in precisions:
            row = measure(size, precision, videos, rounds, ARGS.peak_tflops)
            rows[f"{size}, {precision}"] = row
            say(f"{size}, {precision}: {row}")
    data = real_files(sizes[0], precisions[0], videos, steps, film, ARGS.clips)
    say(f"{sizes[0]}, {precisions[0]}, real files: {data}")
    kind = " on a GPU" if torch.cuda.is_available() else " with 16 videos" * (videos == 16)
    report(
        f"train_step{kind}",
        {
            "goal": "a step within 5 % of the matrix products, and no more than 5 % of it waiting",
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "threads": 1,
            "rounds": rounds,
            "rows": rows,
            "files": {"size": sizes[0], "precision": precisions[0], "film": film.name, **data},
        },
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), help="NAME/FRAMES of open_clip")
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=4, help="videos in a step")
    parser.add_argument("--decoders", type=int, nargs="*", default=[1, 2], help="the last trains")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="of the run on real files")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="of the GPU")
    parser.add_argument(
        "--one-at-a-time", action="store_true", help="no turns: where memory holds one way only"
    )
    parser.add_argument("--quick", action="store_true", help="small towers: does it work?")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clips")
    parser.add_argument("--way", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = _arguments()
    if ARGS.way:
        way, *rest, count = ARGS.way
        serve(program(way, rest[0], rest[1], int(count)))
    else:
        main()
        sys.stdout.flush()
