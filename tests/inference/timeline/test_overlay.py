"""The video with its labels drawn in: pictures, times and sound."""

import socket
import time
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from timelines import timeline_of

import actionclip
from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline import overlay as overlay_module
from actionclip.inference.timeline.overlay import caption_picture, write_overlay
from actionclip.inference.timeline.page import timeline_page
from actionclip.inference.timeline.plot import colour_of
from actionclip.inference.timeline.segments import Segment
from actionclip.inference.timeline.text import clock, to_srt, to_vtt
from actionclip.video.decode.workers.protocol import Channel, Nonsense, clean
from actionclip.video.film.drawing import COPIED, Caption, Drawn, _Overlay
from actionclip.video.film.recording import receive_drawn, record
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sources import Source

RATE = 48_000


def write_talkie(path, *, sound="aac", frames=50, late=0.0, form=None, rate=RATE):
    """Two seconds of grey, 96 x 64, with a tone."""
    with av.open(str(path), "w", format=form) as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream(sound, rate=rate)
        grey = np.full((64, 96, 3), 128, np.uint8)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = number + round(late * 25), Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(rate * 2) * 2 * np.pi * 440 / rate).astype(np.float32)
        layout = "stereo" if sound == "aac" else "mono"
        for start in range(0, len(tone), 1024):
            part = tone[None, start : start + 1024]
            planes = np.repeat(part, 2 if layout == "stereo" else 1, axis=0)
            piece = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            piece.sample_rate, piece.pts = rate, start
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("ending", "late", "shown"),
    [(".mp4", 0.8, 0.8), (".mkv", 0.8, 0.8), (".ts", 0.8, 0.8), (".mp4", 0, 0), (".mp4", 0.02, 0)],
)
def test_subtitles_and_pages_wait_for_a_picture_that_begins_after_the_sound(
    tmp_path, ending, late, shown
):
    """Players count from where the sound begins."""
    film = write_talkie(tmp_path / f"film{ending}", late=late)
    with actionclip.load("tiny", device="cpu", workers=1) as recognizer:
        found = recognizer.timeline(film, [SEGMENTS[0].label, "b"])
    made = replace(found, segments=list(SEGMENTS[:1]))
    [segment] = SEGMENTS[:1]

    begins = made.begins
    assert begins == pytest.approx(shown, abs=0.03)
    assert made.to_dict()["begins"] == round(begins, 3)
    for text in (to_srt(made).replace(",", "."), to_vtt(made)):
        assert f"{clock(segment.start + begins)} --> {clock(segment.end + begins)}" in text
    assert f'data-begins="{begins:.3f}"' in timeline_page(made, tmp_path / "page.html")


SEGMENTS = (Segment(0.5, 1.0, "waving <b>", 0.9), Segment(1.5, 2.0, "x" * 500, 0.5))


def result(path):
    return timeline_of(SEGMENTS, source=path.name, path=path, seconds=2.0)


