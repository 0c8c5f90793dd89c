"""Curves of a run: TensorBoard events where it is installed, and a picture always."""

import contextlib
import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionclip.model.actionclip import ActionCLIP
from actionclip.training.run.curves import draw_curves
from actionclip.training.run.folder import METRICS
from actionclip.training.run.loop import Evaluate, Report
from actionclip.training.settings import TrainConfig

EVENTS, CURVES = "events", "curves.png"

BETWEEN = 60.0
"""Seconds between two pictures."""

_SHOWN = {"loss": "train/loss", "gradient": "train/gradient", "lr": "train/lr"}
_SHOWN |= {"scale": "train/scale", "clips_per_second": "train/clips_per_second"}
_SHOWN |= {"waited": "train/waited"}


def has_tensorboard() -> bool:
    """Whether events can be written."""
    return importlib.util.find_spec("tensorboard") is not None


class Watch:
    """Listens to a run, writes what it hears, and passes it on.

    Args:
        folder: of the run.
        settings: how often there is something to write.
        active: whether this process writes at all.
    """

    def __init__(self, folder: Path, settings: TrainConfig, *, active: bool = True) -> None:
        self.folder, self.every, self.active = folder, settings.log_every, active
        self._events: Any = None
        self._step = 0
        self._epoch = 0.0
        self._drawn = time.monotonic()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()
        self._draw()

    def reporting(self, report: Report | None) -> Report:
        """A `report` for `train` that also writes."""

        def listen(line: Mapping[str, Any]) -> None:
            self._step = line["step"]
            if self.active and (self._step % self.every == 0 or line.get("skipped")):
                self._write({name: line.get(key) for key, name in _SHOWN.items()})
            ended, self._epoch = int(line["epoch"]) > int(self._epoch), line["epoch"]
            if ended and time.monotonic() - self._drawn > BETWEEN:
                self._draw()
            if report is not None:
                report(line)

        return listen

    def evaluating(self, evaluate: Evaluate) -> Evaluate:
        """An `evaluate` for `train` that also writes."""

        def listen(model: ActionCLIP) -> Mapping[str, float]:
            scores = evaluate(model)
            if self.active:
                self._write({f"eval/{name}": value for name, value in scores.items()})
            return scores

        return listen

    def _write(self, values: Mapping[str, float | None]) -> None:
        if not has_tensorboard():
            return
        if self._events is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            # What a killed run has written past the point from which this one goes on is void.
            self._events = SummaryWriter(str(self.folder / EVENTS), purge_step=self._step)
        for name, value in values.items():
            if value is not None:
                self._events.add_scalar(name, value, self._step)

    def _draw(self) -> None:
        """A picture more or less is never worth a run: what goes wrong here is let go."""
        self._drawn = time.monotonic()
        if self.active and (self.folder / METRICS).is_file():
            with contextlib.suppress(Exception):
                draw_curves(self.folder / METRICS, self.folder / CURVES)
