"""What a fine-tuning cost: how well the model still knows what it was not trained on.

Plain fine-tuning of this kind loses open vocabulary: on the novel classes of Kinetics-400 46.2 %
against 53.4 % of the frozen CLIP it started from (cited in FROSTER, Huang et al. 2024). A score on
the trained labels does not show that, so two other things are measured, before and after:

- zero-shot accuracy on clips whose labels were not trained on. Where the user has none these are
  rendered people who do other actions: real movements, no real pixels;
- how far the text embeddings of a built-in label set have moved.

C labels, D embedding width.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from actionclip.data import label_sets
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.prompts.text import make_prompts
from actionclip.model.scoring import arrange, score
from actionclip.model.weights.files import text_content, write_together
from actionclip.video.transforms import normalise

REPORT = "retention.json"
LABEL_SET = "kinetics400"
CLIPS = 118
"""Rendered clips: two of each action there is."""
_PEOPLE = "rendered people who do {count} actions that are not among the trained labels"
_SEED = 2_000_003
_AT_ONCE = 8

Accuracy = Callable[[ActionCLIP], float]
"""Share of clips with labels that were not trained on whose first label is right, 0 to 1."""


@dataclass(frozen=True)
class Kept:
    """One model, against the start."""

    accuracy: float | None
    """Zero-shot accuracy; None when there was nothing to measure it on."""
    text_drift: float
    """1 - cosine between its and the start's embeddings of a label, the mean over the set."""
    same_neighbour: float
    """Share of the labels whose nearest other label is still the same one."""


@dataclass(frozen=True)
class Retention:
    """See `retention`."""

    models: dict[str, Kept]
    """By name; the first is the start."""
    measured_on: str
    """What the accuracy was measured on."""
    label_set: str = LABEL_SET

    def lines(self) -> list[str]:
        """The report for a person."""
        said = [f"zero-shot   on {self.measured_on}"] if self.measured_on else []
        for name, kept in self.models.items():
            share = "" if kept.accuracy is None else f"{kept.accuracy:6.1%} right, "
            said.append(
                f"  {name:13} {share}text embeddings moved by {kept.text_drift:.4f} "
                f"({kept.same_neighbour:.0%} of {self.label_set} keep their nearest neighbour)"
            )
        return said

    def write(self, folder: Path) -> None:
        """Put the report into the folder of a run.

        Raises:
            StorageError: when it cannot be written.
        """
        text = json.dumps(asdict(self), indent=2) + "\n"
        write_together(folder, {REPORT: text_content(text)})


def retention(
    before: ActionCLIP,
    after: Mapping[str, ActionCLIP],
    *,
    trained_labels: Sequence[str],
    accuracy: Accuracy | None = None,
    measured_on: str = "",
    clips: int = CLIPS,
) -> Retention:
    """Compare what models know of other labels with what their start knew.

    Args:
        before: the start of the fine-tuning.
        after: what came of it, by name.
        trained_labels: what it was trained on.
        accuracy: measures a model on held-out labels; None: on rendered people who do what is not
            among the trained labels, or not at all when fewer than two such actions are left.
        measured_on: what `accuracy` measures on, in words.
        clips: how many to render.
    """
    if accuracy is None:
        accuracy, measured_on = _on_people(before, trained_labels, clips)
    elif not measured_on:
        raise ActionCLIPError(
            "An accuracy was given and not what it is measured on.", hint="Set measured_on."
        )
    names = label_sets.load(LABEL_SET)
    start = _text_embeddings(before, names)
    found = {}
    for name, model in {"start": before, **after}.items():
        was_training = model.training
        model.eval()
        texts = _text_embeddings(model, names)
        found[name] = Kept(
            accuracy=None if accuracy is None else accuracy(model),
            text_drift=max(0.0, 1 - float((texts * start).sum(dim=1).mean())),
            same_neighbour=float((_neighbours(texts) == _neighbours(start)).float().mean()),
        )
        model.train(was_training)
    return Retention(found, measured_on)


def _on_people(
    model: ActionCLIP, trained: Sequence[str], clips: int
) -> tuple[Accuracy | None, str]:
    """The built-in measure, rendered as the model wants its frames."""
    config = model.config
    known = {_plain(label) for label in trained}
    done = tuple(name for name in People().labels if _plain(name) in known)
    if len(People().labels) - len(done) < 2:
        return None, ""
    people = People(
        PeopleConfig(
            clips=clips,
            frames=config.sampling.frames,
            size=config.preprocess.size,
            spacing=config.sampling.spacing or 2.0 / config.sampling.frames,
            without=done,
            seed=_SEED,
        )
    )
    examples = [people[index, 0] for index in range(clips)]
    pixels = torch.stack([torch.as_tensor(example.frames) for example in examples])
    labels = torch.tensor([int(example.label) for example in examples])

    @torch.no_grad()
    def accuracy(model: ActionCLIP) -> float:
        inputs = (normalise(part, config.preprocess) for part in pixels.split(_AT_ONCE))
        videos = [model.encode_video(part.to(model.device)).cpu() for part in inputs]
        scores = score(
            torch.cat(videos),
            _arranged(model, people.labels),
            scale=float(model.logit_scale.detach().exp()) if config.scale is None else config.scale,
            ensemble=config.ensemble,
        )
        return float((scores.argmax(dim=1) == labels).float().mean())

    return accuracy, f"{clips} clips of " + _PEOPLE.format(count=len(people.labels))


def _plain(label: str) -> str:
    return "".join(letter for letter in label.lower() if letter.isalnum())


@torch.no_grad()
def _arranged(model: ActionCLIP, labels: Sequence[str]) -> Float[Tensor, "K C D"]:
    config = model.config
    prompts = make_prompts(labels, config.templates, clean_labels=config.clean_labels)
    return arrange(model.encode_text(list(prompts.sentences)).cpu(), prompts, config.ensemble)


@torch.no_grad()
def _text_embeddings(model: ActionCLIP, labels: Sequence[str]) -> Float[Tensor, "C D"]:
    """A unit vector for each label, in the model's first template."""
    template = model.config.templates[0]
    texts = model.encode_text([template.replace("{}", label) for label in labels])
    return F.normalize(texts.float(), dim=1).cpu()


def _neighbours(texts: Float[Tensor, "C D"]) -> Tensor:
    """Which other label is nearest to each."""
    return (texts @ texts.T).fill_diagonal_(-2).argmax(dim=1)
