"""The frame asked for is the frame that comes: every frame of these videos says its own number."""

import os
from fractions import Fraction

import numpy as np
import pytest
from clips import number_in, numbers_seen, render

from actionclip.video.decode.pyav import index as index_module
from actionclip.video.decode.pyav import reader
from actionclip.video.film.session import film
from actionclip.video.settings import GridRequest, Limits, ReadRequest, Sampling
from actionclip.video.sources import Source

FRAMES = 60
READS = 28

# Frame times in hundredths of a second: a pause, a rush, and an uneven pace.
UNEVEN = np.cumsum([300 if i == 20 else 1 + (i * 7) % 11 for i in range(FRAMES)]).tolist()
HUNDREDTHS = Fraction(1, 100)

OPEN_GROUPS = "keyint=12:min-keyint=12:scenecut=0:b-adapt=0:open-gop=1:bframes=3"
PYRAMID = "bframes=3:b-adapt=0:b-pyramid=normal:ref=4"
X265 = "log-level=none:pools=none:"

CLIPS = {
    "h264-b-frames.mp4": {"options": {"preset": "veryfast", "x264-params": PYRAMID}},
    "h264-open-groups.mp4": {"options": {"x264-params": OPEN_GROUPS}},
    "h264-open-groups.ts": {"options": {"x264-params": OPEN_GROUPS}},
    "h264-intra-refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12"}},
    "h264-fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264-10-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "h264-interlaced.mkv": {"options": {"x264-params": "tff=1"}},
    "h264-uneven.mp4": {"ticks": UNEVEN, "time_base": HUNDREDTHS},
    "h264-uneven.mkv": {"ticks": UNEVEN, "time_base": HUNDREDTHS},
    "h264-late-start.mp4": {"ticks": range(1000, 1000 + FRAMES)},
    "h264-late-start.mkv": {"ticks": range(1000, 1000 + FRAMES)},
    "h264-long-groups.mp4": {"count": 600, "gop": 250, "options": {"x264-params": "scenecut=0"}},
    "h264-long-groups.ts": {"count": 600, "gop": 250, "options": {"x264-params": "scenecut=0"}},
    "h264.avi": {},
    "h264.flv": {},
    "h264.h264": {"container": "h264"},
    "h264-one-frame.mp4": {"count": 1},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": X265 + "bframes=3:b-adapt=0"}},
    "hevc-open-groups.mkv": {"codec": "libx265", "options": {"x265-params": X265 + OPEN_GROUPS}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "lag-in-frames": "16"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg4.avi": {"codec": "mpeg4", "bframes": 0},
    "mpeg4-b-frames.avi": {"codec": "mpeg4", "bframes": 2},
    "mpeg4-b-frames.mp4": {"codec": "mpeg4", "bframes": 2},
    "mpeg4.m4v": {"codec": "mpeg4", "bframes": 2, "container": "m4v"},
    "mpeg2.ts": {"codec": "mpeg2video", "bframes": 2},
    "mpeg2.mpg": {"codec": "mpeg2video", "bframes": 2},
    "mpeg1.mpg": {"codec": "mpeg1video", "bframes": 2},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "ffv1.mkv": {"codec": "ffv1", "size": (97, 65)},
    "sorenson.flv": {"codec": "flv"},
    "wmv2.wmv": {"codec": "wmv2"},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")

    def path_of(name):
        path = folder / name
        settings = dict(CLIPS[name])
        if not path.exists():
            render(path, settings.pop("count", FRAMES), **settings)
        return path, CLIPS[name].get("count", FRAMES)

    return path_of


def read(path, wanted, monkeypatch, **request):
    """The reading of exactly these frame numbers, in this order."""
    numbers = np.array(wanted, np.int64)[None]
    monkeypatch.setattr(reader, "choose_for", lambda *_, **__: numbers)
    file = os.open(path, os.O_RDONLY)
    try:
        sampling = Sampling(frames=numbers.size)
        return reader.read_video(file, ReadRequest(sampling=sampling, **request), Limits())
    finally:
        os.close(file)


def orders(count, reads, seed):
    """What to ask for: few and many frames, forwards, backwards, at random, twice the same."""
    rng = np.random.default_rng(seed)
    for i in range(reads):
        wanted = rng.integers(0, count, rng.integers(1, 10))
        yield [wanted, np.sort(wanted), np.sort(wanted)[::-1], wanted.repeat(2)][i % 4].tolist()


@pytest.mark.parametrize("name", CLIPS)
def test_every_read_gives_the_frames_asked_for(name, clip, monkeypatch):
    path, count = clip(name)

    for wanted in orders(count, READS, seed=len(name)):
        reading = read(path, wanted, monkeypatch)

        assert numbers_seen(reading) == wanted
        assert reading.frame_numbers.tolist() == [wanted]
        assert reading.status == "ok", reading.message
        assert len(reading.frames) == len(set(wanted))


def test_these_are_a_thousand_reads():
    assert len(CLIPS) * READS + len(HARD_EDGES) * 3 >= 1000


HARD_EDGES = [name for name in CLIPS if name != "h264-one-frame.mp4"]


@pytest.mark.parametrize("name", HARD_EDGES)
def test_the_first_the_last_and_all_frames(name, clip, monkeypatch):
    path, count = clip(name)

    assert numbers_seen(read(path, [count - 1], monkeypatch)) == [count - 1]
    assert numbers_seen(read(path, [count - 1, 0], monkeypatch)) == [count - 1, 0]
    assert numbers_seen(read(path, range(FRAMES), monkeypatch)) == list(range(FRAMES))


@pytest.mark.parametrize("name", ["h264-uneven.mp4", "h264-uneven.mkv"])
def test_times_are_those_of_the_file_however_uneven(name, clip, monkeypatch):
    path, _ = clip(name)

    reading = read(path, [0, 20, 40, 59], monkeypatch)

    expected = (np.array(UNEVEN)[[0, 20, 40, 59]] - UNEVEN[0]) / 100
    assert reading.times[0] == pytest.approx(expected, abs=1e-3)
    assert reading.seconds == pytest.approx((UNEVEN[-1] - UNEVEN[0]) / 100, abs=0.2)


@pytest.mark.parametrize("name", ["h264-late-start.mp4", "h264-late-start.mkv", "mpeg2.ts"])
def test_times_count_from_the_first_frame(name, clip, monkeypatch):
    path, _ = clip(name)

    reading = read(path, [0, 10], monkeypatch)

    assert reading.times[0] == pytest.approx([0, 0.4], abs=2e-3)
    assert reading.seconds == pytest.approx(2.4, abs=0.05)


TIMED = [
    name
    for name, settings in CLIPS.items()
    if "avi" not in name and "uneven" not in name and name not in ("h264.h264", "mpeg4.m4v")
    if settings.get("codec") not in ("mpeg1video", "mpeg2video") or name.endswith(".ts")
]


@pytest.mark.parametrize("name", TIMED)
def test_a_film_too_long_to_read_through_is_read_by_time(name, clip, monkeypatch):
    """Not promised to be exact; here the pace is even and so it is."""
    path, count = clip(name)
    monkeypatch.setattr(index_module, "SCAN_PACKETS", 0)

    for wanted in orders(count, 4, seed=1):
        reading = read(path, sorted(wanted), monkeypatch)

        assert numbers_seen(reading) == sorted(wanted)
        assert "estimates" in reading.notes[0]


def test_a_long_film_is_not_decoded_to_look_at_a_few_frames(clip, monkeypatch):
    path, _ = clip("h264-long-groups.mp4")
    fed = []
    feed = reader.Decoder.feed
    monkeypatch.setattr(
        reader.Decoder,
        "feed",
        lambda self, packet, **kw: fed.append(packet.pts) or feed(self, packet, **kw),
    )

    assert numbers_seen(read(path, [3, 255, 502], monkeypatch)) == [3, 255, 502]
    assert len(fed) < 30
    fed.clear()
    monkeypatch.setattr(index_module, "SCAN_PACKETS", 0)
    assert numbers_seen(read(path, [3, 255, 502], monkeypatch)) == [3, 255, 502]
    assert len(fed) < 60


def test_nearest_keyframes_are_keyframes_and_near(clip, monkeypatch):
    path, _ = clip("h264-long-groups.mp4")

    reading = read(path, [0, 100, 130, 400, 599], monkeypatch, nearest_keyframes=True)

    assert numbers_seen(reading) == [0, 0, 250, 500, 500]
    assert reading.frame_numbers.tolist() == [[0, 0, 250, 500, 500]]
    assert reading.status == "ok"
    monkeypatch.setattr(index_module, "SCAN_PACKETS", 0)
    sparse = read(path, [0, 100, 130, 400, 599], monkeypatch, nearest_keyframes=True)
    assert set(numbers_seen(sparse)) <= {0, 250, 500}


TORN = [
    ("libx264", {"x264-params": PYRAMID}),
    ("libx264", {"x264-params": OPEN_GROUPS}),
    ("libx265", {"x265-params": X265 + "keyint=12:min-keyint=12:scenecut=0"}),
    ("libx265", {"x265-params": X265 + OPEN_GROUPS}),
    ("mpeg2video", {}),
]


@pytest.mark.parametrize(("codec", "options"), TORN)
def test_a_stream_torn_from_a_broadcast_begins_at_its_first_picture(
    codec, options, tmp_path, monkeypatch
):
    """A film and a clip count seconds from the same frame, the first that can be decoded."""
    whole = render(tmp_path / "whole.ts", FRAMES, codec=codec, options=options, bframes=2)
    packets = whole.read_bytes()
    tables, torn = packets[: 188 * 3], packets[188 * (len(packets) // 188 // 10) :]
    path = tmp_path / "torn.ts"
    path.write_bytes(tables + torn)
    first, *_ = film(Source(path.name, path), GridRequest(spacing=0.04, points=4))

    reading = read(path, [0, 12, 24], monkeypatch)

    begins = number_in(first.frames[0])
    assert begins > 0
    assert numbers_seen(reading) == [begins, begins + 12, begins + 24]
    assert reading.times[0] == pytest.approx([0, 0.48, 0.96], abs=2e-3)
    assert "cannot be shown" in reading.notes[0]
