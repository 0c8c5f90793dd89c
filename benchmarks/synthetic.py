"""How many clips of synthetic people does a core render in a second, and what costs the time?

    python benchmarks/synthetic.py
    python benchmarks/synthetic.py --frames 8 --size 96x96 --quick

Clips of `stream`, as training sees them: every action in turn, all effects, in this one process.
Backdrops are kept between clips, so a first round that draws them is thrown away and its time is
told apart. Rates count the seconds that the processor was busy with this process; wall time is told
too. The last line of stdout is JSON.
"""

import argparse
import os
import statistics
import time

from common import report, say

# One thread: the question is what a core does.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def round_of(clips: int, epoch: int, frames: int, size: tuple[int, int]) -> tuple[float, float]:
    """Processor and wall seconds for so many clips."""
    from actionclip.data.synthetic.clips import stream

    busy, wall = time.process_time(), time.perf_counter()
    for index in range(clips):
        stream(0, epoch, index, frames=frames, size=size)
    return time.process_time() - busy, time.perf_counter() - wall


def main() -> None:
    """Measure some rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=590, help="in a round")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="96x96")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few clips, one round (reads low: places are still being drawn)",
    )
    args = parser.parse_args()
    if args.quick:
        args.clips, args.rounds = min(args.clips, 59), 1
    width, height = (int(side) for side in args.size.split("x"))

    _, cold = round_of(2 * args.clips, 0, args.frames, (width, height))
    rates, walls = [], []
    for turn in range(1, args.rounds + 1):
        busy, wall = round_of(args.clips, turn, args.frames, (width, height))
        rates.append(args.clips / busy)
        walls.append(args.clips / wall)
        say(f"round {turn}: {rates[-1]:.0f} clips/s/core, {walls[-1]:.0f} clips/s of wall time")
    results = {
        "clips_per_second_per_core": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "wall_clips_per_second": round(statistics.median(walls), 1),
        "first_round_wall_clips_per_second": round(2 * args.clips / cold, 1),
        "frames": args.frames,
        "size": args.size,
        "clips": args.clips,
        "rounds": args.rounds,
    }
    report("synthetic", results)


if __name__ == "__main__":
    main()
