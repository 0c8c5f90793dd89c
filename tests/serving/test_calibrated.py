"""A calibrated model answers over HTTP as it does in Python."""

from dataclasses import replace

import pytest

import actionclip
from actionclip.encoding.questions import key_of
from actionclip.model.config import CalibrationConfig
from serving_client import running

LABELS = ["waving one hand", "jumping jacks", "running"]


@pytest.fixture(scope="module")
def folder(paths, tmp_path_factory):
    """A model folder whose threshold parts the first clip from the others."""
    place = tmp_path_factory.mktemp("calibrated") / "model"
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        question = model.question(LABELS)
        views = model.embed_video(paths)[:, None]
        least, *others = sorted(question.nearness(views).tolist())
        known = CalibrationConfig(
            key=key_of(question),
            labels=3,
            clips=20,
            temperature=1.7,
            threshold=(least + others[0]) / 2,
            coverage=0.8,
            floor=0.1,
        )
        model.model.config = replace(model.config, calibration=known)
        actionclip.save(model, place)
    return place


def same(row, expected):
    """Whether an answer is Python's: the same keys, and the same numbers but for rounding."""
    numbers = {score["label"]: score["score"] for score in expected["scores"]}
    assert {s["label"]: s["score"] for s in row["scores"]} == pytest.approx(numbers, abs=2e-6)
    skipped = {"source", "scores", "video", "warnings"}
    assert {key: row[key] for key in row.keys() - skipped} == {
        key: expected[key] for key in expected.keys() - skipped
    }


def test_the_answers_are_pythons(folder, paths, clips, tmp_path):
    with actionclip.load(folder, device="cpu", workers=1) as model:
        obeyed = [one.to_dict() for one in model.results(paths, LABELS, top_k=None)]
        free = [one.to_dict() for one in model.results(paths, LABELS, top_k=None, threshold=0)]
        with pytest.warns(UserWarning, match="calibrated for 3 labels"):
            others = [one.to_dict() for one in model.results(paths, LABELS[:2], top_k=None)]
        film = model.timeline(paths[0], LABELS).to_dict(scores=True)
    firsts = [row["scores"][0]["label"] for row in obeyed]
    assert firsts.count("none of these") == 1
    assert all(row["label_set"]["coverage"] == 0.8 for row in obeyed)

    with running(tmp_path / "spool", model=folder) as client:
        for number, clip in enumerate(clips):
            sent = client.send("/classify", clip, labels=",".join(LABELS), top_k="").json
            video = {"video": sent["video"], "top_k": None}
            same(sent, obeyed[number])
            same(client.ask("/classify", labels=LABELS, threshold=0, **video).json, free[number])
            other = client.ask("/classify", labels=LABELS[:2], **video).json
            same(other, others[number])
            assert any("calibrated for 3 labels" in line for line in other["warnings"])
        row = client.send("/timeline", clips[0], labels=",".join(LABELS)).json
    assert row["segments"] == film["segments"]
    for found, wanted in zip(row["scores"], film["scores"], strict=True):
        assert found == pytest.approx(wanted, abs=2e-5)
