"""Frames of a live source, from a server that behaves as networks do."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from clips import number_in, render
from live_watching import PATIENT, Watching, numbered
from processes import children, gone, wait_until

from actionclip.video.decode.workers.process import LockedProcess
from actionclip.video.live.queue import Connected, Gap, LiveFrame, Lost
from actionclip.video.live.sources import LiveSource
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits, Resize
from live_server import LiveServer


@pytest.fixture(scope="module")
def six_seconds():
    return numbered(150)


# --- what comes -----------------------------------------------------------------------------------


def test_a_file_gives_the_frames_wanted_at_their_times(tmp_path):
    path = render(tmp_path / "a.mp4", 50)

    with Watching(path, speed=0) as watching:
        watching.all()

    assert watching.error is None
    assert [number_in(frame.image) for frame in watching.frames] == list(range(0, 50, 5))
    assert [frame.time for frame in watching.frames] == pytest.approx(np.arange(10) * 0.2)
    assert watching.feed.seen == 50
    assert [one.connection for one in watching.of(Connected)] == [1]


def test_an_avi_file_with_b_frames_is_counted(tmp_path):
    path = render(tmp_path / "b.avi", 50, bframes=2, container="avi")

    with Watching(path, speed=0) as watching:
        watching.all()

    assert watching.error is None
    assert [number_in(frame.image) for frame in watching.frames] == list(range(0, 50, 5))
    assert np.diff([frame.time for frame in watching.frames]) == pytest.approx(0.2)
    assert watching.of(Gap) == []


def test_a_file_is_played_at_its_own_pace(tmp_path):
    path = render(tmp_path / "a.mp4", 50)

    with Watching(path, speed=2) as watching:
        watching.all()
        end = time.monotonic()

    arrived = [frame.arrived for frame in watching.frames]
    assert end - arrived[0] >= 0.7  # 1.8 s at twice the pace, less what came at once
    assert np.diff(arrived).min() > 0


def test_frames_that_are_wanted_far_apart_are_no_gaps(tmp_path):
    path = render(tmp_path / "a.mp4", 120)

    with Watching(path, speed=0, spacing=1.2, gap=1.0) as watching:
        watching.all()

    assert [frame.time for frame in watching.frames] == pytest.approx([0, 1.2, 2.4, 3.6])
    assert watching.of(Gap) == []


def test_frames_are_resized_in_the_worker(tmp_path):
    path = render(tmp_path / "a.mp4", 10)

    with Watching(path, speed=0, resize=Resize(mode="squash", size=48)) as watching:
        watching.all()

    assert {frame.image.shape for frame in watching.frames} == {(48, 48, 3)}


@pytest.mark.parametrize(
    "kind", ["mpegts", "mpjpeg", pytest.param("matroska", marks=pytest.mark.slow)]
)
def test_a_web_server_is_watched(kind):
    data = numbered(75, kind=kind)

    def answer(wire):
        wire.head()
        wire.play(data, 1.0)
        time.sleep(PATIENT)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.until(lambda: len(watching.frames) >= 4)

    seen = [number_in(frame.image) for frame in watching.frames]
    assert len(seen) >= 4
    assert seen == sorted(set(seen))
    if kind != "mpjpeg":  # which has no times: frames go by when they arrive
        assert set(np.diff(seen)) == {5}
    assert server.asked[0].startswith("GET /live.ts HTTP/1.1")


def test_standard_input_is_watched(six_seconds):
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    half = len(six_seconds) // 2

    def send():
        with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            pipe.write(six_seconds[:half])
            time.sleep(2.4)  # longer than `stall`: who sends may pause
            pipe.write(six_seconds[half:])

    sender = threading.Thread(target=send)
    try:
        with Watching("-", stall=2.0) as watching:
            sender.start()
            watching.all()
    finally:
        os.dup2(kept, 0)  # nobody reads any more: who still sends is told so
        os.close(kept)
        sender.join()

    assert watching.error is None
    assert [number_in(frame.image) for frame in watching.frames] == list(range(0, 150, 5))
    assert watching.of(Lost) == []


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "times"), [(0.5, 2), pytest.param(2.0, 20, marks=pytest.mark.slow)]
)
def test_a_server_that_cuts_off_again_and_again_is_called_again(six_seconds, seconds, times):
    third = len(six_seconds) // 3 // 188 * 188

    def answer(wire):
        wire.head()
        start = wire.number % 3 * third
        wire.play(six_seconds[start : start + third], seconds)

    settings = {"spacing": 0.1, "retries": 1}  # of attempts that gave no frame
    with LiveServer(answer) as server, Watching(server.url(), **settings) as watching:
        watching.until(lambda: len(watching.of(Connected)) > times, PATIENT * times)
        watching.feed.close()

    assert watching.feed.connections > times
    assert {one.reason for one in watching.of(Lost)} == {"The server hung up."}
    assert max(one.wait for one in watching.of(Lost)) <= 5
    stamps = [frame.time for frame in watching.frames]
    assert (np.diff(stamps) > 0).all()
    for before, after in zip(watching.frames, watching.frames[1:], strict=False):
        if after.time - before.time > 1.0:  # no hole is left unmarked
            assert any(gap.time == after.time for gap in watching.of(Gap))


@pytest.mark.slow
def test_a_stretch_without_frames_is_marked(six_seconds):
    def answer(wire):
        if wire.number == 1:
            time.sleep(1.5)  # and nothing comes
            return
        wire.head()
        wire.play(six_seconds[: len(six_seconds) // 3], 0.5)

    with LiveServer(answer) as server, Watching(server.url(), gap=0.7) as watching:
        watching.until(lambda: watching.of(Gap))

    [gap] = watching.of(Gap)
    place = watching.items.index(gap)
    before = [item for item in watching.items[:place] if isinstance(item, LiveFrame)][-1]
    assert gap.seconds >= 0.7
    assert gap.time == pytest.approx(before.time + gap.seconds)
    assert watching.feed.gap_seconds == pytest.approx(gap.seconds)


def test_a_server_that_hangs_up_before_it_answers_is_called_again():
    with LiveServer(lambda wire: None) as server, Watching(server.url(), retries=1) as watching:
        watching.all()

    assert [one.reason for one in watching.of(Lost)] == ["The server hung up."]
    assert len(server.times) == 2


def test_rubbish_after_a_good_connection_is_a_loss_and_no_end(six_seconds):
    def answer(wire):
        wire.head()
        wire.send(b"<html>starting up</html>" * 1000 if wire.number == 1 else six_seconds)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.until(lambda: len(watching.of(Connected)) >= 2)

    assert len(watching.of(Connected)) == 2
    assert [one.attempt for one in watching.of(Lost)][:2] == [1, 2]


def test_a_server_that_stalls_is_given_up_and_called_again(six_seconds):
    def answer(wire):
        wire.head()
        wire.play(six_seconds, 0.5)
        time.sleep(PATIENT)

    with LiveServer(answer) as server, Watching(server.url(), stall=1.0) as watching:
        watching.until(lambda: len(watching.of(Connected)) >= 2)

    assert len(watching.of(Connected)) >= 2
    assert watching.of(Lost)[0].reason == "No frame came for 1 seconds."


@pytest.mark.parametrize("head", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_trickle_of_bytes_without_a_frame_is_a_stall(head):
    def answer(wire):
        if head:
            wire.head()
        else:
            wire.send(b"HTTP/1.0 200 OK\r\nServer: ")
        while True:
            wire.send(b"G")
            time.sleep(0.05)

    with LiveServer(answer) as server, Watching(server.url(), stall=1.0, retries=0) as watching:
        watching.all()

    assert isinstance(watching.error, VideoError)
    assert watching.error.code is Outcome.TIMEOUT


def test_the_size_may_change_at_any_time():
    small, large = numbered(50), numbered(50, size=(192, 128), first=50)

    def answer(wire):
        wire.head()
        wire.play(small + large, 1.0)

    with LiveServer(answer) as server, Watching(server.url(), retries=0) as watching:
        watching.all()

    sizes = [frame.image.shape[:2] for frame in watching.frames]
    assert sizes[0] == (64, 96)
    assert sizes[-1] == (128, 192)
    assert number_in(watching.frames[-1].image) >= 90
    assert len(watching.of(Connected)) == 1


@pytest.mark.parametrize("first", [50_000, pytest.param(3, marks=pytest.mark.slow)])
def test_a_clock_that_jumps_is_marked_and_time_goes_on(first):
    before, after = numbered(50, first=100), numbered(50, first=first)

    def answer(wire):
        wire.head()
        wire.play(before + after, 2.0)

    with LiveServer(answer) as server, Watching(server.url(), retries=0) as watching:
        watching.all()

    assert "the stream's clock jumped" in {gap.reason for gap in watching.of(Gap)}
    times = [frame.time for frame in watching.frames]
    assert (np.diff(times) > 0).all()
    assert times[-1] < PATIENT
    assert len(times) >= 15


def test_packets_that_are_broken_are_survived(six_seconds):
    data = bytearray(six_seconds)
    rng = np.random.default_rng(0)
    packets = len(data) // 188
    for packet in rng.choice(np.arange(20, packets), packets // 50, replace=False):
        place = packet * 188 + int(rng.integers(4, 180))
        data[place : place + 8] = rng.bytes(8)

    def answer(wire):
        wire.head()
        wire.play(bytes(data), 1.0)

    with LiveServer(answer) as server, Watching(server.url(), retries=0) as watching:
        watching.all()

    assert len(watching.frames) >= 15  # of 30
    times = [frame.time for frame in watching.frames]
    assert (np.diff(times) > 0).all()


def test_pictures_larger_than_the_limit_are_refused():
    data = numbered(50, size=(192, 128))

    def answer(wire):
        wire.head()
        wire.play(data, 0.2)

    limits = Limits(pixels=96 * 64)
    with LiveServer(answer) as server, Watching(server.url(), limits=limits, retries=0) as watching:
        watching.all()

    assert watching.frames == []
    assert watching.error is not None


def test_closing_does_not_wait_for_a_silent_server():
    with LiveServer(lambda wire: time.sleep(PATIENT)) as server:
        watching = Watching(server.url())
        watching.feed.start()
        assert wait_until(lambda: server.asked, PATIENT)
        start = time.monotonic()
        watching.feed.close()

    assert time.monotonic() - start < 10  # and not the 10 s of `stall` and a worker's start


def test_closing_while_a_worker_starts_ends_it_too(monkeypatch):
    """Who closes looks for the worker a moment before there is one."""
    started = []

    def start(*arguments):
        closer = threading.Thread(target=watching.feed.close)
        closer.start()
        assert watching.feed.queue.take() == []  # it is closed
        started.append(LockedProcess(*arguments))
        return started[-1]

    monkeypatch.setattr("actionclip.video.live.feed.LockedProcess", start)
    with LiveServer(lambda wire: time.sleep(PATIENT)) as server:
        watching = Watching(server.url(), stall=PATIENT)
        watching.feed.start()

        assert wait_until(lambda: started and gone(started[0].pid), PATIENT / 2)
        assert server.asked == []


def test_nothing_is_left_running(six_seconds):
    before = children(os.getpid())

    def answer(wire):
        wire.head()
        wire.play(six_seconds, 2)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.until(lambda: watching.frames)
        workers = children(os.getpid()) - before
        assert workers

    assert wait_until(lambda: all(gone(worker) for worker in workers), PATIENT)


def test_a_missing_camera_is_named():
    source = LiveSource("camera", "camera 97", "/dev/video97")

    with Watching(source) as watching:
        watching.all()

    assert isinstance(watching.error, VideoError)
    assert "There is no camera at /dev/video97" in watching.error.what


def test_a_folder_is_no_stream(tmp_path):
    with Watching(Path(tmp_path)) as watching:
        watching.all()

    assert "a folder" in str(watching.error)
