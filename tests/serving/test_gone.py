"""Clients that go away while something long is done for them: it stops, and counts until then."""

import json
import os
import signal
import threading
import time

import pytest

import actionclip
from actionclip.video.settings import Limits
from serving_client import Client, served


class Slow:
    """In the place of a method of the model: the first call waits for `go`, later ones a moment."""

    def __init__(self, method):
        self.method, self.calls = method, 0
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, *args, **options):
        self.calls += 1
        self.begun.set()
        self.go.wait(60)
        time.sleep(0.02)
        return self.method(*args, **options)


@pytest.fixture
def watched(spool):
    model = actionclip.load("tiny", device="cpu", workers=1)
    with served(model, folder=spool) as (url, insides):
        yield Client(url), insides.service.recognizer.model


def busy(client):
    return client.get("/health").json["queue"]["busy"]


def go_away(client, slow, path, kind, body):
    """Ask, leave when the model is at work, and let it go on; how often it was called in all."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    with client.connect() as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert slow.begun.wait(60)
    time.sleep(0.2)  # so that it has been noticed
    assert busy(client) == 1
    slow.go.set()
    while busy(client):
        time.sleep(0.01)
    return slow.calls


def test_labels_of_a_client_that_went_away_are_not_encoded(watched, monkeypatch):
    client, model = watched
    slow = Slow(model.encode_text)
    monkeypatch.setattr(model, "encode_text", slow)
    labels = [f"label {number}" for number in range(1500)]
    body = json.dumps({"labels": labels, "video": "any"}).encode()

    assert go_away(client, slow, "/classify", "application/json", body) < 5
    assert client.ask("/classify", labels=labels[:300], video="any").code == "unknown_video"


def test_an_explanation_for_a_client_that_went_away_ends(watched, monkeypatch, clips):
    client, model = watched
    slow = Slow(model.encode_frames)
    monkeypatch.setattr(model, "encode_frames", slow)
    path = "/explain?labels=running,walking&maps=occlusion"

    assert go_away(client, slow, path, "video/mp4", clips[0]) < 5


@pytest.mark.parametrize("path", ["/classify", "/explain"])
def test_a_video_of_a_client_that_went_away_is_not_decoded_to_its_end(spool, clips, path):
    model = actionclip.load("tiny", device="cpu", workers=1, limits=Limits(seconds=300))
    with served(model, folder=spool) as (url, insides):
        client, decoders = Client(url), insides.service.recognizer.encoder.decoders
        assert client.send("/classify", clips[0], labels="running,walking").status == 200
        [pid] = decoders.pids
        os.kill(pid, signal.SIGSTOP)  # as with a video that takes its time
        head = f"POST {path}?labels=running,walking HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Content-Type: video/mp4\r\nContent-Length: {len(clips[1])}\r\n\r\n"
        with client.connect() as connection:
            connection.sendall(head.encode() + clips[1])
            while not busy(client):
                time.sleep(0.01)
            time.sleep(0.3)  # so that the worker has it
        while busy(client):
            time.sleep(0.01)

        assert client.send("/classify", clips[2], labels="running,walking").status == 200
        assert decoders.pids != [pid]


@pytest.mark.filterwarnings("ignore:The text tower hardly")
def test_many_labels_get_the_answer_that_they_get_together(watched, clips, paths):
    client, _ = watched
    labels = [f"label {number}" for number in range(300)]
    with actionclip.load("tiny", device="cpu", workers=1) as other:
        [expected] = other.results([paths[0]], labels, top_k=None)

    video = client.send("/classify", clips[0], labels="running,walking").json["video"]
    found = client.ask("/classify", video=video, labels=labels, top_k=None).json["scores"]

    wanted = {score.label: score.score for score in expected.scores}
    assert {one["label"]: one["score"] for one in found} == pytest.approx(wanted, abs=2e-6)
