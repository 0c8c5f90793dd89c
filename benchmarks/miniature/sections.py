"""What is said about each claim: how it was measured, tables, and what would confirm it."""

from collections.abc import Sequence
from dataclasses import dataclass

from miniature.arms import FRAMES, SHOTS, STAGE_1, TUNED, TWINS

Cell = tuple[str, str]
"""An arm and a test."""


@dataclass(frozen=True)
class Grid:
    """A table: titles of its columns, and rows of cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Claim:
    """What the paper says, and the two arms that would show it; without a second, guessing."""

    says: str
    better: str
    worse: str | None
    split: str


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    about: str
    grids: tuple[Grid, ...]
    claims: tuple[Claim, ...] = ()
    again: tuple[Grid, ...] = ()
    """Shown once more of a second measurement."""


def _plain(rows: Sequence[tuple[str, str]], tests: dict[str, str], first: str) -> Grid:
    """Arms down, tests across."""
    return Grid(
        (first, *tests.values()),
        tuple((title, tuple((arm, test) for test in tests)) for title, arm in rows),
    )


def _by_frames(test: str, title: str) -> Grid:
    """All visual prompts down, and how they learn; numbers of frames across."""
    learnt = [(p, "head", "on frozen towers") for p in _POST]
    learnt += [(p, "whole", "end to end, small ViT") for p in ("meanp", "joint", "shift")]
    return Grid(
        (title, *(f"{n} frame{'s' * (n > 1)}" for n in FRAMES)),
        tuple(
            (f"{p}, {how}", tuple((f"{p}, {kind}, {n} frames", test) for n in FRAMES))
            for p, kind, how in learnt
        ),
    )


_TARGET = {"target": "12 labels"}
_BASE = STAGE_1[0].name
_POST = ("meanp", "conv1d", "lstm", "transf", "transf_cls")
_SEVEN = ("meanp", "conv1d", "lstm", "transf", "transf_cls", "joint", "shift")
_TWIN = {(arm.prompt, arm.motion): arm.name for arm in TWINS}

_END_TO_END = _plain(
    tuple((p, f"{p}, whole, 8 frames") for p in _SEVEN),
    {"moves": "19 labels", "pairs": "pairs"},
    "end to end, 8 frames",
)

_PRETRAIN = Section(
    "Stage 1: pre-trained against random towers",
    "The same fine-tuning from towers of stage 1, from one of the two, and from random ones.",
    (
        _plain(
            (
                ("both pre-trained", "standard"),
                ("image tower pre-trained", "images only"),
                ("text tower pre-trained", "texts only"),
                ("both random", "random"),
            ),
            _TARGET,
            "towers",
        ),
    ),
    (
        Claim("Pre-trained towers learn more than random ones", "standard", "random", "target"),
        Claim(
            *("A pre-trained text tower adds to a pre-trained image tower", "standard"),
            *("images only", "target"),
        ),
    ),
)
_MATCHING = Section(
    "Matching with texts against a 1-of-N head, and how texts are made",
    "The 1-of-N head is a linear layer on the same video embedding, trained with cross "
    "entropy. The label alone is the template `{}`; otherwise one of the authors' sixteen "
    "is drawn for each clip, and a test takes the mean over all.",
    (
        _plain(
            (
                ("matching, 16 templates", "standard"),
                ("matching, label alone", "label alone"),
                ("1-of-N", "1-of-N"),
                ("matching, random towers", "random"),
                ("1-of-N, random tower", "1-of-N, random"),
            ),
            _TARGET,
            "learnt by",
        ),
    ),
    (
        Claim("Matching beats a 1-of-N head, all clips", "standard", "1-of-N", "target"),
        Claim("Text prompts beat the label alone, all clips", "standard", "label alone", "target"),
    ),
)
_FEW = Section(
    "A few clips of each action",
    "All of the model is fine-tuned on K clips of each of the twelve actions, other clips "
    "for each seed. Without any clip, stage 1 alone answers (0).",
    (
        Grid(
            ("K", "matching", "matching, label alone", "1-of-N", "matching, random towers"),
            tuple(
                (
                    str(k),
                    tuple(
                        (f"{arm}, {k} shots", "target")
                        for arm in (
                            *("matching", "matching, label alone"),
                            *("1-of-N", "matching, random"),
                        )
                    ),
                )
                for k in SHOTS
            ),
        ),
        _plain((("0, stage 1 alone", _BASE),), _TARGET, "K"),
    ),
    (
        *(
            Claim(
                f"Matching beats a 1-of-N head, {k} clip{'s' * (k > 1)} of each action",
                *(f"matching, {k} shots", f"1-of-N, {k} shots", "target"),
            )
            for k in SHOTS
        ),
        Claim(
            *("Pre-trained towers learn more than random ones, 16 clips of each action",),
            *("matching, 16 shots", "matching, random, 16 shots", "target"),
        ),
    ),
)
_FROZEN = Section(
    "Which tower learns",
    "With a frozen tower the rest learns: the other tower, the prompt and the scale.",
    (
        _plain(
            (
                ("both", "standard"),
                ("text tower frozen", "text tower frozen"),
                ("image tower frozen", "image tower frozen"),
            ),
            _TARGET,
            "what learns",
        ),
    ),
    (
        Claim(
            *("Fine-tuning all beats a frozen text tower", "standard"),
            *("text tower frozen", "target"),
        ),
        Claim(
            *("Fine-tuning all beats a frozen image tower", "standard"),
            *("image tower frozen", "target"),
        ),
    ),
)
_LOSS = Section(
    "KL against cross entropy, with classes that repeat in the batch",
    "A batch holds each of the twelve labels about ten times. `pairs`: only the clip's own "
    "sentence is right (CLIP's loss). `shared`: all sentences of the label are right, "
    "equally. `kl`: the paper's softened target.",
    (
        _plain(
            (
                ("kl", "standard"),
                ("cross entropy, pairs", "cross entropy, pairs"),
                ("cross entropy, shared", "cross entropy, shared"),
            ),
            _TARGET,
            "loss",
        ),
    ),
    (
        Claim("KL beats cross entropy to pairs", "standard", "cross entropy, pairs", "target"),
        Claim(
            *("KL beats cross entropy to shared targets", "standard"),
            *("cross entropy, shared", "target"),
        ),
    ),
)
_OF_PROMPTS = (
    _by_frames("moves", "19 labels"),
    _by_frames("pairs", "pairs in order"),
    _END_TO_END,
)
_PROMPTS = Section(
    "Visual prompts and numbers of frames",
    "19 actions, ten of which are five pairs that differ in order alone; towers see "
    "colours, so that a frame knows nothing of order. Post-network prompts learn alone on "
    "frozen towers; `joint` and `shift`, which need a ViT, and `meanp` beside them are learnt "
    "end to end with a small one (four blocks, patches of 8 pixels) from its own stage 1, at a "
    "smaller budget: compare these three among themselves. The last table has all seven so.",
    _OF_PROMPTS,
    (
        Claim(
            *("Transf beats MeanP, frozen towers, 8 frames", "transf, head, 8 frames"),
            *("meanp, head, 8 frames", "moves"),
        ),
        Claim(
            *("Transf beats MeanP on pairs in order, frozen towers", "transf, head, 8 frames"),
            *("meanp, head, 8 frames", "pairs"),
        ),
        Claim(
            *("Transf beats LSTM, frozen towers, 8 frames", "transf, head, 8 frames"),
            *("lstm, head, 8 frames", "moves"),
        ),
        Claim(
            *("Transf beats Conv1D, frozen towers, 8 frames", "transf, head, 8 frames"),
            *("conv1d, head, 8 frames", "moves"),
        ),
        Claim(
            *("8 frames beat 1, Transf on frozen towers", "transf, head, 8 frames"),
            *("transf, head, 1 frames", "moves"),
        ),
        Claim(
            *("16 frames beat 8, Transf on frozen towers", "transf, head, 16 frames"),
            *("transf, head, 8 frames", "moves"),
        ),
        Claim(
            *("Transf beats Joint, end to end, 8 frames", "transf, whole, 8 frames"),
            *("joint, whole, 8 frames", "moves"),
        ),
        Claim(
            *("Transf beats Shift, end to end, 8 frames", "transf, whole, 8 frames"),
            *("shift, whole, 8 frames", "moves"),
        ),
        Claim(
            *("MeanP beats Joint, end to end, 8 frames", "meanp, whole, 8 frames"),
            *("joint, whole, 8 frames", "moves"),
        ),
        Claim(
            *("MeanP beats Shift, end to end, 8 frames", "meanp, whole, 8 frames"),
            *("shift, whole, 8 frames", "moves"),
        ),
    ),
    _OF_PROMPTS,
)
_TWINS = Section(
    "The order-blind twin",
    "All 59 actions, fine-tuned whole from stage 1. `meanp` on colours is the twin: nothing "
    "in it can know the order of frames. weizmann_dev: real people, zero-shot, from this "
    "small budget and not from `tiny`.",
    (
        _plain(
            (
                ("transf, differences", _TWIN["transf", True]),
                ("meanp, differences", _TWIN["meanp", True]),
                ("transf, colours", _TWIN["transf", False]),
                ("meanp, colours (order-blind)", _TWIN["meanp", False]),
            ),
            {"all": "59 labels", "pairs": "pairs", "weizmann_dev": "weizmann_dev, 10 labels"},
            "model",
        ),
    ),
    (
        Claim(
            *("Transf beats MeanP on pairs in order, towers see colours",),
            *(_TWIN["transf", False], _TWIN["meanp", False], "pairs"),
        ),
        Claim(
            *("Transf beats MeanP on pairs in order, towers see differences",),
            *(_TWIN["transf", True], _TWIN["meanp", True], "pairs"),
        ),
        Claim(
            *("With differences and Transf, pairs in order are told better than by the twin",),
            *(_TWIN["transf", True], _TWIN["meanp", False], "pairs"),
        ),
        Claim(
            *("With differences and Transf, rendered actions are told better than by the twin",),
            *(_TWIN["transf", True], _TWIN["meanp", False], "all"),
        ),
        Claim(
            *("With differences and Transf, real people are told better than by the twin",),
            *(_TWIN["transf", True], _TWIN["meanp", False], "weizmann_dev"),
        ),
    ),
)
_ZERO = Section(
    "Actions nobody taught: unseen combinations, unseen verbs",
    "Five actions were left out whose words are known from other labels (waving both hands: "
    "waving one hand, raising both arms), and seven whose verb no sentence had (crawling, "
    "nodding). Asked among themselves, and among all 59 labels. The last row has learnt "
    "them and says what can be reached.",
    (
        _plain(
            (
                ("stage 1 (captions)", _BASE),
                ("fine-tuned on the other 47", TUNED.name),
                ("fine-tuned on all 59", _TWIN["transf", True]),
            ),
            {
                "combinations": "combinations, 5 labels",
                "verbs": "verbs, 7 labels",
                "combinations in all": "combinations, 59 labels",
                "verbs in all": "verbs, 59 labels",
                "weizmann_dev": "weizmann_dev, two of ten left out",
            },
            "model",
        ),
    ),
    (
        Claim(
            "Unseen combinations are recognised zero-shot (against guessing)",
            *(TUNED.name, None, "combinations"),
        ),
        Claim(
            "Unseen verbs are recognised zero-shot (against guessing)",
            *(TUNED.name, None, "verbs"),
        ),
    ),
)
_REAL = Section(
    "Fine-tuning on real clips",
    "All of the model learns from real clips: `tiny` against the same model with random "
    "weights. Of weizmann_dev one person of three is left out in turn, of ucf6_dev one of "
    "three groups of recordings. Of weizmann_dev three windows of a clip are learnt from "
    "and their mean is tested; of ucf6_dev the middle one. 100 steps of 32 windows each. 89 "
    "and 30 clips from few recordings: the intervals are narrower than they should be.",
    (
        Grid(
            ("start", "weizmann_dev, 10 labels", "ucf6_dev, 6 labels"),
            tuple(
                (start, tuple((f"{start}, {d}_dev", "one left out") for d in ("weizmann", "ucf6")))
                for start in ("tiny", "random")
            ),
        ),
    ),
    (
        Claim(
            *("Fine-tuning from `tiny` beats training from nothing, weizmann_dev",),
            *("tiny, weizmann_dev", "random, weizmann_dev", "one left out"),
        ),
        Claim(
            *("Fine-tuning from `tiny` beats training from nothing, ucf6_dev",),
            *("tiny, ucf6_dev", "random, ucf6_dev", "one left out"),
        ),
    ),
)

BUDGETS = (
    ("stage 1", _BASE),
    ("stage 1, small ViT", STAGE_1[2].name),
    ("fine-tuning on twelve actions", "standard"),
    ("fine-tuning on all actions", _TWIN["transf", True]),
    ("a few clips, K = 4", "matching, 4 shots"),
    ("a head on frozen towers", "transf, head, 4 frames"),
    ("small ViT, end to end", "transf, whole, 8 frames"),
)
"""A training of each kind, and an arm that had it."""

SECTIONS = (
    *(_PRETRAIN, _MATCHING, _FEW, _FROZEN, _PROMPTS),
    *(_TWINS, _ZERO, _LOSS, _REAL),
)
