"""Training and testing of an arm, with the library's own step on batches that lie in memory.

B clips, T frames, R pixels, L tokens, C labels, D embedding width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionclip.encoding.questions import scale_and_bias
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.prompts.text import make_prompts
from actionclip.model.scoring import arrange, score
from actionclip.training.loss import contrastive_loss
from actionclip.training.optimiser import OptimConfig, build_optimizer, set_rates
from actionclip.training.run.batches import Batch, Texts
from actionclip.training.run.step import apply_gradients, encode, find_gradients, sow
from actionclip.training.schedule import ScheduleConfig, factor_at_step
from actionclip.training.settings import TrainConfig
from actionclip.training.trained import choose_trained, set_training_mode
from actionclip.video.transforms import as_input
from miniature.actions import PAIRS, SETS
from miniature.arm import Arm
from miniature.scale import Scale

Precision = Literal["fp32", "bf16"]
"""Of training; tests on a processor are float32 whatever this is."""
PARTS = 10
"""A training is called ten epochs, whatever it sees; the rate rises during half of one."""
AT_ONCE = 128
"""Clips in a pass of a test."""


class OutOfTime(Exception):
    """The time of the whole measurement is over."""


@dataclass(frozen=True)
class Pool:
    """What an arm learns from."""

    pixels: Tensor
    """[N, T, 3, R, R], uint8"""
    labels: Tensor
    """[N]"""
    tokens: Tensor | None = None
    """A sentence about each clip [N, L]; None: templates with the label."""
    names: tuple[str, ...] = ()
    pictures: int | None = None
    """Frames of a clip that a step sees, drawn anew; None: all."""


def train_settings(arm: Arm, seed: int, scale: Scale, precision: Precision) -> TrainConfig:
    """The settings that all arms share, and the few that an arm may say."""
    return TrainConfig(
        optim=OptimConfig(lr=arm.rate, prompt_lr_scale=1.0, weight_decay=0.05),
        schedule=ScheduleConfig(epochs=PARTS, warmup_epochs=0.5),
        batch_size=arm.batch(scale),
        seed=seed,
        loss="info_nce" if arm.loss == "pairs" else "kl",
        fix_text=arm.learns == "without texts",
        precision=precision,
        clip_norm=1.0,
        largest_scale=100.0,
    )


def fit(
    model: ActionCLIP,
    pool: Pool,
    arm: Arm,
    settings: TrainConfig,
    steps: int,
    time_left: Callable[[], float],
) -> nn.Linear | None:
    """Train a model in place; returns the classifier of a 1-of-N arm.

    Raises:
        OutOfTime: when the whole measurement must end.
    """
    choose_trained(model, settings)
    if arm.learns == "without images":
        model.backbone.visual.requires_grad_(False)
    learner = build_optimizer(model, settings.optim)
    classifier = _classifier(model, pool, arm, learner) if arm.loss == "classifier" else None
    draw = Drawer(model, pool, settings)
    set_training_mode(model)
    for step in range(steps):
        if time_left() < 0:
            raise OutOfTime("out of time")
        set_rates(learner, factor_at_step(settings.schedule, step, max(1, steps // PARTS)))
        batch = draw(step)
        if classifier is not None or arm.loss == "shared":
            loss = _own_loss(model, classifier, batch, settings, step)
        else:
            loss = find_gradients(model, batch, settings, step)
        apply_gradients(model, learner, settings, loss)
    model.eval()
    return classifier


class Drawer:
    """Batches by number: which clips, whether they are mirrored, which template."""

    def __init__(self, model: ActionCLIP, pool: Pool, settings: TrainConfig) -> None:
        self.model, self.pool, self.settings = model, pool, settings
        if pool.tokens is None:
            self.texts = Texts(model, pool.names, settings)
            self.table = self.texts.table.to(pool.labels.device)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        pool, rng = self.pool, np.random.default_rng([self.settings.seed, step])
        size = min(self.settings.batch_size, len(pool.labels))
        device = pool.labels.device
        rows = torch.from_numpy(rng.choice(len(pool.labels), size, replace=False)).to(device)
        pixels = pool.pixels[rows]
        if pool.pictures is not None:
            every = np.arange(pixels.shape[1])[None].repeat(size, axis=0)
            seen = np.sort(rng.permuted(every, axis=1)[:, : pool.pictures], axis=1)
            pixels = pixels[torch.arange(size)[:, None], torch.from_numpy(seen)]
        labels = pool.labels[rows]
        if pool.tokens is not None:  # a sentence may say left or right
            return Batch(pixels, labels, pool.tokens[rows], torch.full_like(labels, -1))
        mirrored = torch.from_numpy(rng.random(size) < 0.5).to(device)
        pixels = torch.where(mirrored[:, None, None, None, None], pixels.flip(-1), pixels)
        template = torch.from_numpy(rng.integers(0, len(self.texts.templates), size)).to(device)
        return Batch(pixels, labels, self.table[template * len(pool.names) + labels], labels)


def _classifier(
    model: ActionCLIP, pool: Pool, arm: Arm, learner: torch.optim.Optimizer
) -> nn.Linear:
    """A layer of scores for labels that are only numbers; the text tower then learns nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Linear(model.backbone.embed_dim, len(pool.names)).to(model.device)
    names = ["classifier.weight", "classifier.bias"]
    group = {"params": list(layer.parameters()), "names": names, "name": "classifier"}
    learner.add_param_group({**group, "lr": arm.rate, "base_lr": arm.rate})
    return layer


