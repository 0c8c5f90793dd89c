"""Files made to eat a machine: refused, or read within the bounds of time and memory."""

import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import picture, render
from PIL import Image

from actionclip.video.decode import DecodePool
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source


def memory_of(pid):
    """Most memory a process ever used, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def copies(path, count, size=(16, 16), codec="mjpeg", rate=25):
    """A video of `count` times the same picture, encoded once."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(picture(1, *size), format="rgb24")
        [packet] = [*stream.encode(frame), *stream.encode(None)]
        content = bytes(packet)
        for i in range(count):
            again = av.Packet(content)
            again.stream, again.time_base = stream, Fraction(1, rate)
            again.pts = again.dts = i
            again.duration, again.is_keyframe = 1, True
            output.mux(again)
    return path


def table_of_a_billion(folder):
    """Two tables of an MP4 claim 2,147,483,647 pictures of one byte each, in a few bytes."""
    data = bytearray(render(folder / "v.mp4", 8).read_bytes())
    size = data.index(b"stsz") + 8
    struct.pack_into(">II", data, size, 1, 2**31 - 1)
    runs = data.index(b"stts") + 12
    struct.pack_into(">I", data, runs, 2**31 - 1)
    chunks = data.index(b"stsc") + 16
    struct.pack_into(">I", data, chunks, 2**31 - 1)
    (folder / "v.mp4").write_bytes(data)
    return folder / "v.mp4"


def sparse_stream(folder):
    """A stream of two seconds with two gigabytes of nothing behind it."""
    path = render(folder / "v.ts", 50, codec="mpeg2video")
    with path.open("r+b") as file:
        file.truncate(2 * 2**30)
    return path


def endless_title(folder):
    with av.open(str(folder / "v.mkv"), "w") as output:
        output.metadata["title"] = "x" * 20_000_000
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1), format="rgb24")))
        output.mux(stream.encode(None))
    return folder / "v.mkv"


def hundreds_of_streams(folder):
    with av.open(str(folder / "v.mkv"), "w") as output:
        streams = [output.add_stream("rawvideo", rate=25) for _ in range(200)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 2, 2, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((2, 2, 3), np.uint8), format="rgb24")
        for stream in streams:
            output.mux(stream.encode(frame))
    return folder / "v.mkv"


def huge_gif(folder):
    """A canvas of 65,535 x 65,535 with one small picture on it."""
    Image.fromarray(picture(1)).save(folder / "v.gif")
    data = bytearray((folder / "v.gif").read_bytes())
    struct.pack_into("<HH", data, 6, 65535, 65535)
    (folder / "v.gif").write_bytes(data)
    return folder / "v.gif"


def small_then_huge(folder):
    """The first pictures are harmless, and the last one is 6144 x 6144."""
    first = render(folder / "a.m4v", 5, codec="mpeg4", container="m4v")
    size = (6144, 6144)
    grey = np.full((*size, 3), 99, np.uint8)
    second = render(
        folder / "b.m4v", 1, codec="mpeg4", container="m4v", size=size, pictures=lambda _: grey
    )
    (folder / "v.m4v").write_bytes(first.read_bytes() + second.read_bytes())
    return folder / "v.m4v"


def twenty_thousand_pictures(folder):
    return copies(folder / "v.mkv", 20_000)


def thousand_a_second(folder):
    return copies(folder / "v.mp4", 5000, rate=1000)


BOMBS = {
    table_of_a_billion: {Outcome.UNREADABLE, Outcome.MEMORY, Outcome.EMPTY, Outcome.DEGRADED},
    sparse_stream: {Outcome.TOO_LARGE},
    endless_title: {Outcome.OK, Outcome.UNREADABLE},
    hundreds_of_streams: {Outcome.UNREADABLE, Outcome.OK},
    huge_gif: {Outcome.TOO_LARGE},
    small_then_huge: {Outcome.OK, Outcome.DEGRADED, Outcome.TOO_LARGE},
    twenty_thousand_pictures: {Outcome.OK},
    thousand_a_second: {Outcome.OK},
}


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_stays_within_bounds(bomb, tmp_path):
    path = bomb(tmp_path)
    request = ReadRequest(sampling=Sampling(frames=8), resize=Resize(size=32))
    limits = Limits(seconds=8.0, seconds_per_frame=0.25, memory=2**30)
    with DecodePool(1, limits) as pool:
        start = time.monotonic()
        clip = pool.read(Source("bomb", path), request)
        seconds = time.monotonic() - start
        used = [memory_of(pid) for pid in pool.pids]

    assert clip.status in BOMBS[bomb], clip.message
    assert seconds < 12
    assert all(most < 500 * 2**20 for most in used)


def test_more_pictures_than_fit_are_refused_before_they_are_decoded(tmp_path):
    path = copies(tmp_path / "v.mkv", 600, size=(1920, 1080))
    many = ReadRequest(sampling=Sampling(frames=8, windows=64))
    with DecodePool(1, Limits(memory=2**30)) as pool:
        start = time.monotonic()
        clip = pool.read(Source("v", path), many)

        assert clip.status is Outcome.TOO_LARGE
        assert time.monotonic() - start < 5
        assert all(memory_of(pid) < 300 * 2**20 for pid in pool.pids)


@pytest.mark.slow
def test_two_hundred_thousand_pictures(tmp_path):
    path = copies(tmp_path / "v.mkv", 200_000)
    request = ReadRequest(sampling=Sampling(frames=8), resize=Resize(size=32))
    with DecodePool(1) as pool:
        clip = pool.read(Source("v", path), request)

        assert clip.status is Outcome.OK, clip.message
        assert all(memory_of(pid) < 500 * 2**20 for pid in pool.pids)
