"""Explanations over HTTP: those of Python, for a file that is sent."""

import pytest

import actionclip

LABELS = ["waving one hand", "jumping jacks", "running"]


def test_the_explanation_is_pythons(service, clips, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(clips[0])
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        expected = model.explain(path, LABELS, maps="none").to_dict()

    answer = service.send("/explain", clips[0], labels=",".join(LABELS))
    found = answer.json["explanation"]
    assert answer.status == 200
    assert set(found) == set(expected)
    assert (found["label"], found["runner_up"]) == (expected["label"], expected["runner_up"])
    assert [one["time"] for one in found["frames"]] == [one["time"] for one in expected["frames"]]
    for key in ("chosen", "runner_up", "drop", "margin_drop"):
        assert [one[key] for one in found["frames"]] == pytest.approx(
            [one[key] for one in expected["frames"]], abs=1e-4
        )
    assert found["sentences"][0]["sentence"] == expected["sentences"][0]["sentence"]


def test_what_cannot_be_explained(service):
    broken = service.send("/explain", b"this is not a video", labels="running,walking")
    absent = service.ask("/explain", labels=LABELS)

    assert (broken.status, broken.code) == (422, "unreadable")
    assert (absent.status, absent.code) == (400, "request")
