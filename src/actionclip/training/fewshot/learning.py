"""From a folder of clips to a model: what is learnt, and how much of it, is decided on the clips.

The towers are frozen and every clip goes through them once. How long the prompt is trained is
chosen by cross-validation: the clips are cut into folds, whole recordings together, each is tested
by a prompt that learnt from the others, and what was right most often wins; 0 steps, the model as
it was, is a candidate.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from actionclip.config import config
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest, Row
from actionclip.data.splits import few_shot
from actionclip.encoding.questions import scale_and_bias
from actionclip.errors import ActionCLIPError, counted
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.model.prompts.post import POST, HeadSize
from actionclip.model.prompts.text import make_prompts
from actionclip.model.scoring import arrange
from actionclip.model.text_cache import encode_cached
from actionclip.model.weights.folder import check_texts, save
from actionclip.training.fewshot.features import frame_embeddings
from actionclip.training.fewshot.heads import (
    Result,
    Shots,
    embed,
    folds,
    fresh,
    measure_head,
    measure_probe,
    train_head,
    train_probe,
)

PULLS = (1e-3, 1e-1, 1e1)
"""Candidates of how near the linear probe must stay to the text embeddings."""

Key = TypeVar("Key", int, float)


@config
class FewShotConfig:
    """How a head learns from a few clips."""

    prompt: Literal["transf", "conv1d", "lstm"] = "transf"
    """The post-network prompt that a model gets which has none that learns."""
    steps: tuple[int, ...] = (5, 10, 20, 40)
    """Candidates of how many steps are right; 0 always is one."""
    unsure: int = 10
    """Steps when there is a single recording of some class, so that nothing can be held out."""
    lr: float = 3e-4
    batch_size: int = 32
    folds: int = 3
    seed: int = 0


@dataclass(frozen=True)
class FewShotResult:
    """What came of it. Accuracies are shares of clips that were not learnt from."""

    model: ActionCLIP
    labels: tuple[str, ...]
    clips: int
    failed: tuple[tuple[Row, str], ...]
    steps: int
    """How long the prompt was trained; 0: the model is as it was."""
    validated: dict[str, float]
    """Accuracy in the cross-validation: `zero-shot` (before), `prompt`, `probe`; empty when a class
    has a single clip, or all its clips are of one recording."""
    tested: dict[str, float]
    """The same on the clips that were set aside; empty without any. As in every test, one that
    cannot be read counts as wrong."""
    test_clips: int
    """Clips that were set aside, those that cannot be read among them."""
    seconds: float
    unlabelled: int = 0
    """Clips that were left out because they have no label."""
    unread: int = 0
    """Clips that were set aside and cannot be read."""

    @property
    def about(self) -> str:
        """For the card of the model."""
        what = f"Trained on {self.clips} clips of {len(self.labels)} labels with frozen towers: "
        what += f"{counted(self.steps, 'step')} of the post-network prompt."
        others = counted(self.test_clips, "other clip")
        if self.unread:
            others += f", {self.unread} of them not readable and counted as wrong"
        for name, found in (
            ("cross-validation on these clips", self.validated),
            (others, self.tested),
        ):
            if found:
                said = ", ".join(f"{key} {value:.1%}" for key, value in found.items())
                what += f" Top-1 in {name}: {said}."
        return what


def learn_few_shots(
    data: Manifest | str | Path,
    model: ActionCLIP,
    folder: str | Path | None = None,
    *,
    shots: int | None = None,
    settings: FewShotConfig | None = None,
    workers: int | None = None,
    seen: Callable[[], object] = lambda: None,
) -> FewShotResult:
    """A few clips of each class become a model.

    Args:
        data: a manifest, or what `read_data` reads: a folder with a folder of clips for each class.
            Of splits, `train` is learnt from and `test`, or else `val`, tested on. Clips without a
            label are left out. One that cannot be read is not learnt from, and wrong in the test.
        model: its towers stay as they are; its post-network prompt learns, in place.
        folder: where the model folder is written; None: nowhere.
        shots: learn from this many clips of each class, and test on the others; None: from all.
        settings: see `FewShotConfig`; its seed also draws the shots.
        workers: decoding processes; None: one for each core.
        seen: called after each clip.

    Raises:
        ActionCLIPError: for clips with several labels or a single class, none to learn from that
            can be read, or a model whose prompt leaves nothing to learn.
        StorageError: when the folder cannot be written.
    """
    settings, began = settings or FewShotConfig(), monotonic()
    manifest, bare = _labelled(data)
    train, test = _parts(manifest, shots, settings.seed)
    check_texts(() if folder is None else manifest.classes)
    _add_head(model, settings)
    model.eval()
    ours, failed = _shots(model, train, workers, seen)
    others, also = (None, ()) if test is None else _shots(model, test, workers, seen)
    texts = _texts(model, manifest.classes)
    with _on_cpu(model.post, model.device), torch.random.fork_rng(devices=[]):
        learner, before = _Learner(model, texts, settings), fresh(model.post)
        steps, pull, validated = learner.choose(ours)
        list(learner.train(model.post, ours, (steps,)))  # 0: it stays as it is
        model.post.eval()
        tested = {} if others is None else learner.compare(before, ours, others, pull)
    model.config = replace(model.config, labels=manifest.classes, calibration=None)
    result = FewShotResult(
        model=model,
        labels=manifest.classes,
        clips=len(ours),
        failed=(*failed, *also),
        steps=steps,
        validated={name: one.accuracy for name, one in validated.items()},
        tested={name: (one + Result(0, len(also), 0)).accuracy for name, one in tested.items()},
        test_clips=0 if others is None else len(others) + len(also),
        seconds=monotonic() - began,
        unlabelled=bare,
        unread=len(also),
    )
    if folder is not None:
        save(model, folder, about=result.about)
    return result


@contextmanager
def _on_cpu(head: nn.Module, device: torch.device) -> Iterator[None]:
    """Within it a head is where the embeddings are kept; it is too small to gain from a GPU."""
    head.cpu()
    try:
        yield
    finally:
        head.to(device)


def _labelled(data: Manifest | str | Path) -> tuple[Manifest, int]:
    """The clips with labels, and how many have none."""
    whole = data if isinstance(data, Manifest) else read_data(data).manifest
    return whole.labelled, len(whole) - len(whole.labelled)


def _parts(manifest: Manifest, shots: int | None, seed: int) -> tuple[Manifest, Manifest | None]:
    """What is learnt from and what is tested on."""
    several = next((row for row in manifest.rows if len(row.labels) != 1), None)
    if several is not None or len(manifest.classes) < 2:
        said = "" if several is None else f" {several.path} has {len(several.labels)} labels."
        raise ActionCLIPError(
            f"There are {len(manifest.classes)} classes.{said}",
            expected="At least two classes, and one label for each clip.",
            hint="A folder with a folder of clips for each class always works.",
        )
    if shots is not None:
        [manifest] = few_shot(manifest, shots=[shots], seed=seed).manifests.values()
    known = {split: manifest.only(split) for split in manifest.splits}
    train = known.get("train") or known.get("")
    if train is None:
        raise ActionCLIPError(
            f"The data set has the splits {', '.join(known)}.",
            expected="Clips with labels in train, or in no split, were expected to learn from.",
        )
    return train, known.get("test") or known.get("val")


def _add_head(model: ActionCLIP, settings: FewShotConfig) -> None:
    """A post-network prompt that can learn; one that starts as the mean frame if there is none."""
    if any(True for _ in model.post.parameters()):
        return
    if model.config.prompts.pre == "joint":
        raise ActionCLIPError(
            "The visual prompt 'joint' leaves one vector of a video, so no head can learn of time.",
            expected="A model without it.",
            hint="Fine-tune it whole with actionclip.training.train.",
        )
    prompts = replace(model.config.prompts, post=settings.prompt)
    size = HeadSize(
        embed_dim=model.backbone.embed_dim,
        heads=prompts.heads or max(1, model.backbone.text_width // 64),
        rows=prompts.positions,
        norm_eps=prompts.norm_eps,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model.post = POST[settings.prompt](size).to(model.device)
    model.config = replace(model.config, prompts=prompts)


def _shots(
    model: ActionCLIP, manifest: Manifest, workers: int | None, seen: Callable[[], object]
) -> tuple[Shots, tuple[tuple[Row, str], ...]]:
    found = frame_embeddings(model, manifest, workers=workers, seen=seen)
    labels = torch.tensor([manifest.numbers[row.labels[0]] for row in found.rows])
    groups = tuple(row.recording for row in found.rows)
    return Shots(found.embeddings, labels, groups), found.failed


def _texts(model: ActionCLIP, labels: Sequence[str]) -> Float[Tensor, "K C D"]:
    config = model.config
    prompts = make_prompts(labels, config.templates, clean_labels=config.clean_labels)
    return arrange(encode_cached(model, prompts.sentences), prompts, config.ensemble)


@dataclass(frozen=True)
class _Learner:
    """What does not change from fold to fold."""

    model: ActionCLIP
    texts: Float[Tensor, "K C D"]
    settings: FewShotConfig

    def train(self, head: nn.Module, shots: Shots, steps: tuple[int, ...]) -> Iterator[int]:
        """See `train_head`."""
        return train_head(
            head,
            shots,
            self.texts,
            scale_and_bias(self.model)[0],  # the loss compares labels: a bias is the same for all
            steps=steps,
            lr=self.settings.lr,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
        )

    def test(self, head: nn.Module, shots: Shots) -> Result:
        """See `measure_head`."""
        return measure_head(head, shots, self.model, self.texts)

    def probe(self, head: nn.Module, shots: Shots, others: Shots, pull: float) -> Result:
        """A linear probe of what a head makes of clips, tested on others."""
        start, scale = unit(self.texts.mean(dim=0)), scale_and_bias(self.model)[0]
        rows = train_probe(embed(head, shots), shots.labels, start, scale, pull=pull)
        return measure_probe(rows, embed(head, others), others.labels, scale)

    def choose(self, shots: Shots) -> tuple[int, float, dict[str, Result]]:
        """Steps of the prompt and pull of the probe, and how both did on clips held out."""
        parts = folds(shots, self.settings.folds, self.settings.seed)
        if not parts:
            return self.settings.unsure, PULLS[1], {}
        nothing = Result(0, 0, 0.0)
        heads: dict[int, Result] = defaultdict(lambda: nothing)
        probes: dict[float, Result] = defaultdict(lambda: nothing)
        for held_out in parts:
            rest = np.setdiff1d(np.arange(len(shots)), held_out)
            learnt, others = shots.only(rest), shots.only(held_out)
            head = fresh(self.model.post)
            heads[0] += self.test(head, others)
            for steps in self.train(head, learnt, self.settings.steps):
                heads[steps] += self.test(head, others)
            for pull in PULLS:
                probes[pull] += self.probe(self.model.post, learnt, others, pull)
        steps, pull = best(heads), best(probes)
        found = {"zero-shot": heads[0], "prompt": heads[steps], "probe": probes[pull]}
        return steps, pull, found

    def compare(
        self, before: nn.Module, shots: Shots, others: Shots, pull: float
    ) -> dict[str, Result]:
        """The start, the trained prompt and the probe on clips that were set aside."""
        return {
            "zero-shot": self.test(before, others),
            "prompt": self.test(self.model.post, others),
            "probe": self.probe(before, shots, others, pull),
        }


def best(results: Mapping[Key, Result]) -> Key:
    """The candidate that was right most often, then the one least surprised.

    >>> best({0: Result(3, 4, 2.0), 5: Result(3, 4, 1.5), 10: Result(2, 4, 1.0)})
    5
    """
    return min(results, key=lambda key: (-results[key].right, results[key].surprise))
