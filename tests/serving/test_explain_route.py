"""Explanations over HTTP: those of Python, for a file that is sent."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import actionclip
from actionclip.inference.explain.picture import frames_to_show

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


def test_places_are_pythons_and_come_with_the_frames_they_lie_on(service, clips, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(clips[0])
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        expected = model.explain(path, LABELS, maps="locations")

    answer = service.send("/explain", clips[0], labels=",".join(LABELS), maps="locations")
    found = answer.json["explanation"]["maps"]
    assert (found["kind"], found["means"]) == ("locations", expected.maps.means)
    np.testing.assert_allclose(found["chosen"], expected.maps.chosen, atol=2e-4)
    np.testing.assert_allclose(found["runner_up"], expected.maps.runner_up, atol=2e-4)
    pictures = answer.json["pictures"]
    assert [one["frame"] for one in pictures] == frames_to_show(expected).tolist()
    for one in pictures:
        assert one["time"] == round(expected.frames[one["frame"]].time, 3)
        head, _, code = one["image"].partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(code))) as picture:
            seen = np.asarray(picture, float)
        apart = np.abs(expected.pixels - seen).mean(axis=(1, 2, 3))
        assert apart.argmin() == one["frame"]
        assert 2 * apart.min() < np.partition(apart, 1)[1]


def test_frames_and_windows_are_as_asked(service, clips, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(clips[0])
    views = {"frames": 5, "windows": 1, "spacing": 0.2}
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        expected = model.explain(path, LABELS, maps="none", **views).to_dict()

    found = service.send("/explain", clips[0], labels=",".join(LABELS), **views).json
    times = [one["time"] for one in found["explanation"]["frames"]]
    assert times == [one["time"] for one in expected["frames"]]
    assert len(times) == 5


def test_without_maps_there_are_no_pictures(service, clips):
    answer = service.send("/explain", clips[0], labels=",".join(LABELS)).json

    assert answer["pictures"] == []
    assert "maps" not in answer["explanation"]


@pytest.mark.parametrize(("maps", "told"), [("patches", "patches"), ("hexagons", "'occlusion'")])
def test_maps_that_the_tower_cannot_give_are_a_mistake_of_the_client(service, clips, maps, told):
    refused = service.send("/explain", clips[0], labels="running,walking", maps=maps)

    assert (refused.status, refused.code) == (400, "request")
    assert told in refused.json["error"]["message"]


def test_what_cannot_be_explained(service):
    broken = service.send("/explain", b"this is not a video", labels="running,walking")
    absent = service.ask("/explain", labels=LABELS)

    assert (broken.status, broken.code) == (422, "unreadable")
    assert (absent.status, absent.code) == (400, "request")


def test_of_a_damaged_video_an_explanation_says_so_as_scores_do(service, clips):
    middle = len(clips[0]) // 2
    damaged = clips[0][:middle] + bytes(200) + clips[0][middle + 200 :]
    scored = service.send("/classify", damaged, labels="running,walking").json
    explained = service.send("/explain", damaged, labels="running,walking").json

    assert scored["status"] == "degraded"
    assert (explained["status"], explained["error"]) == ("degraded", scored["error"])
    assert "error" not in service.send("/explain", clips[0], labels="running,walking").json
