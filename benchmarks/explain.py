"""Do the maps of an explanation point at the person? The pointing game, on rendered people.

Where a rendered person is, is known: the box around the joints, and 3 % of the picture beside it.
For each kind of map that `tiny` can give: in how many clips the highest place of the map (of the
right label, the mean over the frames of one window) lies in the box. A map that points anywhere
would hit as often as the box has area. Then the same with the image tower's weights drawn at
random. Milliseconds are of one thread, everything included, without the drops of left-out frames.

    python benchmarks/explain.py
"""

import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import torch
from common import report, say

import actionclip
from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.clips import plan
from actionclip.evaluation.intervals import wilson
from actionclip.inference.explain.explanation import Maps

KINDS = ("occlusion", "gradient", "locations")
FRAMES, SIZE, FPS = 12, (100, 80), 8.0
BESIDE = 0.03
"""Of the picture's width and height, added to each side of the box."""


def filmed(action: str, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames [T, H, W, 3], and the box of the person as shares: left and top, right and bottom."""
    take = plan(action, seed, frames=FRAMES, size=SIZE, fps=FPS)
    joints = take.camera.project(take.at[:FRAMES])[0] / np.array(SIZE)
    low, high = joints.min(axis=(0, 1)) - BESIDE, joints.max(axis=(0, 1)) + BESIDE
    return take.draw().frames, low.clip(0, 1), high.clip(0, 1)


def is_hit(maps: Maps, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether the middle of the highest place lies in the box."""
    mean = maps.chosen.mean(axis=0)
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    middle = (np.array([column, row]) + 0.5) / np.array(mean.shape)[::-1]
    return bool(((low <= middle) & (middle <= high)).all())


def randomised(seed: int) -> actionclip.Recognizer:
    """`tiny` with an image tower that has learned nothing."""
    torch.manual_seed(seed)
    recognizer = actionclip.load("tiny", device="cpu")
    for module in recognizer.model.backbone.visual.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return recognizer


def main() -> None:
    """Measure, and print a line of JSON."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=236, help="4 of each action")
    parser.add_argument("--seed", type=int, default=99)
    args = parser.parse_args()

    torch.set_num_threads(1)
    models = {"tiny": actionclip.load("tiny", device="cpu"), "random": randomised(args.seed)}
    questions = {name: model.question(list(ACTIONS)) for name, model in models.items()}
    hits: dict[str, int] = defaultdict(int)
    times: dict[str, list[float]] = defaultdict(list)
    areas = []
    for number in range(args.count):
        action = list(ACTIONS)[number % len(ACTIONS)]
        frames, low, high = filmed(action, (args.seed, number))
        areas.append(float(np.prod(high - low)))
        for name, model in models.items():
            for kind in KINDS:
                start = time.perf_counter()
                found = model.explain(
                    frames,
                    questions[name],
                    **{"label": action, "maps": kind, "leave_out": False},
                    **{"windows": 1, "spacing": 1 / 25},  # frames in memory count as 25 a second
                )
                times[kind].append(time.perf_counter() - start)
                assert found.maps is not None
                hits[f"{name} {kind}"] += is_hit(found.maps, low, high)
    say(f"the box is {statistics.mean(areas):.1%} of the picture")
    shares = {}
    for name, count in hits.items():
        share = wilson(count, args.count)
        shares[name] = share.to_dict()
        say(f"{name:18} {share}")
    milliseconds = {kind: round(1000 * statistics.median(each), 1) for kind, each in times.items()}
    say(", ".join(f"{kind} {value} ms" for kind, value in milliseconds.items()))
    report(
        "explain",
        {
            **{"clips": args.count, "seed": args.seed, "area": round(statistics.mean(areas), 4)},
            **{"hits": shares, "ms": milliseconds},
        },
    )


if __name__ == "__main__":
    main()
