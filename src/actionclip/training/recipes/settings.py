"""What a recipe may say. Each class is a table of the file; `[training]` is `TrainConfig`."""

from typing import Any, Literal

from actionclip.config import check_seed, config
from actionclip.data.synthetic.source import PeopleConfig
from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.config import PromptConfig, check_scale
from actionclip.training.settings import MAY_CHANGE, TrainConfig
from actionclip.video.augment import Augment
from actionclip.video.settings import Preprocess, Sampling


@config
class ModelSettings:
    """`[model]`: what is trained. Settings that are not given are the model's own."""

    name: str = ""
    """Where training starts: a name that `actionclip.load` takes, or a model folder."""
    architecture: str | dict[str, Any] | None = None
    """Start from random weights instead: one of open_clip's configurations, by its name or as a
    table. `name` is then only what the towers are called."""
    motion: bool = False
    """Of random towers: they see brightness and its changes instead of colours, see
    `actionclip.model.towers.motion`."""
    prompts: dict[str, Any] | None = None
    """`pre`, `inner`, `post`, `heads`, `norm_eps`, `positions`, `position_std`. Around trained
    towers, prompts of another kind or shape than before start untrained, and a note before training
    names them; all others keep what they have learnt."""
    sampling: dict[str, Any] | None = None
    """`frames`, `rule`, `spacing`, `windows`: of the model that comes out. Training draws frames by
    chance, see `data.random_frames`."""
    preprocess: dict[str, Any] | None = None
    """`resize`, `crops`, `mean`, `std`: of the model that comes out."""
    templates: tuple[str, ...] | str = ()
    """Sentences with `{}`, or the name of a set (`authors16`)."""
    ensemble: Literal["scores", "embeddings"] | None = None
    scale: float | None = None
    """What multiplies the cosine in a test; the authors: 100."""
    clean_labels: bool | None = None
    """Whether `ApplyEyeMakeup` becomes words first; `brush_hair` does in any case."""
    seed: int = 0
    """Of random weights and untrained prompts."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if not self.name and self.architecture is None:
            raise ActionCLIPError(
                "[model] says neither name nor architecture.",
                expected="A model to start from, or an architecture for random weights.",
                hint="For example: name = 'ViT-B-16/openai'.",
            )
        check_seed("model.seed", self.seed)
        check_scale(self.scale)
        tables = (("prompts", PromptConfig), ("sampling", Sampling), ("preprocess", Preprocess))
        for table, kind in tables:
            known = list(kind.__dataclass_fields__)
            for key in getattr(self, table) or ():
                if key not in known:
                    raise unknown(f"setting of model.{table}", key, known)


@config
class Draw:
    """`[data.draw]`: a part of the data, drawn as `actionclip data split` draws it."""

    protocol: Literal["all", "few-shot", "base-to-novel"] = "all"
    """`few-shot`: some clips of each class. `base-to-novel`: some clips of each base class."""
    shots: int = 16
    """Training clips of each class."""
    seed: int = 0


@config
class DataSettings:
    """`[data]`: what it is trained on. One of `path`, `shards` and `synthetic`."""

    path: str = ""
    """A folder, a manifest or a list, in a layout that `actionclip data inspect` knows."""
    layout: str = ""
    """Empty: the one that is recognised."""
    root: str = ""
    """The folder of the videos, where it is another."""
    labels: str = ""
    """Names of the classes in the order of their numbers, for lists that have numbers only: a file
    or a built-in set."""
    fold: int = 1
    """Which official split of UCF101 or HMDB51."""
    intervals: bool = False
    """Charades, ActivityNet: a clip for each action, with its times, not one for each video."""
    split: str = "train"
    """Which rows; a data set without splits is taken whole."""
    draw: Draw = Draw()
    captions: bool = False
    """Train with the manifest's captions instead of its labels; wants training.loss =
    'info_nce'."""
    shards: str = ""
    """WebDataset shards of pairs instead: 'pairs-{000..099}.tar', or 'pairs-*.tar'. All pairs are
    trained on: what chooses among the rows of `path` is refused beside them."""
    synthetic: PeopleConfig | None = None
    """`[data.synthetic]`: people rendered while training, no files. Their frames are drawn as they
    are trained on: none of the settings below matters, and what chooses among the rows of `path` is
    refused."""
    random_frames: bool = True
    """A random frame of each part, the authors' way for Kinetics; false: the middle ones, as they
    do for UCF101 and HMDB51. With the rule `spaced`: a random start."""
    augment: Augment = Augment()
    decoders: int | None = None
    """Processes that decode; not given: one a processor, at most eight."""
    most_failures: float = 0.02
    """Share of the clips that may be unreadable. They are replaced; with more, the run fails."""
    fingerprint: str = ""
    """What the clips must be: a SHA-256 as in splits.json, or that of a run, which also tells
    their order. A run writes its own down, so that it is not resumed with other data."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        given = [name for name in ("path", "shards", "synthetic") if getattr(self, name)]
        if len(given) != 1:
            raise ActionCLIPError(
                f"[data] says {' and '.join(given) or 'nothing of path, shards and synthetic'}.",
                expected="One of path, shards and synthetic.",
                hint="An empty text takes a value of the base recipe away: shards = ''.",
            )
        if not self.path:
            self._refuse_beside(given[0])
        if self.synthetic is not None:
            check_seed("data.synthetic.seed", self.synthetic.seed)
        if self.decoders is not None and self.decoders < 1:
            raise ActionCLIPError(
                f"data.decoders is {self.decoders}.", expected="It must be 1 or more."
            )
        if not 0 <= self.most_failures < 1:
            raise ActionCLIPError(
                f"data.most_failures is {self.most_failures}.", expected="A share below 1."
            )

    def _refuse_beside(self, source: str) -> None:
        of_path = ("layout", "root", "labels", "fold", "intervals", "split", "draw")
        defaults = self.__dataclass_fields__
        for name in of_path:
            if getattr(self, name) != defaults[name].default:
                raise ActionCLIPError(
                    f"data.{name} is set, and [data] says {source}.",
                    expected=f"It chooses among clips in files; of {source} all are used.",
                    hint=f"Take data.{name} away, or give the clips as a manifest with data.path.",
                )


