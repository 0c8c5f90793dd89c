"""All arms, most of them the standard one with one thing changed.

The standard: towers of stage 1 (differences as input), the prompt `transf`, the sixteen templates
and the paper's loss, all of it fine-tuned on the twelve actions that stage 1 left out.
"""

from dataclasses import replace

from miniature.arm import Arm

STANDARD = Arm("standard")

_UNSEEN = (
    *("target", "combinations", "verbs", "base"),
    *("target in all", "combinations in all", "verbs in all", "base in all"),
)
_STAGE_1 = Arm(
    "stage 1",
    stage=1,
    labels="base",
    prompt="meanp",
    loss="pairs",
    length="pretrain",
    tests=_UNSEEN,
)
STAGE_1 = tuple(
    replace(arm, name=arm.base)
    for arm in (
        replace(_STAGE_1, tests=(*_UNSEEN, "weizmann_dev")),
        replace(_STAGE_1, motion=False),
        replace(_STAGE_1, motion=False, tower="vit", pictures=2, length="vit_pretrain"),
    )
)

STARTS = (
    replace(STANDARD, name="images only", start="images only"),
    replace(STANDARD, name="texts only", start="texts only"),
    replace(STANDARD, name="random", start="random"),
)
ABLATIONS = (
    replace(STANDARD, name="1-of-N", loss="classifier"),
    replace(STANDARD, name="1-of-N, random", loss="classifier", start="random"),
    replace(STANDARD, name="label alone", templates="label"),
    replace(STANDARD, name="text tower frozen", learns="without texts"),
    replace(STANDARD, name="image tower frozen", learns="without images"),
    replace(STANDARD, name="cross entropy, pairs", loss="pairs"),
    replace(STANDARD, name="cross entropy, shared", loss="shared"),
)

SHOTS = (1, 2, 4, 8, 16)
FEW_SHOT = tuple(
    replace(arm, name=f"{arm.name}, {shots} shots", shots=shots, length="shots")
    for shots in SHOTS
    for arm in (
        replace(STANDARD, name="matching"),
        replace(STANDARD, name="matching, label alone", templates="label"),
        replace(STANDARD, name="1-of-N", loss="classifier"),
        replace(STANDARD, name="matching, random", start="random"),
    )
)

FRAMES = (1, 4, 8, 16)
_MOVES = replace(STANDARD, labels="moves", motion=False, tests=("moves", "pairs"))
HEADS = tuple(
    replace(
        *(_MOVES,),
        name=f"{prompt}, head, {frames} frames",
        prompt=prompt,
        frames=frames,
        learns="head",
        length="head",
    )
    for prompt in ("meanp", "conv1d", "lstm", "transf", "transf_cls")
    for frames in FRAMES
)
_WHOLE = replace(_MOVES, tower="vit", length="vit")
WHOLE = tuple(
    replace(_WHOLE, name=f"{prompt}, whole, {frames} frames", prompt=prompt, frames=frames)
    for prompt in ("meanp", "joint", "shift", "transf", "lstm", "conv1d", "transf_cls")
    for frames in (FRAMES if prompt in ("meanp", "joint", "shift") else (8,))
)

_ALL = replace(
    *(STANDARD,),
    labels="all",
    length="twin",
    tests=(
        *("all", "pairs", "combinations", "verbs"),
        *("combinations in all", "verbs in all", "weizmann_dev"),
    ),
)
TWINS = tuple(
    replace(
        *(_ALL,),
        name=f"{prompt}, {'differences' if motion else 'colours'}, all actions",
        prompt=prompt,
        motion=motion,
    )
    for motion in (True, False)
    for prompt in ("transf", "meanp")
)
TUNED = replace(
    _ALL, name="tuned on the others", labels="base", tests=(*_UNSEEN, "pairs", "weizmann_dev")
)

REAL = tuple(
    replace(
        *(STANDARD,),
        name=f"{'tiny' if start == 'pretrained' else start}, {data}",
        start=start,
        real=data,
        length="real",
        tests=("one left out",),
    )
    for data in ("weizmann_dev", "ucf6_dev")
    for start in ("pretrained", "random")
)

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        *(*STAGE_1, STANDARD, *STARTS, *ABLATIONS, *TWINS, TUNED),
        *(*FEW_SHOT, *REAL, *HEADS, *WHOLE),
    )
}

CLAIMS: dict[str, tuple[Arm, ...]] = {
    "stage-1": (STANDARD, *STARTS),
    "matching": (STANDARD, ARMS["1-of-N"], ARMS["1-of-N, random"]),
    "text-prompts": (STANDARD, ARMS["label alone"]),
    "frozen": (STANDARD, ARMS["text tower frozen"], ARMS["image tower frozen"]),
    "loss": (STANDARD, ARMS["cross entropy, pairs"], ARMS["cross entropy, shared"]),
    "twins": TWINS,
    "zero-shot": (STAGE_1[0], TUNED),
    "few-shot": FEW_SHOT,
    "real": REAL,
    "prompts": (*HEADS, *WHOLE),
}
"""What `--only` takes, and the arms it needs."""
