"""Labels of a stream: when another one holds, none of these, other labels while it runs."""

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actionclip
from actionclip.encoding.questions import key_of
from actionclip.errors import ActionCLIPError
from actionclip.inference.stream import label_file
from actionclip.inference.stream.label_file import LabelFile
from actionclip.inference.stream.steady import Steady
from actionclip.model.config import CalibrationConfig
from actionclip.model.scoring import NONE_OF_THESE
from actionclip.video.live.sources import LiveSettings
from film_of_actions import write_film
from model_of_each_kind import model_of

LABELS = ["running", "waving one hand", "jumping jacks"]
AT_ONCE = LiveSettings(speed=0)
PATIENT = 60.0


def until(condition):
    """Whether it came true in time."""
    end = time.monotonic() + PATIENT
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def labels_of(events):
    return [event for event in events if event.event == "label"]


# --- when the label changes -----------------------------------------------------------------------

answers = st.lists(
    st.tuples(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=3, max_size=3)), max_size=40
)


def played(steady, answers):
    time, found = 0.0, []
    for step, values in answers:
        time += step
        scores = dict(zip("abc", values, strict=True))
        found.append((time, scores, steady.update(time, scores)))
    return found


@given(answers)
def test_without_margin_and_hold_the_best_label_holds(answers):
    for _, scores, label in played(Steady(margin=0, hold=0), answers):
        assert scores[label] == max(scores.values())


@given(answers, st.floats(0, 0.9), st.floats(0, 3))
def test_a_label_changes_only_to_one_that_leads_clearly_and_for_long(answers, margin, hold):
    found = played(Steady(margin=margin, hold=hold), answers)

    for number in range(1, len(found)):
        (_, _, before), (time, scores, label) = found[number - 1], found[number]
        if label == before:
            continue
        assert scores[label] - scores[before] >= margin
        led = time
        for earlier, others, _ in reversed(found[:number]):
            if others[label] < max(others.values()) or others[label] - others[before] < margin:
                break
            led = earlier
        assert time - led >= hold


@given(answers)
def test_other_names_change_nothing_but_names(answers):
    names = {"a": "z", "b": "y", "c": "x"}
    one, other = Steady(), Steady()
    time = 0.0
    for step, values in answers:
        time += step
        scores = dict(zip("abc", values, strict=True))
        if len(set(values)) < 3:
            continue
        renamed = {names[name]: value for name, value in scores.items()}
        assert names[one.update(time, scores)] == other.update(time, renamed)


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"margin": 1}, {"hold": -1}])
def test_a_steadiness_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ActionCLIPError):
        Steady(**wrong)


# --- none of these, and other labels --------------------------------------------------------------


def test_labels_change_while_it_runs(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE) as stream:
        events = iter(stream)
        assert next(event for event in events if event.event == "label").label in LABELS
        setter = threading.Thread(target=stream.set_labels, args=(["clapping", "sitting down"],))
        setter.start()
        setter.join()
        rest = list(events)

    assert rest[0].event == "labels"
    assert rest[0].labels == ["clapping", "sitting down"]
    assert {event.label for event in labels_of(rest)} <= {"clapping", "sitting down"}
    assert labels_of(rest)[0].time - rest[0].time < 0.2  # frames seen already count
    assert stream.labels == ("clapping", "sitting down")


def test_labels_we_cannot_use_leave_the_old_ones(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE) as stream:
        with pytest.raises(ActionCLIPError):
            stream.set_labels(["running", "running"])
        assert {event.label for event in labels_of(stream)} <= set(LABELS)


def test_labels_follow_their_file(recognizer, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS))
    complaints = []
    with recognizer.stream("-", path) as stream:
        stream.follow_labels(path, complaints.append)

        path.write_text("clapping\nbowing\n")
        assert until(lambda: stream.labels == ("clapping", "bowing"))
        path.write_text("")
        assert until(lambda: complaints)
        assert stream.labels == ("clapping", "bowing")
        new = tmp_path / "new.txt"
        new.write_text("bowing\npointing\nrunning\n")
        new.replace(path)
        assert until(lambda: stream.labels == ("bowing", "pointing", "running"))


