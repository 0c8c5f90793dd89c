"""`actionclip train`: run a recipe, or go on with a run."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, plain_warnings, redraws, say
from actionclip.errors import counted

if TYPE_CHECKING:
    from actionclip.training.plan import Plan
    from actionclip.training.recipes.running import Run
    from actionclip.training.run.loop import TrainResult
    from actionclip.training.run.signals import Stopped

RUNS = Path("runs")

QUIET_SECONDS = 30.0
"""Without a terminal, one line of progress in this time."""

EXAMPLES = """Examples:

  actionclip train mine.toml --dry-run

  actionclip train mine.toml --out runs/first --set training.optim.lr=1e-5

  torchrun --nproc-per-node 4 -m actionclip train mine.toml
"""


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (.toml).", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting of the recipe, e.g. training.batch_size=32.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder of the run. Default: runs/RECIPE.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    device: options.Device = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and stop there.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress; errors are still shown.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train a model by a recipe. Run the same command again to go on where a run broke off.

    The folder of the run holds the models (last/, and best/ where scores are measured), settings,
    metrics and curves. Ctrl-C and SIGTERM save first.
    """
    with plain_warnings():
        from actionclip.inference.precision import choose_device
        from actionclip.training.ranks import launched
        from actionclip.training.recipes.reading import read_recipe
        from actionclip.training.recipes.running import Run
        from actionclip.training.run.signals import Stopped
        from actionclip.training.spread.on_cpu import keep_freed_memory

        first = launched().is_first
        folder = out or RUNS / recipe.stem
        if not dry_run:
            options.check_folder(folder)
        settings = read_recipe(recipe, changes or ())
        if not settings.training.activation_checkpointing:  # who checkpoints wants little memory
            keep_freed_memory()
        with Run.prepare(settings, choose_device(device or options.own_gpu())) as run:
            plan = run.plan(measure=first)
            if first:
                _show_plan(run, plan, folder, as_json=as_json and dry_run, quiet=quiet)
            if dry_run:
                return
            show = first and not quiet
            with _Bar(plan.steps, plan.steps // plan.epochs, plan.epochs, show=show) as bar:
                try:
                    result = run.train(folder, report=bar.step)
                except Stopped as stop:
                    bar.close()
                    if first:
                        say(f"Stopped after step {stop.step}{_what_is_saved(stop)}")
                    raise
            if first:
                _show_result(run, result, as_json=as_json)
                kept = run.retention(folder)
                for line in [] if kept is None else kept.lines():
                    say(line)


train.__doc__ = documented(train, EXAMPLES)


def _what_is_saved(stop: "Stopped") -> str:
    if stop.saved:
        return "; everything up to it is saved.\nThe same command goes on from there."
    return (
        ", between steps whose numbers were not finite.\n"
        "The same command goes on from the save before them."
    )


def _show_plan(run: "Run", plan: "Plan", folder: Path, *, as_json: bool, quiet: bool) -> None:
    from dataclasses import asdict

    from actionclip.training.recipes.watching import has_tensorboard

    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **asdict(plan)}))
        return
    if quiet:
        return
    say(f"data        {run.data.about}" + (f": {run.data.path}" if run.data.path else ""))
    for line in plan.lines():
        say(line)
    say(f"folder      {folder}" + (" (goes on)" if _has_state(folder) else ""))
    for note in [*run.data.notes, *_changes(folder)]:
        say(f"note: {note}")
    if not has_tensorboard():
        say("note: no TensorBoard events are written: pip install 'actionclip[train]'")


def _has_state(folder: Path) -> bool:
    from actionclip.training.run.state import STATE

    return (folder / STATE).is_file()


def _changes(folder: Path) -> list[str]:
    from actionclip.training.run.folder import what_changed

    said = what_changed(folder) if _has_state(folder) else ""
    return [said] if said else []


def _show_result(run: "Run", result: "TrainResult", *, as_json: bool) -> None:
    failed = run.data.failures.listed()
    folder = result.folder / ("last" if result.best is None else "best")
    if as_json:
        line = {
            "folder": str(result.folder),
            "model": str(folder),
            "steps": result.steps,
            "skipped": result.skipped,
            "rollbacks": result.rollbacks,
            "best": result.best,
            "best_step": result.best_step,
            "seconds": round(result.seconds, 1),
            "failed_files": len(failed),
        }
        typer.echo(json.dumps(line))
        return
    if failed:
        say(f"{counted(len(failed), 'clip')} could not be read: see {result.folder}/failures.csv")
    if tested := run.data.failures.tested:
        say(f"{counted(tested, 'of them is', 'of them are')} of [evaluation], and wrong there.")
    if result.skipped:
        say(
            f"{counted(result.skipped, 'step was', 'steps were')} skipped: a number was not finite."
        )
    if result.rollbacks:
        times = "Once" if result.rollbacks == 1 else f"{result.rollbacks} times"
        say(f"{times} the last save was taken again, at half the rate: what came after it is lost.")
    if result.is_chance:
        say(
            f"note: the newest weights make of the last batch a loss of {result.end_loss:.4f}, no "
            f"better than chance ({result.end_chance:.4f}). Where it was better before, lower "
            "training.optim.lr or set training.clip_norm = 1.0."
        )
    if result.best is not None:
        say(f"The best evaluation was {result.best:.4f}, after step {result.best_step}.")
    say(f"The model is in {folder}. Use it:")
    typer.echo(f"actionclip classify VIDEO --model {quote(str(folder))}")


class _Bar:
    """Progress on stderr: a bar on a terminal, now and then a line elsewhere."""

    def __init__(self, steps: int, per_epoch: int, epochs: int, *, show: bool) -> None:
        self.steps, self.per_epoch, self.epochs, self.show = steps, per_epoch, epochs, show
        self._said = time.monotonic()
        self._seconds, self._counted = 0.0, 0
        self._last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "_Bar":
        if self.show and redraws(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn("step {task.completed:,}/{task.total:,}"),
                TextColumn("{task.fields[said]}"),
                console=Console(stderr=True),
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=self.steps, epoch="", said="")
            self._bar.start()
        return self

    def step(self, line: Mapping[str, Any]) -> None:
        """A step is done."""
        if not self.show:
            return
        now = time.monotonic()
        if self._counted:  # the first one of a start is no measure
            self._seconds += now - self._last
        self._counted, self._last = self._counted + 1, now
        done = line["step"]
        epoch = f"{min((done - 1) // self.per_epoch + 1, self.epochs)}/{self.epochs}"
        said = self._say(line, self.steps - done)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, epoch=epoch, said=said)
        elif done == self.steps or now - self._said > QUIET_SECONDS:
            self._said = now
            say(f"epoch {epoch}, step {done:,} of {self.steps:,}: {said}")

    def _say(self, line: Mapping[str, Any], left: int) -> str:
        loss = "not finite" if line["loss"] is None else f"{line['loss']:.4f}"
        said = f"loss {loss}, {line['clips_per_second']:.3g} videos/s"
        if self._counted > 1 and left:
            said += f", {_clock(left * self._seconds / (self._counted - 1))} left"
        return said

    def close(self) -> None:
        """Leave the terminal to others."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __exit__(self, *_: object) -> None:
        self.close()


def _clock(seconds: float) -> str:
    """A duration on a clock.

    >>> _clock(59), _clock(3700), _clock(200_000)
    ('0:59', '1:01:40', '2 days 7:33:20')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return f"{minute}:{second:02}"
    clock = f"{hour}:{minute:02}:{second:02}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock
