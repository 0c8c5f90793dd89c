"""The loop: start and resume are the same path.

A run looks for a state in its folder, goes back to it or writes the first one, and then does the
steps that are left. Killed at any moment and started again with the same command, it ends with the
same weights to the bit (on a CPU, with the same number of threads and processes).
"""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.folder import save
from actionclip.training.adapt.start import between, find_teacher, load_start
from actionclip.training.adapt.teacher import Teacher
from actionclip.training.optimiser import build_optimizer, set_rates, shown_rate
from actionclip.training.ranks import (
    all_see,
    any_rank,
    current_ranks,
    of_first,
    together,
    wait_for_all,
)
from actionclip.training.run.batches import Batch, Batches, ClipSource, Texts
from actionclip.training.run.folder import (
    BEST,
    BETWEEN,
    CONFIG,
    LAST,
    START,
    Record,
    RunFolder,
    finite,
)
from actionclip.training.run.signals import Stopped, StopRequests
from actionclip.training.run.state import (
    Learner,
    Progress,
    TrainResult,
    check_clips,
    check_end,
    give_saved,
    load_state,
    save_state,
)
from actionclip.training.run.step import (
    Abandoned,
    Average,
    apply_gradients,
    find_gradients,
    loss_again,
)
from actionclip.training.schedule import factor_at_step
from actionclip.training.settings import TrainConfig
from actionclip.training.spread.compiled import compiled
from actionclip.training.spread.memory import said_plainly
from actionclip.training.spread.norms import Norms
from actionclip.training.spread.sharded import shard, take_back, taken_back
from actionclip.training.trained import adapting, checkpointed, set_training_mode

MOST_BAD_IN_A_ROW, MOST_ROLLBACKS = 3, 5

Evaluate = Callable[[ActionCLIP], Mapping[str, float]]
"""Scores of a model by name. The first one decides which model is the best; more is better. Only
numbers of the same name are compared, and of the same `Record.measure`."""
Report = Callable[[Mapping[str, Any]], object]
"""Called with what happened in each step, for a progress bar."""


