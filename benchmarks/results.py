"""How good is `tiny`? Writes the tables of docs/results.md.

    python benchmarks/results.py --videos FOLDER
    python benchmarks/results.py --videos FOLDER --model RUN/last     that model; nothing learns

FOLDER holds `weizmann_dev/` (files PERSON_ACTION.avi of the Weizmann actions) and `ucf6_dev/` (a
folder for each class, files named as in UCF101). Nobody may pass these clips on, so they are not in
this repository. What is rendered is made here. Nothing is downloaded.

- Zero-shot: nobody in those clips was trained on, nor any other real clip.
- Rendered: people of another seed, against all 59 actions; pairs that differ in order only.
- A few clips of each class: the visual prompt or a probe learns on frozen towers, once on those of
  `tiny` and once on towers of the same shape with random weights. Real clips are learnt from here.
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from common import say

import actionclip
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest, Row
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.evaluation import evaluate
from actionclip.evaluation.intervals import wilson
from actionclip.evaluation.result import Evaluation
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.zoo.tiny import build_tiny
from actionclip.training.fewshot.learning import FewShotConfig, learn_few_shots
from actionclip.video.transforms import normalise

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
WEIZMANN = {
    "bend": "bending down",
    "jack": "jumping jacks",
    "jump": "jumping forward on two legs",
    "pjump": "jumping in place on two legs",
    "run": "running",
    "side": "galloping sideways",
    "skip": "skipping",
    "walk": "walking",
    "wave1": "waving one hand",
    "wave2": "waving both hands",
}
IN_ORDER = (
    ("sitting down", "standing up"),
    ("picking up a box", "putting down a box"),
    ("lying down", "getting up from the floor"),
    ("kneeling down", "rising from the knees"),
    ("raising both arms", "lowering both arms"),
)
SEED = 777
RENDERED, OF_A_PAIR = 590, 40


def weizmann(folder: Path) -> Manifest:
    """The clips, each of the group of its person."""
    rows = []
    for path in sorted(folder.glob("*.avi")):
        person, action = path.stem.rsplit("_", 1)
        rows.append(Row(str(path), (WEIZMANN[action],), group=person, split="test"))
    return Manifest(tuple(rows))


def zero_shot(videos: Path, model: str = "tiny") -> Iterator[str]:
    """Real people who were never seen."""
    found = evaluate(
        actionclip.load(model), weizmann(videos / "weizmann_dev"), protocol="zero-shot"
    )
    yield f"**{_top1(found)}** of {found.clips} clips of 3 people, 10 labels; guessing gives 10 %."
    yield from ("", *_per_class(found))
    notes = found.parts[0].numbers.notes
    yield from ("", *notes) if notes else ()


def _top1(found: Evaluation) -> str:
    top = found.summary["top1"]
    return f"{top.value:.1%} [{top.low:.1%}, {top.high:.1%}]"


def _per_class(found: Evaluation) -> Iterator[str]:
    yield "| label | clips | right | 95 % | most often taken for |"
    yield "|---|---:|---:|---|---|"
    for row in found.parts[0].numbers.per_class:
        result = row.result
        yield (
            f"| {row.label} | {row.clips} | {result.value:.0%} "
            f"| [{result.low:.0%}, {result.high:.0%}] | {row.confused} |"
        )


@torch.no_grad()
def answers(model: ActionCLIP, people: People, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of the right label among all, 0 for the first, and the label, of `count` clips."""
    texts = model.encode_text(list(people.labels))
    places, labels = [], []
    for index in range(count):
        example = people[index, 0]
        frames = normalise(torch.as_tensor(example.frames)[None], model.config.preprocess)
        order = (model.encode_video(frames) @ texts.T)[0].argsort(descending=True)
        places.append(int((order == int(example.label)).nonzero()[0]))
        labels.append(int(example.label))
    return torch.tensor(places), torch.tensor(labels)


def rendered(name: str = "tiny") -> Iterator[str]:
    """People of a seed that no training used."""
    model = actionclip.load(name).model
    settings = {"frames": 12, "size": 80, "seed": SEED, "cut": 0.5}
    places, _ = answers(model, People(PeopleConfig(**settings)), RENDERED)
    for score, right in (("top-1", places < 1), ("top-5", places < 5)):
        yield (
            f"- {RENDERED} rendered clips, 59 labels, {score}: {_share(right)}; guessing gives "
            + ("1.7 %." if score == "top-1" else "8.5 %.")
        )
    for pair in IN_ORDER:
        people = People(PeopleConfig(**{**settings, "cut": 0.0}, actions=pair))
        places, _ = answers(model, people, OF_A_PAIR)
        yield f"- {pair[0]} or {pair[1]}: {_share(places < 1)} of {OF_A_PAIR}; guessing gives 50 %."


def _share(right: torch.Tensor) -> str:
    share = wilson(float(right.sum()), len(right))
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def random_towers(seed: int) -> ActionCLIP:
    """`tiny` before any training."""
    trained = build_tiny()
    torch.manual_seed(seed)
    architecture = trained.config.backbone.architecture
    assert architecture is not None
    backbone = OpenClipBackbone.from_architecture(
        architecture, motion=trained.config.backbone.motion
    )
    return ActionCLIP(backbone, trained.config).eval()


def few_shot(videos: Path, seeds: int) -> Iterator[str]:
    """Learning from a few real clips, on trained and on random towers."""
    yield "| data | learnt from | towers | before | prompt | probe |"
    yield "|---|---|---|---:|---:|---:|"
    people = weizmann(videos / "weizmann_dev")
    for towers in ("tiny", "random"):
        found = [
            learn_few_shots(_without(people, person), _towers(towers, 0), settings=FewShotConfig())
            for person in sorted({row.group for row in people.rows})
        ]
        cells = _cells([one.tested for one in found])
        yield f"| weizmann_dev | 2 people of 3, {len(found)} times | {towers} | {cells} |"
    ucf = read_data(videos / "ucf6_dev").manifest
    for shots in (1, 4, 8):
        for towers in ("tiny", "random"):
            found = [
                learn_few_shots(
                    ucf, _towers(towers, seed), shots=shots, settings=FewShotConfig(seed=seed)
                )
                for seed in range(seeds)
            ]
            cells = _cells([one.tested for one in found])
            yield f"| ucf6_dev | {shots} of each class, {seeds} seeds | {towers} | {cells} |"


def _towers(name: str, seed: int) -> ActionCLIP:
    return actionclip.load("tiny").model if name == "tiny" else random_towers(seed)


def _without(data: Manifest, person: str) -> Manifest:
    """Learn from the others, test on one."""
    split = {True: "test", False: "train"}
    rows = (
        Row(row.path, row.labels, group=row.group, split=split[row.group == person])
        for row in data.rows
    )
    return Manifest(tuple(rows))


def _cells(found: list[Mapping[str, float]]) -> str:
    """Mean and standard deviation of each way."""
    cells = []
    for name in ("zero-shot", "prompt", "probe"):
        values = [100 * one[name] for one in found]
        cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
    return " | ".join(cells)


def main() -> None:
    """Measure all of it and put it into the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", help="another one: its numbers on people, printed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.model is not None:
        say("\n".join([*zero_shot(args.videos, args.model), "", *rendered(args.model)]))
        return
    parts = {
        "Real people, zero-shot": zero_shot(args.videos),
        "Rendered people": rendered(),
        "A few real clips of each class": few_shot(args.videos, args.seeds),
    }
    lines = []
    for title, part in parts.items():
        say(title)
        lines += [f"## {title}", "", *part, ""]
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
