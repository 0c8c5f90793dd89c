"""An arm of the comparison: a small declared thing that says what differs between two models."""

from dataclasses import dataclass
from typing import Literal

from miniature.scale import Scale

Start = Literal["pretrained", "images only", "texts only", "random"]
Loss = Literal["kl", "pairs", "shared", "classifier"]
Learns = Literal["everything", "without texts", "without images", "head"]


@dataclass(frozen=True)
class Arm:
    """What is trained, on what, and what it is asked afterwards."""

    name: str
    labels: str = "target"
    """The set of actions that it learns, by its name in `SETS`."""
    start: Start = "pretrained"
    """Which towers come from stage 1; the others are random."""
    tower: Literal["conv", "vit"] = "conv"
    """`conv`: the tower of `tiny`. `vit`: four transformer blocks over patches of 8 pixels."""
    motion: bool = True
    """Whether the tower sees differences to the neighbouring frames."""
    prompt: str = "transf"
    """A post-network prompt, or `joint` or `shift`, which then end in the mean."""
    frames: int = 8
    pictures: int | None = None
    """How many of these a step sees, drawn anew each time; None: all. A step then has as many more
    clips, so that a sentence is told from more others for the same work."""
    templates: str = "authors16"
    loss: Loss = "kl"
    """`kl`: the paper's. `pairs`: cross entropy, every other text of the batch is wrong. `shared`:
    cross entropy to a target shared by all that are right. `classifier`: 1-of-N, no texts."""
    learns: Learns = "everything"
    """`head`: the prompt alone, on embeddings of frames that are kept."""
    shots: int | None = None
    """Clips of each action; None: all."""
    length: Literal["pretrain", "vit_pretrain", "tune", "twin", "vit", "head", "shots", "real"] = (
        "tune"
    )
    """Which number of steps of the scale."""
    tests: tuple[str, ...] = ("target",)
    """Names of sets of labels; `pairs`; `A in B`: clips of set A among the labels of B."""
    rate: float = 1e-3
    """Peak learning rate of everything that learns."""
    stage: Literal[1, 3] = 3
    real: str = ""
    """Real clips that it learns from, in place of rendered ones; `pretrained` is then `tiny`."""

    def steps(self, scale: Scale) -> int:
        """How long it is trained."""
        return getattr(scale, self.length)

    def batch(self, scale: Scale) -> int:
        """Clips in a step, at most."""
        if self.real:
            return min(scale.batch, 32)
        whole = scale.batch if self.tower == "conv" else max(scale.batch // 2, 12)
        return whole * self.frames // (self.pictures or self.frames)

    @property
    def base(self) -> str:
        """The file of the towers that stage 1 ends in: what they are and see."""
        return f"stage 1, {self.tower}, {'differences' if self.motion else 'colours'}"

    @property
    def needs(self) -> str | None:
        """The arm that must be done before."""
        if self.stage == 1 or self.start == "random" or self.real:
            return None
        return f"{self.base}, embedded" if self.learns == "head" else self.base
