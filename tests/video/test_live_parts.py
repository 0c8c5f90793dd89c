"""The parts of a live source: words, pace, clocks, the queue, what a worker may say."""

import json
import socket
import struct
import threading
import time

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.video.decode.workers.protocol import Channel, Nonsense
from actionclip.video.live import worker
from actionclip.video.live.messages import (
    Ended,
    Picture,
    PlayRequest,
    play_from,
    play_header,
    receive,
    send_end,
    send_picture,
)
from actionclip.video.live.pace import Pace, StreamClock
from actionclip.video.live.queue import MOST_NOTICES, End, FrameQueue, Gap, LiveFrame, Lost
from actionclip.video.live.sources import ELSEWHERE, LiveSettings, camera_format, live_source
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, Resize
from live_server import LiveServer

# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "kind", "where"),
    [
        ("-", "stdin", "-"),
        ("door.mp4", "file", "door.mp4"),
        ("a:b.mp4", "file", "a:b.mp4"),
        ("http://h/a", "http", "http://h/a"),
        ("HTTPS://h:8443/a?b", "http", "HTTPS://h:8443/a?b"),
        ("rtsp://[::1]:8554/a", "rtsp", "rtsp://[::1]:8554/a"),
    ],
)
def test_a_word_stands_for_a_source(word, kind, where):
    source = live_source(word, allow_network=True)

    assert (source.kind, source.where) == (kind, where)


@pytest.mark.skipif(camera_format() != "v4l2", reason="cameras have other names here")
@pytest.mark.parametrize("word", [2, "2", "02"])
def test_a_number_is_a_camera(word):
    source = live_source(word)

    assert source == ("camera", "camera 2", "/dev/video2")
    assert source.comes_back


def test_a_file_with_a_number_for_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2").touch()

    assert live_source("2").kind == "file"
    assert live_source(2).kind == "camera"


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp"])
def test_nothing_is_called_unless_the_network_is_allowed(scheme):
    with LiveServer(lambda wire: wire.head()) as canary:
        with pytest.raises(ActionCLIPError, match="--allow-network"):
            live_source(canary.url(scheme=scheme))
        time.sleep(0.05)

    assert canary.times == []


@pytest.mark.parametrize("scheme", [*ELSEWHERE, "gopher"])
@pytest.mark.parametrize("allowed", [True, False])
def test_other_schemes_are_refused_by_name(scheme, allowed):
    with pytest.raises(ActionCLIPError, match=f"{scheme}: is not read"):
        live_source(f"{scheme}://127.0.0.1/a", allow_network=allowed)


@pytest.mark.parametrize(
    "word",
    [
        *("http://", "rtsp://:554/a", "http://h:99999/", "http://h/a b\n"),
        *("http://[::1/a", "http://h:0/a", "rtsp://a..b/c", f"http://{'a' * 64}.com/"),
    ],
)
def test_an_address_without_a_host_is_refused(word):
    with pytest.raises(ActionCLIPError, match="followed by no address"):
        live_source(word, allow_network=True)


@pytest.mark.parametrize(
    ("start", "kind"), [("http://h/a?token=", "http"), ("udp_", "file"), ("1234567890", "camera")]
)
def test_a_word_may_be_longer_than_the_name_of_a_file(start, kind):
    assert live_source(start + "7" * 400, allow_network=True).kind == kind


def test_a_password_is_never_shown():
    source = live_source("rtsp://me:secret@h/a?token=secret", allow_network=True)

    assert "secret" not in source.name
    with pytest.raises(ActionCLIPError) as error:
        live_source("http://me:secret@h/a")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"stall": 0}, {"speed": -1}, {"retries": -1}, {"queue": 0}, {"gap": float("nan")}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ActionCLIPError):
        LiveSettings(**wrong)


# --- pace and clocks ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(rate=st.sampled_from([10, 15, 24, 25, 30, 50, 60]), spacing=st.floats(0.04, 1.0))
def test_a_steady_rate_is_picked_in_whole_frames(rate, spacing):
    pace = Pace(spacing)

    taken = [n for n in range(3 * rate) if pace.wants(n / rate)]

    steps = set(np.diff(taken)[1:].tolist())  # the first is taken before the rate is known
    if abs(round(spacing * rate) / rate - spacing) <= 0.2 * spacing:
        assert len(steps) <= 1
        assert all(abs(step - spacing * rate) <= 0.5 + 1e-6 for step in steps)
    assert all(step / rate >= min(spacing * 0.8, 1 / rate) - 1e-6 for step in steps)


