"""Animals of the zoo that are, or were, videos: broken, with lies in their headers, or just odd.

Ends in "ok" are as important as the others: what looks odd must not be refused.
"""

import os
import struct
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import picture
from PIL import Image
from zoo_keeper import ends, patched, small


def box(kind, content=b""):
    return struct.pack(">I", 8 + len(content)) + kind + content


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
