"""Which actions a model has read of, and which it has not.

Stage 1 learns from all rendered actions but those left out here: five whose words it knows from
other labels, in another combination, and seven whose verb no sentence of it has.
"""

from actionclip.data.synthetic.actions import ACTIONS

COMBINATIONS = (
    "jumping in place on two legs",
    "waving both hands",
    "lowering both arms",
    "rising from the knees",
    "putting down a box",
)
VERBS = (
    "doing a cartwheel",
    "limping",
    "crawling",
    "lunging",
    "nodding",
    "beckoning",
    "sweeping the floor",
)
PAIRS = (
    ("sitting down", "standing up"),
    ("picking up a box", "putting down a box"),
    ("lying down", "getting up from the floor"),
    ("kneeling down", "rising from the knees"),
    ("raising both arms", "lowering both arms"),
)
ORDER = tuple(name for pair in PAIRS for name in pair)
TARGET = COMBINATIONS + VERBS

SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(ACTIONS),
    "base": tuple(name for name in ACTIONS if name not in TARGET),
    "target": TARGET,
    "combinations": COMBINATIONS,
    "verbs": VERBS,
    "order": ORDER,
    "moves": TARGET + tuple(name for name in ORDER if name not in TARGET),
}
"""Labels that an arm learns, or that a test asks for, by the name of the set."""
