"""Which class a spelling stands for."""

import pytest

from actionclip.data.layouts.names import match


@pytest.mark.parametrize("classes", [["step +1", "step -1"], ["C", "C++"], ["1.5 reps", "15 reps"]])
def test_classes_that_only_signs_tell_apart_are_told_apart(classes):
    for order in (classes, classes[::-1]):
        assert match(classes, order) == {name: name for name in classes}


def test_a_spelling_that_could_be_two_classes_is_neither():
    assert match(["Step_1"], ["step +1", "step -1", "wave"]) == {"Step_1": None}


def test_capitals_and_separators_do_not_count_otherwise():
    found = match(["Wave_Hand", "stepplus1"], ["wave hand", "step +1", "step plus 1"])

    assert found == {"Wave_Hand": "wave hand", "stepplus1": "step plus 1"}
