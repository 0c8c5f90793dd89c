"""A film in parts: the right frames at the right times, whatever the file does."""

import itertools
import json
import os
import signal
import socket
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import number_in, numbers_seen, picture, remux, render
from clips import read as read_clip
from processes import children, wait_until

from actionclip.video.decode.pyav import index
from actionclip.video.decode.workers.process import WorkerProcess
from actionclip.video.decode.workers.protocol import Channel, Nonsense
from actionclip.video.film import reading
from actionclip.video.film.messages import _part_header, receive_part
from actionclip.video.film.part import Part
from actionclip.video.film.session import film, film_of_array
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import GridRequest, Limits, Resize, Sampling
from actionclip.video.sources import Source

UNEVEN = np.cumsum([300 if i == 20 else 1 + (i * 7) % 11 for i in range(60)]).tolist()


def source(path):
    return Source(path.name, path)


def read(path, spacing=0.25, *, points=16, **options):
    """Numbers of the frames on the grid, and the last part."""
    limits = options.pop("limits", None)
    numbers = []
    for part in film(source(path), GridRequest(spacing=spacing, points=points, **options), limits):
        assert len(part) <= points
        if part.frames is not None:
            seen = [number_in(frame) for frame in part.frames]
            numbers += [seen[place] for place in part.index]
    return numbers, part


def expected(times, seconds, spacing):
    """The frames on screen in the middle of each cell of the grid."""
    at = np.arange(spacing / 2, seconds, spacing)
    return (np.searchsorted(np.asarray(times), at + 1e-9, side="right") - 1).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def long(folder):
    """Two minutes, 25 frames a second."""
    return render(folder / "long.mp4", 3000, options={"preset": "ultrafast"})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"options": {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal"}}),
        ("a.avi", {"codec": "mpeg4", "bframes": 2}),
        ("no-duration.mkv", {"container_options": {"live": "1"}}),
        pytest.param("a.ts", {}, marks=pytest.mark.slow),
        pytest.param("a.h264", {"container": "h264"}, marks=pytest.mark.slow),
        pytest.param(
            *("a.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(
                "a.mkv",
                {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=none"}},
            ),
            marks=pytest.mark.slow,
        ),
        ("late.mp4", {"ticks": range(1000, 1060)}),
    ],
)
def test_each_point_has_the_frame_on_screen(folder, name, settings):
    path = render(folder / name, 60, **settings)

    numbers, end = read(path, 0.17)

    assert numbers == expected(np.arange(60) / 25, 60 / 25, 0.17)
    assert end.status is Outcome.OK, end.message
    assert end.seconds == pytest.approx(2.4, abs=0.041)
    assert end.size == (64, 96)
    if name.startswith("no-duration"):
        assert end.promised is None


def test_an_uneven_pace_is_followed_by_the_clock(folder):
    path = render(folder / "u.mkv", 60, ticks=UNEVEN, time_base=Fraction(1, 100))

    numbers, end = read(path, 0.25)

    times = (np.array(UNEVEN) - UNEVEN[0]) / 100
    assert numbers == expected(times, end.seconds, 0.25)


def test_an_even_pace_keeps_to_whole_frames(folder):
    path = render(folder / "e.mp4", 60)

    numbers, end = read(path, 0.125, even=True)

    assert numbers == list(range(1, 60, 3))
    assert end.spacing == pytest.approx(0.12)


def test_a_frame_that_stands_still_travels_once(folder):
    """The last stands for its own 0.04 s, not for as long as the one before."""
    ticks = [0, 1000, 2000, 2020]
    path = render(folder / "slides.mkv", 4, ticks=ticks, time_base=Fraction(1, 100))

    parts = list(film(source(path), GridRequest(spacing=0.5, points=64)))

    assert sum(len(part) for part in parts) == 40
    assert sum(0 if part.frames is None else len(part.frames) for part in parts) == 2


def test_pictures_are_as_small_as_asked(folder):
    path = render(folder / "small.mp4", 20)
    request = GridRequest(spacing=0.2, resize=Resize(mode="squash", size=24))

    [part] = film(source(path), request)

    assert part.frames.shape == (4, 24, 24, 3)


