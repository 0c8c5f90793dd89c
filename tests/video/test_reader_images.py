"""Folders of frames: single images, of which some may be anything."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from clips import number_in, picture
from PIL import Image

from actionclip.video.decode.images import _eight_bits, read_images
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling


def encode(number, kind="PNG", size=(96, 64), **options):
    data = io.BytesIO()
    Image.fromarray(picture(number, *size)).save(data, kind, **options)
    return data.getvalue()


def read(blobs, limits=None, **request):
    request = ReadRequest(sampling=Sampling(frames=len(blobs) or 1), **request)
    return read_images(blobs, request, limits or Limits())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_images_become_frames(kind):
    reading = read([encode(n, kind) for n in (5, 6, 2049)])

    assert [number_in(frame) for frame in reading.frames] == [5, 6, 2049]
    assert reading.status == "ok"
    assert "25 frames per second" in reading.notes[0]
    assert reading.decoder.startswith("Pillow")


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PPM", "ICO"])
def test_other_formats_are_not_decoded(kind):
    reading = read([encode(1, kind)])

    assert reading.status == "unreadable"
    assert "not JPEG, PNG, WebP or BMP" in reading.message


def test_a_broken_image_is_replaced_by_the_nearest():
    cut = encode(3)[:100]

    reading = read([encode(1), encode(2), cut, b"", encode(5)])

    assert [number_in(frame) for frame in reading.frames] == [1, 2, 2, 5, 5]
    assert reading.status == "degraded"
    assert "2 of 5 images" in reading.message


def test_no_image_at_all():
    assert read([]).status == "empty"
    assert read([b"text", b""]).status == "unreadable"


def test_images_of_another_size_are_scaled_to_the_first():
    reading = read([encode(1), encode(2, size=(192, 128))])

    assert reading.frames.shape == (2, 64, 96, 3)
    assert [number_in(frame) for frame in reading.frames] == [1, 2]
    assert "differ in size" in reading.notes[1]


def test_images_are_resized():
    assert read([encode(1)], resize=Resize(size=32)).frames.shape == (1, 32, 48, 3)


@pytest.mark.parametrize("side", [6_000, 60_000])
def test_large_images_are_refused_before_they_are_decoded(side):
    bomb = bytearray(encode(1))
    struct.pack_into(">II", bomb, 16, side, side)  # the header's width and height,
    struct.pack_into(">I", bomb, 29, zlib.crc32(bomb[12:29]))  # and its checksum

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading = read([bytes(bomb)])

    assert reading.status == "too_large"
    assert "more than 35389440 pixels" in reading.message


def test_the_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: show it turned to the right
    upright = picture(77)
    stored = np.rot90(upright)
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(data, "JPEG", exif=exif, quality=95)

    (frame,) = read([data.getvalue()]).frames

    assert frame.shape == upright.shape
    assert number_in(frame) == 77


SHADES = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))


def test_images_of_16_bits_keep_their_shades():
    """Pillow clips them at 255, which is almost all of them."""
    data = io.BytesIO()
    Image.fromarray(SHADES).save(data, "PNG")

    [frame] = read([data.getvalue()]).frames

    assert (frame == (SHADES >> 8)[..., None]).all()
    assert frame.shape == (64, 96, 3)


def test_16_bits_that_came_as_32_keep_their_shades_and_8_bits_their_own():
    wide, low = (Image.fromarray(shades.astype(np.int32)) for shades in (SHADES, SHADES >> 8))

    assert wide.mode == low.mode == "I"
    for image in (wide, low):
        assert (np.asarray(_eight_bits(image).convert("L")) == SHADES >> 8).all()


def test_dark_images_of_16_bits_stay_dark():
    data = io.BytesIO()
    Image.fromarray(np.full((64, 96), 100, np.uint16)).save(data, "PNG")

    assert read([data.getvalue()]).frames.max() == 0


def test_grey_palette_and_transparent_images_become_rgb():
    blobs = []
    for mode in ("L", "P", "RGBA", "1"):
        data = io.BytesIO()
        Image.fromarray(picture(9)).convert(mode).save(data, "PNG")
        blobs.append(data.getvalue())

    reading = read(blobs)

    assert [number_in(frame) for frame in reading.frames] == [9] * 4
