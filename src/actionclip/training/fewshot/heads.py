"""Heads that learn from frame embeddings: the post-network prompt, and a linear probe.

Both start from what the towers know: the prompt as the mean frame, the probe's rows as the labels'
text embeddings (as in WiSE-FT, Wortsman et al. 2022), so that a step too few does no harm.

N clips, W windows, T frames, K templates, C labels, D embedding width.
"""

import copy
from collections.abc import Iterator, Sequence
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
    recordings: tuple[str, ...] = ()
    """What each clip is cut from; empty: every clip is a recording of its own."""

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: Int[np.ndarray, " n"]) -> "Shots":
        """Some of them."""
        kept = tuple(self.recordings[row] for row in rows) if self.recordings else ()
        return Shots(self.features[rows], self.labels[rows], kept)


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


def folds(
    labels: Int[Tensor, " N"], count: int, seed: int, recordings: Sequence[str] = ()
) -> list[np.ndarray]:
    """Which clips are held out together; each class is spread over all folds.

    Clips of one recording look alike, so it is held out whole.

    Args:
        labels: the number of each clip's label.
        count: how many folds.
        seed: of the draw.
        recordings: what each clip is cut from; empty: every clip is a recording of its own.

    Returns:
        The clips of each fold. None at all when the clips of some class, of one recording perhaps,
        are all in one fold: they cannot be learnt and tested on.
    """
    rng = np.random.default_rng(seed)
    numbers = labels.numpy()
    names: Sequence[str] = recordings or [str(row) for row in range(len(numbers))]
    rows = {
        label: rng.permutation(np.flatnonzero(numbers == label)) for label in np.unique(numbers)
    }
    own = {
        label: list(dict.fromkeys(names[int(row)] for row in found))
        for label, found in rows.items()
    }
    fold_of: dict[str, int] = {}
    place = np.empty(len(numbers), np.int64)
    for label in sorted(own, key=lambda label: len(own[label])):  # who can choose least comes first
        held = np.zeros(count, np.int64)
        for name in sorted(own[label], key=lambda name: name not in fold_of):
            fold = fold_of.setdefault(name, int(held.argmin()))
            held[fold] += 1
        if np.count_nonzero(held) < 2:
            return []
        place[rows[label]] = [fold_of[names[int(row)]] for row in rows[label]]
    return [found for fold in range(count) if len(found := np.flatnonzero(place == fold))]


def fresh(head: nn.Module) -> nn.Module:
    """The head as it is, to be changed without harm."""
    return copy.deepcopy(head)
