"""Some frames without a time of their own, or out of turn, do not spoil the times of the others."""

import re

import av
import numpy as np
import pytest
from clips import number_in, numbers_seen, picture, read, render

from actionclip.video.film.session import film
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import GridRequest, Sampling
from actionclip.video.sources import Source

TIMES = np.cumsum([0.0, *[0.04] * 49, *[1.0] * 12, *[0.04] * 50])
"""A screen that is recorded: for a while nothing moves, and few pictures are written."""
CODECS = {
    "mkv": {"codec": "libx264", "bframes": 0},
    "flv": {"codec": "libx264", "bframes": 0},
    "webm": {"codec": "libvpx", "options": {"cpu-used": "8", "lag-in-frames": "0"}},
}


def stamped(path, new, times):
    """Copy the packets of a video without B-frames, the n-th shown at `times[n]` seconds."""
    with av.open(str(path)) as source, av.open(str(new), "w") as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet, time in zip(packets, times, strict=True):
            packet.pts = packet.dts = round(time / packet.time_base)
            packet.stream = copy
            output.mux(packet)
    return new


def recorded(folder, suffix, repeated):
    """A recording in which some frames have the time of the one before."""
    times = TIMES.copy()
    times[repeated] = times[np.array(repeated) - 1]
    even = render(folder / f"even.{suffix}", len(times), **CODECS[suffix])
    return stamped(even, folder / f"recorded.{suffix}", times)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("repeated", [[1], [55], [20, 70]])
def test_a_time_that_two_frames_have_is_that_of_the_first(tmp_path, suffix, repeated):
    path = recorded(tmp_path, suffix, repeated)

    reading = read(path, numbers=tuple(range(100)), frames=100)

    left = np.delete(np.arange(len(TIMES)), repeated)[:100]
    assert reading.status is Outcome.OK
    assert numbers_seen(reading) == left.tolist()
    np.testing.assert_allclose(reading.times[0], TIMES[left], atol=0.002)
    assert reading.seconds == pytest.approx(TIMES[-1] + 0.04, abs=0.002)
    assert not any("timestamps" in note for note in reading.notes)


def test_a_stretch_lies_where_the_film_has_it(tmp_path):
    path = recorded(tmp_path, "mkv", [55])
    spaced = Sampling(rule="spaced", frames=8, spacing=0.25)

    reading = read(path, sampling=spaced, start=7.0, end=9.0)

    seen = []
    for part in film(Source(path.name, path), GridRequest(spacing=0.25)):
        seen += [number_in(part.frames[place]) for place in part.index]
    assert numbers_seen(reading) == seen[28:36]


def grainy(number):
    """A numbered picture with grain: it fills more than one packet."""
    grain = np.random.default_rng(number).integers(-15, 16, (128, 192, 3))
    return (picture(number, 192, 128) + grain).clip(0, 255).astype(np.uint8)


def test_a_picture_that_a_broadcast_gives_no_time_costs_no_other_its_own(tmp_path):
    ticks = [i + 100 * (i >= 60) for i in range(150)]  # four seconds were not recorded
    path = render(
        tmp_path / "a.ts", 150, gop=50, bframes=2, size=(192, 128), pictures=grainy, ticks=ticks
    )
    data = bytearray(path.read_bytes())
    headers = [place.start() for place in re.finditer(b"\0\0\1\xe0", data)]
    data[headers[80] + 7] &= 0x3F  # neither a time to show it nor one to decode it
    path.write_bytes(data)

    reading = read(path, numbers=tuple(range(120)), frames=120)

    seen = np.array(numbers_seen(reading))
    np.testing.assert_allclose(reading.times[0], np.array(ticks)[seen] / 25, atol=0.001)
    assert len(set(range(121)) - set(seen.tolist())) == 1
    assert reading.seconds == pytest.approx(10.0)


def test_frames_that_damage_puts_out_of_turn_do_not_move_the_others(tmp_path):
    path = render(
        tmp_path / "a.mp4",
        500,
        gop=50,
        bframes=3,
        size=(192, 128),
        pictures=grainy,
        container_options={"movflags": "faststart"},
    )
    data = bytearray(path.read_bytes())
    start, length = len(data) // 2, len(data) // 10
    data[start : start + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(data)

    reading = read(path, numbers=tuple(range(200, 480)), frames=280)

    assert reading.status is Outcome.DEGRADED
    assert reading.seconds == pytest.approx(20.0)
    assert numbers_seen(reading)[-80:] == list(range(400, 480))
    np.testing.assert_allclose(reading.times[0, -80:], np.arange(400, 480) / 25, atol=0.001)


def broadcast(path, first, pictures, sound):
    """A stretch of a transport stream, with the sound of its time or without."""
    with av.open(str(path), "w", format="mpegts") as output:
        film = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "qp": "20"})
        height, film.width = pictures[0].shape[:2]
        film.height, film.pix_fmt = height, "yuv420p"
        track = output.add_stream("aac", rate=48000) if sound else None
        for number, shown in enumerate(pictures, start=first):
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts = number
            output.mux(film.encode(frame))
            if track is not None:
                silence = np.zeros((1, 1920), np.float32)
                heard = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 48000, number * 1920
                output.mux(track.encode(heard))
        output.mux(film.encode(None))
        if track is not None:
            output.mux(track.encode(None))
    return path.read_bytes()


def test_sound_that_begins_in_mid_broadcast_makes_nothing_unreadable(tmp_path):
    """FFmpeg looks at the beginning and the end of a file to see what is in it."""
    noise = np.random.default_rng(0).integers(0, 255, (170, 192, 288, 3), np.uint8)
    parts = [(0, noise[:130], False), (130, noise[130:140], True), (140, noise[140:], False)]
    path = tmp_path / "broadcast.ts"
    path.write_bytes(b"".join(broadcast(tmp_path / "part.ts", *part) for part in parts))
    with av.open(str(path)) as whole:
        assert [stream.type for stream in whole.streams] == ["video"]

    reading = read(path, numbers=(0, 129, 135, 169), frames=4)

    assert reading.status.usable
    assert reading.seconds == pytest.approx(170 / 25, abs=0.05)
    seen = list(film(Source("broadcast.ts", path), GridRequest(spacing=0.2)))
    assert "video we can read" not in seen[-1].message
    assert sum(map(len, seen)) == 34
