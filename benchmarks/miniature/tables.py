"""The section of docs/results.md, made of what was measured."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from miniature.numbers import Numbers
from miniature.sections import SECTIONS, Grid

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
    found += [*_left_out(numbers), *_runs(numbers)]
    return "\n".join(found).strip()


def _summary(numbers: Numbers) -> Iterator[str]:
    yield "| claim | here | difference in points |"
    yield "|---|---|---:|"
    for section in SECTIONS:
        for claim in section.claims:
            if claim.worse is None:
                found = numbers.above_chance(claim.better, claim.split)
            else:
                found = numbers.compare(claim.better, claim.worse, claim.split)
            verdict = "not measured" if found is None else found.verdict
            yield f"| {claim.says} | {verdict} | {'' if found is None else found} |"
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
        for (arm, seed), why in numbers.skipped.items():
            yield f"- {arm}, seed {seed}: {why}"
        yield ""


def _runs(numbers: Numbers) -> Iterator[str]:
    yield "Measured with"
    yield ""
    for run in numbers.runs:
        device = run["device"] if run["device"] != "cpu" else run["machine"]["cpu"]
        yield f"- `{run['command']}` on {device}, torch {run['machine'].get('torch', '?')}"