class Script:
    """In place of `threading.Event`: does one thing of a list before each look at a file."""

    def __init__(self, steps):
        self._steps = iter(steps)
        self.over = threading.Event()

    def __call__(self):
        return self

    def wait(self, seconds):
        step = next(self._steps, None)
        if step is None:
            self.over.set()
            return True
        step()
        return False

    def set(self):
        """Nobody asks us to stop."""


def test_a_file_is_read_when_nobody_writes_to_it_any_more_and_missed_once(tmp_path, monkeypatch):
    """At the beginning too: it may have changed since. Deleted, it says nothing."""
    path = tmp_path / "labels.txt"
    path.write_text("running\n")
    read, complaints = [], []

    def write(text):
        return lambda: path.write_text(text)

    def changed(path):
        read.append(path.read_text())
        if not read[-1]:
            raise ActionCLIPError("It is empty.")

    def look():
        """And nothing else."""

    halves = [write("run\nju"), write("run\njump"), write("run\njump\n")]
    gone = [path.unlink, look, look, look, write("sit\n"), look, look]
    replaced = [path.unlink, write("hop\n"), look, look]
    script = Script([look, look, *halves, look, look, write(""), look, look, *gone, *replaced])
    names = {"Thread": threading.Thread, "current_thread": threading.current_thread}
    monkeypatch.setattr(label_file, "threading", SimpleNamespace(Event=script, **names))

    watched = LabelFile(path, changed, complaints.append)
    assert script.over.wait(PATIENT)
    watched.close()

    assert read == ["running\n", "run\njump\n", "", "sit\n", "hop\n"]
    assert [error.what for error in complaints] == ["It is empty.", f"{path} is gone."]


def test_a_file_that_changed_before_it_is_followed_counts(recognizer, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("clapping\nbowing\n")
    with recognizer.stream("-", LABELS) as stream:
        stream.follow_labels(path)

        assert until(lambda: stream.labels == ("clapping", "bowing"))


def test_below_the_threshold_it_is_none_of_these(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE, threshold=1.0) as stream:
        found = labels_of(stream)

    assert {event.label for event in found} == {NONE_OF_THESE}


def test_a_label_that_falls_below_the_threshold_holds_no_more(recognizer, tmp_path):
    film = write_film(tmp_path / "a.mp4", ("jumping jacks", "waving one hand"), size=(80, 60))
    with recognizer.stream(film, LABELS, settings=AT_ONCE, top_k=None) as stream:
        best = [event.scores[0].score for event in labels_of(stream)]
    high, low = best[0], min(best)
    threshold = (high + low) / 2
    assert high - low > 0.1
    assert threshold > 0.5  # what is left over for *none of these* is less than any score

    options = {"threshold": threshold, "margin": 0.1, "hold": 0.0}
    with recognizer.stream(film, LABELS, settings=AT_ONCE, **options) as stream:
        found = labels_of(stream)

    assert len(found) == len(best)
    for event, score in zip(found, best, strict=True):
        assert (event.label == NONE_OF_THESE) == (score < threshold)


def test_a_calibrated_model_says_none_of_these_for_its_own_labels(film):
    model = actionclip.Recognizer(model_of("alone"))
    asked = model.question(LABELS)
    known = CalibrationConfig(key=key_of(asked), labels=3, clips=20, threshold=1.0)
    model.model.config = dataclasses.replace(model.config, calibration=known)
    with model.stream(film, LABELS, settings=AT_ONCE) as stream:
        first = labels_of(stream)
    with model.stream(film, LABELS, settings=AT_ONCE, calibrated=False) as stream:
        without = labels_of(stream)

    assert {event.label for event in first} == {NONE_OF_THESE}
    assert {event.label for event in without} <= set(LABELS)