def _own_loss(
    model: ActionCLIP,
    classifier: nn.Linear | None,
    batch: Batch,
    settings: TrainConfig,
    step: int,
) -> Tensor:
    """The losses that the library's step has not: 1-of-N, and a target that matches share."""
    sow(settings.seed, step, 0)
    if classifier is None:
        video, text = encode(model, batch.frames, batch.tokens, settings.precision)
        loss = contrastive_loss(
            *(video, text, batch.labels, model.logit_scale.float().exp()),
            text_labels=batch.text_labels,
            sharpness=None,
        )
    else:
        with torch.autocast(model.device.type, torch.bfloat16, settings.precision == "bf16"):
            frames = as_input(batch.frames, model.config.preprocess, model.device)
            logits = classifier(model.encode_video(frames, normalize=False))
        loss = F.cross_entropy(logits.float(), batch.labels)
    loss.backward()
    return loss.detach()


@torch.no_grad()
def embed_clips(model: ActionCLIP, pixels: Tensor, *, raw: bool = False) -> Tensor:
    """Video embeddings [N, D] of pixels [N, T, 3, R, R]."""
    bf16 = model.device.type != "cpu"
    found = []
    for part in pixels.split(AT_ONCE):
        frames = as_input(part, model.config.preprocess, model.device)
        with torch.autocast(model.device.type, torch.bfloat16, bf16):
            found.append(model.encode_video(frames, normalize=not raw).float())
    return torch.cat(found)


@torch.no_grad()
def embed_labels(model: ActionCLIP, names: tuple[str, ...]) -> Tensor:
    """Every template with every label, [K, C, D]."""
    prompts = make_prompts(names, model.config.templates)
    return arrange(model.encode_text(list(prompts.sentences)), prompts, model.config.ensemble)


Counts = dict[str, tuple[int, int, int]]
"""By the name of a test: clips, right answers, and labels to choose from."""


def ask(
    model: ActionCLIP, videos: Tensor, labels: Tensor, tests: tuple[str, ...], trained: str
) -> Counts:
    """Tests of clips of all actions, [N, D] or in views [N, V, D]; labels as in `SETS["all"]`."""
    texts, scale = embed_labels(model, SETS["all"]), scale_and_bias(model)[0]
    return ask_with(
        lambda rows, columns: score(videos[rows], texts[:, columns], scale=scale),
        *(labels, tests, SETS[trained]),
    )


def ask_with(
    answer: Callable[[Tensor, Tensor], Tensor],
    labels: Tensor,
    tests: tuple[str, ...],
    trained: tuple[str, ...],
) -> Counts:
    """The same with any way of scoring some clips (a mask [N]) for some labels [c]."""
    found: Counts = {}
    for test in tests:
        if test == "pairs":
            parts = [
                _choose(answer, labels, pair, pair) for pair in PAIRS if set(pair) <= set(trained)
            ]
            found[test] = (sum(p[0] for p in parts), sum(p[1] for p in parts), 2)
        else:
            of, _, among = test.partition(" in ")
            found[test] = _choose(answer, labels, SETS[of], SETS[among or of])
    return found


def _choose(
    answer: Callable[[Tensor, Tensor], Tensor],
    labels: Tensor,
    of: tuple[str, ...],
    among: tuple[str, ...],
) -> tuple[int, int, int]:
    """Clips of some labels, how many are right among some labels, and how many labels these are."""
    every = SETS["all"]
    wanted, columns = (
        torch.tensor([every.index(name) for name in names], device=labels.device)
        for names in (of, among)
    )
    rows = torch.isin(labels, wanted)
    answers = columns[answer(rows, columns).argmax(dim=1)]
    return int(rows.sum()), int((answers == labels[rows]).sum()), len(among)
