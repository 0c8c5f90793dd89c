"""What synthetic people can do: the dictionary of actions, and a room for each family.

Adding one is a function in its family and a line in the family's dictionary; captions need a line
in `captions`, and the tests take it from there.
"""

from actionclip.data.synthetic.actions.exercise import EXERCISE
from actionclip.data.synthetic.actions.floor import FLOOR
from actionclip.data.synthetic.actions.gestures import GESTURES
from actionclip.data.synthetic.actions.locomotion import LOCOMOTION
from actionclip.data.synthetic.actions.movement import Action, Style
from actionclip.data.synthetic.actions.objects import OBJECTS

ACTIONS: dict[str, Action] = {**LOCOMOTION, **EXERCISE, **GESTURES, **FLOOR, **OBJECTS}
"""By their names, which are the field's words for them."""

REVERSED = {
    "sitting down": "standing up",
    "kneeling down": "rising from the knees",
    "lying down": "getting up from the floor",
    "picking up a box": "putting down a box",
    "raising both arms": "lowering both arms",
    "pushing": "pulling",
    "walking": "walking backwards",
}
"""Pairs that show the same poses in the opposite order."""

__all__ = ["ACTIONS", "REVERSED", "Action", "Style"]