def pictures(path):
    """Times and pictures."""
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def packets(path):
    """The sound as it is stored."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return stream.codec_context.name, [bytes(p) for p in container.demux(stream) if p.size]


def heard(path):
    """Seconds of sound."""
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def is_marked(picture):
    """Whether something is drawn into the grey."""
    return bool((np.abs(picture.astype(int) - 128) > 40).any())


@pytest.mark.parametrize("ending", [".mp4", pytest.param(".mkv", marks=pytest.mark.slow)])
def test_labels_are_drawn_while_they_hold_and_the_sound_is_the_same(tmp_path, ending):
    film = write_talkie(tmp_path / "film.mp4")
    out = tmp_path / f"out{ending}"

    drawn = write_overlay(result(film), out)

    assert drawn.sound == "copied"
    assert drawn.status is Outcome.OK
    shown = pictures(out)
    assert len(shown) == 50
    begins = shown[0][0]  # Matroska has no times below zero, where AAC warms up
    assert begins < 0.05
    for number, (at, picture) in enumerate(shown):
        assert at - begins == pytest.approx(number / 25, abs=1e-3)
        assert is_marked(picture) == (0.5 <= number / 25 < 1.0 or number / 25 >= 1.5), number
    assert packets(out) == packets(film)


@pytest.mark.parametrize(
    ("sound", "ending"),
    [("pcm_f32le", ".mkv"), pytest.param("mp2", ".mkv", marks=pytest.mark.slow)],
)
def test_sound_that_mp4_cannot_carry_is_encoded_anew(tmp_path, sound, ending):
    film = write_talkie(tmp_path / f"film{ending}", sound=sound)
    out = tmp_path / "out.mp4"

    drawn = write_overlay(result(film), out)

    assert drawn.sound == "encoded anew as AAC"
    name, found = packets(out)
    assert name == "aac"
    assert len(found) > 80
    with av.open(str(out)) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    spectrum = np.abs(np.fft.rfft(heard[:RATE]))
    assert np.argmax(spectrum) * RATE / RATE == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("sound", "ending"), [("aac", ".mp4"), ("aac", ".mkv"), ("ac3", ".mp4")])
def test_the_sound_of_a_transport_stream_is_copied(tmp_path, sound, ending):
    """Only its packets say what it is: its rate and channels."""
    film = write_talkie(tmp_path / "film.ts", sound=sound)
    out = tmp_path / f"out{ending}"

    drawn = write_overlay(result(film), out)

    assert (drawn.status, drawn.sound) == (Outcome.OK, "copied")
    assert packets(out)[0] == sound
    assert heard(out) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("sound", ["aac", "mp2"])
def test_two_recordings_in_one_file_have_the_sound_of_both(tmp_path, sound):
    film = write_talkie(tmp_path / "film.ts", sound=sound)
    film.write_bytes(film.read_bytes() * 2)

    drawn = write_overlay(result(film), tmp_path / "out.mp4")

    assert drawn.sound == ("copied" if sound == "aac" else "encoded anew as AAC")
    assert drawn.at == pytest.approx(4.0, abs=0.1)
    assert heard(tmp_path / "out.mp4") == pytest.approx(4.0, abs=0.2)


def test_sound_at_a_rate_that_aac_does_not_know_is_resampled(tmp_path):
    film = write_talkie(tmp_path / "film.mkv", sound="pcm_f32le", rate=11_111)

    drawn = write_overlay(result(film), tmp_path / "out.mp4")

    assert drawn.sound == "encoded anew as AAC"
    assert heard(tmp_path / "out.mp4") == pytest.approx(2.0, abs=0.2)


def test_a_silent_film_stays_silent_and_odd_sides_lose_a_pixel(tmp_path):
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        video = container.add_stream("ffv1", rate=10)
        video.width, video.height, video.pix_fmt = 97, 65, "yuv420p"
        for _ in range(20):
            grey = np.full((65, 97, 3), 128, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(video.encode(None))

    drawn = write_overlay(result(film), tmp_path / "out.mp4")

    assert drawn.sound == "none"
    [*_, (_, last)] = pictures(tmp_path / "out.mp4")
    assert last.shape == (64, 96, 3)
    assert is_marked(last)


def test_pixels_that_are_not_square_stay_so(tmp_path):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        grey = np.full((64, 96, 3), 128, np.uint8)
        container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(video.encode(None))

    write_overlay(result(film), tmp_path / "out.mp4")

    for path in (film, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_pixels_of_a_film_that_lies_on_its_side_are_turned_with_it(tmp_path):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        video.set_display_rotation(90)
        grey = np.full((64, 96, 3), 128, np.uint8)
        container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(video.encode(None))

    write_overlay(result(film), tmp_path / "out.mp4")

    with av.open(str(tmp_path / "out.mp4")) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (64, 96)
        assert video.sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709"])
def test_colours_are_told_and_stay_as_they_were(tmp_path, matrix):
    """Players take a film of this height that says nothing for BT.709."""
    film = tmp_path / "film.mp4"
    colour = np.full((720, 1280, 3), (200, 40, 20), np.uint8)
    with av.open(str(film), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        video.codec_context.colorspace = {"ITU601": 6, "ITU709": 1}[matrix]
        video.codec_context.color_primaries = video.codec_context.color_trc = 1
        frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
        container.mux(video.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix)))
        container.mux(video.encode(None))

    record(Source(film.name, film), tmp_path / "out.mp4", "mp4", [], [])

    with av.open(str(tmp_path / "out.mp4")) as container:
        [shown] = container.decode(video=0)
        told = {1: "ITU709", 5: "ITU601", 6: "ITU601"}[int(shown.colorspace)]
        assert int(shown.color_range) == 1
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc) == (1, 1)
        seen = shown.to_ndarray(format="rgb24", src_colorspace=told)
    assert np.abs(seen.astype(int) - colour).max() <= 4


@pytest.mark.slow
def test_sound_and_picture_stay_together_where_a_film_begins_late(tmp_path):
    film = write_talkie(tmp_path / "film.mkv", late=0.4)

    write_overlay(result(film), tmp_path / "out.mp4")

    name, kept = packets(tmp_path / "out.mp4")
    assert name == "aac"
    assert len(packets(film)[1]) - len(kept) == pytest.approx(0.4 * RATE / 1024, abs=3)
    assert pictures(tmp_path / "out.mp4")[0][0] == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
def test_a_damaged_film_is_drawn_as_far_as_it_goes(tmp_path):
    film = write_talkie(tmp_path / "film.mp4", frames=200)
    data = bytearray(film.read_bytes())
    data[len(data) // 3 : len(data) // 2] = np.random.default_rng(0).bytes(
        len(data) // 2 - len(data) // 3
    )
    film.write_bytes(data)

    drawn = write_overlay(result(film), tmp_path / "out.mp4")

    assert len(pictures(tmp_path / "out.mp4")) > 20
    assert drawn.status in (Outcome.OK, Outcome.DEGRADED)


def test_what_is_no_film_is_an_error(tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no film")

    with pytest.raises(VideoError):
        write_overlay(result(bad), tmp_path / "out.mp4")
    with pytest.raises(ActionCLIPError, match="no file"):
        write_overlay(result(tmp_path / "gone.mp4"), tmp_path / "out.mp4")


def test_the_worker_can_write_no_more_than_its_share(tmp_path, monkeypatch):
    """With nothing allowed, it is the worker that fails, not the disk that fills."""
    from actionclip.video.decode.workers.process import WorkerProcess

    film = write_talkie(tmp_path / "film.mp4")
    start = WorkerProcess.__init__

    def miserly(self, limits, decoder, *, written=0):
        assert written >= 2**30
        start(self, limits, decoder, written=1000)

    monkeypatch.setattr(WorkerProcess, "__init__", miserly)
    with pytest.raises(VideoError):
        record(Source(film.name, film), tmp_path / "out.mp4", "mp4", [], [])
    assert (tmp_path / "out.mp4").stat().st_size <= 1000


def test_a_full_disk_is_not_the_fault_of_the_film(tmp_path):
    film = write_talkie(tmp_path / "film.mp4")

    with pytest.raises(OSError, match="No space left"):
        record(Source(film.name, film), Path("/dev/full"), "mp4", [], [])


@pytest.mark.parametrize(
    "lie",
    [{"status": "splendid"}, {"status": 1}, {"at": "soon"}, {"promised": -1.0}, {"full": 1}],
    ids=str,
)
def test_what_cannot_be_true_is_not_believed(lie):
    ours, theirs = socket.socketpair()
    said = {"at": 1.0, "promised": 2.0, "done": True, "status": "ok", "message": "", "full": 0}
    said["sound"] = "\x1bcopied"
    with ours, theirs:
        channel, worker = Channel(ours), Channel(theirs)
        channel.deadline = time.monotonic() + 60
        worker.send(said)
        assert receive_drawn(channel) == Drawn(1.0, 2.0, done=True, sound=clean("\x1bcopied"))
        worker.send(said | lie)
        with pytest.raises(Nonsense):
            receive_drawn(channel)


@pytest.fixture(scope="module")
def plate():
    return caption_picture("a label  90%", "#2a7f62")


def test_a_film_may_have_as_many_captions_as_a_long_one_has(tmp_path, plate):
    film = write_talkie(tmp_path / "film.mp4")
    captions = [Caption(k / 20_000, (k + 1) / 20_000, k % 50) for k in range(40_000)]

    record(Source(film.name, film), tmp_path / "out.mp4", "mp4", captions, [plate] * 50)

    assert all(is_marked(picture) for _, picture in pictures(tmp_path / "out.mp4"))


def test_captions_that_were_shown_are_not_kept(plate):
    scaled = _Overlay([Caption(k, k + 1, k) for k in range(200)], [plate] * 200)
    image = np.zeros((1080, 1920, 3), np.uint8)
    tracemalloc.start()
    for k in range(200):
        scaled.onto(image, k + 0.5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 * 2**20


def test_what_is_said_again_and_again_is_one_picture(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").touch()
    given = []

    def record(source, path, form, captions, pictures, **_):
        given.extend([captions, pictures])
        return Drawn(0.0, None, done=True)

    monkeypatch.setattr(overlay_module, "record", record)
    labels = ("label 0", "label 1", "label 2")
    again = [Segment(float(k), k + 1.0, labels[k % 3], 0.9) for k in range(300)]
    write_overlay(
        replace(result(tmp_path / "film.mp4"), segments=again, labels=labels), tmp_path / "out.mp4"
    )

    captions, shown = given
    assert [one.picture for one in captions[:4]] == [0, 1, 2, 0]
    assert (len(captions), len(shown)) == (300, 3)
    stripes = [f"#{bytes(picture[32, 3, :3]).hex()}" for picture in shown]
    assert stripes == [colour_of(row) for row in range(3)]  # as in every other output


@pytest.mark.slow
def test_captions_stack_and_stay_inside_the_picture(tmp_path, plate):
    film = write_talkie(tmp_path / "film.mp4")
    captions = [Caption(0.0, 9.0, number) for number in range(30)]

    record(Source(film.name, film), tmp_path / "out.mp4", "mp4", captions, [plate] * 30)

    [(_, first), *_] = pictures(tmp_path / "out.mp4")
    assert is_marked(first[:20])
    assert Path(tmp_path / "out.mp4").stat().st_size > 1000
    assert set(COPIED) == {"mp4", "matroska"}
