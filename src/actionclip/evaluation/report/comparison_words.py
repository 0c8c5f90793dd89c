"""A comparison of two tests as a person reads it. Imports nothing slow: the command line needs it.

On a terminal the names of numbers are words, too.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actionclip.evaluation.intervals import Estimate
    from actionclip.evaluation.report.compare import Comparison, Flip

SHOWN = 12
"""Classes, files and clips listed on a terminal."""
NAMES = {"mean_class": "mean class", "map": "mAP", "harmonic_mean": "harmonic mean"}
NAMES |= {f"top{k}": f"top-{k}" for k in range(1, 6)} | {"ece": "calibration error"}
NAMES |= {"coverage": "label set coverage", "kept": "answered with a label"}


def name_in_words(name: str) -> str:
    """A number's name in words, after that of its part where it has one.

    >>> name_in_words("novel top1")
    'novel top-1'
    """
    part, _, metric = name.rpartition(" ")
    return f"{part} {NAMES.get(metric, metric)}".strip()


def comparison_lines(found: "Comparison") -> list[str]:
    """What changed, for a person."""
    words = "could be chance" if found.could_be_chance else "more than chance"
    sure = "" if math.isnan(found.difference.low) else f": {words}"
    lines = [
        f"{name_in_words(found.metric)} of {found.clips} clips{_together(found)}",
        f"before      {found.before:.1%}",
        f"after       {found.after:.1%}",
        f"difference  {_points(found.difference)}{sure}",
    ]
    if found.metric != "map":
        lines.append(f"now right   {len(found.gained)} clips that were wrong")
        lines.append(f"now wrong   {len(found.lost)} clips that were right")
    if len(found.parts) > 1:
        width = max(len(part.name) for part in found.parts) + 2
        lines += ["", "parts"]
        lines += [
            f"{part.name:{width}}{part.before:6.1%} -> {part.after:6.1%}  ({part.clips} clips)  "
            f"{_points(part.difference)}"
            for part in found.parts
        ]
    return [*lines, *_classes(found), *_flips(found)]


def _together(found: "Comparison") -> str:
    if len(found.parts) < 2:
        return ""
    return f"{', the mean of' if found.metric == 'map' else ' in'} {len(found.parts)} parts"


def _points(change: "Estimate") -> str:
    value, low, high = (f"{100 * each:+.1f}" for each in (change.value, change.low, change.high))
    return f"{value} points" + ("" if math.isnan(change.low) else f"  [{low}, {high}]")


def _classes(found: "Comparison") -> Iterator[str]:
    if not found.classes:
        return
    names = [f"{row.part} {row.label}".strip() for row in found.classes]
    width = max(map(len, names)) + 2
    yield from ("", "classes that changed most")
    for name, row in zip(names[:SHOWN], found.classes, strict=False):
        yield f"{name:{width}}{row.before:6.1%} -> {row.after:6.1%}  ({row.clips} clips)"


def _flips(found: "Comparison") -> Iterator[str]:
    for heading, flips in (("now right", found.gained), ("now wrong", found.lost)):
        if flips:
            yield from ("", heading, *map(_flip, flips[:SHOWN]))
        if len(flips) > SHOWN:
            yield f"and {len(flips) - SHOWN} more: --json has all"


def _flip(flip: "Flip") -> str:
    before, after = (answer or "(not read)" for answer in (flip.before, flip.after))
    return f"  {flip.row.path} ({flip.row.labels[0]}): {before} -> {after}"
