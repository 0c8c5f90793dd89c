"""Times that leap: what damage did to them, what a pause is, and where recordings were joined."""

import random
import re

import av
import numpy as np
import pytest
from clips import number_in, numbers_seen, read, render
from live_watching import Watching

from actionclip.video.film.session import film
from actionclip.video.live.queue import Gap
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import GridRequest
from actionclip.video.sources import Source

COUNT = 300
EVENLY = tuple(range(4, COUNT, 20))


def on_grid(path, spacing=0.2):
    """The numbers of a timeline's frames, and its last part."""
    numbers = []
    for part in film(Source(path.name, path), GridRequest(spacing=spacing)):
        if part.frames is not None:
            seen = [number_in(frame) for frame in part.frames]
            numbers += [seen[place] for place in part.index]
    return numbers, part


def flipped(path, new, seed, flips):
    """A copy in which bits are flipped in the times of some pictures."""
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    if path.suffix == ".ts":
        starts = [found.start() for found in re.finditer(b"\0\0\1\xe0", data)]
    else:
        starts, place = [], 13
        while place + 11 < len(data):
            starts += [place] if data[place] == 9 else []
            place += 15 + int.from_bytes(data[place + 1 : place + 4], "big")
    for start in chance.sample(starts[5:], flips):
        if path.suffix == ".ts":  # five bytes each, shown and decoded; the first bits are marks
            has_both = data[start + 7] >> 6 == 3
            field = start + 9 + 5 * (has_both and chance.random() < 0.5)
            data[field + chance.choice([0, 1])] ^= chance.choice([2, 4, 8])
        else:
            data[start + chance.choice([4, 5, 7])] ^= 1 << chance.randrange(3, 7)
    new.write_bytes(data)
    return new


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("leaps")


@pytest.fixture(scope="module")
def whole(folder):
    """The undamaged film of a kind."""
    made = {}

    def of(suffix, bframes):
        if (suffix, bframes) not in made:
            name = folder / f"whole-{bframes}.{suffix}"
            options = {"preset": "ultrafast", "x264-params": f"bframes={bframes}:b-adapt=0"}
            made[suffix, bframes] = render(name, COUNT, gop=25, options=options)
        return made[suffix, bframes]

    return of


KINDS = [("ts", 0), ("ts", 2), ("flv", 0), ("flv", 2)]


