"""How well does a timeline find the moments? Writes a table of docs/results.md.

    python benchmarks/moments.py [--videos FOLDER] [--films 20] [--quick]

Films are made of clips that show one thing each, so every cut is known to the frame.

- Generated: rendered people of a seed that nothing was trained or tuned on; twelve actions that go
  on, in clips of 2 to 5 s, and now and then somebody who stands still, which is rejected.
- Real: the ten clips of a person of `FOLDER/weizmann_dev` one after the other, in several orders.
  Nobody may pass these clips on, so they are not in this repository.

Against fixed windows: every 2 s one answer, neighbours with the same answer joined, nothing
smoothed. Temporal mAP as in ActivityNet: the mean over labels of the area under precision and
recall, where a segment is right if it overlaps a true one of its label by at least that share of
both together (IoU) and no better one did. Edge error: how far start and end are off, over segments
that overlap a true one of their label by 0.5. Intervals are 95 %, a bootstrap over films
(generated) or over people (real: three, so rough).

The last line of stdout is JSON.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from common import report, say
from numpy.typing import NDArray
from results import WEIZMANN

import actionclip
from actionclip.data.synthetic.clips import plan
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.timeline.segments import Rules, Segment

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- moments:begin -->", "<!-- moments:end -->"
RATE = 25.0
ACTIONS = (
    *("walking", "running", "jumping jacks", "squatting", "boxing", "kicking"),
    *("waving one hand", "waving both hands", "clapping", "sweeping the floor", "spinning"),
    "jumping in place on two legs",
)
STILL = "standing still"
SEED, SIZE = 4200, (160, 120)
LENGTHS = (2.0, 5.0)
OVERLAPS = (0.3, 0.5, 0.7)
DRAWS = 1000
FIXED = Rules(enter=0.0, leave=0.0, smooth=0.0, min_length=0.0, merge_gap=0.0)


class Truth(NamedTuple):
    """What is shown from when to when, seconds."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Film:
    """Frames at 25 a second and what they show."""

    frames: NDArray[np.uint8]
    truth: tuple[Truth, ...]
    group: str
    """Films of a group are not independent."""


def joined(clips: Sequence[tuple[str, NDArray[np.uint8]]], group: str) -> Film:
    """One clip after the other; somebody who stands still is nothing to be found."""
    ends = np.cumsum([len(frames) for _, frames in clips]) / RATE
    starts = np.concatenate([[0.0], ends[:-1]])
    truth = [
        Truth(float(start), float(end), label)
        for (label, _), start, end in zip(clips, starts, ends, strict=True)
    ]
    shown = tuple(one for one in truth if one.label != STILL)
    return Film(np.concatenate([frames for _, frames in clips]), shown, group)


def generated(films: int, clips: int, seed: int = SEED) -> Iterator[Film]:
    """People who do one thing after the other, each time somebody else somewhere else."""
    for number in range(films):
        rng = np.random.default_rng([seed, number])
        before, shown = "", []
        for place in range(clips):
            choices = [name for name in (*ACTIONS, STILL, STILL) if name != before]
            before = str(rng.choice(choices))
            frames = round(float(rng.uniform(*LENGTHS)) * RATE)
            take = plan(before, (seed, number, place), frames=frames, size=SIZE, fps=RATE)
            shown.append((before, take.draw().frames))
        yield joined(shown, str(number))


def real(folder: Path, orders: int) -> Iterator[Film]:
    """The clips of a person in several orders."""
    people: dict[str, list[tuple[str, NDArray[np.uint8]]]] = {}
    for path in sorted(folder.glob("*.avi")):
        person, action = path.stem.rsplit("_", 1)
        people.setdefault(person, []).append((WEIZMANN[action], decoded(path)))
    for person, clips in people.items():
        for order in range(orders):
            rng = np.random.default_rng([SEED, order])
            yield joined([clips[k] for k in rng.permutation(len(clips))], person)


