"""The learning rate over training: a pure function of the step, so that there is nothing to save.

Time is counted in epochs, with fractions.
"""

import bisect
import math
from typing import Literal

from actionclip.config import config
from actionclip.errors import ActionCLIPError

_STAIR = 10
"""The authors' loop sets the rate at the first and then at every tenth iteration of an epoch."""


@config
class ScheduleConfig:
    """Warm-up, then decay. The defaults are the authors' for Kinetics-400."""

    epochs: int = 50
    warmup_epochs: float = 5.0
    """The rate rises in a straight line from 0."""
    decay: Literal["cosine", "multistep"] = "cosine"
    """`cosine`: to 0 at the end. `multistep`: times `gamma` at each milestone."""
    milestones: int | tuple[float, ...] = 15
    """Epochs of `multistep`; one number n means n, 2n, 3n, ..."""
    gamma: float = 0.1
    schedule: Literal["smooth", "authors"] = "smooth"
    """`smooth`: set at every step, from the step's middle, so never 0. `authors`: set at every
    tenth iteration only, as their code does; the first nine steps then have the rate 0."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if self.epochs < 1 or not 0 <= self.warmup_epochs < self.epochs:
            raise ActionCLIPError(
                f"schedule.warmup_epochs is {self.warmup_epochs} of {self.epochs} epochs.",
                expected="At least one epoch, and a warm-up that ends before the last one does.",
            )
        if not 0 < self.gamma <= 1:
            raise ActionCLIPError(
                f"schedule.gamma is {self.gamma}.", expected="Above 0, and at most 1."
            )
        steps = milestones(self)
        late = [step for step in steps if step <= self.warmup_epochs]
        if self.decay == "multistep" and (late or list(steps) != sorted(steps)):
            raise ActionCLIPError(
                f"schedule.milestones is {self.milestones}.",
                expected=f"Rising numbers, all after the warm-up of {self.warmup_epochs} epochs.",
            )


def milestones(settings: ScheduleConfig) -> tuple[float, ...]:
    """The epochs after which the rate drops.

    >>> milestones(ScheduleConfig(epochs=50, milestones=15))
    (15, 30, 45)
    """
    given = settings.milestones
    if isinstance(given, tuple):
        return given
    if given < 1:
        raise ActionCLIPError(f"schedule.milestones is {given}.", expected="1 or more.")
    return tuple(given * (i + 1) for i in range(settings.epochs // given))


def factor(settings: ScheduleConfig, epoch: float) -> float:
    """What the base rate is multiplied by at a time.

    >>> [factor(ScheduleConfig(epochs=50, warmup_epochs=5), e) for e in (0, 2.5, 5, 50)]
    [0.0, 0.5, 1.0, 0.0]
    """
    if epoch < settings.warmup_epochs:
        return epoch / settings.warmup_epochs
    if settings.decay == "multistep":
        return settings.gamma ** bisect.bisect_right(milestones(settings), epoch)
    length = settings.epochs - settings.warmup_epochs
    done = min(1.0, (epoch - settings.warmup_epochs) / length)
    return 0.5 * (1 + math.cos(math.pi * done))


def factor_at_step(settings: ScheduleConfig, step: int, steps_per_epoch: int) -> float:
    """What the base rate is multiplied by in a step; steps are counted from 0."""
    if settings.schedule == "smooth":
        return factor(settings, (step + 0.5) / steps_per_epoch)
    epoch, iteration = divmod(step, steps_per_epoch)
    stair = (iteration + 1) // _STAIR * _STAIR
    return factor(settings, epoch + max(0, stair - 1) / steps_per_epoch)
