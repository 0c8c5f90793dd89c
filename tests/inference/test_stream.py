"""A rolling label: the window gives what a file would, labels change, gaps and drops are told."""

import itertools
import json
import os
import threading
import time

import numpy as np
import pytest
import torch

import actionclip
from actionclip.encoding.encoder import Views
from actionclip.errors import ActionCLIPError
from actionclip.inference.stream import Stream
from actionclip.inference.stream.watching import live_views
from actionclip.inference.stream.window import RollingWindow
from actionclip.video.live.queue import End, Gap, LiveFrame, Lost
from actionclip.video.live.sources import LiveSettings
from actionclip.video.settings import Limits
from actionclip.video.transforms import to_input
from live_server import LiveServer, broadcast
from model_of_each_kind import KINDS, model_of
from processes_memory import resident_mib
from sample_videos import write_video

LABELS = ["running", "waving one hand", "jumping jacks"]
AT_ONCE = LiveSettings(speed=0)
PATIENT = 60.0


# --- the window -----------------------------------------------------------------------------------


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_embedded_as_the_same_frames_of_a_file(kind, crops):
    model = model_of(kind)
    views = Views.of(model.config, crops=crops)
    count = views.sampling.frames
    images = np.random.default_rng(0).integers(0, 256, (count + 5, 20, 24, 3), np.uint8)
    window = RollingWindow(model, views)

    for number in range(len(images)):
        window.add([images[number]])
        assert window.full == (number >= count - 1)
        if not window.full:
            continue
        frames = images[number - count + 1 : number + 1]
        with torch.inference_mode():
            expected = model.encode_video(to_input(frames[None], views.preprocess))
        torch.testing.assert_close(window.embedding(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "passes"), [("alone", 1), ("neighbours", 3), ("joint", 4)])
def test_a_frame_costs_what_the_model_allows(kind, passes):
    model = model_of(kind)
    window = RollingWindow(model, Views.of(model.config))
    images = np.random.default_rng(0).integers(0, 256, (20, 20, 24, 3), np.uint8)
    window.add(list(images[:4]))
    window.embedding()
    before = window.encoded

    for image in images[4:]:
        window.add([image])
        window.embedding()

    assert window.encoded - before == passes * 16


def test_frames_of_other_sizes_go_into_the_same_window():
    model = model_of("alone")
    window = RollingWindow(model, Views.of(model.config))
    for height, width in [(20, 24), (40, 18), (18, 18), (16, 90)]:
        window.add([np.full((height, width, 3), 100, np.uint8)])

    assert window.embedding().shape == (1, 16)


def test_after_a_restart_the_window_fills_anew():
    model = model_of("neighbours")
    window = RollingWindow(model, Views.of(model.config))
    images = list(np.random.default_rng(0).integers(0, 256, (8, 20, 24, 3), np.uint8))
    window.add(images[:4])
    window.embedding()
    window.restart()
    assert not window.full
    window.add(images[4:])

    fresh = RollingWindow(model, Views.of(model.config))
    fresh.add(images[4:])
    torch.testing.assert_close(window.embedding(), fresh.embedding())


def test_a_model_without_a_spacing_gets_a_window_of_two_seconds(recognizer):
    own = live_views(recognizer.config)
    assert (own.sampling.frames, own.sampling.spacing, own.sampling.windows) == (12, 0.125, 1)
    other = live_views(model_of("alone").config)
    assert (other.sampling.frames, other.sampling.spacing) == (4, 0.5)
    assert live_views(recognizer.config, window=3.0).sampling.spacing == 0.25
    assert live_views(recognizer.config, frames=6).sampling.spacing == 0.125
    with pytest.raises(ActionCLIPError, match="Give one of them"):
        live_views(recognizer.config, window=3.0, spacing=0.1)


# --- a stream -------------------------------------------------------------------------------------


def labels_of(events):
    return [event for event in events if event.event == "label"]


def test_the_limits_of_the_recognizer_hold_for_its_streams(recognizer, film):
    strict = actionclip.Recognizer(recognizer.model, limits=Limits(pixels=1000))

    with (
        strict.stream(film, LABELS) as stream,
        pytest.raises(ActionCLIPError, match="more than 1000 pixels"),
    ):
        list(stream)
    with strict.stream(film, LABELS, settings=AT_ONCE, limits=Limits()) as stream:
        assert labels_of(stream)


