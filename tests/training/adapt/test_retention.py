"""What a fine-tuning cost."""

import json

import pytest
import torch

from actionclip.data.synthetic.source import People
from actionclip.errors import ActionCLIPError
from actionclip.training.adapt.retention import REPORT, Retention, retention
from training_runs import small_model


def test_a_model_that_did_not_change_keeps_everything():
    found = retention(small_model(), {"end": small_model()}, trained_labels=["red"], clips=6)

    start, end = found.models["start"], found.models["end"]
    assert list(found.models) == ["start", "end"]
    assert start == end
    assert end.text_drift == pytest.approx(0, abs=1e-6)
    assert end.same_neighbour == 1.0
    assert 0 <= end.accuracy <= 1
    assert found.measured_on.startswith("6 clips of rendered people who do 59 actions")


def test_a_model_that_moved_is_found_out():
    moved = small_model()
    with torch.no_grad():
        moved.backbone.clip.text_projection.add_(
            torch.randn(8, 16, generator=torch.Generator().manual_seed(0)) * 0.2
        )

    found = retention(small_model(), {"end": moved}, trained_labels=[], clips=2)

    assert found.models["end"].text_drift > 0.1
    assert found.models["end"].same_neighbour < 1.0


def test_trained_labels_are_not_asked_for_however_they_are_spelt():
    names = People().labels
    trained = [names[0].title().replace(" ", "_"), names[1].upper()]

    some = retention(small_model(), {}, trained_labels=trained, clips=2)
    none = retention(small_model(), {}, trained_labels=names, clips=2)

    assert "57 actions" in some.measured_on
    assert none.measured_on == ""
    assert none.models["start"].accuracy is None
    assert "right" not in "\n".join(none.lines())


def test_a_measure_of_ones_own_is_used_and_the_report_is_written(tmp_path):
    scores = iter([0.534, 0.462])

    found = retention(
        small_model(),
        {"end": small_model(1)},
        trained_labels=["red"],
        accuracy=lambda model: next(scores) if not model.training else -1.0,
        measured_on="the novel classes",
    )
    found.write(tmp_path)

    assert [kept.accuracy for kept in found.models.values()] == [0.534, 0.462]
    text = "\n".join(found.lines())
    assert "on the novel classes" in text
    assert "46.2% right" in text
    table = json.loads((tmp_path / REPORT).read_text())
    assert table["models"]["end"]["accuracy"] == 0.462
    assert table["label_set"] == "kinetics400"
    assert isinstance(found, Retention)


def test_a_measure_has_to_say_what_it_measures():
    with pytest.raises(ActionCLIPError, match="not what it is measured on"):
        retention(small_model(), {}, trained_labels=[], accuracy=lambda model: 1.0)
