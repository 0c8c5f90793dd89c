"""A camera of this machine, played by a library that stands between FFmpeg and the kernel.

FFmpeg's own v4l2 device runs in the locked-in worker: it asks what the camera can do, maps its
buffers and takes frames out of them. Only the kernel's answers come from `camera.c`.
"""

import io
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from clips import number_in, picture
from live_watching import Watching
from PIL import Image

from actionclip.video.live.queue import Connected, Lost
from actionclip.video.live.sources import LiveSource
from actionclip.video.outcomes import Outcome

compiler = shutil.which("cc")
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="v4l2 is of Linux"),
    pytest.mark.skipif(compiler is None, reason="there is no C compiler (cc) for the camera"),
]

CAMERA = LiveSource("camera", "camera 7", "/dev/video7")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    library = tmp_path_factory.mktemp("kernel") / "camera.so"
    source = Path(__file__).with_name("camera.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=120
    )
    return library


@pytest.fixture
def plug(kernel, tmp_path, monkeypatch):
    """A function that gives this machine a camera."""

    def plug(count, *, form="YUYV", size=(96, 64), fault=""):
        frames = tmp_path / "frames.raw"
        encode = _yuyv if form == "YUYV" else _jpeg
        coded = [encode(picture(i, *size)) for i in range(count)]
        frames.write_bytes(b"".join(len(c).to_bytes(4, sys.byteorder) + c for c in coded))
        told = {
            "LD_PRELOAD": kernel,
            "CAMERA_DEVICE": CAMERA.where,
            "CAMERA_FILE": frames,
            "CAMERA_FORMAT": form,
            "CAMERA_SIZE": f"{size[0]} {size[1]}",
            "CAMERA_RATE": 25,
            "CAMERA_FAULT": fault,
        }
        python = tmp_path / "python"  # the worker starts with an environment of its own
        words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in told.items())
        python.write_text(f'#!/bin/sh\n{words} exec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))

    return plug


def _yuyv(image):
    return av.VideoFrame.from_ndarray(image).reformat(format="yuyv422").to_ndarray().tobytes()


def _jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG")
    return file.getvalue()


def numbers(frames):
    return [number_in(frame.image) for frame in frames]


@pytest.mark.parametrize(("form", "size"), [("YUYV", (96, 64)), ("MJPG", (320, 180))])
def test_a_camera_is_watched(plug, form, size):
    plug(60, form=form, size=size)

    began = time.monotonic()
    with Watching(CAMERA) as watching:
        watching.until(lambda: len(watching.frames) >= 10)

    # Every fifth, from wherever the frames began that were not needed to find out the rate.
    frames = watching.frames[:10]
    first = numbers(frames)[0]
    assert first < 15
    assert {frame.image.shape for frame in frames} == {(size[1], size[0], 3)}
    assert numbers(frames) == list(range(first, first + 50, 5))
    times = [frame.time for frame in frames]
    assert np.diff(times) == pytest.approx([0.2] * 9, abs=0.005)
    assert frames[-1].arrived - began > times[-1] - times[0]  # none before its time
    assert [one.connection for one in watching.of(Connected)] == [1]


def test_a_camera_that_is_pulled_out_is_asked_for_again(plug):
    plug(20, fault="unplugged")

    with Watching(CAMERA, retries=2) as watching:
        watching.until(lambda: len(watching.of(Connected)) >= 2)

    assert len(watching.of(Lost)) == 1
    times = [frame.time for frame in watching.frames]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("busy", "camera at /dev/video7 is busy."),
        ("forbidden", "not permitted: your user may have to be in the group `video`."),
        ("radio", "camera at /dev/video7 gives no pictures (No such device)."),
    ],
)
def test_what_stands_in_the_way_is_said(plug, fault, words):
    plug(20, fault=fault)

    with Watching(CAMERA, retries=0) as watching:
        watching.all()

    assert words in watching.error.what
    assert "Is it plugged in, and not used by another program?" in watching.error.hint


def test_damaged_frames_are_left_out(plug):
    plug(60, fault="broken")

    with Watching(CAMERA, spacing=0.04) as watching:
        watching.until(lambda: len(watching.frames) >= 15)

    seen = numbers(watching.frames[:15])  # the camera begins again when all have been shown
    assert seen == sorted(set(seen))
    assert not [number for number in seen if number % 3 == 2]


def test_a_camera_that_falls_silent_is_lost(plug):
    plug(30)

    with Watching(CAMERA, stall=2, retries=0) as watching:
        watching.all()

    assert watching.frames
    assert watching.error.code is Outcome.TIMEOUT
