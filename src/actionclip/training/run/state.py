"""The state of a run: everything that a process needs to go on as if it had never stopped.

One safetensors file, so that one replacement of a file is the moment at which a save happens:

    model.NAME               weights and buffers; with adapters only what changes
    optimizer.NAME.KEY       what the optimiser remembers of a parameter (`exp_avg`, `step`, ...)
    average.NAME             averaged weights, if there are any
    progress                 counters, as the bytes of a JSON object

The learning rate, the order of the videos, the templates and the draws of dropout are functions of
the step and the seed: there is nothing of them to save.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.weights.files import (
    check_against,
    read_header,
    read_tensors,
    tensor_content,
    write_together,
)
from actionclip.model.weights.folder import WEIGHTS
from actionclip.training.adapt.lora import Adapted
from actionclip.training.ranks import all_see, any_rank, not_one_folder, of_first
from actionclip.training.run.batches import Batch
from actionclip.training.run.folder import LAST
from actionclip.training.run.step import Average
from actionclip.training.spread.sharded import gathered, is_shared, like, local

STATE = "training.safetensors"

_NOTHING = 0.05
"""A loss by chance below which there is nothing to tell apart: one label, or one video."""


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    """Steps done; skipped ones count."""
    clips: int = 0
    """Videos in the source, to notice when it is another one."""
    rate_scale: float = 1.0
    """Halved by each rollback."""
    bad_in_a_row: int = 0
    skipped: int = 0
    rollbacks: int = 0
    best: float | None = None
    best_step: int | None = None
    best_by: str | None = None
    """How `best` was measured; None where a state does not say: as the first number after it."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl at the time of the save."""
    seconds: float = 0.0
    end_loss: float | None = None
    """Of the last batch, with the weights after the last step."""
    end_chance: float | None = None
    """What it would be if all texts were equally near to all videos."""


@dataclass(frozen=True)
class TrainResult:
    """What a finished run has done."""

    folder: Path
    steps: int
    skipped: int
    """Steps that changed nothing because a number was not finite."""
    rollbacks: int
    best: float | None
    best_step: int | None
    seconds: float
    """Over all starts of the run."""
    end_loss: float | None = None
    """Of the last batch, with the newest weights."""
    end_chance: float | None = None
    """What it would be if all texts were equally near to all videos."""

    @property
    def is_chance(self) -> bool:
        """Whether the newest weights tell the last batch apart no better than chance does."""
        if self.end_loss is None or self.end_chance is None or self.end_chance < _NOTHING:
            return False
        return self.end_loss > 0.99 * self.end_chance

    @classmethod
    def of(cls, folder: Path, progress: Progress) -> "TrainResult":
        """What the counters say of a run that is over."""
        return cls(
            folder=folder,
            steps=progress.step,
            skipped=progress.skipped,
            rollbacks=progress.rollbacks,
            best=progress.best,
            best_step=progress.best_step,
            seconds=progress.seconds,
            end_loss=progress.end_loss,
            end_chance=progress.end_chance,
        )


