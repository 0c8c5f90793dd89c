"""One video in, pictures or a coded reason out, whatever the file is like."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import numbers_seen, picture, read, remux, render

from actionclip.video.decode.pyav import reader as reader_module
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling


def decoded_in_order(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


ODD = {
    "AudioVideoInterleave.avi": ("empty", None),
    "FlashVideo.flv": ("unreadable", None),
    "Mpeg4.mp4": ("no_video", None),
    "WindowsMediaVideo.wmv": ("empty", None),
    "av1_video.mkv": ("ok", (360, 640)),
    "bt709_full_range.mp4": ("ok", (720, 1280)),
    "corrupted.mp4": ("degraded", (720, 1280)),
    "gif.gif": ("empty", None),
    "h264_10bits.mp4": ("ok", (200, 200)),
    "h265_10bits.mp4": ("ok", (200, 200)),
    "h265_video.mp4": ("ok", (128, 128)),
    "mp4-with-audio.mp4": ("no_video", None),
    "nasa_13013.mp4": ("ok", (270, 480)),  # the second, larger of its video streams
    "test_video_66x50.mov": ("ok", (50, 66)),
    "unordered.mov": ("ok", (50, 50)),
    "video_0.mov": ("ok", (320, 568)),
    "video_90.mov": ("ok", (568, 320)),
    "video_180.mov": ("ok", (320, 568)),
    "video_270.mov": ("ok", (568, 320)),
    "webm.webm": ("ok", (8, 8)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_end_as_they_should(name, videos):
    status, size = ODD[name]

    reading = read(videos / "odd" / name)

    assert reading.status == status, reading.message
    if size is None:
        assert reading.frames is None
        assert reading.message
    else:
        assert reading.frames.shape[1:] == (*size, 3)
        assert reading.index.shape == (1, 8)
        assert "libavcodec" in reading.decoder


def test_every_odd_file_is_in_the_table(videos):
    assert {path.name for path in (videos / "odd").iterdir()} == set(ODD)


def test_frames_cut_off_by_an_edit_list_do_not_count(videos):
    path = videos / "odd" / "test_video_66x50.mov"

    reading = read(path, sampling=Sampling(frames=82))

    np.testing.assert_array_equal(reading.frames, np.stack(decoded_in_order(path)))


@pytest.mark.parametrize(
    "pattern", ["ucf6_dev/*/*_c01.avi", "ucf6_dev/Archery/*g09*.avi", "weizmann_dev/*a_*.avi"]
)
def test_avi_files_give_the_frames_that_decoding_in_order_gives(pattern, videos):
    paths = sorted(videos.glob(pattern))
    assert len(paths) >= 5
    for path in paths[:12]:
        expected = decoded_in_order(path)

        reading = read(path, sampling=Sampling(rule="random", frames=6, windows=2), seed=1)

        assert reading.status == "ok"
        assert reading.frame_numbers.max() < len(expected)
        for number, row in zip(reading.frame_numbers.flat, reading.index.flat, strict=True):
            np.testing.assert_array_equal(reading.frames[row], expected[number])
        assert reading.seconds == pytest.approx(len(expected) / 25, rel=0.25)


def test_a_file_cut_off_is_degraded_and_says_how_much_is_there(tmp_path):
    path = render(tmp_path / "a.mp4", 200, container_options={"movflags": "faststart"})
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size * 6 // 10])

    reading = read(path)

    assert reading.status == "degraded"
    assert f"{size * 6 // 10} of its {size} bytes" in reading.message
    assert numbers_seen(reading) == reading.frame_numbers[0].tolist()


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
def test_other_containers_cut_off_are_degraded_too(tmp_path, suffix):
    path = render(tmp_path / f"a.{suffix}", 200, codec="mpeg4", bframes=0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    reading = read(path)

    assert reading.status == "degraded"
    assert "cut off" in reading.message


def test_a_file_that_does_not_tell_its_size_is_measured_by_its_duration(tmp_path):
    path = render(tmp_path / "a.flv", 200, codec="flv")
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0)]
    path.write_bytes(path.read_bytes()[: places[100]])

    reading = read(path)

    assert reading.status == "degraded"
    assert "promises 8.00 s" in reading.message


def test_what_a_camera_appends_to_a_file_is_no_damage(tmp_path):
    path = render(tmp_path / "a.mp4", 20)
    path.write_bytes(path.read_bytes() + b"\x7f\xff\xff\xffSEFT" + b"x" * 50)

    assert read(path).status == "ok"


def test_missing_frames_are_replaced_by_the_nearest_and_the_rest_stay_right(tmp_path):
    path = render(tmp_path / "a.mkv", 60, options={"x264-params": "bframes=0:keyint=10"})
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for place, size in places[22:28]:
        content[place + 4 : place + size] = b"\xff" * (size - 4)
    path.write_bytes(content)

    reading = read(path, sampling=Sampling(frames=60))

    assert reading.status == "degraded"
    assert "Packets that did not decode" in reading.message
    seen = np.array(numbers_seen(reading))
    good = np.r_[0:22, 30:60]
    assert (seen[good] == good).all()
    assert len(reading.frame_numbers[0]) == 60


def test_a_wrong_frame_count_in_the_header_is_a_note(tmp_path):
    path = render(tmp_path / "a.avi", 50, codec="mpeg4", bframes=0)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 24, 5000)
    struct.pack_into("<I", content, content.index(b"strh") + 40, 5000)
    path.write_bytes(content)

    reading = read(path)

    assert reading.status == "ok"
    assert any("promises 5000 frames, the file holds 50" in note for note in reading.notes)
    assert reading.seconds == pytest.approx(2.0)


def test_timestamps_that_lie_are_found_out(tmp_path, monkeypatch):
    """The packets' times claim the order of the file; the decoder gives another one."""
    path = render(tmp_path / "a.avi", 60, bframes=2)
    monkeypatch.setattr("actionclip.video.decode.pyav.index.REORDERING", frozenset())

    reading = read(path, frames=20)

    assert numbers_seen(reading) == reading.frame_numbers[0].tolist()
    assert any("no usable timestamps" in note for note in reading.notes)