def test_a_file_gives_the_answers_of_its_windows(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE, top_k=None) as stream:
        events = list(stream)

    assert [event.event for event in events][:2] == ["connected", "label"]
    found = labels_of(events)
    assert len(found) == 14  # of 25 frames in steps of 0.12 s, after the first 11
    assert [event.time for event in found] == pytest.approx(1.32 + 0.12 * np.arange(14))
    whole = recognizer.classify(film, LABELS, top_k=None, windows=1)
    middle = min(found, key=lambda event: abs(event.time - 2.16))
    scores = {one.label: one.score for one in middle.scores}
    for one in whole:  # the window in the middle of the film
        assert scores[one.label] == pytest.approx(one.score, abs=1e-4)
    assert stream.summary.seen == 75
    assert (stream.summary.wanted, stream.summary.dropped) == (25, 0)
    assert stream.summary.answers == 14
    assert stream.summary.median_latency > 0
    assert "75 frames" in str(stream.summary)
    assert json.dumps(stream.summary.to_dict())


def test_an_event_says_all_that_is_promised(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE, top_k=2) as stream:
        event = labels_of(stream)[0].to_dict()

    assert json.loads(json.dumps(event)) == event
    assert list(event) == [
        *("event", "time", "clock", "label", "score", "scores", "changed", "latency", "dropped"),
        "gap",
    ]
    assert event["changed"] is True
    assert event["dropped"] == event["gap"] == 0
    assert len(event["scores"]) == 2


def test_events_can_be_rarer_but_changes_are_always_told(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE, every=0.5) as stream:
        found = labels_of(stream)

    steady = [event for event in found if not event.changed]
    assert 1 <= len(found) <= 6
    assert stream.summary.answers == 14
    assert all(b.time - a.time >= 0.5 for a, b in itertools.pairwise(steady))


def test_a_gap_restarts_the_window_and_is_told(recognizer):
    """The server sends as fast as things happen: a burst would be ahead of what is missing."""
    data = broadcast(45)

    def answer(wire):
        if wire.number == 1:
            time.sleep(1.2)
            return
        wire.head()
        wire.play(data, 45 / 25)
        if wire.number > 1:
            time.sleep(PATIENT)  # one loss is enough, however long we look at what came

    settings = LiveSettings(queue=100, first_wait=0.1, retries=3)
    with (
        LiveServer(answer) as server,
        recognizer.stream(server.url(), LABELS, allow_network=True, settings=settings) as stream,
    ):
        events = []
        for event in stream:
            events.append(event)
            if (event.event == "label" and event.gap) or len(events) > 500:
                break

    kinds = [event.event for event in events]
    assert "lost" in kinds
    [gap] = [event for event in events if event.event == "gap"]
    assert gap.gap > 1.0
    assert events[-1].gap == gap.gap
    assert events[-1].time - gap.time >= 1.3  # a whole window of new frames
    assert stream.summary.gaps == 1
    assert stream.summary.connections == 2


def test_after_a_loss_the_window_begins_anew_however_short_it_was(recognizer):
    data = broadcast(45)

    def answer(wire):
        wire.head()
        wire.play(data, 0.3)
        if wire.number:
            time.sleep(PATIENT)

    settings = LiveSettings(gap=1000, queue=100, first_wait=0.05)
    with (
        LiveServer(answer) as server,
        recognizer.stream(server.url(), LABELS, allow_network=True, settings=settings) as stream,
    ):
        events = iter(stream)
        before = next(event for event in events if event.event == "lost")
        after = next(event for event in events if event.event == "label")

    assert after.time - before.time >= 1.3  # a whole window
    assert stream.summary.gaps == 0
    assert stream.summary.seen > 45


def slowly(stream):
    for event in stream:
        time.sleep(0.4)
        yield event


