"""A zoo of bad and odd videos, made by hand. Each says how reading it has to end.

`ZOO` maps a name to a function that puts the animal into an empty folder and returns its path, and
to the outcome that is right for it. A folder returned is a folder of frames, unless it is named
`folder.mp4`. Ends in "ok" are as important as the others: what looks odd must not be refused.
"""

import io
import os
import shutil
import socket
import struct
import threading
import time
import wave
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from clips import picture, render
from PIL import Image

from actionclip.video.outcomes import Outcome


class Animal(NamedTuple):
    """How to make it, and how reading it ends."""

    build: Callable[[Path], Path]
    ends: Outcome
    said: str
    """Part of what the user is told."""


ZOO: dict[str, Animal] = {}


def ends(outcome, said=""):
    def register(build):
        ZOO[build.__name__] = Animal(build, Outcome(outcome), said)
        return build

    return register


def small(folder, name="v.mp4", count=24, **options):
    return render(folder / name, count, **options)


def patched(path, old, new, *, count=1):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


def box(kind, content=b""):
    return struct.pack(">I", 8 + len(content)) + kind + content


# --- not a file at all ---------------------------------------------------------------------------


@ends("unreadable", "There is no file")
def missing(folder):
    return folder / "missing.mp4"


@ends("unreadable", "Did you mean 'holiday.mp4'?")
def misspelt(folder):
    small(folder, "holiday.mp4")
    return folder / "hoilday.mp4"


@ends("unreadable", "a folder")
def folder_named_like_a_video(folder):
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


@ends("unreadable", "a named pipe")
def named_pipe(folder):
    os.mkfifo(folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "a socket")
def socket_file(folder):
    short = Path("/tmp") / f"zoo-{os.getpid()}"  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(short))
    shutil.move(short, folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "a device")
def endless_device(folder):
    return Path("/dev/zero")


@ends("unreadable", "leads back to itself")
def link_to_itself(folder):
    (folder / "v.mp4").symlink_to(folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "There is no file")
def link_to_nowhere(folder):
    (folder / "v.mp4").symlink_to(folder / "nowhere.mp4")
    return folder / "v.mp4"


@ends("ok")
def link_to_a_video(folder):
    (folder / "v.mp4").symlink_to(small(folder, "real.mp4"))
    return folder / "v.mp4"


@ends("unreadable", "not permitted")
def no_permission(folder):
    path = small(folder)
    path.chmod(0)
    return path


@ends("unreadable", "cannot be opened")
def endless_name(folder):
    return folder / ("v" * 300 + ".mp4")


# --- not a video ---------------------------------------------------------------------------------


@ends("unreadable", "empty")
def nothing(folder):
    (folder / "v.mp4").touch()
    return folder / "v.mp4"


@ends("unreadable")
def one_byte(folder):
    (folder / "v.mp4").write_bytes(b"\0")
    return folder / "v.mp4"


@ends("unreadable")
def text(folder):
    (folder / "v.mp4").write_text("These are the minutes of the meeting.\n" * 100)
    return folder / "v.mp4"


@ends("unreadable")
def web_page(folder):
    (folder / "v.mp4").write_text("<!doctype html><title>404</title>Not found" * 20)
    return folder / "v.mp4"


@ends("unreadable")
def noise(folder):
    (folder / "v.mp4").write_bytes(np.random.default_rng(0).bytes(100_000))
    return folder / "v.mp4"


@ends("unreadable")
def archive(folder):
    with zipfile.ZipFile(folder / "v.mp4", "w") as file:
        file.writestr("a.txt", "a" * 10_000)
    return folder / "v.mp4"


@ends("unreadable")
def photograph(folder):
    Image.fromarray(picture(5)).save(folder / "v.png")
    return (folder / "v.png").rename(folder / "v.mp4")


@ends("unreadable")
def sparse_four_gigabytes(folder):
    with (folder / "v.mp4").open("wb") as file:
        file.truncate(4 * 2**30)
    return folder / "v.mp4"