@pytest.mark.parametrize(("false", "may_read_through"), [(slice(None), True), ([30], False)])
def test_a_false_keyframe_is_found_out(tmp_path, monkeypatch, false, may_read_through):
    """What was decoded from such a one is not believed: an earlier one is tried, then all."""
    path = render(tmp_path / "a.mp4", 60, gop=60, options={"x264-params": "bframes=0:scenecut=0"})
    exact = reader_module.read_index

    def boastful(*args):
        index = exact(*args)
        index.keys[false] = True
        return index

    monkeypatch.setattr(reader_module, "read_index", boastful)
    if not may_read_through:
        monkeypatch.setattr(reader_module, "THROUGH_PIXELS", 0)

    reading = read(path, frames=6)

    assert numbers_seen(reading) == [4, 14, 24, 34, 44, 54]
    assert reading.status == "ok"


@pytest.mark.parametrize("is_key", [True, False])
def test_a_table_that_lies_about_the_first_packet_is_found_out(tmp_path, monkeypatch, is_key):
    """A head that cannot be shown, called a keyframe, and one that can and is called none."""
    whole = render(tmp_path / "a.mp4", 60, gop=20, bframes=0, options={"preset": "ultrafast"})
    path = remux(whole, tmp_path / "b.mp4", skip=5) if is_key else whole
    exact = reader_module.read_index

    def lying(*args):
        index = exact(*args)
        index.keys[0] = is_key
        return index

    monkeypatch.setattr(reader_module, "read_index", lying)

    reading = read(path, frames=60)

    shown = list(range(20, 60)) if is_key else list(range(60))
    assert sorted(set(numbers_seen(reading))) == shown
    assert reading.seconds == pytest.approx(len(shown) / 25)
    assert reading.status == "ok"


def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(tmp_path):
    for name, codec in (("a.mp4", "mpeg4"), ("a.ts", "mpeg2video"), ("a.mkv", "mjpeg")):
        path = render(
            tmp_path / name, 2, codec=codec, size=(640, 480),
            pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        )  # fmt: skip

        reading = read(path, limits=Limits(pixels=640 * 479))

        assert reading.status == "too_large"
        assert "640 x 480" in reading.message
        assert read(path, limits=Limits(pixels=640 * 480)).status == "ok"


