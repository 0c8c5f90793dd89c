"""All settings of a training run: the content of a recipe's [training] and of config.toml."""

import dataclasses
import math
from typing import Literal

from actionclip.config import check_seed, config
from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.text import TEMPLATE_SETS, read_templates
from actionclip.training.adapt.lora import LoraConfig
from actionclip.training.adapt.teacher import DistillConfig
from actionclip.training.optimiser import OptimConfig
from actionclip.training.schedule import ScheduleConfig


@config
class TrainConfig:
    """How a model is trained. The defaults are the authors' for Kinetics-400, in fp32."""

    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    batch_size: int = 128
    """Videos in a step, all processes together. What is left over at the end of an epoch waits for
    the next epoch's shuffle."""
    seed: int = 1024
    loss: Literal["kl", "info_nce"] = "kl"
    """`kl`: the authors', for labels. `info_nce`: CLIP's, for pre-training with captions."""
    sharpness: float = 10.0
    """Of the target of `kl`; see `actionclip.training.loss.targets`."""
    templates: tuple[str, ...] | str = ()
    """One is drawn for each video in each epoch: sentences with {}, the name of a set, or a file;
    empty: the model's own."""
    train: Literal["everything", "prompts"] = "everything"
    """`prompts`: the visual prompts learn, both towers and `logit_scale` stay as they are."""
    fix_text: bool = False
    """The text tower stays as it is; `logit_scale` still learns."""
    lora: LoraConfig | None = None
    """The towers learn through low-rank adapters, which become part of them at the end."""
    distill: DistillConfig = DistillConfig()
    """How much embeddings must stay near those of the start of the run."""
    interpolate: float | None = None
    """At the end also write `interpolated/`, this far from the start to the end (WiSE-FT)."""
    largest_scale: float | None = None
    """exp(logit_scale) is kept at or below this where it learns; CLIP's own training: 100. None: as
    the authors."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: forward and backward in bfloat16 where that is safe (autocast); weights in fp32."""
    accumulate: int = 1
    """Parts in which a batch goes through the towers; the loss still sees all of it. More parts
    need less memory, and each video is encoded twice."""
    activation_checkpointing: bool = False
    """Compute the towers' inner values again for the backward pass instead of keeping them."""
    compile: bool = False
    """Compile the transformer blocks (torch.compile): minutes at the start, faster steps later."""
    sharded: bool = False
    """Share weights, gradients and the optimiser's memory out over the processes (FSDP2), with no
    copy in each; only while the model is evaluated each has its weights. A single process ignores
    it."""
    clip_norm: float | None = None
    """Longest gradient; a longer one is shortened to this."""
    ema: float | None = None
    """Also average the weights over time with this momentum, e.g. 0.999; the averages are what is
    evaluated and saved as the model. What batch norms remember is averaged, too."""
    save_every: int | None = None
    """Steps between saves, besides those at the end of each epoch."""
    save_minutes: float | None = 5.0
    """Minutes between saves, besides those at the end of each epoch. A rollback goes to the newest
    save, so set this to 0 (none) where even a run with rollbacks must be the same each time."""
    eval_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    workers: int = 0
    """Processes that prepare batches; 0: a thread of this process does it."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        counts = ("batch_size", "accumulate", "eval_every", "log_every", "save_every")
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ActionCLIPError(f"{name} is {value}.", expected="It must be 1 or more.")
        if self.workers < 0:
            raise ActionCLIPError(f"workers is {self.workers}.", expected="It must be 0 or more.")
        for name in ("clip_norm", "largest_scale", "sharpness"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ActionCLIPError(f"{name} is {value}.", expected="It must be above 0.")
        check_seed("seed", self.seed)
        if self.save_minutes is not None and not self.save_minutes >= 0:
            raise ActionCLIPError(
                f"save_minutes is {self.save_minutes}.", expected="It must be 0 or more."
            )
        if self.templates:
            read_templates(self.templates)
        if self.ema is not None and not 0 < self.ema < 1:
            raise ActionCLIPError(f"ema is {self.ema}.", expected="A number between 0 and 1.")
        if self.lora is not None and (self.train == "prompts" or self.fix_text):
            raise ActionCLIPError(
                f"lora is set, with train = {self.train!r} and fix_text = {self.fix_text}.",
                expected="With adapters the towers stay as they are, and prompts learn.",
                hint="Leave train and fix_text out; lora.towers says which towers have adapters.",
            )
        if self.sharded and (self.lora is not None or self.compile):
            raise ActionCLIPError(
                f"sharded goes together with neither lora nor compile; compile is {self.compile}.",
                hint="Adapters are small: without sharded they fit where the towers do.",
            )
        if self.interpolate is not None and not 0 <= self.interpolate <= 1:
            raise ActionCLIPError(
                f"interpolate is {self.interpolate}.",
                expected="A number from 0 (the start) to 1 (the end).",
            )

    @property
    def in_words(self) -> "TrainConfig":
        """The same with its sentences in place of the name of a file."""
        return dataclasses.replace(self, templates=in_words(self.templates))

    @property
    def keeps_start(self) -> bool:
        """Whether the weights that a run begins with are needed later."""
        return self.distill.is_on or self.lora is not None or self.interpolate is not None


def in_words(templates: tuple[str, ...] | str) -> tuple[str, ...] | str:
    """Sentences in place of the name of a file, which may hold others tomorrow."""
    if not templates or not isinstance(templates, str) or templates in TEMPLATE_SETS:
        return templates
    return read_templates(templates)


MAY_CHANGE = frozenset(
    {
        "save_every",
        "save_minutes",
        "eval_every",
        "log_every",
        "workers",
        "activation_checkpointing",
        "sharded",
    }
)
"""Settings that may differ when a run is resumed: the weights do not depend on them (on `sharded`
they do by rounding, as on the number of processes)."""
