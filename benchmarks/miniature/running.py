"""Arms in the order of their seeds, several at a time, until the time is over."""

import contextlib
import json
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common import say

from actionclip.training.spread.on_cpu import keep_freed_memory
from miniature import real
from miniature.actions import SETS
from miniature.arm import Arm
from miniature.arms import STAGE_1
from miniature.clips import Clips, read
from miniature.frozen import embed, embedded, learn_head
from miniature.learning import (
    Counts,
    OutOfTime,
    Pool,
    Precision,
    ask,
    ask_with,
    embed_clips,
    fit,
    train_settings,
)
from miniature.processes import CONTEXT
from miniature.scale import SCALES
from miniature.towers import build, stage_1

Record = dict[str, Any]
EMBEDDED = ", embedded"
"""Ends the name of what keeps frames for others."""
MOST_FAILED = 6
"""Arms that fail before one is done: then nothing will go well."""


class NoVideos(Exception):
    """There are no real clips to learn from."""


@dataclass(frozen=True)
class Setup:
    """What all arms share."""

    scale: str
    folder: Path
    """Rendered clips, towers of stage 1, kept frames."""
    device: str
    precision: Precision
    ends: float
    """When all must be over, as `time.monotonic` tells it."""
    real: Path | None = None
    """The file of real clips."""

    def time_left(self) -> float:
        """Seconds until the end."""
        return self.ends - time.monotonic()


