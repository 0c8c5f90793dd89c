"""Pictures as a player shows them: upright, in the right colours, in the size asked for."""

import gc

import av
import numpy as np
import pytest
from clips import numbers_seen, picture, read, render
from PIL import Image

from actionclip.video.settings import Resize


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_applied(tmp_path, degrees, hflip):
    shown = np.zeros((64, 96, 3), np.uint8)
    shown[:32, :48], shown[:32, 48:], shown[32:, :48] = 255, 170, 85
    # FFmpeg turns against the clock first and mirrors then; so the file holds the reverse of that.
    stored = np.rot90(shown[:, ::-1] if hflip else shown, -(degrees // 90))
    path = render(
        tmp_path / "a.mp4",
        2,
        size=(stored.shape[1], stored.shape[0]),
        pictures=lambda _: np.ascontiguousarray(stored),
        rotate={"degrees": degrees, "hflip": hflip},
    )

    (frame, *_) = read(path).frames

    assert frame.shape == shown.shape
    corners = frame[[8, 8, -8, -8], [8, -8, 8, -8], 0].astype(int)
    assert np.abs(corners - [255, 170, 85, 0]).max() < 12


def shade(y, u, v, *, matrix, full):
    """RGB of one colour, by the book."""
    red, blue = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}[matrix]
    luma = y / 255 if full else (y - 16) / 219
    du, dv = ((x - 128) / (255 if full else 224) for x in (u, v))
    r, b = luma + 2 * (1 - red) * dv, luma + 2 * (1 - blue) * du
    return np.clip([r, (luma - red * r - blue * b) / (1 - red - blue), b], 0, 1) * 255


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_colours_follow_the_files_matrix_and_range(tmp_path, matrix, full, pix_fmt):
    y, u, v = 150, 90, 180
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.color_range = 2 if full else 1
        stream.codec_context.colorspace = 1 if matrix == "bt709" else 6
        frame = av.VideoFrame(64, 48, pix_fmt)
        for plane, value in zip(frame.planes, (y, u, v), strict=True):
            kind, scale = (np.uint16, 4) if "10" in pix_fmt else (np.uint8, 1)
            size = plane.buffer_size // kind().itemsize
            plane.update(np.full(size, value * scale, kind).tobytes())
        frame.color_range, frame.colorspace = (2 if full else 1), (1 if matrix == "bt709" else 6)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    reading = read(path)

    expected = shade(y, u, v, matrix=matrix, full=full)
    assert np.abs(reading.frames[0, 24, 32] - expected).max() <= 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("png", "rgba", (33, 21)),
        ("ffv1", "yuva420p", (33, 21)),
        ("ffv1", "gray", (1, 1)),
        ("ffv1", "yuv444p", (3, 5)),
        ("prores_ks", "yuva444p10le", (98, 66)),
    ],
)
def test_alpha_grey_and_odd_sizes(tmp_path, codec, pix_fmt, size):
    suffix = "mkv" if codec == "ffv1" else "mov"
    path = render(tmp_path / f"a.{suffix}", 3, codec=codec, pix_fmt=pix_fmt, size=size)

    assert read(path).frames.shape == (3, size[1], size[0], 3)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_frames_come_resized(tmp_path, mode):
    path = render(tmp_path / "a.mp4", 20)
    whole = read(path, frames=4).frames

    resized = read(path, frames=4, resize=Resize(mode=mode, size=32)).frames

    shape = {"shortest": (32, 48), "longest": (21, 32), "squash": (32, 32)}[mode]
    expected = [
        np.asarray(Image.fromarray(frame).resize(shape[::-1], Image.Resampling.BICUBIC))
        for frame in whole
    ]
    np.testing.assert_array_equal(resized, np.stack(expected))


def test_a_picture_that_changes_its_size_is_scaled_to_the_first(tmp_path):
    first = render(tmp_path / "1.h264", 20, container="h264")
    second = render(
        tmp_path / "2.h264", 20, container="h264", size=(160, 96),
        pictures=lambda i: picture(i + 20, 160, 96),
    )  # fmt: skip
    path = tmp_path / "a.h264"
    path.write_bytes(first.read_bytes() + second.read_bytes())

    reading = read(path, frames=10)

    assert reading.frames.shape[1:] == (64, 96, 3)
    assert numbers_seen(reading) == reading.frame_numbers[0].tolist()
    assert any("changes its size" in note for note in reading.notes)
    assert reading.status == "ok"


def test_frames_are_let_go_when_their_picture_is_made(tmp_path):
    """A frame of 4K is 12 MB, and PyAV's frames hold on to themselves once asked for side data."""
    path = render(tmp_path / "a.mp4", 60, rotate={"degrees": 90})
    gc.collect()
    gc.disable()
    try:
        assert read(path, frames=60, resize=Resize(size=16)).status == "ok"
        alive = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()

    assert alive <= 2