def test_a_film_of_one_frame_has_one_point(folder):
    numbers, end = read(render(folder / "one.mp4", 1), 5.0)

    assert numbers == [0]
    assert end.status is Outcome.OK


def test_a_film_without_a_frame_is_one_last_part(folder):
    import av

    path = folder / "none.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.start_encoding()

    [part] = film(source(path), GridRequest(spacing=1.0))

    assert part.done
    assert part.status in (Outcome.EMPTY, Outcome.UNREADABLE)
    assert part.message


def test_a_film_whose_clock_goes_back_is_read_to_its_end(folder):
    half = render(folder / "half.ts", 60).read_bytes()
    path = folder / "twice.ts"
    path.write_bytes(half + half)

    numbers, end = read(path, 0.17)

    assert numbers == [n % 60 for n in expected(np.arange(120) / 25, 120 / 25, 0.17)]
    assert end.seconds == pytest.approx(120 / 25)
    assert any("clock starts anew" in note for note in end.notes)


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
@pytest.mark.parametrize("leap", [3.0, 3600.0])
def test_one_damaged_time_does_not_leave_out_what_follows(folder, suffix, leap):
    path = render(folder / f"even.{suffix}", 200, bframes=0)
    broken = folder / f"leaps-{leap:g}.{suffix}"
    with av.open(str(path)) as old, av.open(str(broken), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        packets[80].pts += round(leap / packets[80].time_base)
        for packet in packets:
            packet.stream = copy
            new.mux(packet)

    numbers, end = read(broken, 0.2)

    times = np.delete(np.arange(200), 80) / 25
    assert [n - (n > 80) for n in numbers] == expected(times, 8.0, 0.2)
    assert end.status is Outcome.OK
    assert end.seconds == pytest.approx(8.0)


def test_a_film_too_long_for_its_grid_is_told_so(folder, monkeypatch):
    monkeypatch.setattr(reading, "MOST_POINTS", 8)
    path = render(folder / "short.mp4", 60)
    file = os.open(path, os.O_RDONLY)

    *parts, last = reading.read_film(file, GridRequest(spacing=0.25, points=4), Limits())

    os.close(file)
    assert [len(part) for part in parts] == [4, 4]
    assert last.status is Outcome.DEGRADED
    assert "longer than 8 steps of 0.25 s" in last.message


def test_how_much_is_decoded_is_limited_for_a_part_and_not_for_a_film(folder):
    path = render(folder / "sixty.mp4", 60)

    whole, end = read(path, 0.04, limits=Limits(decoded_frames=40))
    _, stopped = read(path, 2.0, limits=Limits(decoded_frames=40))

    assert (len(whole), end.status) == (60, Outcome.OK)
    assert stopped.status is Outcome.DEGRADED
    assert "More than 40 frames" in stopped.message


def test_a_reader_that_is_slow_sends_what_it_has(folder, monkeypatch):
    monkeypatch.setattr(reading, "SIGN_OF_LIFE", -1.0)
    path = render(folder / "alive.mp4", 20)
    file = os.open(path, os.O_RDONLY)

    parts = list(reading.read_film(file, GridRequest(spacing=0.08, points=64), Limits()))

    os.close(file)
    assert len(parts) == 21  # one after each frame, and the last one
    assert sum(map(len, parts)) == 10
    assert parts[-1].status is Outcome.OK


def test_frames_in_memory_and_in_a_folder_are_films_too(folder):
    from PIL import Image

    frames = np.stack([picture(i) for i in range(50)])
    (folder / "images").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "images" / f"{number:03d}.png")
    images = Source("images", folder / "images", kind="frames")

    for spacing, count in ((0.2, 4), (0.08, 9)):  # between frames, and just where one begins
        request = GridRequest(spacing=spacing, points=count)
        for parts in (list(film_of_array(frames, request)), list(film(images, request))):
            numbers = [number_in(part.frames[i]) for part in parts for i in part.index]
            assert numbers == expected(np.arange(50) / 25, 2.0, spacing)
            assert [part.done for part in parts] == [False, False, True]
            assert parts[-1].seconds == 2.0


