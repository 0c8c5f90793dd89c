"""The section of docs/results.md, made of what was measured."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from miniature.numbers import Numbers
from miniature.sections import BUDGETS, SECTIONS, Claim, Grid

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def replaced(page: str, text: str) -> str:
    """The page with another text between the marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def render(lines: Iterable[Mapping[str, Any]], again: Iterable[Mapping[str, Any]] = ()) -> str:
    """All sections.

    Args:
        lines: what was measured.
        again: what was measured another time, to be shown beside it for each claim.
    """
    numbers, later = Numbers(lines), Numbers(again)
    found = [*_summary(numbers, later)]
    for section in SECTIONS:
        found += [f"### {section.title}", "", section.about, ""]
        for grid in section.grids:
            found += [*_grid(numbers, grid), ""]
        for grid in section.again if later.runs else ():
            found += ["Again:", "", *_grid(later, grid), ""]
    found += ["### Budgets", "", *_budget(numbers), *_left_out(numbers)]
    found += [*_runs("Measured with", numbers)]
    found += ["", *_runs("And again with", later)] if later.runs else []
    return "\n".join(found).strip()


def _summary(numbers: Numbers, later: Numbers) -> Iterator[str]:
    columns = [numbers, later] if later.runs else [numbers]
    titles = " again | difference | seeds |" if later.runs else ""
    yield f"| claim | here | difference in points | seeds |{titles}"
    yield "|---|" + "---|---:|---:|" * len(columns)
    for section in SECTIONS:
        for claim in section.claims:
            cells = [cell for one in columns for cell in _verdict(one, claim)]
            yield " | ".join([f"| {claim.says}", *cells]) + " |"
    yield ""


def _verdict(numbers: Numbers, claim: Claim) -> tuple[str, str, str]:
    if claim.worse is None:
        found = numbers.above_chance(claim.better, claim.split)
    else:
        found = numbers.compare(claim.better, claim.worse, claim.split)
    if found is None:
        return "not measured", "", "0"
    return found.verdict, str(found), str(found.seeds)


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


def _runs(title: str, numbers: Numbers) -> Iterator[str]:
    yield title
    yield ""
    said = dict[str, None]()
    for run in numbers.runs:
        device = run["device"] if run["device"] != "cpu" else run["machine"]["cpu"]
        line = f"- `{run['command']}` on {device}, torch {run['machine'].get('torch', '?')}"
        said[line] = None
    yield from said
