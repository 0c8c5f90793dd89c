"""torchcodec as the decoder: used when it works, refused with the reason when it does not."""

import importlib.util
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from clips import number_in, render

from actionclip.errors import ActionCLIPError
from actionclip.video.decode import DecodePool, torchcodec
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

REQUEST = ReadRequest(sampling=Sampling(frames=6, windows=2))


class Picture:
    """Just enough of a tensor."""

    def __init__(self, image):
        self._image = image

    def numpy(self):
        return self._image


class VideoDecoder:
    """What torchcodec's class does, by reading the whole file through with PyAV."""

    lost = 0
    asked: ClassVar[list] = []

    def __init__(self, source, *, stream_index, dimension_order, num_ffmpeg_threads):
        assert dimension_order == "NHWC"
        assert num_ffmpeg_threads == 1
        assert source.tell() == 0
        self.asked.append(source)
        with av.open(source) as container:
            frames = list(container.decode(container.streams[stream_index]))
        self._images = [frame.to_ndarray(format="rgb24") for frame in frames]
        height, width = self._images[0].shape[:2]
        self.metadata = types.SimpleNamespace(height=height, width=width)

    def __len__(self):
        return len(self._images) - self.lost

    def get_frame_at(self, index):
        return types.SimpleNamespace(data=Picture(self._images[index]))


def install(monkeypatch, decoder=VideoDecoder):
    """A package `torchcodec` that works; its first question is whether libraries are there."""
    package, decoders = types.ModuleType("torchcodec"), types.ModuleType("torchcodec.decoders")
    package.__version__ = "9.9"

    def make(source, **options):
        if not options:
            raise RuntimeError("Could not open input file: invalid data")
        return decoder(source, **options)

    decoders.VideoDecoder = make
    package.decoders = decoders
    monkeypatch.setitem(sys.modules, "torchcodec", package)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    return torchcodec.load()


def read(reader, path, request=REQUEST):
    file = os.open(path, os.O_RDONLY)
    try:
        return reader(file, request, Limits())
    finally:
        os.close(file)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return render(tmp_path_factory.mktemp("clips") / "v.mp4", 40, gop=12, bframes=2)


@pytest.mark.parametrize("resize", [None, Resize(size=32)])
def test_it_gives_the_frames_that_pyav_gives(monkeypatch, video, resize):
    request = replace(REQUEST, resize=resize)

    reading = read(install(monkeypatch), video, request)

    expected = read(read_video, video, request)
    assert reading.status is Outcome.OK
    assert reading.decoder == "torchcodec 9.9"
    np.testing.assert_array_equal(reading.frames, expected.frames)
    np.testing.assert_array_equal(reading.index, expected.index)
    np.testing.assert_array_equal(reading.frame_numbers, expected.frame_numbers)
    np.testing.assert_allclose(reading.times, expected.times)
    assert reading.seconds == expected.seconds
    if resize is None:
        assert [number_in(f) for f in reading.frames] == sorted(set(reading.frame_numbers.flat))


def test_it_never_gets_a_name(monkeypatch, video):
    VideoDecoder.asked.clear()

    read(install(monkeypatch), video)

    [source] = VideoDecoder.asked
    assert isinstance(source.name, int)


def test_a_file_without_usable_times_is_left_to_pyav(monkeypatch, tmp_path):
    path = render(tmp_path / "v.h264", 20)

    reading = read(install(monkeypatch), path)

    assert reading.status is Outcome.OK
    assert reading.decoder.startswith("PyAV")
    assert any("PyAV was asked instead" in note for note in reading.notes)


def test_a_file_on_which_the_two_disagree_is_left_to_pyav(monkeypatch, video):
    monkeypatch.setattr(VideoDecoder, "lost", 1)

    reading = read(install(monkeypatch), video)

    assert reading.decoder.startswith("PyAV")
    assert any("it counts 39 frames where there are 40" in note for note in reading.notes)


def test_a_file_torchcodec_fails_on_is_left_to_pyav(monkeypatch, video):
    def fail(source, **options):
        raise RuntimeError("Requested next frame while there are no more frames")

    reading = read(install(monkeypatch, fail), video)

    assert reading.status is Outcome.OK
    assert reading.decoder.startswith("PyAV")


def test_what_our_rules_refuse_never_reaches_torchcodec(monkeypatch, tmp_path):
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile neighbour.mp4\n")
    VideoDecoder.asked.clear()

    reading = read(install(monkeypatch), tmp_path / "list.mp4")

    assert reading.status is Outcome.UNREADABLE
    assert VideoDecoder.asked == []


def test_libraries_that_cannot_be_loaded_are_named(monkeypatch):
    def fail(source, **options):
        raise RuntimeError(
            "Could not load libtorchcodec. Likely causes:\n  1. FFmpeg is not installed\n"
            "OSError: libavutil.so.60: cannot open shared object file: No such file\n"
        )

    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    decoders = types.ModuleType("torchcodec.decoders")
    decoders.VideoDecoder = fail
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)

    with pytest.raises(ActionCLIPError, match="Could not load libtorchcodec") as error:
        torchcodec.load()

    assert "libavutil.so.60: cannot open" in error.value.what
    assert "pyav" in error.value.hint


@pytest.mark.skipif(
    importlib.util.find_spec("torchcodec") is not None, reason="torchcodec is installed here"
)
def test_the_pool_refuses_with_the_reason_where_it_is_not_installed(video):
    missing = pytest.raises(ActionCLIPError, match="No module named 'torchcodec'")
    with DecodePool(1, decoder="torchcodec") as pool, missing as error:
        pool.read(Source("v", Path(video)), REQUEST)
    assert error.value.expected
    assert "pyav" in error.value.hint


@pytest.mark.slow
def test_its_worker_works_with_the_libraries_it_needs_in_a_sandbox(tmp_path, video, monkeypatch):
    """A stand-in package that imports torch, in a real worker: late imports still work there."""
    package = tmp_path / "site" / "torchcodec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = 'stand-in'\n")
    (package / "decoders.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "site")

    with DecodePool(1, decoder="torchcodec") as pool:
        clip = pool.read(Source("v", Path(video)), REQUEST)

    assert clip.status is Outcome.OK, clip.message
    assert clip.decoder == "torchcodec stand-in", clip.notes
    assert [number_in(frame) for frame in clip.frames] == sorted(set(clip.frame_numbers.flat))


STAND_IN = """
import types
import av
import torch

class VideoDecoder:
    def __init__(self, source, stream_index=None, **options):
        with av.open(source) as container:
            frames = list(container.decode(container.streams[stream_index]))
        images = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in frames]
        self._images = torch.stack(images)
        import wave  # a module of Python's own that nobody needed so far
        self.metadata = types.SimpleNamespace(height=images[0].shape[0], width=images[0].shape[1])

    def __len__(self):
        return len(self._images)

    def get_frame_at(self, index):
        return types.SimpleNamespace(data=self._images[index])
"""
