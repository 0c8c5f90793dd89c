"""A worker taken over by a hostile file may say anything. The parent believes what can be true."""

import json
import os
import random
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from actionclip.video.decode.reading import Reading
from actionclip.video.decode.workers.protocol import (
    HEADER_BYTES,
    Channel,
    Nonsense,
    reading_header,
    receive_clip,
    request_from,
    request_header,
)
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

SOURCE = Source("a.mp4", Path("/a.mp4"))
REQUEST = ReadRequest(sampling=Sampling(frames=3, windows=2))
INDEX = np.array([[0, 1, 1], [0, 0, 1]])


@pytest.fixture
def ends():
    """The parent's channel and the worker's socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours)
        channel.deadline = time.monotonic() + 5
        yield channel, theirs


def honest(**changed):
    """The header and the arrays of a truthful answer to `REQUEST`."""
    reading = Reading(
        Outcome.OK,
        frames=np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3),
        index=INDEX,
        frame_numbers=INDEX * 7,
        times=INDEX / 5,
        seconds=2.0,
        notes=("a note",),
        decoder="some decoder",
    )
    header, arrays = reading_header(reading)
    return {**header, **changed}, [bytes(array) for array in arrays]


def say(end, header, parts=()):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    end.sendall(struct.pack("!I", len(text)) + text + b"".join(parts))
    end.shutdown(socket.SHUT_WR)


def hear(channel, request=REQUEST, limits=None):
    return receive_clip(channel, SOURCE, request, limits or Limits())


def test_the_truth_arrives_as_it_was_said(ends):
    channel, worker = ends
    say(worker, *honest())

    clip = hear(channel)

    assert clip.source is SOURCE
    assert clip.status is Outcome.OK
    assert clip.frames.reshape(-1).tolist() == list(range(2 * 4 * 6 * 3))
    np.testing.assert_array_equal(clip.index, INDEX)
    np.testing.assert_array_equal(clip.frame_numbers, INDEX * 7)
    np.testing.assert_array_equal(clip.times, INDEX / 5)
    assert (clip.seconds, clip.notes, clip.decoder) == (2.0, ("a note",), "some decoder")


LIES = {
    "no outcome": {"status": None},
    "an unknown outcome": {"status": "fine"},
    "an outcome that is a list": {"status": ["ok"]},
    "no message": {"message": None},
    "a message that is a number": {"message": 5},
    "advice that is a list": {"advice": ["run this"]},
    "a decoder that is a table": {"decoder": {}},
    "notes that are text": {"notes": "notes"},
    "endless notes": {"notes": ["n"] * 1000},
    "a note that is a number": {"notes": [1]},
    "a negative duration": {"seconds": -1},
    "an endless duration": {"seconds": float("inf")},
    "a duration that is no number": {"seconds": float("nan")},
    "a duration that is a truth": {"seconds": True},
    "frames without a size": {"frames": None},
    "frames of two sides": {"frames": [2, 4]},
    "a size of text": {"frames": ["2", 4, 6]},
    "a size of truths": {"frames": [True, 4, 6]},
    "no frame": {"frames": [0, 4, 6]},
    "more frames than asked for": {"frames": [7, 4, 6]},
    "a negative height": {"frames": [2, -4, -6]},
    "no width": {"frames": [2, 4, 0]},
    "a huge picture": {"frames": [2, 100_000, 100_000]},
    "an endless picture": {"frames": [2, 10**30, 6]},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_true_is_not_believed(ends, lie):
    channel, worker = ends
    say(worker, *honest(**LIES[lie]))

    with pytest.raises(Nonsense):
        hear(channel)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 2), (0, -1), (1, -5)],
    ids=["a row that is not there", "a row before the first", "a frame before the first"],
)
def test_numbers_of_frames_that_do_not_exist_are_not_believed(ends, place, value):
    channel, worker = ends
    header, parts = honest()
    wrong = np.frombuffer(parts[place], np.int64).copy()
    wrong[3] = value
    parts[place] = wrong.tobytes()
    say(worker, header, parts)

    with pytest.raises(Nonsense):
        hear(channel)


def test_times_that_are_no_numbers_are_not_believed(ends):
    channel, worker = ends
    header, parts = honest()
    parts[2] = np.full(6, np.nan).tobytes()
    say(worker, header, parts)

    with pytest.raises(Nonsense):
        hear(channel)


def test_more_bytes_than_a_worker_can_hold_are_not_waited_for(ends):
    channel, worker = ends
    say(worker, *honest(frames=[6, 4000, 4000]))

    with pytest.raises(Nonsense):
        hear(channel, limits=Limits(memory=2**28))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_frames_of_another_size_than_asked_for_are_not_believed(ends, mode):
    channel, worker = ends
    say(worker, *honest())
    resize = Resize(mode=mode, size=5)

    with pytest.raises(Nonsense):
        hear(channel, ReadRequest(sampling=REQUEST.sampling, resize=resize))


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"{", b"\xff\xfe", b"[" * 50_000, b'{"status": ' + b"9" * 10_000 + b"}"],
    ids=["nothing", "a list", "half a table", "not text", "deep", "a long number"],
)
def test_a_header_that_is_none_is_not_believed(ends, header):
    channel, worker = ends
    say(worker, header)

    with pytest.raises(Nonsense):
        hear(channel)


def test_a_long_header_is_not_read(ends):
    channel, worker = ends
    worker.sendall(struct.pack("!I", HEADER_BYTES + 1))

    with pytest.raises(Nonsense):
        hear(channel)


def test_text_is_cut_and_cannot_command_a_terminal(ends):
    channel, worker = ends
    say(
        worker,
        *honest(message="\x1b[2J\rgone\n" + "x" * 100_000, decoder="\ud800\x9b", notes=["\x07"]),
    )

    clip = hear(channel)

    assert clip.message.isprintable()
    assert len(clip.message) == 2000
    assert clip.message.startswith("�[2J�gone�xx")
    assert (clip.decoder, clip.notes) == ("��", ("�",))


def test_a_status_without_frames_is_not_read_past_its_header(ends):
    channel, worker = ends
    say(worker, *honest(status="empty", message="None of them decoded."))

    clip = hear(channel)

    assert clip.status is Outcome.EMPTY
    assert clip.frames is None


def test_open_files_that_are_sent_along_are_not_taken(ends):
    channel, worker = ends
    header, parts = honest()
    text = json.dumps(header).encode()
    before = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(worker, [struct.pack("!I", len(text))], [worker.fileno()] * 10)
    worker.sendall(text + b"".join(parts))

    assert hear(channel).status is Outcome.OK
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("cut", [1, 4, 20, -1])
def test_an_answer_that_breaks_off_is_a_death(ends, cut):
    channel, worker = ends
    header, parts = honest()
    text = json.dumps(header).encode()
    worker.sendall((struct.pack("!I", len(text)) + text + b"".join(parts))[:cut])
    worker.shutdown(socket.SHUT_WR)

    with pytest.raises(ConnectionError):
        hear(channel)


def test_an_answer_that_trickles_is_given_up_at_the_deadline(ends):
    """Each byte comes in time; the whole does not."""
    channel, worker = ends
    channel.deadline = time.monotonic() + 0.3
    stop = threading.Event()

    def trickle():
        worker.sendall(struct.pack("!I", 1000))
        while not stop.wait(0.02):
            worker.sendall(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            hear(channel)
    finally:
        stop.set()
        thread.join()


def test_random_bytes_never_surprise_the_parent():
    """Whole answers with bytes changed: a clip, or one of the three known ends."""
    chance = random.Random(0)
    header, parts = honest()
    text = json.dumps(header).encode()
    truth = struct.pack("!I", len(text)) + text + b"".join(parts)
    seen = set()
    for _ in range(300):
        lie = bytearray(truth)
        for _ in range(chance.choice([1, 2, 8])):
            lie[chance.randrange(len(lie))] = chance.randrange(256)
        if chance.random() < 0.2:
            del lie[chance.randrange(len(lie)) :]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            channel = Channel(ours)
            channel.deadline = time.monotonic() + 5
            theirs.sendall(lie)
            theirs.shutdown(socket.SHUT_WR)
            try:
                seen.add(type(hear(channel)).__name__)
            except (Nonsense, ConnectionError) as error:
                seen.add(type(error).__name__)

    assert seen == {"Clip", "Nonsense", "ConnectionResetError"}


@pytest.mark.parametrize(
    "request_",
    [
        ReadRequest(),
        ReadRequest(resize=Resize(mode="squash", size=7, interpolation="bilinear"), seed=3),
        ReadRequest(sampling=Sampling(rule="spaced", spacing=0.5), nearest_keyframes=True),
    ],
)
def test_a_request_arrives_as_it_was_made(request_):
    header = json.loads(json.dumps(request_header(request_, [b"12", b"345"])))

    assert request_from(header) == request_
    assert header["images"] == [2, 3]


def test_a_worker_gets_the_open_file_and_not_its_name(tmp_path, ends):
    channel, worker = ends
    (tmp_path / "video").write_bytes(b"pictures")
    file = os.open(tmp_path / "video", os.O_RDONLY)
    channel.send({"a": 1}, [b"more"], file=file)
    os.close(file)

    header, received = Channel(worker).receive_with_file()

    assert header == {"a": 1}
    assert os.read(received, 100) == b"pictures"
    os.close(received)