def test_more_pictures_than_fit_are_refused_before_they_are_made(tmp_path):
    path = render(tmp_path / "a.mp4", 50)

    assert read(path, frames=50, limits=Limits(memory=10**6)).status == "too_large"
    small = read(path, frames=50, limits=Limits(memory=10**6), resize=Resize(size=16))
    assert small.status == "ok"


def test_a_thin_picture_does_not_become_an_endless_one(tmp_path):
    path = render(tmp_path / "a.mkv", 1, codec="ffv1", pix_fmt="gray", size=(4000, 1))

    assert read(path, resize=Resize(size=8192)).status == "too_large"


def test_a_request_may_decode_so_many_frames_only(tmp_path):
    path = render(tmp_path / "a.avi", 60, bframes=2)

    assert read(path, limits=Limits(decoded_frames=59)).status == "too_large"


def test_a_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame.from_ndarray(picture(1, 64, 64), format="rgb24")))
        output.mux(cover.encode(None))

    reading = read(path)

    assert reading.status == "no_video"


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{secret}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "sdp", "ffconcat"])
def test_a_list_of_other_files_is_not_followed(tmp_path, text, suffix):
    secret = render(tmp_path / "secret.mp4", 5)
    path = tmp_path / f"innocent.{suffix}"
    path.write_text(text.format(secret=secret))

    reading = read(path)

    assert reading.status == "unreadable"
    assert "secret" not in reading.message


def test_the_descriptor_stays_open_and_may_be_read_again(tmp_path):
    path = render(tmp_path / "a.mp4", 10)
    with path.open("rb") as file:
        first = read_video(file.fileno(), ReadRequest(), Limits())
        again = read_video(file.fileno(), ReadRequest(), Limits())

    np.testing.assert_array_equal(first.frames, again.frames)


def test_random_frames_follow_the_seed(tmp_path):
    path = render(tmp_path / "a.mp4", 60)
    sampling = Sampling(rule="random", frames=8, windows=3)

    one, same, other = (read(path, sampling=sampling, seed=seed) for seed in (1, 1, 2))

    assert one.frame_numbers.tolist() == same.frame_numbers.tolist()
    assert one.frame_numbers.tolist() != other.frame_numbers.tolist()
    assert one.index.shape == (3, 8)


def test_a_stretch_of_a_video_is_read_by_its_own_times(tmp_path):
    path = render(tmp_path / "a.mp4", 100)  # 25 frames a second
    request = ReadRequest(sampling=Sampling(frames=5), start=1.0, end=2.0)

    with path.open("rb") as file:
        reading = read_video(file.fileno(), request, Limits())
        late = read_video(file.fileno(), ReadRequest(start=4.5), Limits())

    assert numbers_seen(reading) == [27, 32, 37, 42, 47]
    assert reading.seconds == 4.0
    assert late.status == "empty"
    assert "beyond its end" in late.message


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_stretch_shows_the_same_where_a_still_picture_is_written_once(tmp_path, suffix):
    """A camera that writes nothing while nothing moves, and one that goes on writing."""
    moving = [2000 + 4 * i for i in range(80)]
    settings = {"time_base": Fraction(1, 100), "bframes": 0, "options": {"preset": "ultrafast"}}
    often = [*range(0, 2000, 4), *moving]
    once = render(tmp_path / f"once.{suffix}", 81, ticks=[0, *moving], **settings)
    written = render(
        tmp_path / f"often.{suffix}",
        len(often),
        ticks=often,
        pictures=lambda i: picture(max(i - 499, 0)),
        **settings,
    )
    asked = {"sampling": Sampling(rule="spaced", frames=12, spacing=0.28), "start": 19.5, "end": 23}

    seen = numbers_seen(read(once, **asked))

    assert seen == numbers_seen(read(written, **asked))
    assert seen == [0, 0, *range(7, 71, 7)]
