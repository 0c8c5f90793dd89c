"""Heads that learn from frame embeddings: the post-network prompt, and a linear probe.

Both start from what the towers know: the prompt as the mean frame, the probe's rows as the labels'
text embeddings (as in WiSE-FT, Wortsman et al. 2022), so that a step too few does no harm.

N clips, W windows, T frames, K templates, C labels, D embedding width.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from actionclip.encoding.questions import scale_and_bias
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.model.scoring import score
from actionclip.training.loss import contrastive_loss


@dataclass(frozen=True)
class Shots:
    """Clips to learn from or to test on."""

    features: Float[Tensor, "N W T D"]
    labels: Int[Tensor, " N"]
    groups: tuple[str, ...] = ()
    """The recording of each clip; empty: each is one of its own."""

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: Int[np.ndarray, " n"]) -> "Shots":
        """Some of them."""
        groups = tuple(self.groups[row] for row in rows.tolist()) if self.groups else ()
        return Shots(self.features[rows], self.labels[rows], groups)


@dataclass(frozen=True)
class Result:
    """How a head did on clips it did not learn from."""

    right: int
    clips: int
    surprise: float
    """Sum over the clips of -log of the right label's score."""

    @property
    def accuracy(self) -> float:
        """Share of clips whose first label is the right one."""
        return self.right / self.clips

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.right + other.right, self.clips + other.clips, self.surprise + other.surprise
        )


def train_head(
    head: nn.Module,
    shots: Shots,
    texts: Float[Tensor, "K C D"],
    scale: float,
    *,
    steps: tuple[int, ...],
    lr: float,
    batch_size: int,
    seed: int,
) -> Iterator[int]:
    """Train a post-network prompt with the paper's loss; towers and scale stay as they are.

    Args:
        head: is changed in place.
        shots: what it learns from.
        texts: unit vectors of every template with every label; a template is drawn for each clip.
        scale: what multiplies the cosine.
        steps: when to stop for a look; the last one is the end.
        lr: of AdamW.
        batch_size: clips in a step; with fewer clips all of them.
        seed: of all draws.

    Yields:
        The steps done, each time one of `steps` is reached.
    """
    parameters = list(head.parameters())
    learner = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    size = min(batch_size, len(shots))
    for step in range(max(steps)):
        rng = np.random.default_rng([seed, step])
        rows = torch.from_numpy(rng.permutation(len(shots))[:size])
        windows = torch.from_numpy(rng.integers(0, shots.features.shape[1], size))
        templates = torch.from_numpy(rng.integers(0, len(texts), size))
        labels = shots.labels[rows]
        torch.manual_seed(int(rng.integers(2**62)))  # of dropout
        head.train()
        video = unit(head(shots.features[rows, windows]))
        loss = contrastive_loss(video, texts[templates, labels], labels, scale)
        learner.zero_grad()
        loss.backward()
        learner.step()
        if step + 1 in steps:
            head.eval()
            yield step + 1


@torch.no_grad()
def measure_head(
    head: nn.Module, shots: Shots, model: ActionCLIP, texts: Float[Tensor, "K C D"]
) -> Result:
    """How a prompt does in the model's own way of scoring."""
    config = model.config
    scale, bias = scale_and_bias(model)
    views = unit(head(shots.features.flatten(0, 1))).unflatten(0, shots.features.shape[:2])
    scores = score(
        views,
        texts,
        scale=scale,
        bias=bias,
        ensemble=config.ensemble,
        activation=config.activation,
    )
    return _result(scores, scores.clamp(min=1e-12).log(), shots.labels)


@torch.enable_grad()
def train_probe(
    videos: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    start: Float[Tensor, "C D"],
    scale: float,
    *,
    pull: float,
) -> Float[Tensor, "C D"]:
    """A linear classifier of video embeddings that starts as the labels' text embeddings.

    Args:
        videos: unit vectors.
        labels: their classes.
        start: what the rows are at first.
        scale: what multiplies the products.
        pull: weight of the squared distance to the start, which keeps it near.
    """
    rows = start.clone().requires_grad_()
    learner = torch.optim.LBFGS([rows], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        learner.zero_grad()
        value = F.cross_entropy(scale * videos @ rows.T, labels)
        value = value + pull * (rows - start).square().sum()
        value.backward()
        return value

    learner.step(loss)  # type: ignore[arg-type]
    return rows.detach()


@torch.no_grad()
def measure_probe(
    rows: Float[Tensor, "C D"],
    videos: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    scale: float,
) -> Result:
    """How a probe does."""
    logs = (scale * videos @ rows.T).log_softmax(dim=1)
    return _result(logs, logs, labels)


def _result(
    scores: Float[Tensor, "N C"], logs: Float[Tensor, "N C"], labels: Int[Tensor, " N"]
) -> Result:
    """The answer is the label with the best score, however little that is."""
    right = int((scores.argmax(dim=1) == labels).sum())
    own = logs.gather(1, labels[:, None])
    return Result(right, len(labels), -float(own.sum()))


@torch.no_grad()
def embed(head: nn.Module, shots: Shots) -> Float[Tensor, "N D"]:
    """A unit vector for each clip: the mean over its windows."""
    views = unit(head(shots.features.flatten(0, 1))).unflatten(0, shots.features.shape[:2])
    return unit(views.mean(dim=1))


def folds(shots: Shots, count: int, seed: int) -> list[np.ndarray]:
    """Which clips are held out together; each class is spread over all folds.

    Clips of one recording are alike: they are held out together, or what was learnt from one would
    be tested on its like. Empty when some class has a single recording, which cannot be learnt and
    tested on.
    """
    rng = np.random.default_rng(seed)
    numbers = shots.labels.numpy()
    names = np.array(shots.groups or [str(row) for row in range(len(shots))], object)
    place: dict[str, int] = {}
    for label in np.unique(numbers):
        own = list(dict.fromkeys(names[numbers == label].tolist()))
        used = [sum(place.get(name) == fold for name in own) for fold in range(count)]
        for name in rng.permutation(np.array(own, object)).tolist():
            if name not in place:
                place[name] = int(np.argmin(used))
                used[place[name]] += 1
        if len({place[name] for name in own}) < 2:
            return []
    of_clip = np.array([place[name] for name in names.tolist()])
    return [rows for fold in range(count) if len(rows := np.flatnonzero(of_clip == fold))]


def fresh(head: nn.Module) -> nn.Module:
    """The head as it is, to be changed without harm."""
    return copy.deepcopy(head)