@pytest.mark.parametrize("even", [False, True])
def test_a_folder_gives_the_frames_that_an_array_gives(tmp_path, even):
    from PIL import Image

    frames = np.stack([picture(i) for i in range(120)])
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number:03d}.png")
    request = GridRequest(spacing=0.25, points=8, even=even)  # 6.25 frames, or 6

    [folder, array] = [
        [number_in(part.frames[i]) for part in parts for i in part.index]
        for parts in (
            film(Source("images", tmp_path, kind="frames"), request),
            film_of_array(frames, request),
        )
    ]

    assert folder == array


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_last_frame_that_is_held_lasts(tmp_path, ending):
    import av

    path = tmp_path / f"held.{ending}"
    packets = []
    codec, colours = ("libx264", "yuv420p") if ending == "mp4" else ("gif", "rgb8")
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, colours
        stream.codec_context.time_base = Fraction(1, 100)
        stream.codec_context.max_b_frames = 0
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame = frame.reformat(format=colours)
            frame.pts, frame.time_base = number * 4, Fraction(1, 100)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        packets[-1].duration = round(5 / packets[-1].time_base)
        output.mux(packets)

    numbers, end = read(path)

    times = np.arange(50) * 0.04
    assert end.seconds == pytest.approx(6.96, abs=0.05)
    assert end.status is Outcome.OK, end.message
    assert numbers == expected(times, end.seconds, 0.25)


def test_a_quick_avi_with_b_frames_keeps_its_pace(tmp_path):
    path = render(tmp_path / "quick.avi", 250, rate=250, bframes=2)

    numbers, end = read(path, 0.1)

    assert end.seconds == pytest.approx(1.0)
    assert numbers == expected(np.arange(250) / 250, 1.0, 0.1)


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_an_image_that_is_empty_is_one_that_does_not_decode(tmp_path, content):
    from PIL import Image

    for number in range(20):
        Image.fromarray(picture(number)).save(tmp_path / f"{number:03d}.png")
    (tmp_path / "007.png").write_bytes(content)

    [part] = film(Source("images", tmp_path, kind="frames"), GridRequest(spacing=0.04))

    assert part.status is Outcome.DEGRADED
    assert "1 of 20 images did not decode" in part.message
    numbers = [number_in(part.frames[i]) for i in part.index]
    assert numbers == [6 if n == 7 else n for n in range(20)]


def test_what_came_before_a_break_stays(folder):
    options = {"preset": "ultrafast"}
    path = render(
        folder / "cut.mp4", 500, options=options, container_options={"movflags": "faststart"}
    )
    data = bytearray(path.read_bytes())
    half = len(data) // 2
    data[half:] = np.random.default_rng(0).bytes(len(data) - half)
    path.write_bytes(data)

    numbers, end = read(path, 0.2)

    assert numbers[:40] == expected(np.arange(500) / 25, 20.0, 0.2)[:40]
    assert end.status is Outcome.DEGRADED
    assert "did not decode" in end.message