@config
class EvaluationSettings:
    """`[evaluation]`: what the model is tested on while it is trained; without it nothing is, and
    there is no best/.
    """

    path: str = ""
    """A data set as in `[data]`, read as the five settings below say; empty: that of `[data]`, with
    what was drawn from it, and none of the five."""
    layout: str = ""
    root: str = ""
    labels: str = ""
    fold: int = 1
    intervals: bool = False
    split: str = ""
    """Which rows; empty: test, or else val."""
    protocol: str = "closed-set"
    """A name that `actionclip eval` knows."""
    views: str = ""
    """Temporal clips x crops, e.g. 1x1 or 10x3; empty: the model's own."""
    seed: int = 0
    """For what the protocol draws."""

    def __post_init__(self) -> None:
        """Refuse what would be ignored: without a path the data is read as `[data]` says."""
        for name in () if self.path else ("layout", "root", "labels", "fold", "intervals"):
            if getattr(self, name) != self.__dataclass_fields__[name].default:
                raise ActionCLIPError(
                    f"evaluation.{name} is set, and evaluation.path is not.",
                    expected="It says how the data at evaluation.path is read; without a path the "
                    "data of [data] is tested on, and [data] says how that is read.",
                    hint=f"Set data.{name} instead, or give evaluation.path.",
                )


@config
class Recipe:
    """One reproducible run."""

    model: ModelSettings
    data: DataSettings
    training: TrainConfig = TrainConfig()
    evaluation: EvaluationSettings | None = None
    about: str = ""
    """What it is, in a sentence for the card."""
    purpose: Literal["train", "evaluate"] = "train"
    """`evaluate`: nothing is trained; the model is tested as `[evaluation]` says."""
    retention: bool = True
    """After a fine-tuning say what it cost: accuracy on labels that were not trained on, before and
    after. See `actionclip.training.adapt.retention`."""

    @property
    def reports_retention(self) -> bool:
        """Whether there was something to lose: trained weights, tuned on labels."""
        return self.retention and self.model.architecture is None and self.training.loss == "kl"

    def __post_init__(self) -> None:
        """Refuse tables that do not go together."""
        tested = None if self.evaluation is None else self.evaluation.path or self.data.path
        if tested == "" or (tested is None and self.purpose == "evaluate"):
            raise ActionCLIPError(
                "[evaluation] says nothing to test on.",
                expected="evaluation.path, where [data] has no path.",
            )
        if self.training.workers and self.data.synthetic is None:
            raise ActionCLIPError(
                f"training.workers is {self.training.workers}.",
                expected="Files are decoded in processes of their own.",
                hint="Set data.decoders instead.",
            )
        if self.data.synthetic is not None:
            return  # says sentences and knows the labels: any loss has what it needs
        says_sentences = self.data.captions or bool(self.data.shards)
        if says_sentences != (self.training.loss == "info_nce"):
            raise ActionCLIPError(
                f"training.loss is {self.training.loss!r} and the data has "
                f"{'sentences' if says_sentences else 'labels'}.",
                expected="'info_nce' for pairs with sentences, another loss for labels.",
            )


RUN_MAY_CHANGE = frozenset(
    {
        *(f"training.{name}" for name in MAY_CHANGE),
        *("data.path", "data.root", "data.shards", "data.decoders", "data.most_failures"),
        *("about", "retention"),
        "evaluation",
    }
)
"""What may differ when a run is resumed: the data may have moved, its fingerprint stays."""