@pytest.mark.parametrize(("suffix", "bframes"), KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_times_do_not_change_how_long_a_film_is(folder, whole, suffix, bframes, seed):
    path = whole(suffix, bframes)
    broken = flipped(path, folder / f"{bframes}-{seed}.{suffix}", seed, 1 + seed)

    reading = read(broken, numbers=EVENLY, frames=len(EVENLY))

    expected = read(path, numbers=EVENLY, frames=len(EVENLY))
    assert reading.seconds == pytest.approx(expected.seconds, abs=0.05)
    np.testing.assert_allclose(reading.times, expected.times, atol=0.05 * (1 + seed))
    off = np.abs(np.array(numbers_seen(reading)) - numbers_seen(expected))
    assert off.max() <= 1 + seed  # a picture with two times may have lost its own
    assert any("Damaged times" in note for note in reading.notes)
    numbers, end = on_grid(broken)
    assert end.seconds == pytest.approx(12.0, abs=0.05)
    assert np.abs(np.array(numbers) - on_grid(path)[0]).max() <= 1
    assert any("Damaged times" in note for note in end.notes)


@pytest.mark.parametrize(("suffix", "bframes"), KINDS)
def test_a_file_that_is_watched_keeps_its_times_where_one_is_damaged(
    folder, whole, suffix, bframes
):
    broken = flipped(whole(suffix, bframes), folder / f"{bframes}-live.{suffix}", 1, 2)

    with Watching(broken, speed=0) as watching:
        watching.all()

    times = [frame.time for frame in watching.frames]
    np.testing.assert_allclose(times, np.arange(60) * 0.2, atol=0.09)
    assert watching.of(Gap) == []
    assert watching.feed.seen == COUNT


# --- pauses are none of that ----------------------------------------------------------------------


def paused():
    """Ticks of 1/25 s: bursts of a few pictures, and pauses of up to an hour between them."""
    steps = np.ones(120, np.int64)
    steps[[9, 10, 40, 75, 76, 77, 110, 117]] = [30, 250, 3, 90_000, 26, 700, 25, 2000]
    return np.cumsum(steps).tolist()


@pytest.mark.parametrize(
    ("suffix", "bframes"), [("mkv", 0), ("mkv", 3), ("mp4", 0), ("mp4", 3), ("flv", 0)]
)
def test_a_picture_that_stands_still_stands_as_long_as_the_file_says(tmp_path, suffix, bframes):
    ticks = paused()
    path = render(tmp_path / f"a.{suffix}", 120, bframes=bframes, ticks=ticks)

    reading = read(path, numbers=tuple(range(120)), frames=120)

    times = (np.array(ticks) - ticks[0]) / 25
    assert numbers_seen(reading) == list(range(120))
    np.testing.assert_allclose(reading.times[0], times, atol=0.002)
    assert reading.status is Outcome.OK
    numbers, end = on_grid(path, 5.0)
    assert end.seconds == pytest.approx(times[-1], abs=1.0)
    assert not any("times" in note or "clock" in note for note in (*reading.notes, *end.notes))
    at = np.arange(2.5, end.seconds, 5.0)
    assert numbers == (np.searchsorted(times, at, side="right") - 1).tolist()


def test_slides_a_minute_apart_are_slides(tmp_path):
    path = render(tmp_path / "a.mkv", 40, bframes=3, ticks=[1500 * n for n in range(40)])

    reading = read(path, numbers=tuple(range(40)), frames=40)

    assert numbers_seen(reading) == list(range(40))
    np.testing.assert_allclose(reading.times[0], np.arange(40) * 60.0, atol=0.002)


def recorded(path, ticks, *, sound_until=None, late=0):
    """A transport stream of numbered pictures with sound, its clock `late` seconds on."""
    silent = render(path.with_suffix(".mp4"), len(ticks), bframes=0, ticks=ticks)
    options = {"mpegts_copyts": "1", "muxdelay": "0"}
    with (
        av.open(str(silent)) as source,
        av.open(str(path), "w", format="mpegts", container_options=options) as output,
    ):
        picture = output.add_stream_from_template(source.streams.video[0])
        track = output.add_stream("mp2", rate=16000, layout="mono")
        heard, frames = 0.0, 0
        for packet in [packet for packet in source.demux(video=0) if packet.size]:
            now = float(packet.pts * packet.time_base)
            while heard <= now and (sound_until is None or heard < sound_until):
                sound = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1152), np.int16), format="s16", layout="mono"
                )
                sound.sample_rate, sound.pts = 16000, (frames * 1152) + late * 16000
                output.mux(track.encode(sound))
                frames += 1
                heard = frames * 1152 / 16000
            packet.stream = picture
            ticks_late = round(late / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks_late, packet.dts + ticks_late
            output.mux(packet)
        output.mux(track.encode(None))
    return path


def test_a_broadcast_whose_sound_goes_on_shows_a_slide_for_as_long(tmp_path):
    ticks = [*range(50), *range(1050, 1100), *range(3000, 3050)]  # pauses of 40 and 76 s
    path = recorded(tmp_path / "talk.ts", ticks)

    reading = read(path, numbers=tuple(range(150)), frames=150)

    assert numbers_seen(reading) == list(range(150))
    np.testing.assert_allclose(reading.times[0], np.array(ticks) / 25, atol=0.002)
    assert on_grid(path)[1].seconds == pytest.approx(122.0, abs=0.05)


# --- recordings that were joined ------------------------------------------------------------------

HOURS = [0, 7200, 90_000]


@pytest.mark.parametrize("late", HOURS)
@pytest.mark.parametrize("swapped", [False, True])
def test_recordings_that_were_joined_follow_on_each_other(tmp_path, late, swapped):
    parts = [
        recorded(tmp_path / "one.ts", list(range(100))).read_bytes(),
        recorded(tmp_path / "two.ts", list(range(75)), late=late).read_bytes(),
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts[::-1] if swapped else parts))

    reading = read(path, numbers=tuple(range(175)), frames=175)

    lengths = (75, 100) if swapped else (100, 75)
    shown = [*range(lengths[0]), *range(lengths[1])]
    assert reading.seconds == pytest.approx(7.0, abs=0.05)
    assert numbers_seen(reading) == shown
    np.testing.assert_allclose(reading.times[0], np.arange(175) / 25, atol=0.05)
    assert any("clock starts anew" in note for note in reading.notes)
    assert reading.status is Outcome.OK
    numbers, end = on_grid(path)
    assert end.status is Outcome.OK
    assert numbers == shown[2::5]
    assert end.seconds == pytest.approx(7.0, abs=0.05)


def test_frames_here_and_there_of_a_joined_film_are_the_right_ones(tmp_path):
    one = recorded(tmp_path / "one.ts", list(range(2000)), sound_until=0.0).read_bytes()
    two = recorded(tmp_path / "two.ts", list(range(2000)), sound_until=0.0).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(one + two)

    reading = read(path, numbers=(7, 1500, 2003, 3900), frames=4)

    assert numbers_seen(reading) == [7, 1500, 3, 1900]


def test_a_joined_file_is_watched_on_without_a_hole(tmp_path):
    one = recorded(tmp_path / "one.ts", list(range(100))).read_bytes()
    two = recorded(tmp_path / "two.ts", list(range(100)), late=3600).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(one + two)

    with Watching(path, speed=0) as watching:
        watching.all()

    np.testing.assert_allclose([f.time for f in watching.frames], np.arange(40) * 0.2, atol=0.05)
    assert watching.of(Gap) == []