def test_a_file_that_is_cut_off_says_so(folder):
    path = render(folder / "off.mkv", 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    numbers, end = read(path, 0.2)

    assert numbers == expected(np.arange(200) / 25, 8.0, 0.2)[: len(numbers)]
    assert 15 < len(numbers) < 40
    assert end.status is Outcome.DEGRADED
    assert "cut off" in end.message


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_broadcast_with_lost_lines_is_damaged_though_its_decoder_hides_it(folder, codec):
    options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    path = render(folder / f"lost-{codec}.ts", 300, codec=codec, gop=50, options=options)
    lines = [path.read_bytes()[i : i + 188] for i in range(0, path.stat().st_size, 188)]
    path.write_bytes(b"".join(line for n, line in enumerate(lines) if n < 50 or n % 90))

    _, end = read(path, 0.2)

    assert end.status is read_clip(path).status is Outcome.DEGRADED
    assert "Packets marked as corrupt: " in end.message


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_a_head_that_cannot_be_decoded_is_no_part_of_a_film_or_a_clip(folder, suffix, bframes):
    """What was cut without being decoded may begin far from a keyframe."""
    options = {"preset": "ultrafast", "x264-params": "scenecut=0"}
    whole = render(folder / f"gops.{suffix}", 60, gop=20, bframes=bframes, options=options)
    path = remux(whole, folder / f"cut-{bframes}.{suffix}", skip=5)

    numbers, end = read(path, 0.2)
    clip = read_clip(path, sampling=Sampling(rule="spaced", frames=8, spacing=0.2))
    late = read_clip(path, sampling=Sampling(frames=1))  # one that the head does not touch

    assert numbers == list(range(22, 60, 5))
    assert numbers_seen(clip) == numbers
    assert numbers_seen(late) == [40]
    for one in (end, clip, late):
        assert one.seconds == pytest.approx(1.6, abs=0.005)
    assert clip.times[0] == pytest.approx(np.arange(8) * 0.2 + 0.08, abs=0.005)
    assert end.status == clip.status == late.status == "ok"
    assert any("within a group of pictures: its first 15 " in note for note in late.notes)


@pytest.fixture(params=["mkv", "wmv"])
def segment(request, folder):
    """Eight seconds out of a longer recording, whose clock they keep: it begins at 16 s.

    The header of these containers says when the last frame ends, not how long the film is.
    """
    codec = "libx264" if request.param == "mkv" else "mpeg4"
    whole = render(folder / f"whole.{request.param}", 200, codec=codec, bframes=0)
    return remux(whole, folder / f"segment.{request.param}", late=16)


def test_a_segment_that_keeps_the_clock_of_its_recording_is_whole(segment, monkeypatch):
    numbers, end = read(segment, 0.2)
    clip = read_clip(segment)
    monkeypatch.setattr(index, "SCAN_PACKETS", 0)
    unread = read_clip(segment)  # as if it were too long to be read through

    assert numbers == expected(np.arange(200) / 25, 8.0, 0.2)
    assert (end.status, end.message, end.notes) == (Outcome.OK, "", ())
    assert (clip.status, clip.message, clip.notes) == ("ok", "", ())
    for seconds in (end.seconds, end.promised, clip.seconds, unread.seconds):
        assert seconds == pytest.approx(8.0, abs=0.05)


@pytest.mark.parametrize(("suffix", "words"), [("mkv", "cut off"), ("flv", "promises 8.00 s, the")])
def test_a_segment_that_is_cut_off_says_so(folder, suffix, words):
    """Flash files do not say their size: there the duration has to tell."""
    codec = "libx264" if suffix == "mkv" else "flv"
    whole = render(folder / f"full.{suffix}", 200, codec=codec, bframes=0)
    path = remux(whole, folder / f"half.{suffix}", late=16)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    _, end = read(path, 0.2)
    clip = read_clip(path)

    for one in (end, clip):
        assert one.status == "degraded"
        assert words in " ".join([one.message, *one.notes])
        assert 3 < one.seconds < 5


def test_a_header_that_promises_too_much_is_a_note_where_the_file_is_whole(folder):
    """A Matroska file says how many bytes it has; its duration is eight bytes behind 44 89 88."""
    content = bytearray(render(folder / "whole.mkv", 50).read_bytes())
    struct.pack_into(">d", content, content.index(b"\x44\x89\x88") + 3, 24_000.0)
    path = folder / "proud.mkv"
    path.write_bytes(content)

    _, end = read(path)
    clip = read_clip(path)

    for one in (end, clip):
        assert one.status == "ok", one.message
        assert one.notes == ("The header promises 24.00 s, the pictures last 2.00 s.",)


@pytest.mark.parametrize(
    ("content", "code"), [(b"not a video", Outcome.UNREADABLE), (b"", Outcome.UNREADABLE)]
)
def test_what_is_no_film_is_one_last_part(folder, content, code):
    path = folder / "bad.mp4"
    path.write_bytes(content)

    [part] = film(source(path), GridRequest(spacing=1.0))

    assert part.done
    assert part.status is code
    assert part.message
    [missing] = film(source(folder / "missing.mp4"), GridRequest(spacing=1.0))
    assert missing.status is Outcome.UNREADABLE


def test_a_worker_killed_in_the_middle_leaves_what_it_gave(long):
    before = children(os.getpid())
    parts = film(source(long), GridRequest(spacing=0.04, points=16))
    got = [next(parts)]
    [worker] = children(os.getpid()) - before

    os.kill(worker, signal.SIGKILL)
    got += list(parts)

    assert got[-1].done
    assert got[-1].status is Outcome.DEGRADED
    assert "died" in got[-1].message
    assert 16 <= sum(map(len, got)) < 3000


def test_a_worker_killed_at_once_gets_another_chance_and_then_the_blame(long, monkeypatch):
    greet, starts = WorkerProcess.greet, []

    def killed_once(self):
        ready = greet(self)
        starts.append(self.pid)
        if len(starts) <= strikes:
            os.kill(self.pid, signal.SIGKILL)
        return ready

    monkeypatch.setattr(WorkerProcess, "greet", killed_once)
    strikes = 1
    assert list(film(source(long), GridRequest(spacing=30.0)))[-1].status is Outcome.OK
    strikes, starts[:] = 2, []
    [part] = film(source(long), GridRequest(spacing=5.0))
    assert part.status is Outcome.CRASHED


def test_a_worker_that_hangs_is_given_up_in_time(long):
    before = children(os.getpid())
    limits = Limits(seconds=2.0, seconds_per_frame=0.0)  # the first part comes in time
    parts = film(source(long), GridRequest(spacing=0.04, points=16), limits)
    next(parts)
    [worker] = children(os.getpid()) - before

    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    [*_, last] = parts

    assert time.monotonic() - start < 10  # and not the 40 s of the default limits
    assert last.status is Outcome.DEGRADED
    assert "given up" in last.message
    assert wait_until(lambda: worker not in children(os.getpid()))


def test_whoever_stops_listening_leaves_no_worker(long):
    before = children(os.getpid())
    parts = film(source(long), GridRequest(spacing=0.04, points=16))
    list(itertools.islice(parts, 3))

    parts.close()

    assert children(os.getpid()) == before


def test_a_slow_listener_holds_the_reader_back(long):
    """Two parts wait, one is in the pipe and one in the reader's hand; no more are made.

    A worker that could go on would soon come to the end of the film, and be gone.
    """
    before = children(os.getpid())
    parts = film(source(long), GridRequest(spacing=0.04, points=16))
    next(parts)
    [worker] = children(os.getpid()) - before

    def busy():
        fields = Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def is_quiet():
        at = busy()
        time.sleep(0.5)
        return busy() - at <= 2  # hundredths of a second

    assert wait_until(is_quiet, 60)
    assert worker in children(os.getpid())
    parts.close()


PART = Part(
    np.zeros((2, 4, 6, 3), np.uint8), np.array([0, 1, 1]), 0.25, 9.0, done=True, seconds=9.0
)
REQUEST = GridRequest(spacing=0.25, points=4)


def heard(**changed):
    """What the parent makes of a part whose header was changed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(ours)
        channel.deadline = time.monotonic() + 5
        header, arrays = _part_header(PART)
        index = changed.pop("index", None)
        text = json.dumps({**header, **changed}).encode()
        body = [bytes(array) for array in arrays]
        if index is not None:
            body[0] = np.array(index, np.int64).tobytes()
        theirs.sendall(struct.pack("!I", len(text)) + text + b"".join(body))
        theirs.shutdown(socket.SHUT_WR)
        return receive_part(channel, REQUEST, Limits())


def test_a_part_arrives_as_it_was_sent():
    part = heard()

    assert part.done
    assert part.seconds == 9.0
    assert part.index.tolist() == [0, 1, 1]
    assert part.frames.shape == (2, 4, 6, 3)


@pytest.mark.parametrize(
    "lie",
    [
        {"points": 5},
        {"points": -1},
        {"points": "3"},
        {"spacing": 0.5},
        {"spacing": None},
        {"frames": [4, 4, 6]},
        {"frames": [2, 10**6, 10**6]},
        {"frames": None},
        {"index": [0, 1, 2]},
        {"index": [0, -1, 1]},
        {"status": "splendid"},
        {"seconds": -1.0},
        {"size": [0, 5]},
        {"size": "large"},
        {"notes": "none"},
        {"message": 5},
        {"promised": float("nan")},
    ],
    ids=str,
)
def test_what_cannot_be_true_is_not_believed(lie):
    with pytest.raises(Nonsense):
        heard(**lie)
