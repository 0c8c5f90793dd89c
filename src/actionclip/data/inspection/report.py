"""What a look at a data set found, and what of it is a problem."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionclip.data.inspection.leaks import Shared
from actionclip.data.manifest import Row

IMBALANCED = 10.0
"""The largest class has so many times the clips of the smallest: worth a warning."""

LEAKS = {
    ("content", "interval"): "clip",
    ("name",): "clip of the same name, length and look",
    ("recording",): "recording with clips",
}


@dataclass(frozen=True)
class BadFile:
    """A video that cannot be used, or only in parts."""

    path: str
    status: str
    message: str
    hint: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Durations:
    """How long the clips are, in seconds."""

    total: float
    shortest: float
    median: float
    longest: float


@dataclass
class Inspection:
    """What `inspect` found."""

    layout: str
    why: str
    notes: list[str]
    clips: int
    videos: int
    classes: list[str]
    splits: dict[str, int]
    """Clips in each split; the name is empty where none is said."""
    per_class: dict[str, dict[str, int]]
    """Clips of each class in each split."""
    durations: Durations | None = None
    missing: list[str] = field(default_factory=list)
    """Files that are not there."""
    bad: list[BadFile] = field(default_factory=list)
    """Files that give no frames."""
    degraded: list[BadFile] = field(default_factory=list)
    """Files that give frames and have damaged parts."""
    leaks: list[Shared] = field(default_factory=list)
    """The same clip or recording in several splits."""
    repeated: list[Shared] = field(default_factory=list)
    """The same clip several times in one split."""
    outside: list[str] = field(default_factory=list)
    """Clips that begin in their video and end after it."""
    never: list[Row] = field(default_factory=list)
    """Clips that begin after their video: they have no frame."""
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """A frame [H, W, 3] of the videos that were asked to be kept, by path."""

    @property
    def problems(self) -> list[str]:
        """Sentences about what makes training fail or a test wrong."""
        lines = []
        if self.missing:
            lines.append(
                f"{_count(self.missing, 'file')} not there, for example {self.missing[0]}."
            )
        if self.bad:
            codes = Counter(file.status for file in self.bad)
            listed = ", ".join(f"{n} {code}" for code, n in sorted(codes.items()))
            lines.append(f"{_count(self.bad, 'file')} not readable ({listed}).")
        for kind, words in LEAKS.items():
            if found := [leak for leak in self.leaks if leak.kind in kind]:
                paths = ", ".join(found[0].paths[:3])
                splits = " and ".join(split or "(no split)" for split in found[0].splits)
                lines.append(f"{_count(found, words)} in {splits}, for example {paths}.")
        copies = [each for each in self.repeated if each.kind == "content"]
        if clash := [each for each in copies if len(each.labels) > 1]:
            labels = " and ".join(clash[0].labels[:3])
            lines.append(
                f"{_count(clash, 'clip')} under different labels, for example "
                f"{', '.join(clash[0].paths[:2])} ({labels})."
            )
        if self.never:
            lines.append(
                f"{_count(self.never, 'clip')} that would begin after the end of the video, for "
                f"example {self.never[0].path}."
            )
        if lonely := self._without("train"):
            lines.append(f"No clip to train on for {_some(lonely)}.")
        return lines

    @property
    def warnings(self) -> list[str]:
        """Sentences about what is worth knowing."""
        lines = list(self.notes)
        if self.degraded:
            lines.append(
                f"{_count(self.degraded, 'file')} damaged in parts, for example "
                f"{self.degraded[0].path}: {self.degraded[0].message}"
            )
        if self.repeated:
            lines.append(
                f"{_count(self.repeated, 'clip')} there several times in one split, for example "
                f"{', '.join(self.repeated[0].paths[:2])}."
            )
        if self.outside:
            lines.append(
                f"{_count(self.outside, 'clip')} with an end after that of the video, with which "
                f"it stops, for example {self.outside[0]}."
            )
        if lonely := self._without("test"):
            lines.append(f"No clip to test {_some(lonely)} with.")
        if empty := [name for name, counts in self.per_class.items() if not counts]:
            lines.append(f"No clip at all for {_some(empty)}.")
        if self.imbalance is not None and self.imbalance >= IMBALANCED:
            lines.append(
                f"The largest class has {self.imbalance:.0f} times the clips of the smallest."
            )
        return lines

    @property
    def imbalance(self) -> float | None:
        """Clips of the largest class over those of the smallest one that has any, to train on."""
        split = "train" if "train" in self.splits else None
        counts = [
            counts.get(split, 0) if split else sum(counts.values())
            for counts in self.per_class.values()
        ]
        counts = [count for count in counts if count]
        return max(counts) / min(counts) if counts else None

    def _without(self, split: str) -> list[str]:
        """Classes that others have clips for in this split, and themselves only elsewhere."""
        if not any(split in counts for counts in self.per_class.values()):
            return []
        return [name for name, counts in self.per_class.items() if counts and split not in counts]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del table["pictures"]
        table["never"] = [row.path for row in self.never]
        for name in ("bad", "degraded", "leaks", "repeated"):
            table[name] = [asdict(each) for each in table[name]]
        table["durations"] = self.durations and asdict(self.durations)
        return table | {
            "imbalance": self.imbalance,
            "problems": self.problems,
            "warnings": self.warnings,
        }


def _count(found: Sequence[Any], words: str) -> str:
    """`2 clips of the same name`."""
    noun, _, rest = words.partition(" ")
    return f"{len(found)} {noun}{'s' if len(found) != 1 else ''}{' ' if rest else ''}{rest}"


def _some(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more classes" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