@dataclass(frozen=True)
class Job:
    """One arm with one seed."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """For those who wait for it."""
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def needs(self) -> str | None:
        """The job that must be done before."""
        return None if self.arm.needs is None else f"{self.arm.needs}, seed {self.seed}"


def jobs(arms: Iterable[Arm], seeds: Sequence[int]) -> list[Job]:
    """The arms and what they need, seed by seed, stage 1 of all seeds first."""
    arms = list(dict.fromkeys(arms))
    bases, kept = {arm.name: arm for arm in STAGE_1}, {}
    needed = {arm.name: arm for arm in arms if arm.stage == 1}
    for arm in arms:
        if arm.needs is not None:
            needed[arm.base] = bases[arm.base]
        if arm.learns == "head":
            name = f"{arm.base}{EMBEDDED}"
            kept[name] = replace(bases[arm.base], name=name, stage=3, tests=())
    rest = [*kept.values(), *(arm for arm in arms if arm.name not in needed)]
    first = [Job(arm, seed) for seed in seeds for arm in needed.values()]
    return first + [Job(arm, seed) for seed in seeds for arm in rest]


def run_all(
    todo: list[Job], setup: Setup, processes: int, written: frozenset[str] = frozenset()
) -> Iterator[Record]:
    """Records as they come in, of those that came together the first begun first: of tests, and of
    jobs that were not done and why.

    What an earlier start has done is not done again: jobs whose results are `written`, by their
    names, and what is kept in the folder.
    """
    done = {job.name for job in todo if is_done(job, setup.folder, written)}
    waiting, running = [j for j in todo if j.name not in done], dict[Future[list[Record]], Job]()
    failed = set[str]()
    with ProcessPoolExecutor(processes, mp_context=CONTEXT) as pool:
        while waiting or running:
            for job in [j for j in waiting if j.needs in failed]:
                waiting.remove(job)
                failed.add(job.name)
                yield {"arm": job.arm.name, "seed": job.seed, "skipped": f"needs {job.needs}"}
            ready = [j for j in waiting if j.needs is None or j.needs in done]
            for job in ready[: processes + 1 - len(running)]:
                waiting.remove(job)
                running[pool.submit(run_job, job, setup)] = job
            ended = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in [started for started in running if started in ended]:
                job = running.pop(future)
                try:
                    yield from future.result()
                    done.add(job.name)
                except (OutOfTime, NoVideos) as error:
                    failed.add(job.name)
                    said = str(error)
                    yield {"arm": job.arm.name, "seed": job.seed, "skipped": said}
                except Exception as error:  # an arm that fails must not end the others
                    failed.add(job.name)
                    say(traceback.format_exc())
                    said = f"{type(error).__name__}: {error}"
                    about = {"arm": job.arm.name, "seed": job.seed, "skipped": said}
                    yield {**about, "failed": True}
                    if len(failed) >= MOST_FAILED and not done:
                        raise


def is_done(job: Job, folder: Path, written: frozenset[str]) -> bool:
    """Whether an earlier start has left all that there is to be had of it."""
    if job.arm.name.endswith(EMBEDDED):
        return embedded(job.arm, job.seed, folder).exists()
    kept = job.arm.stage != 1 or stage_1(job.arm, job.seed, folder).exists()
    return kept and job.name in written


def read_names(out: Path) -> frozenset[str]:
    """The jobs whose results are in such a file; a line that was cut short is none."""
    if not out.exists():
        return frozenset()
    found = set[str]()
    for line in out.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            record = json.loads(line)
            if "split" in record:
                found.add(f"{record['arm']}, seed {record['seed']}")
    return frozenset(found)


_CLIPS: dict[Path, Clips] = {}


def _clips(folder: Path) -> Clips:
    """Opened once in each process, which then keeps the part it used last."""
    if folder not in _CLIPS:
        torch.set_num_threads(1)
        keep_freed_memory()
        _CLIPS[folder] = read(folder)
    return _CLIPS[folder]


def run_job(job: Job, setup: Setup) -> list[Record]:
    """Train and test one arm.

    Raises:
        OutOfTime: when it cannot be finished.
    """
    began = time.monotonic()
    if setup.time_left() < 0:
        raise OutOfTime("out of time")
    arm, seed = job.arm, job.seed
    found, learnt = (_learn_real if arm.real else _learn_rendered)(arm, seed, setup)
    if not found:
        return []
    about = {
        "arm": arm.name,
        "seed": seed,
        "steps": arm.steps(SCALES[setup.scale]),
        "batch": min(arm.batch(SCALES[setup.scale]), learnt),
        "learnt": learnt,
        "seconds": round(time.monotonic() - began, 1),
    }
    return [
        {**about, "split": split, "count": count, "correct": right, "labels": labels}
        for split, (count, right, labels) in found.items()
    ]


def _learn_real(arm: Arm, seed: int, setup: Setup) -> tuple[Counts, int]:
    if setup.real is None:
        raise NoVideos("no real clips were given")
    clips, scale = real.load(setup.real, arm.real), SCALES[setup.scale]
    settings = train_settings(arm, seed, scale, setup.precision)
    steps = arm.steps(scale)
    return real.fine_tune(arm, clips, settings, steps, setup.device, setup.time_left)


def _learn_rendered(arm: Arm, seed: int, setup: Setup) -> tuple[Counts, int]:
    """What came of it (nothing of frames that are only kept), and how many clips were learnt."""
    train, test = _clips(setup.folder / "train"), _clips(setup.folder / "test")
    if arm.name.endswith(EMBEDDED):
        embed(arm, seed, setup.folder, train, test, setup.device)
        return {}, 0
    if arm.learns == "head":
        scale = SCALES[setup.scale]
        _, found = learn_head(arm, seed, setup.folder, test, scale, setup.device)
        return found, len(train.rows(SETS[arm.labels]))
    return _train(arm, seed, setup, train, test)


def _train(arm: Arm, seed: int, setup: Setup, train: Clips, test: Clips) -> tuple[Counts, int]:
    """What came of it, and how many clips it learnt from."""
    scale, device, names = SCALES[setup.scale], setup.device, SETS[arm.labels]
    model = build(arm, seed, setup.folder, device)
    rows = train.rows(names) if arm.shots is None else train.drawn(names, arm.shots, seed)
    pixels, labels, tokens = train.part(names, arm.frames, device, rows=rows)
    pool = Pool(pixels, labels, tokens if arm.stage == 1 else None, names, arm.pictures)
    settings = train_settings(arm, seed, scale, setup.precision)
    classifier = fit(model, pool, arm, settings, arm.steps(scale), setup.time_left)
    if arm.stage == 1:
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save(state, stage_1(arm, seed, setup.folder))
    rendered = tuple(split for split in arm.tests if split != "weizmann_dev")
    asked, truth, _ = test.part(SETS["all"], arm.frames, "cpu")
    videos, truth = embed_clips(model, asked, raw=classifier is not None), truth.to(device)
    if classifier is None:
        found = ask(model, videos, truth, rendered, arm.labels)
    else:
        with torch.no_grad():
            logits = torch.full((len(videos), len(SETS["all"])), -torch.inf, device=device)
            places = [SETS["all"].index(name) for name in names]
            logits[:, places] = classifier(videos)
        found = ask_with(lambda rows, columns: logits[rows][:, columns], truth, rendered, names)
    if "weizmann_dev" in arm.tests and setup.real is not None:
        found |= real.zero_shot(model, real.load(setup.real, real.SMALL))
    return found, len(rows)


def append(path: Path, record: Record) -> None:
    """One line more."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
