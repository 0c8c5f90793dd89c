"""The weights that ship: what they are good for, on real videos of people they never saw."""

import actionclip
from actionclip.model.zoo.tiny import FOLDER

ACTIONS = {
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


def test_three_of_four_clips_of_real_people_are_named_rightly(videos):
    """Guessing gives one of ten. docs/results.md says how many it is."""
    paths = sorted((videos / "weizmann_dev").glob("*.avi"))
    assert len(paths) == 30

    with actionclip.load("tiny") as model:
        answers = model.classify(paths, list(ACTIONS.values()), top_k=1)

    right = [
        best.label == ACTIONS[path.stem.split("_")[1]]
        for path, [best] in zip(paths, answers, strict=True)
    ]
    assert sum(right) >= 0.75 * len(paths)


def test_it_is_small_enough_to_come_with_the_package():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 15 * 2**20