def decoded(path: Path) -> NDArray[np.uint8]:
    """All frames of a clip of our own."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


Found = list[list[Segment]]


def average_precision(films: Sequence[Film], found: Found, label: str, overlap: float) -> float:
    """Area under precision and recall of one label, best segments first."""
    truth = [[one for one in film.truth if one.label == label] for film in films]
    total = sum(map(len, truth))
    ranked = sorted(
        ((one.score, n, one) for n, mine in enumerate(found) for one in mine if one.label == label),
        key=lambda each: -each[0],
    )
    taken: set[tuple[int, int]] = set()
    right = np.zeros(len(ranked))
    for place, (_, film, segment) in enumerate(ranked):
        free = [(iou(segment, t), k) for k, t in enumerate(truth[film]) if (film, k) not in taken]
        best = max(free, default=(0.0, 0))
        if best[0] >= overlap:
            taken.add((film, best[1]))
            right[place] = 1
    if not len(ranked):
        return 0.0
    recall = np.cumsum(right) / total
    precision = np.cumsum(right) / np.arange(1, len(ranked) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * highest).sum())


def mean_average_precision(films: Sequence[Film], found: Found, overlap: float) -> float:
    """The mean over the labels that occur."""
    labels = sorted({one.label for film in films for one in film.truth})
    return float(np.mean([average_precision(films, found, label, overlap) for label in labels]))


def iou(one: Segment, other: Truth) -> float:
    """The share of two stretches, taken together, that they have in common."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return max(common, 0.0) / (max(one.end, other.end) - min(one.start, other.start))


def edge_errors(films: Sequence[Film], found: Found) -> NDArray[np.float64]:
    """Seconds by which starts and ends are off, where a segment is about right."""
    errors = []
    for film, mine in zip(films, found, strict=True):
        for segment in mine:
            near = [t for t in film.truth if t.label == segment.label and iou(segment, t) >= 0.5]
            errors += [abs(segment.start - t.start) for t in near]
            errors += [abs(segment.end - t.end) for t in near]
    return np.array(errors)


def measured(films: Sequence[Film], found: Found) -> dict[str, float]:
    """All numbers of one way."""
    errors = edge_errors(films, found)
    edge = float(np.median(errors)) if len(errors) else float("nan")
    numbers = {f"mAP@{at}": 100 * mean_average_precision(films, found, at) for at in OVERLAPS}
    return {**numbers, "edge, s": edge, "edge, frames": edge * RATE}


def with_intervals(films: Sequence[Film], found: Found, draws: int) -> dict[str, Any]:
    """The numbers, and what they are on films drawn again with replacement."""
    groups = sorted({film.group for film in films})
    members = {g: [n for n, film in enumerate(films) if film.group == g] for g in groups}
    rng = np.random.default_rng(0)
    drawn: list[dict[str, float]] = []
    for _ in range(draws):
        chosen = [n for g in rng.choice(groups, len(groups)) for n in members[str(g)]]
        drawn.append(measured([films[n] for n in chosen], [found[n] for n in chosen]))
    return {
        name: [round(value, 3)]
        + [round(float(np.nanquantile([d[name] for d in drawn], q)), 3) for q in (0.025, 0.975)]
        for name, value in measured(films, found).items()
    }


Way = Callable[[Recognizer, Film, Any], list[Segment]]


def fixed(model: Recognizer, film: Film, question: Any) -> list[Segment]:
    """An answer every two seconds."""
    found = model.timeline(film.frames, question, window=2.0, stride=2.0, rules=FIXED)
    return found.segments


def ours(model: Recognizer, film: Film, question: Any) -> list[Segment]:
    """The defaults of `timeline`."""
    return model.timeline(film.frames, question).segments


WAYS: dict[str, Way] = {"fixed windows": fixed, "timeline": ours}


def compared(
    model: Recognizer,
    films: Sequence[Film],
    labels: Sequence[str],
    reject: Sequence[str],
    draws: int,
) -> dict[str, Any]:
    """Both ways on the same films."""
    question = model.question(list(labels), reject=list(reject))
    rows = {}
    for name, way in WAYS.items():
        found = [way(model, film, question) for film in films]
        rows[name] = with_intervals(films, found, draws)
        say(f"  {name}: {rows[name]}")
    seconds = sum(len(film.frames) for film in films) / RATE
    segments = sum(len(film.truth) for film in films)
    return {"films": len(films), "seconds": round(seconds), "segments": segments, "ways": rows}