@given(times=st.lists(st.floats(0, 100), min_size=1, max_size=60).map(sorted))
def test_uneven_frames_are_never_picked_closer_than_asked(times):
    pace = Pace(0.5)

    taken = [time for time in times if pace.wants(time)]

    assert taken[0] == times[0]
    assert len(taken) <= len(set(times))


steps = st.tuples(st.one_of(st.none(), st.floats(-1e6, 1e6)), st.floats(0, 30), st.booleans())


@given(live=st.booleans(), events=st.lists(steps, min_size=1, max_size=40))
def test_time_never_goes_back_whatever_a_stream_says(live, events):
    clock, now, before = StreamClock(live=live, gap=1.0), 1000.0, 0.0

    for stamp, passed, reconnected in events:
        now += passed
        if reconnected:
            clock.reconnected()
        moment = clock.at(stamp, now)
        assert np.isfinite(moment.time)
        assert moment.time >= before
        before = moment.time


def test_a_stream_that_goes_on_sensibly_keeps_its_own_even_time():
    clock = StreamClock(live=True, gap=1.0)
    arrivals = [10.0, 10.3, 10.31, 10.32, 10.4]  # in a burst, as over a network

    times = [clock.at(50 + 0.1 * n, arrival).time for n, arrival in enumerate(arrivals)]

    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("stamp", [3.0, 70000.0])
def test_a_clock_that_jumps_is_noticed(stamp):
    clock = StreamClock(live=True, gap=1.0)
    clock.at(50.0, 10.0)

    moment = clock.at(stamp, 10.1)

    assert moment.jumped
    assert moment.time == pytest.approx(0.1)
    assert clock.at(stamp + 0.1, 10.2) == (pytest.approx(0.2), False)


def test_a_sender_that_paused_leaves_a_gap_though_its_clock_stood_still():
    clock = StreamClock(live=True, gap=1.0, pause=10.0)
    clock.at(50.0, 10.0)

    assert clock.at(50.1, 40.0) == (pytest.approx(30.0), True)


def test_a_new_connection_goes_on_where_time_is():
    clock = StreamClock(live=True, gap=1.0)
    clock.at(50.0, 10.0)
    clock.reconnected()

    assert clock.at(0.0, 14.0) == (pytest.approx(4.0), False)