@ends("unreadable")
def sound_wave(folder):
    with wave.open(str(folder / "v.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\1\2" * 8000)
    return folder / "v.wav"


def sound(path, cover=None):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        image = None
        if cover is not None:
            image = output.add_stream("mjpeg", rate=1)
            image.width, image.height, image.pix_fmt = 96, 64, "yuvj420p"
            image.disposition = av.stream.Disposition.attached_pic
        for i in range(8):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, i * 1024
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if image is not None:
            output.mux(image.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            output.mux(image.encode(None))
    return path


@ends("no_video", "no video stream")
def song(folder):
    return sound(folder / "v.m4a")


@ends("no_video", "cover")
def song_with_a_cover(folder):
    return sound(folder / "v.mp4", cover=picture(5))


# --- broken videos -------------------------------------------------------------------------------


@ends("unreadable")
def index_missing(folder):
    data = small(folder).read_bytes()
    (folder / "v.mp4").write_bytes(data[: data.index(b"moov") - 4])
    return folder / "v.mp4"


@ends("unreadable", "cut off")
def index_cut(folder):
    data = small(folder).read_bytes()
    (folder / "v.mp4").write_bytes(data[: data.index(b"moov") + 200])
    return folder / "v.mp4"


@ends("degraded", "cut off")
def pictures_cut(folder):
    path = small(folder, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    return path


@ends("empty")
def pictures_gone(folder):
    path = small(folder, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    return path


def overwritten(path, start, end, value=0):
    """Overwrite a part of a video's pictures, given as shares of them."""
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat") + 4
    length = (
        len(data) - first - (0 if data.index(b"moov") < first else len(data) - data.index(b"moov"))
    )
    a, b = first + int(start * length), first + int(end * length)
    data[a:b] = bytes([value]) * (b - a)
    path.write_bytes(data)
    return path


@ends("degraded", "did not decode")
def hole_in_the_middle(folder):
    return overwritten(small(folder, count=60), 0.4, 0.6)


@ends("empty")
def all_zeros(folder):
    return overwritten(small(folder), 0.0, 1.0)


@ends("empty", "no frames")
def no_frames(folder):
    with av.open(str(folder / "v.avi"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.start_encoding()
    return folder / "v.avi"


@ends("unsupported_codec")
def unknown_codec(folder):
    return patched(small(folder), b"avc1\0\0\0\0", b"zzzz\0\0\0\0")


@ends("unsupported_codec", "zmbv")
def codec_nobody_needs(folder):
    return small(folder, "v.avi", codec="zmbv", pix_fmt="bgr0")


@ends("unreadable")
def container_nobody_needs(folder):
    return small(folder, "v.nut", codec="mpeg4")


@ends("unreadable")
def garbled_codec_settings(folder):
    return patched(small(folder), b"avcC\x01", b"xxxC\x01")


@ends("degraded")
def webm_cut(folder):
    path = small(folder, "v.webm", codec="libvpx", count=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@ends("degraded")
def stream_with_lost_packets(folder):
    path = small(folder, "v.ts", codec="mpeg2video", count=100)
    data = path.read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    kept = [p for n, p in enumerate(packets) if n < 20 or n % 7 or n > len(packets) - 10]
    path.write_bytes(b"".join(kept))
    return path


@ends("unreadable")
def brackets_in_brackets(folder):
    """An MP4 of boxes in boxes, a thousand deep."""
    content = b""
    for _ in range(1000):
        content = box(b"moov", content)
    (folder / "v.mp4").write_bytes(box(b"ftyp", b"isom\0\0\0\0isom") + content)
    return folder / "v.mp4"


# --- wrong headers -------------------------------------------------------------------------------


def with_duration(path, change):
    """Rewrite the durations of an MP4's movie, track and media headers (version 0)."""
    data = bytearray(path.read_bytes())
    for kind, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = data.index(kind) + offset
        (old,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, change(old) & 0xFFFFFFFF)
    path.write_bytes(data)
    return path


@ends("ok")
def duration_a_thousand_times_too_long(folder):
    return with_duration(small(folder), lambda old: old * 1000)


@ends("ok")
def duration_zero(folder):
    return with_duration(small(folder), lambda old: 0)


@ends("ok")
def duration_negative(folder):
    return with_duration(small(folder), lambda old: -old)


@ends("ok")
def names_in_latin_1(folder):
    path = folder / "v.mp4"
    small(folder)
    with av.open(str(path)) as source, av.open(str(folder / "w.mp4"), "w") as output:
        output.metadata["title"] = "Cafe Muenchen"
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return patched(folder / "w.mp4", b"Cafe Muenchen", "Café München ".encode("latin-1"))


@ends("ok")
def first_frame_at_an_hour(folder):
    ticks = [3600 * 25 + i for i in range(24)]
    return small(folder, "v.mkv", ticks=ticks, time_base=Fraction(1, 25))


@ends("ok")
def thousand_frames_a_second(folder):
    return small(folder, count=100, rate=1000)


@ends("ok")
def no_times(folder):
    return small(folder, "v.h264")


@ends("ok")
def rubbish_before_the_stream(folder):
    path = small(folder, "v.ts")
    path.write_bytes(b"rubbish" * 20 + path.read_bytes())
    return path


# --- odd, and right ------------------------------------------------------------------------------


@ends("ok")
def one_frame(folder):
    return small(folder, count=1)


@ends("ok")
def still_picture_as_video(folder):
    return small(folder, "v.avi", codec="mjpeg", pix_fmt="yuvj420p", count=1)


@ends("ok")
def emoji_newline_and_quotes(folder):
    return small(folder).rename(folder / '🎬 a\nb\'; rm -rf $HOME; "c".mp4')


@ends("ok")
def name_that_is_not_text(folder):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9\xff.mp4"))
    return small(folder).rename(path)


@ends("ok")
def name_like_an_address(folder):
    return small(folder).rename(folder / "concat:a|b,subfile,,start,0.mp4")


@ends("ok")
def no_suffix(folder):
    return small(folder).rename(folder / "video")


@ends("ok")
def varying_frame_rate(folder):
    ticks = np.cumsum([1, 10, 2, 40, 1, 1, 300, 5] * 3).tolist()
    return small(folder, ticks=ticks, time_base=Fraction(1, 1000))


@ends("ok")
def turned(folder):
    return small(folder, rotate={"degrees": 90})


@ends("ok")
def one_pixel(folder):
    return small(folder, "v.mkv", codec="ffv1", pix_fmt="bgr0", size=(1, 1))


@ends("ok")
def three_by_five(folder):
    return small(folder, "v.mkv", codec="ffv1", pix_fmt="bgr0", size=(3, 5))


@ends("ok")
def very_wide(folder):
    return small(folder, "v.mkv", codec="mpeg4", size=(8176, 16), count=3)


@ends("ok")
def ten_bits(folder):
    return small(
        folder, codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=0"}
    )


@ends("ok")
def see_through(folder):
    return small(folder, "v.mov", codec="qtrle", pix_fmt="argb")


@ends("ok")
def interlaced(folder):
    return small(folder, "v.ts", codec="mpeg2video", options={"flags": "+ildct+ilme"})


@ends("ok")
def size_changes(folder):
    """Two raw streams, one after the other."""
    first = small(folder, "a.h264", size=(96, 64))
    second = small(folder, "b.h264", size=(160, 120))
    (folder / "v.h264").write_bytes(first.read_bytes() + second.read_bytes())
    return folder / "v.h264"


@ends("ok")
def moving_gif(folder):
    images = [Image.fromarray(picture(i)) for i in range(8)]
    images[0].save(folder / "v.gif", save_all=True, append_images=images[1:], duration=40)
    return folder / "v.gif"


@ends("ok")
def deleted_while_read(folder):
    path = small(folder, count=200)
    threading.Timer(0.05, path.unlink).start()
    return path


@ends("ok")
def video_with_rubbish_at_its_end(folder):
    path = small(folder)
    path.write_bytes(path.read_bytes() + b"rubbish" * 1000)
    return path


# --- too much ------------------------------------------------------------------------------------


@ends("ok")
def header_claims_a_huge_picture(folder):
    """The container says so; the pictures themselves know better."""
    path = small(folder)
    data = bytearray(path.read_bytes())
    struct.pack_into(">HH", data, data.index(b"avc1") + 28, 65_000, 65_000)
    path.write_bytes(data)
    return path


@ends("too_large", "pixels")
def huge_grey_picture(folder):
    grey = av.VideoFrame(6144, 6144, "yuv420p")
    for plane in grey.planes:
        plane.update(bytes(plane.buffer_size))
    with av.open(str(folder / "v.avi"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 6144
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(grey))
        output.mux(stream.encode(None))
    return folder / "v.avi"


# --- folders of frames ---------------------------------------------------------------------------


def frames(folder, count=8):
    for i in range(count):
        Image.fromarray(picture(i)).save(folder / f"{i}.png")
    return folder


@ends("ok")
def folder_of_frames(folder):
    return frames(folder)


@ends("no_video", "no images")
def folder_without_frames(folder):
    return folder


@ends("degraded", "1 of 8 images")
def folder_with_a_broken_frame(folder):
    frames(folder)
    (folder / "3.png").write_bytes(b"not an image")
    return folder


@ends("unreadable", "image")
def folder_of_broken_frames(folder):
    for i in range(8):
        (folder / f"{i}.jpg").write_text("not an image")
    return folder


@ends("unreadable", "3.png")
def folder_with_a_pipe_in_it(folder):
    frames(folder)
    (folder / "3.png").unlink()
    os.mkfifo(folder / "3.png")
    return folder


@ends("too_large", "pixels")
def folder_of_a_huge_image(folder):
    blob = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(blob, "PNG")
    (folder / "0.png").write_bytes(blob.getvalue())
    return folder


@ends("ok")
def folder_of_frames_of_different_sizes(folder):
    frames(folder)
    Image.fromarray(picture(5, width=200, height=30)).save(folder / "5.png")
    return folder


def growing(folder):
    """A file that another process is still writing."""
    whole = small(folder, "whole.ts", count=100).read_bytes()
    path = folder / "v.ts"
    path.write_bytes(whole[: len(whole) // 3])

    def grow():
        for start in range(len(whole) // 3, len(whole), 2000):
            with path.open("ab") as file:
                file.write(whole[start : start + 2000])
            time.sleep(0.001)

    threading.Thread(target=grow).start()
    return path