@torch.inference_mode()
def edges_of_windows(
    model: Recognizer, films: Sequence[Film], labels: Sequence[str]
) -> list[float]:
    """What the real neighbours at a window's edges change: against windows that are clips.

    Returns:
        The mean cosine of both vectors, and the share of windows with the same first label.
    """
    question, step = model.question(list(labels)), 3
    frames = model.config.sampling.frames
    cosines, same = [], []
    for film in films:
        seen = model.watch(film.frames, window=1.0, stride=0.48).windows
        clips = [film.frames[round(s * RATE) + 1 :: step][:frames] for s in seen.start]
        whole = [k for k, clip in enumerate(clips) if len(clip) == frames]
        alone = torch.stack([alone_vector(model, clips[k]) for k in whole])
        kept = seen.vectors[whole, 0]
        cosines += (alone * kept).sum(dim=-1).tolist()
        first = [question.matrix(v[:, None]).argmax(dim=1) for v in (alone, kept)]
        same += (first[0] == first[1]).tolist()
    return [float(np.mean(cosines)), float(np.mean(same))]


def alone_vector(model: Recognizer, frames: NDArray[np.uint8]) -> torch.Tensor:
    """A window as a clip of its own."""
    from actionclip.video.resize import resize
    from actionclip.video.transforms import to_input

    preprocess = model.config.preprocess
    small = frames if preprocess.resize is None else resize(frames, preprocess.resize)
    return model.model.encode_video(to_input(small[None], preprocess))[0]


def table(parts: dict[str, Any]) -> list[str]:
    """The lines of the page."""
    heads = [*(f"mAP@{at}" for at in OVERLAPS), "edge error"]
    lines = [f"| films | way | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for name, part in parts.items():
        for way, row in part["ways"].items():
            cells = ["{:.1f} [{:.1f}, {:.1f}]".format(*row[f"mAP@{at}"]) for at in OVERLAPS]
            edge, frames = row["edge, s"], row["edge, frames"][0]
            cells.append("{:.2f} s [{:.2f}, {:.2f}], ".format(*edge) + f"{frames:.1f} frames")
            lines.append(f"| {name} | {way} | {' | '.join(cells)} |")
    for name, part in parts.items():
        cosine, same = part["edges"]
        lines += [
            "",
            f"{name}: {part['films']} films, {part['seconds']} s, {part['segments']} segments, "
            f"{part['labels']} labels. Windows whose edges have their real neighbours against the "
            f"same windows as clips: mean cosine {cosine:.3f}, the same first label in {same:.1%}.",
        ]
    return lines


def main() -> None:
    """Measure, and put the table into the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--videos", type=Path, help="holds weizmann_dev/")
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two short films, nothing written")
    parser.add_argument("--clips", type=Path, help="not used: nothing is kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    films, clips, draws = (2, 3, 20) if args.quick else (args.films, 9, DRAWS)
    model = actionclip.load("tiny", device="cpu")
    sets = {"generated": (list(generated(films, clips)), ACTIONS, [STILL])}
    if args.videos is not None:
        orders = list(real(args.videos / "weizmann_dev", args.orders))
        sets["real people"] = (orders, tuple(WEIZMANN.values()), [])
    parts = {}
    for name, (made, labels, reject) in sets.items():
        say(name)
        parts[name] = compared(model, made, labels, reject, draws)
        parts[name] |= {"labels": len(labels), "edges": edges_of_windows(model, made, labels)}
    if not args.quick and args.videos is not None:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(
            f"{before}{BEGIN}\n" + "\n".join(table(parts)) + f"\n{END}" + rest.split(END)[1]
        )
    report("moments", {"parts": parts, "seed": SEED, "table": table(parts)})


if __name__ == "__main__":
    main()