def train(
    config: TrainConfig,
    model: ActionCLIP,
    source: ClipSource,
    folder: str | Path,
    *,
    evaluate: Evaluate | None = None,
    report: Report | None = None,
    record: Record | None = None,
) -> TrainResult:
    """Train a model, or go on with the training that was begun in a folder.

    Under `torchrun` each process calls this with the same arguments; the first one writes. SIGTERM
    and Ctrl-C let the step end, save, and raise `Stopped`, which ends the process with the code
    143 or 130.

    Args:
        config: the settings.
        model: is changed in place, and left in evaluation mode with the weights that were saved;
            after an error with the newest, or if they are shared out with those of `last/`. Build
            it the same way each time; where its numbers come from does not matter when the folder
            already holds a state.
        source: the videos. It must be a pure function of index and epoch.
        folder: where the run is kept; see `actionclip.training.run.folder`.
        evaluate: called at the end of epochs; see `Evaluate`. Without it there is no best/.
        report: called in the first process after each step.
        record: what the folder says about the run; None: `config` alone.

    Raises:
        ActionCLIPError: for settings that do not fit the model or the data, a folder that holds
            another run or that not all processes see, a training that goes on diverging, or an
            error of another process.
        StorageError: when the disk is full; the state before is untouched.
        Stopped: see above.
    """
    device = model.device
    try:
        with (
            together(device),
            said_plainly(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            checkpointed(model, config.activation_checkpointing),
            compiled(model, config.compile),
            adapting(model, config) as adapted,
            Trainer(config, model, source, Path(folder), evaluate, report, record) as trainer,
        ):
            trainer.learner.adapted = adapted
            return trainer.run()
    finally:
        model.eval().to(device)  # where it was, also if it could not take back shared weights
        model.zero_grad(set_to_none=True)


class Trainer:
    """One start of a run; see `train`."""

    def __init__(
        self,
        config: TrainConfig,
        model: ActionCLIP,
        source: ClipSource,
        folder: Path,
        evaluate: Evaluate | None,
        report: Report | None,
        record: Record | None = None,
    ) -> None:
        self.record = record or Record.of(config)
        self.config, self.model, self.source, self.path = config, model, source, folder
        self.evaluate, self.report = evaluate, report
        self.ranks, self.own = current_ranks(), model
        self.teacher: Teacher | None = None
        self.files: RunFolder | None = None
        if config.sharded and self.ranks.world > 1:
            model = self.model = shard(model)
        texts = Texts(model, source.labels, config)
        self.batches = Batches(source, texts, config, self.ranks)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self.steps = self.steps_per_epoch * config.schedule.epochs
        self.learner = Learner(
            model,
            build_optimizer(model, config.optim),
            Average(model, config.ema) if config.ema is not None else None,
            Progress(clips=len(source)),
        )
        self.stop = StopRequests()
        self._saved = self._begun = time.monotonic()

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.learner.progress

    def __enter__(self) -> "Trainer":
        if self.ranks.is_first:
            self.files = RunFolder(self.path, self.record)
        wait_for_all()
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if self.files is not None:
            self.files.close()
        if self.model is not self.own:
            if isinstance(error, Stopped):  # so do the others, which have to take part
                take_back(self.own, self.model)
            else:
                give_saved(self.own, self.path)

    def run(self) -> TrainResult:
        """Do the steps that are left."""
        all_see(self.path / CONFIG, self.model.device)
        found = load_state(self.learner, self.path)
        if found:
            check_clips(self.progress, len(self.source), self.path)
        if self.files is not None:
            self.files.open_metrics(self.progress.metrics_bytes)
        self.find_start(found)
        if not found:
            self.save()  # what a rollback in the first epoch goes back to
        else:
            with self.learner.averaged():
                self.write_model(LAST, "")  # the last process may have ended before it could
        wait_for_all()
        with self.stop:
            while self.progress.step < self.steps:
                self.epoch()
        check_end(self.learner, self.path)
        self.finish()
        return TrainResult.of(self.path, self.progress)

    def find_start(self, found: bool) -> None:
        """Write the weights that the run begins with, or go back to them, if they are needed."""
        if not self.config.keeps_start:
            return
        if not found:
            self.write_model(START, "Written before the first step.")
        wait_for_all()
        if found and self.learner.adapted is not None:
            self.learner.adapted.load_towers(load_start(self.path).state_dict())
        self.teacher = find_teacher(self.config, self.path, self.model.device)

    def finish(self) -> None:
        """Make the caller's model an ordinary one with the weights that were saved."""
        if self.learner.average is not None:
            self.learner.average.give(self.model)
        if self.model is not self.own:
            take_back(self.own, self.model)
            self.model = self.own
        if self.learner.adapted is not None:
            self.learner.adapted.remove()
            self.learner.adapted = None
        if self.ranks.is_first and (mixed := between(self.config, self.path, self.model)):
            model, about = mixed
            save(model, self.path / BETWEEN, labels=self.labels, about=about)

    def epoch(self) -> None:
        """The rest of the epoch that the run is in."""
        epoch, start = divmod(self.progress.step, self.steps_per_epoch)
        set_training_mode(self.model)
        waiting = time.monotonic()
        with contextlib.closing(self.batches.epoch(epoch, start)) as batches:
            for batch in batches:
                done = self.step(batch, time.monotonic() - waiting)
                asked = not done or any_rank(bool(self.stop.number), self.model.device)
                if done and self.progress.step % self.steps_per_epoch == 0:
                    self.end_epoch(epoch + 1)
                elif asked or self.is_time_to_save():
                    self.save()
                if asked and self.progress.step < self.steps:
                    raise Stopped(self.stop.number or signal.SIGTERM, self.progress)
                waiting = time.monotonic()

    def step(self, batch: Batch, waited: float) -> bool:
        """One step: new weights, or none when a number is not finite.

        False when the run was asked to stop in the middle of it and nothing was changed.
        """
        progress, began = self.progress, time.monotonic()
        schedule = self.config.schedule
        rate = factor_at_step(schedule, progress.step, self.steps_per_epoch)
        set_rates(self.learner.optimizer, rate * progress.rate_scale)
        norms = Norms(self.model)
        try:
            loss = find_gradients(
                self.model, batch, self.config, progress.step, self.may_leave, self.teacher, norms
            )
        except Abandoned:
            return False
        norm = apply_gradients(self.model, self.learner.optimizer, self.config, loss)
        if norm is None:
            norms.restore()
        elif self.learner.average is not None:
            self.learner.average.update(self.model)
        progress.step += 1
        progress.bad_in_a_row = 0 if norm is not None else progress.bad_in_a_row + 1
        progress.skipped += norm is None
        if norm is not None:
            self.learner.sound = batch
        self.tell(loss.item(), norm, time.monotonic() - began, waited)
        if progress.bad_in_a_row >= MOST_BAD_IN_A_ROW:
            self.roll_back()
        if self.progress.step == self.steps and (sound := self.learner.sound):  # none will tell
            found = loss_again(self.model, sound, self.config, self.steps - 1)
            self.progress.end_loss, self.progress.end_chance = found
        return True

    def may_leave(self) -> bool:
        """Whether a step that is not finished should be given up: it would take too long."""
        return any_rank(bool(self.stop.number), self.model.device)

    def tell(self, loss: float, norm: float | None, took: float, waited: float) -> None:
        """What a step did: to metrics.jsonl and to the caller."""
        line = {
            "step": self.progress.step,
            "epoch": round(self.progress.step / self.steps_per_epoch, 4),
            "loss": finite(loss),
            "gradient": norm,
            "lr": shown_rate(self.learner.optimizer),
            "scale": finite(self.model.logit_scale.exp().item()),
            "clips_per_second": round(self.config.batch_size / max(took + waited, 1e-9), 3),
            "waited": round(waited / max(took + waited, 1e-9), 4),
        }
        if norm is None:
            line["skipped"] = True
        if norm is None or self.progress.step % self.config.log_every == 0:
            self.log(line)
        if self.report is not None and self.ranks.is_first:
            self.report(line)

    def roll_back(self) -> None:
        """Take the last saved weights again and go on, past the bad batches, at half the rate."""
        before = self.progress
        if before.rollbacks >= MOST_ROLLBACKS:
            raise ActionCLIPError(
                f"Training diverged again at step {before.step}, after {before.rollbacks} "
                "rollbacks that each halved the learning rate.",
                expected="A loss and gradients that are finite.",
                hint="Lower optim.lr, set clip_norm = 1.0, or look at the data around this step.",
            )
        wait_for_all()
        load_state(self.learner, self.path)
        saved = self.progress
        self.learner.progress = dataclasses.replace(
            before,
            rate_scale=before.rate_scale / 2,
            rollbacks=before.rollbacks + 1,
            bad_in_a_row=0,
        )
        self.log({"step": before.step, "rolled_back_to": saved.step})
        wait_for_all()
        self.save()

    def end_epoch(self, epoch: int) -> None:
        """Evaluate, keep the best, save."""
        last = self.progress.step >= self.steps
        if self.evaluate is not None and (last or epoch % self.config.eval_every == 0):
            with self.learner.averaged(), torch.no_grad():
                with self.ordinary() as model:
                    own = dict(self.evaluate(model.eval()))
                scores = of_first(own) if self.learner.is_shared else own
                said = {name: finite(float(value)) for name, value in scores.items()}
                self.log({"step": self.progress.step, "epoch": epoch, "scores": said})
                name, first = next(iter(scores.items()))
                if self.learner.take_best(first, f"{name} {self.record.measure}".strip()):
                    self.write_model(BEST, f"Its score in training: {first:.4f}.")
        self.save()
        wait_for_all()

    def is_time_to_save(self) -> bool:
        """Whether a save between the ends of epochs is due."""
        every, minutes = self.config.save_every, self.config.save_minutes
        due = every is not None and self.progress.step % every == 0
        if minutes:
            due = due or time.monotonic() - self._saved > 60 * minutes
        return any_rank(due, self.model.device) if self.learner.is_shared else due

    def save(self) -> None:
        """The state first, then the model folder made of it. Only the first process writes.

        Between bad steps nothing is: the weights may be finite and the reason for them, and the
        save before is what the run would go back to.
        """
        if self.progress.bad_in_a_row and self.progress.step < self.steps:
            return
        if not (self.ranks.is_first or self.learner.is_shared):
            return
        now = time.monotonic()
        self.progress.seconds += now - self._begun
        self._begun = self._saved = now
        if not self.learner.is_finite():
            return  # the weights of the last save are good; the next bad steps lead back to them
        tensors = self.learner.tensors()
        if self.ranks.is_first:
            save_state(tensors, self.path)
        with self.learner.averaged():
            self.write_model(LAST, "")

    def write_model(self, name: str, about: str) -> None:
        """A model folder of the weights as they are."""
        trained = f"Trained for {self.progress.step:,} of {self.steps:,} steps of "
        trained += f"{self.config.batch_size} videos."
        if not (self.ranks.is_first or self.learner.is_shared):
            return
        weights = self.learner.plain()
        if not self.ranks.is_first:
            return
        about = " ".join(part for part in (self.record.about, trained, about) if part)
        save(self.model, self.path / name, labels=self.labels, about=about, tensors=weights)

    @property
    def labels(self) -> Sequence[str] | None:
        """Of labels.txt in the model folders; None: what it held before."""
        return self.source.labels if self.config.loss == "kl" else None

    def ordinary(self) -> contextlib.AbstractContextManager[ActionCLIP]:
        """Within it there is a model that this process can use without the others."""
        if self.model is self.own:
            return contextlib.nullcontext(self.own)
        return taken_back(self.own, self.model)

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""
        if self.files is not None:
            self.progress.metrics_bytes = self.files.log(line)
