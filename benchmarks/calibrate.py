"""Does a calibrated model keep its promises? On rendered people that `tiny` never saw.

People of another seed than those it was trained on do 40 of the 59 actions, which are the labels;
others do the 19 remaining ones and show *none of these*. One window of 12 frames each. `--fit`
clips calibrate (and half as many of the others), the rest is tested:

- once, with intervals: calibration error and loss before and after, coverage and size of the sets,
  known from unknown;
- for several coverages, over `--splits` random divisions into clips that calibrate and clips that
  are tested: the mean coverage, which is what is promised, and how it varies.

    python benchmarks/calibrate.py
"""

import argparse
from typing import Any

import numpy as np
import torch
from common import report, say

import actionclip
from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.encoding.questions import ask
from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.fitting import Wanted, fit, losses_of
from actionclip.evaluation.calibration.measures import (
    calibration_error,
    covered,
    interval,
    mean_of,
    telling_apart,
)
from actionclip.evaluation.intervals import wilson
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.scoring import in_set
from actionclip.video.transforms import normalise

LABELS = 40
COVERAGES = (0.8, 0.9, 0.95)
BATCH = 16


def encoded(model: ActionCLIP, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [N, 1, D] of all clips of a source, and the number of what each shows."""
    vectors, truth = [], []
    for start in range(0, len(people), BATCH):
        some = [people[n, 0] for n in range(start, min(start + BATCH, len(people)))]
        frames = normalise(torch.stack([each.frames for each in some]), model.config.preprocess)
        with torch.inference_mode():
            vectors.append(model.encode_video(frames).numpy())
        truth += [each.label for each in some]
        if start % (BATCH * 20) == 0:
            say(f"{start} of {len(people)} clips")
    return np.concatenate(vectors)[:, None], np.array(truth)


def answers(model: ActionCLIP, known: int, unknown: int, seed: int) -> Answers:
    """Clips that show a label, and clips that show none."""
    labels, others = tuple(ACTIONS)[:LABELS], tuple(ACTIONS)[LABELS:]
    size, spacing = model.config.preprocess.size, model.config.sampling.spacing
    assert spacing is not None
    frames = model.config.sampling.frames
    vectors, truth = [], []
    for count, actions in ((known, labels), (unknown, others)):
        settings = PeopleConfig(
            **{"clips": count, "frames": frames, "size": size, "spacing": spacing},
            **{"actions": actions, "seed": seed, "cut": 0.5},
        )
        found = encoded(model, People(settings))
        vectors.append(found[0])
        truth.append(found[1] if actions == labels else np.full(count, -1))
    question = ask(model, labels, look_alikes=False)
    groups = tuple(str(number) for number in range(known + unknown))
    return Answers(question, np.concatenate(vectors), np.concatenate(truth), groups)


def divided(all_of_them: Answers, clips: int, seed: int) -> tuple[Answers, Answers]:
    """Clips to calibrate on (and half as many unknown ones), and all others."""
    rng = np.random.default_rng(seed)
    known, unknown = (
        rng.permutation(np.flatnonzero(which))
        for which in (all_of_them.truth >= 0, all_of_them.truth < 0)
    )
    half = clips // 2
    return (
        all_of_them.only(np.concatenate([known[:clips], unknown[:half]])),
        all_of_them.only(np.concatenate([known[clips:], unknown[half:]])),
    )


def once(fitting: Answers, testing: Answers, seed: int) -> dict[str, Any]:
    """One calibration, tested on all other clips."""
    found = fit(fitting, Wanted(seed=seed))
    known, unknown = testing.known, testing.unknown
    before, after = known.scores(), known.scores(found.temperature)
    near, strange = known.nearness(), unknown.nearness()
    assert found.floor is not None
    sets = in_set(torch.from_numpy(after), found.floor).numpy()
    hits = covered(sets, known.truth)
    kind = known.question.activation
    scores = [each.scores(found.temperature).max(axis=1).astype(float) for each in (known, unknown)]
    groups = known.groups, unknown.groups
    rows = {
        "top1": interval(mean_of(after.argmax(axis=1) == known.truth), known.groups),
        "ece before": interval(calibration_error(before, known.truth), known.groups),
        "ece after": interval(calibration_error(after, known.truth), known.groups),
        "nll before": interval(mean_of(losses_of(before, known.truth, kind)), known.groups),
        "nll after": interval(mean_of(losses_of(after, known.truth, kind)), known.groups),
        "coverage": wilson(hits.sum(), len(hits)),
        "set size": interval(mean_of(sets.sum(axis=1)), known.groups),
        "known kept": wilson((near >= found.threshold).sum(), len(near)),
        "unknown rejected": wilson((strange < found.threshold).sum(), len(strange)),
        **telling_apart(near, strange, groups),
        "auroc of the best score": telling_apart(*scores, groups)["auroc"],
    }
    for name, value in rows.items():
        say(f"{name:18} {value.value:.3f}  [{value.low:.3f}, {value.high:.3f}]")
    say(f"temperature {found.temperature:.3f}, threshold {found.threshold:.3f}")
    fitted = {"temperature": found.temperature, "threshold": found.threshold, "floor": found.floor}
    return {**fitted, **{name: value.to_dict() for name, value in rows.items()}}


def many(all_of_them: Answers, clips: int, splits: int) -> dict[str, Any]:
    """Coverage over many divisions, for several promises."""
    rows = {}
    for promised in COVERAGES:
        shares, sizes = [], []
        for seed in range(splits):
            fitting, testing = divided(all_of_them, clips, seed)
            found = fit(fitting, Wanted(coverage=promised, seed=seed))
            known = testing.known
            assert found.floor is not None
            scores = torch.from_numpy(known.scores(found.temperature))
            sets = in_set(scores, found.floor).numpy()
            shares.append(covered(sets, known.truth).mean())
            sizes.append(sets.sum(axis=1).mean())
        low, high = np.quantile(shares, [0.025, 0.975])
        rows[str(promised)] = {
            "mean": round(float(np.mean(shares)), 4),
            "middle_95": [round(float(low), 4), round(float(high), 4)],
            "size": round(float(np.mean(sizes)), 2),
        }
        say(f"promised {promised:.0%}: {rows[str(promised)]}")
    return rows


def main() -> None:
    """Measure, and print a line of JSON."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2400, help="clips that show a label")
    parser.add_argument("--unknown", type=int, default=760, help="clips that show none")
    parser.add_argument("--fit", type=int, default=400, help="clips to calibrate on")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--seed", type=int, default=4242)
    args = parser.parse_args()

    torch.set_num_threads(1)
    model = actionclip.load("tiny", device="cpu").model
    everything = answers(model, args.count, args.unknown, args.seed)
    alone = once(*divided(everything, args.fit, args.seed), args.seed)
    repeated = many(everything, args.fit, args.splits)
    counts = {"known": args.count, "unknown": args.unknown, "fit": args.fit}
    rest = {"seed": args.seed, "splits": args.splits, "labels": LABELS}
    report("calibrate", {**counts, **rest, "once": alone, "promises": repeated})


if __name__ == "__main__":
    main()