@dataclass
class Learner:
    """What changes while training."""

    model: ActionCLIP
    optimizer: torch.optim.Optimizer
    average: Average | None
    progress: Progress
    adapted: Adapted | None = None
    """The model's adapters, if it has any."""
    sound: Batch | None = None
    """The last batch that was learnt from: one that is skipped may be bad itself."""

    def weights(self) -> dict[str, Tensor]:
        """What has to be saved of the model, perhaps shared out."""
        return self.model.state_dict() if self.adapted is None else self.adapted.state()

    def plain(self) -> dict[str, Tensor]:
        """The weights of the ordinary model that computes the same, by its names; see `gathered`
        for who has them.
        """
        return gathered(self.model.state_dict() if self.adapted is None else self.adapted.merged())

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name; see `gathered` for who has it."""
        packed = gathered(self._held())
        data = json.dumps(dataclasses.asdict(self.progress)).encode()
        packed["progress"] = torch.tensor(list(data), dtype=torch.uint8)
        return packed

    def _held(self) -> dict[str, Tensor]:
        """The same but for the counters, perhaps shared out."""
        held = {f"model.{name}": value for name, value in self.weights().items()}
        for group in self.optimizer.param_groups:
            for name, parameter in zip(group["names"], group["params"], strict=True):
                for key, value in self.optimizer.state.get(parameter, {}).items():
                    if isinstance(value, Tensor):
                        held[f"optimizer.{name}.{key}"] = value
        if self.average is not None:
            held |= {f"average.{name}": value for name, value in self.average.values.items()}
        return held

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a saved state."""
        own = self.model.state_dict()
        weights = {name: like(own[name], v) for name, v in _below("model.", tensors).items()}
        self.model.load_state_dict(weights, strict=self.adapted is None)
        remembered = _below("optimizer.", tensors)
        self.optimizer.state.clear()
        for group in self.optimizer.param_groups:
            for name, parameter in zip(group["names"], group["params"], strict=True):
                own = _below(f"{name}.", remembered)
                if own:
                    self.optimizer.state[parameter] = {
                        # torch keeps the count of steps on the CPU
                        key: value.clone() if key == "step" else like(parameter, value)
                        for key, value in own.items()
                    }
        if self.average is not None:
            self.average.load(_below("average.", tensors), self.model)
        self.progress = read_progress(tensors)

    def is_finite(self) -> bool:
        """Whether all of it can be saved: a state with NaN in it is not a good one, nor are weights
        that are finite and make NaN of a batch.

        Of what is shared out each process looks at the part that it holds.
        """
        if self.progress.end_loss is not None and not math.isfinite(self.progress.end_loss):
            return False
        own = all(bool(torch.isfinite(local(value)).all()) for value in self._held().values())
        return not any_rank(not own, self.model.device) if self.is_shared else own

    def take_best(self, score: float, by: str) -> bool:
        """Note a score if it is the best so far, and say whether it is.

        Numbers that were measured in different ways are not compared: the first one of another
        measure is the best of it.

        Args:
            score: more is better.
            by: how it was measured.
        """
        progress = self.progress
        comparable = progress.best is not None and progress.best_by in (None, by)
        if comparable:
            progress.best_by = by
        better = not comparable or progress.best is None or score > progress.best
        if not (better and math.isfinite(score) and self.is_finite()):
            return False
        progress.best, progress.best_step, progress.best_by = score, progress.step, by
        return True

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within it the model has its averaged weights, if there are any."""
        none = contextlib.nullcontext()
        return none if self.average is None else self.average.in_place_of(self.model)

    @property
    def is_shared(self) -> bool:
        """Whether every process has to take part when tensors are asked for."""
        return any(is_shared(parameter) for parameter in self.model.parameters())


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def read_progress(tensors: Mapping[str, Tensor]) -> Progress:
    """The counters of a saved state."""
    return Progress(**json.loads(bytes(tensors["progress"].tolist())))


def save_state(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put the state in the place of the one before, whole or not at all.

    Raises:
        StorageError: when it cannot be written; the state before is untouched.
    """
    write_together(folder, {STATE: tensor_content(tensors)})


def load_state(learner: Learner, folder: Path) -> bool:
    """Go back to the state in a folder; False if there is none. Every process has to do it.

    Raises:
        ActionCLIPError: when it is broken, of another model or other settings, or not the same for
            all processes.
    """
    path = folder / STATE
    if not all_see(path, learner.model.device):
        return False
    header = read_header(path)
    weights = {n.removeprefix("model."): e for n, e in header.items() if n.startswith("model.")}
    check_against(weights, learner.weights(), path)
    try:
        learner.restore(read_tensors(path))
    except (KeyError, TypeError, ValueError) as error:
        raise ActionCLIPError(
            f"{path} is not the state of such a training: {type(error).__name__}: {error}.",
            expected="A state that the same settings wrote.",
            hint="Train in another folder.",
        ) from None
    if any_rank(of_first(learner.progress) != learner.progress, learner.model.device):
        raise not_one_folder(path)
    return True


def check_clips(progress: Progress, clips: int, folder: Path) -> None:
    """Refuse to go on with another number of videos.

    Raises:
        ActionCLIPError: naming both.
    """
    if progress.clips != clips:
        raise ActionCLIPError(
            f"The run in {folder} was begun with {progress.clips} videos, and now there are "
            f"{clips}.",
            expected="A run goes on with the data it was started with.",
            hint="Train in another folder.",
        )


def give_saved(model: ActionCLIP, folder: Path) -> None:
    """Give a model the weights of a run's last/, if they are there and whole.

    No other process takes part: they may be gone.
    """
    path = folder / LAST / WEIGHTS
    with contextlib.suppress(ActionCLIPError, OSError):
        if path.is_file():
            check_against(read_header(path), model.state_dict(), path)
            model.load_state_dict(read_tensors(path))


def check_end(learner: Learner, folder: Path) -> None:
    """Refuse to call a run finished whose weights cannot be saved; the last saved ones come back.

    Raises:
        ActionCLIPError: when something is NaN or infinite after the last step, weights or the loss
            of the last batch that was learnt from: it is too late then for the bad steps that would
            lead back.
    """
    if learner.is_finite():
        return
    steps, back = learner.progress.step, learner.progress.rollbacks
    after = f"{steps}, and {back} rollbacks" if back else str(steps)
    load_state(learner, folder)
    raise ActionCLIPError(
        "Training diverged: weights, or what they make of the last batch, were not finite after "
        f"the last step, {after}.",
        expected=f"Finite ones. {folder} holds those of step {learner.progress.step}.",
        hint="Lower optim.lr, or set clip_norm = 1.0, and train in another folder.",
    )