def test_a_reader_that_is_slow_loses_the_oldest_frames_and_stays_near(recognizer):
    data = broadcast(250)

    def answer(wire):
        wire.head()
        wire.play(data, 2.5)

    settings = LiveSettings(queue=4, retries=0)
    with (
        LiveServer(answer) as server,
        recognizer.stream(
            server.url(), LABELS, allow_network=True, settings=settings, frames=4
        ) as stream,
    ):
        events = []
        with pytest.raises(ActionCLIPError, match="hung up"):
            events.extend(slowly(stream))

    assert stream.summary.dropped > 0
    assert labels_of(events)[-1].dropped > 0
    assert stream.summary.wanted >= stream.summary.dropped + len(labels_of(events))


@pytest.mark.parametrize("hole", ["frames were dropped", "nothing came for a while"])
def test_no_window_spans_a_hole(recognizer, film, monkeypatch, hole):
    stream = recognizer.stream(film, LABELS, frames=4, spacing=0.1, settings=LiveSettings(queue=9))
    monkeypatch.setattr(stream.feed, "start", lambda: None)
    notices, later = ([], 2) if hole == "frames were dropped" else ([Gap(0.4, 5.0, hole)], 0)

    def come(*items):
        for item in items:
            stream.feed.queue.put(item)

    def frames(*numbers):
        picture = np.zeros((80, 80, 3), np.uint8)
        return [LiveFrame(picture, number / 10, time.monotonic(), number) for number in numbers]

    come(*frames(0, 1, 2, 3))
    events = iter(stream)
    assert next(events).event == "label"
    two, four = frames(4 + later, 5 + later), frames(6 + later, 7 + later)
    come(*notices, *two, Lost("for the test", 1, 0.0), *four, End(None))
    told = [(event.event, event.time) for event in events]

    # Two frames after the hole are no window yet; four are.
    assert [name for name, _ in told] == ["gap"] * len(notices) + ["lost", "label"]
    assert told[-1][1] == pytest.approx((7 + later) / 10)


def test_watching_twice_is_refused(recognizer, film):
    with recognizer.stream(film, LABELS, settings=AT_ONCE) as stream:
        list(stream)
        with pytest.raises(ActionCLIPError, match="watched already"):
            list(stream)


def test_leaving_early_ends_the_worker(recognizer, film):
    stream = recognizer.stream(film, LABELS)
    for event in stream:
        assert event.event == "connected"
        break
    stream.close()

    assert not [t for t in threading.enumerate() if t.name == "actionclip-live"]


@pytest.mark.parametrize(
    ("settings", "room"), [(None, 5), (LiveSettings(stall=3), 5), (LiveSettings(queue=2), 2)]
)
def test_a_window_of_frames_may_wait_unless_told_otherwise(recognizer, film, settings, room):
    with recognizer.stream(film, LABELS, frames=5, settings=settings) as stream:
        for number in range(9):
            image = np.zeros((8, 8, 3), np.uint8)
            stream.feed.queue.put(LiveFrame(image, number / 10, 0.0, number))

        assert len(stream.feed.queue) == room
        assert stream.feed.queue.dropped == 9 - room


@pytest.mark.parametrize(
    "wrong",
    [
        *({"every": -1}, {"window": 0}, {"margin": 2}, {"frames": -1}, {"frames": 0}),
        *({"spacing": 0}, {"spacing": -1}, {"spacing": float("nan")}, {"hold": float("nan")}),
        *({"top_k": 0}, {"window": float("inf")}),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_runs(recognizer, film, wrong):
    with pytest.raises(ActionCLIPError):
        recognizer.stream(film, LABELS, **wrong)


@pytest.mark.parametrize("frames", [400, pytest.param(20_000, marks=pytest.mark.slow)])
def test_memory_stays_flat(tmp_path, frames):
    """All of a long film at full speed; what grows in its second half is measured."""
    film = write_video(tmp_path / "long.mp4", frames=frames, size=(32, 48), fps=25)
    model = actionclip.Recognizer(model_of("alone"))
    stream = model.stream(film, LABELS, settings=AT_ONCE, spacing=0.04)
    assert isinstance(stream, Stream)
    half = 0.0
    for event in stream:
        if not half and event.time > frames / 50:
            half = resident_mib(os.getpid())

    assert stream.summary.answers == frames - 3
    assert resident_mib(os.getpid()) - half < 8
