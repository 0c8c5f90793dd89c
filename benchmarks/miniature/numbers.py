"""From lines of JSON to numbers with their intervals, and to what they say about a claim."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actionclip.evaluation.intervals import wilson

Z = 1.96


@dataclass(frozen=True)
class Found:
    """How an arm did in one test, with every seed."""

    shares: Mapping[int, float]
    """By seed."""
    count: int
    """Clips of the test; the same for every seed."""
    labels: int
    """To choose from."""

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.mean(self.shares.values())

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; of one seed 0."""
        return statistics.stdev(self.shares.values()) if len(self.shares) > 1 else 0.0

    def __str__(self) -> str:
        """The mean over seeds and their spread, and Wilson's interval of so many clips."""
        clips = wilson(self.mean * self.count, self.count)
        spread = f" ± {100 * self.spread:.1f}" if len(self.shares) > 1 else ""
        low, high = (f"{100 * value:.0f}" for value in (clips.low, clips.high))
        return f"{100 * self.mean:.1f}{spread} [{low}, {high}]"


class Numbers:
    """All that was measured, by arm and test; of lines of the same arm, test and seed the last."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        shares = defaultdict[tuple[str, str], dict[int, float]](dict)
        sizes = dict[tuple[str, str], tuple[int, int]]()
        skipped = dict[tuple[str, int], str]()
        self.runs: list[Mapping[str, Any]] = []
        self.about: dict[str, Mapping[str, Any]] = {}
        for line in lines:
            if "command" in line:
                self.runs.append(line)
            elif "skipped" in line:
                skipped[line["arm"], line["seed"]] = line["skipped"].strip().splitlines()[-1]
            else:
                key = line["arm"], line["split"]
                shares[key][line["seed"]] = line["correct"] / line["count"]
                sizes[key] = line["count"], line["labels"]
                self.about[line["arm"]] = line
                skipped.pop((line["arm"], line["seed"]), None)
        self.skipped = skipped
        self.found = {key: Found(shares[key], *sizes[key]) for key in shares}

    def cell(self, arm: str, split: str) -> str:
        """For a table."""
        return str(self.found.get((arm, split), "not measured"))

    def compare(self, better: str, worse: str, split: str) -> "Difference | None":
        """Over the seeds that both have."""
        a, b = self.found.get((better, split)), self.found.get((worse, split))
        seeds = sorted(set(a.shares) & set(b.shares)) if a and b else []
        if not a or not b or not seeds:
            return None
        gains = [a.shares[seed] - b.shares[seed] for seed in seeds]
        clips = sum(f.mean * (1 - f.mean) for f in (a, b)) / a.count
        chance = statistics.variance(gains) / len(gains) if len(gains) > 1 else 0.0
        return Difference(statistics.mean(gains), Z * math.sqrt(clips + chance), len(seeds))

    def above_chance(self, arm: str, split: str) -> "Difference | None":
        """Against guessing."""
        one = self.found.get((arm, split))
        if one is None:
            return None
        spread = one.spread**2 / len(one.shares)
        reach = Z * math.sqrt(one.mean * (1 - one.mean) / one.count + spread)
        return Difference(one.mean - 1 / one.labels, reach, len(one.shares))


@dataclass(frozen=True)
class Difference:
    """How much better one arm is than another, as shares of clips."""

    mean: float
    reach: float
    """Half of the interval: chance of the clips, as if the two arms saw different ones, and of the
    seeds."""
    seeds: int

    @property
    def verdict(self) -> str:
        """What it says about a claim that there is a gain."""
        if self.mean - self.reach > 0:
            return "**holds**"
        return "**does not hold**" if self.mean + self.reach < 0 else "not told apart"

    def __str__(self) -> str:
        low, high = (100 * (self.mean + sign * self.reach) for sign in (-1, 1))
        return f"{100 * self.mean:+.1f} [{low:+.1f}, {high:+.1f}]"
