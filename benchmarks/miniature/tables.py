"""The section of docs/results.md, made of what was measured."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from miniature.numbers import Numbers
from miniature.sections import BUDGETS, SECTIONS, Grid

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def replaced(page: str, text: str) -> str:
    """The page with another text between the marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def render(lines: Iterable[Mapping[str, Any]]) -> str:
    """All sections."""
    numbers = Numbers(lines)
    found = [*_summary(numbers)]
    for section in SECTIONS:
        found += [f"### {section.title}", "", section.about, ""]
        for grid in section.grids:
            found += [*_grid(numbers, grid), ""]
    found += ["### Budgets", "", *_budget(numbers), *_left_out(numbers), *_runs(numbers)]
    return "\n".join(found).strip()


def _summary(numbers: Numbers) -> Iterator[str]:
    yield "| claim | here | difference in points | seeds |"
    yield "|---|---|---:|---:|"
    for section in SECTIONS:
        for claim in section.claims:
            if claim.worse is None:
                found = numbers.above_chance(claim.better, claim.split)
            else:
                found = numbers.compare(claim.better, claim.worse, claim.split)
            cells = ("not measured", "", "0")
            if found is not None:
                cells = (found.verdict, str(found), str(found.seeds))
            yield " | ".join([f"| {claim.says}", *cells]) + " |"
    yield ""


def _budget(numbers: Numbers) -> Iterator[str]:
    """What the trainings of each kind were."""
    yield "| training | steps | clips in a step | learnt from | seconds of a run |"
    yield "|---|---:|---:|---:|---:|"
    for title, arm in BUDGETS:
        about = numbers.about.get(arm)
        if about is not None:
            cells = (f"{about[key]:,}" for key in ("steps", "batch", "learnt", "seconds"))
            yield " | ".join([f"| {title}", *cells]) + " |"
    yield ""


def _grid(numbers: Numbers, grid: Grid) -> Iterator[str]:
    yield "| " + " | ".join(grid.head) + " |"
    yield "|---|" + "---:|" * (len(grid.head) - 1)
    for title, cells in grid.rows:
        yield " | ".join([f"| {title}", *(numbers.cell(*cell) for cell in cells)]) + " |"
    guess = [
        next((f"{100 / numbers.found[c].labels:.1f}" for c in column if c in numbers.found), "-")
        for column in zip(*(cells for _, cells in grid.rows), strict=True)
    ]
    yield " | ".join(["| *guessing*", *guess]) + " |"


def _left_out(numbers: Numbers) -> Iterator[str]:
    if numbers.skipped:
        yield "Not measured, and why:"
        yield ""
        reasons = defaultdict[tuple[int, str], list[str]](list)
        for (arm, seed), why in numbers.skipped.items():
            reasons[seed, why.split(", seed")[0]].append(arm)
        for (seed, why), arms in reasons.items():
            yield f"- seed {seed}, {why} ({len(arms)}): {'; '.join(arms)}"
        yield ""


def _runs(numbers: Numbers) -> Iterator[str]:
    yield "Measured with"
    yield ""
    said = dict[str, None]()
    for run in numbers.runs:
        device = run["device"] if run["device"] != "cpu" else run["machine"]["cpu"]
        line = f"- `{run['command']}` on {device}, torch {run['machine'].get('torch', '?')}"
        said[line] = None
    yield from said
