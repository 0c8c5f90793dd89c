"""The claims in miniature: an arm runs, its numbers are judged rightly."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def miniature():
    """The modules of benchmarks/miniature, by name."""
    sys.path.insert(0, str(BENCHMARKS))
    names = ("arms", "sections", "numbers", "tables", "actions", "clips", "running", "learning")
    try:
        yield {name: importlib.import_module(f"miniature.{name}") for name in names}
    finally:
        sys.path.remove(str(BENCHMARKS))


def line(arm, seed, correct, split="target", count=100, labels=12):
    ran = {"steps": 300, "batch": 128, "learnt": 6000, "seconds": 20.5}
    return {
        "arm": arm,
        "seed": seed,
        "split": split,
        **ran,
        "count": count,
        "correct": correct,
        "labels": labels,
    }


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["text-prompts", "all"])
def test_arms_learn_and_answer(tmp_path, claim):
    only = [] if claim == "all" else ["--only", claim]
    out = tmp_path / "claims.jsonl"
    done = subprocess.run(
        [
            sys.executable,
            BENCHMARKS / "claims.py",
            *only,
            "--scale=test",
            "--seeds=1",
            "--out",
            out,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    about, *lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert about["command"].startswith("python benchmarks/claims.py")
    skipped = {found["skipped"] for found in lines if "skipped" in found}
    assert skipped == (set() if only else {"no real clips were given"})
    for name in ("standard", "label alone"):
        [found] = [found for found in lines if found["arm"] == name]
        assert (found["count"], found["labels"], found["learnt"]) == (12, 12, 24)
        assert 0 <= found["correct"] <= 12


def test_no_time_left_is_said_and_nothing_is_trained(miniature, tmp_path):
    running = miniature["running"]
    setup = running.Setup("test", tmp_path, "cpu", "fp32", ends=0.0)

    with pytest.raises(miniature["learning"].OutOfTime):
        running.run_job(running.Job(miniature["arms"].STANDARD, 0), setup)


def test_stage_1_comes_first_and_whole_seeds_follow(miniature):
    arms = miniature["arms"].ARMS
    chosen = [arms["standard"], arms["transf, head, 4 frames"], arms["random"]]

    found = [job.name for job in miniature["running"].jobs(chosen, [0, 1])]

    assert found == [
        *("stage 1, conv, differences, seed 0", "stage 1, conv, colours, seed 0"),
        *("stage 1, conv, differences, seed 1", "stage 1, conv, colours, seed 1"),
        *("stage 1, conv, colours, embedded, seed 0", "standard, seed 0"),
        *("transf, head, 4 frames, seed 0", "random, seed 0"),
        *("stage 1, conv, colours, embedded, seed 1", "standard, seed 1"),
        *("transf, head, 4 frames, seed 1", "random, seed 1"),
    ]


def test_what_is_written_and_kept_is_not_done_again(miniature, tmp_path):
    running, arms = miniature["running"], miniature["arms"].ARMS
    setup = running.Setup("test", tmp_path, "cpu", "fp32", ends=0.0)
    todo = running.jobs([arms["standard"], arms["random"], arms["meanp, head, 4 frames"]], [0])
    out = tmp_path / "claims.jsonl"
    done = ("stage 1, conv, differences", "stage 1, conv, colours", "random")
    for name in done:
        running.append(out, line(name, 0, 1))
    with out.open("a") as file:
        file.write('{"arm": "standard", "seed": 0, "spl')  # killed while it wrote
    for name in (f"{done[0]}, seed 0.pt", f"{done[1]}, seed 0.frames.pt"):
        (tmp_path / name).touch()

    left = list(running.run_all(todo, setup, 1, running.read_names(out)))

    # what is written of colours says nothing: their towers are not kept
    assert [record["arm"] for record in left] == [
        *("stage 1, conv, colours", "standard", "meanp, head, 4 frames"),
    ]


def test_every_cell_and_claim_names_an_arm_and_a_test_it_has(miniature):
    arms = miniature["arms"].ARMS
    sections = miniature["sections"].SECTIONS
    cells = [
        cell
        for section in sections
        for grid in section.grids
        for _, row in grid.rows
        for cell in row
    ]
    for section in sections:
        for claim in section.claims:
            cells += [(arm, claim.split) for arm in (claim.better, claim.worse) if arm is not None]

    for arm, split in cells:
        if split != "one left out":
            assert split in arms[arm].tests, arm
    assert {arm for arm, _ in cells} >= set(arms) - {
        "stage 1, conv, colours",
        "stage 1, vit, colours",
    }


def test_a_claim_holds_when_the_gain_is_larger_than_chance(miniature):
    numbers = miniature["numbers"].Numbers(
        [line("a", seed, right) for seed, right in enumerate((80, 82, 84))]
        + [line("b", seed, right) for seed, right in enumerate((50, 55, 54))]
        + [line("c", seed, right) for seed, right in enumerate((78, 83, 80))]
    )

    assert numbers.compare("a", "b", "target").verdict == "**holds**"
    assert numbers.compare("b", "a", "target").verdict == "**does not hold**"
    assert numbers.compare("a", "c", "target").verdict == "not told apart"
    assert numbers.compare("a", "never run", "target") is None


def test_the_interval_of_a_difference_by_hand(miniature):
    numbers = miniature["numbers"].Numbers([line("a", 0, 80), line("b", 0, 50)])

    found = numbers.compare("a", "b", "target")

    assert found.mean == pytest.approx(0.3)
    assert found.reach == pytest.approx(1.96 * math.sqrt((0.8 * 0.2 + 0.5 * 0.5) / 100))


def test_what_was_measured_later_counts_and_what_failed_is_named(miniature):
    lines = [
        {"arm": "standard", "seed": 0, "skipped": "out of time"},
        {"arm": "random", "seed": 0, "skipped": "out of time"},
        line("standard", 0, 10),
        line("standard", 0, 90),
    ]

    text = miniature["tables"].render(lines)

    assert "| both pre-trained | 90.0 [83, 94] |" in text
    assert "- seed 0, out of time (1): random" in text
    assert "| fine-tuning on twelve actions | 300 | 128 | 6,000 | 20.5 |" in text


def test_a_second_measurement_stands_beside_the_first(miniature):
    run = {"command": "again", "device": "cpu", "machine": {"cpu": "a processor"}}
    pairs = {"standard": 80, "random": 50}
    first = [line(arm, seed, found) for arm, found in pairs.items() for seed in (0, 1)]

    text = miniature["tables"].render(first, [run, *(line(arm, 2, 50) for arm in pairs)])

    row = next(row for row in text.splitlines() if row.startswith("| Pre-trained towers learn"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells[::3] == ["**holds**", "not told apart"]
    assert cells[2::3] == ["2", "1"]
    assert text.endswith("And again with\n\n- `again` on a processor, torch ?")


def test_fewer_frames_are_some_of_the_same_frames(miniature):
    times = miniature["clips"].times

    assert [len(times(count)) for count in (1, 4, 8, 16)] == [1, 4, 8, 16]
    assert set(times(4)) <= set(range(16))


def test_unseen_verbs_are_in_no_sentence_of_stage_1(miniature):
    from actionclip.data.synthetic.captions import PHRASES

    sets = miniature["actions"].SETS
    said = {word for name in sets["base"] for phrase in PHRASES[name] for word in phrase.split()}

    for name in miniature["actions"].VERBS:
        verb = name.removeprefix("doing a ").split()[0]
        assert verb not in said
    assert not set(sets["base"]) & set(sets["target"])


def test_the_page_shows_the_recorded_numbers(miniature):
    tables = miniature["tables"]
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text()
    lines, again = (
        [json.loads(text) for text in (BENCHMARKS / name).read_text().splitlines()]
        for name in ("claims.jsonl", "again.jsonl")
    )

    assert tables.replaced(page, tables.render(lines, again)) == page