class Clock:
    """A clock that stands still but for those who sleep, and for `at`."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_each_frame_of_a_file_waits_for_its_turn(ends, monkeypatch, speed):
    clock, (_, theirs) = Clock(), ends
    monkeypatch.setattr(worker, "time", clock)
    request = PlayRequest(spacing=0.1, resize=Resize(mode="squash", size=8), speed=speed)
    player = worker.Player(Channel(theirs), request, Limits())
    picture = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")

    def shown(stamp, busy=0.0):
        """Seconds since the start when a frame is shown that took so long to decode."""
        clock.now += busy
        player.show(picture, stamp, clock.now)
        return clock.now - 100.0

    assert shown(50.0) == 0
    assert shown(50.4) == pytest.approx(0.4 / speed)
    assert shown(50.8, busy=0.1) == pytest.approx(0.8 / speed)  # decoding is no delay
    late = 1.2 / speed + 0.3
    assert shown(51.2, busy=late - 0.8 / speed) == pytest.approx(late)
    assert shown(51.6) == pytest.approx(max(late, 1.6 / speed))  # it catches up
    now = clock.now - 100.0
    assert shown(500.0) == pytest.approx(now)  # a hole is not played out
    assert shown(500.4) == pytest.approx(now + 0.4 / speed)
    assert shown(3.0) == pytest.approx(now + 0.4 / speed)  # nor is a clock that went back
    assert shown(3.4) == pytest.approx(now + 0.8 / speed)


def test_a_picture_says_how_long_ago_it_had_been_read(ends, monkeypatch):
    clock, (ours, theirs) = Clock(), ends
    monkeypatch.setattr(worker, "time", clock)
    player = worker.Player(Channel(theirs), REQUEST, Limits())

    player.show(av.VideoFrame(8, 8, "rgb24"), None, clock.now - 0.25)

    assert receive(ours, REQUEST, Limits()).age == 0.25


# --- the queue ------------------------------------------------------------------------------------


def frame(number):
    return LiveFrame(np.zeros((2, 2, 3), np.uint8), number / 10, 0.0, number)


def test_the_oldest_frame_goes_and_notices_stay():
    queue = FrameQueue(3)
    gap = Gap(0.1, 1.0, "no frames came")
    queue.put(frame(0))
    queue.put(gap)
    for number in range(1, 6):
        queue.put(frame(number))

    assert queue.dropped == 3
    items = queue.take()
    assert items[0] is gap
    assert [item.number for item in items[1:]] == [3, 4, 5]
    assert queue.take(0.01) == []


def test_of_notices_that_nobody_takes_the_newest_are_kept():
    queue = FrameQueue(3)
    queue.put(frame(0))
    for number in range(MOST_NOTICES + 50):
        queue.put(Lost("gone", number, 1.0))
    queue.put(End(None))

    first, *notices, end = queue.take()
    assert first.number == 0
    assert [notice.attempt for notice in notices] == list(range(51, MOST_NOTICES + 50))
    assert end == End(None)


def test_a_sender_that_waits_drops_nothing():
    queue = FrameQueue(2)
    sender = threading.Thread(
        target=lambda: [queue.put(frame(number), wait=True) for number in range(50)]
    )
    sender.start()

    seen = []
    while len(seen) < 50:
        taken = queue.take(10)
        assert 1 <= len(taken) <= 2
        seen += [item.number for item in taken]
    sender.join()

    assert seen == list(range(50))
    assert queue.dropped == 0


# --- what a worker may say ------------------------------------------------------------------------

REQUEST = PlayRequest(spacing=0.1, resize=Resize(mode="squash", size=8))
GOOD = {"size": [8, 8], "stamp": 1.5, "age": 0.0, "seen": 1, "broken": 0}


@pytest.fixture
def ends():
    """The parent's channel and the worker's socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours)
        channel.deadline = time.monotonic() + 5
        yield channel, theirs


def say(end, header, *parts):
    text = json.dumps(header).encode()
    end.sendall(struct.pack("!I", len(text)) + text + b"".join(parts))


def test_a_picture_and_an_end_arrive_as_they_were_sent(ends):
    ours, theirs = ends
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    channel = Channel(theirs)
    send_picture(channel, Picture(image, None, 0.25, 7, 2))
    send_end(channel, Ended(Outcome.EMPTY, "nothing", 7, 2))

    picture = receive(ours, REQUEST, Limits())
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.image, image)
    assert picture[1:] == (None, 0.25, 7, 2)
    assert receive(ours, REQUEST, Limits()) == (Outcome.EMPTY, "nothing", 7, 2)


def test_a_request_survives_the_way():
    assert play_from(json.loads(json.dumps(play_header(REQUEST)))) == REQUEST


@pytest.mark.parametrize(
    "lie",
    [
        {"size": [8, 9]},
        {"size": [0, 8]},
        {"size": [-8, 8]},
        {"size": [100_000, 100_000]},
        {"size": [8]},
        {"size": "8x8"},
        {"size": [8.0, 8]},
        {"size": None},
        {"stamp": "soon"},
        {"stamp": float("inf")},
        {"stamp": float("nan")},
        {"stamp": 1e300},
        {"stamp": True},
        {"age": -1},
        {"age": 1e9},
        {"age": None},
        {"seen": -1},
        {"seen": 1.5},
        {"broken": "many"},
        {"broken": 2**60},
        {"ended": "fine", "message": ""},
        {"ended": 3, "message": ""},
        {"ended": "ok", "message": None},
    ],
    ids=str,
)
def test_what_cannot_be_true_is_not_believed(ends, lie):
    ours, theirs = ends
    say(theirs, {**GOOD, **lie})

    with pytest.raises(Nonsense):
        receive(ours, REQUEST, Limits())
