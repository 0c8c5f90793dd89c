"""A folder of frames: single images that were a video once. Pillow decodes them, not FFmpeg."""

import io
import warnings
from collections.abc import Iterable

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.decode.reading import Reading
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.settings import Limits, ReadRequest

FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
"""What is decoded; Pillow knows dozens of formats more, some of them full of holes."""

NOTE = "A folder of frames has no frame rate; 25 frames per second were assumed."


def read_images(blobs: Iterable[bytes], request: ReadRequest, limits: Limits) -> Reading:
    """Pictures from image files; row n of `Reading.frames` is image n.

    Which images of a folder are wanted is decided where the folder can be listed, so `index`,
    `frame_numbers` and `times` here are stand-ins counting the images that came, and the caller
    puts its own in their place.

    An image that does not decode is replaced by the nearest one that does, and the reading is
    `degraded`. Images of another size than the first are scaled to it.

    Args:
        blobs: contents of image files, each wanted one once.
        request: `resize` and the shape of `sampling` are used.
        limits: `pixels` and `memory` are used.
    """
    encoded = list(blobs)
    pictures = Pictures(request.resize, limits, len(encoded))
    images: list[NDArray[np.uint8] | None] = []
    size: tuple[int, int] | None = None
    first_error: VideoError | None = None
    changed = False
    for blob in encoded:
        try:
            image = _decode(blob, limits.pixels)
        except VideoError as error:
            images.append(None)
            first_error = first_error or error
            continue
        if size is None:
            size = image.size
            try:
                pictures.check(*size)
            except VideoError as error:
                return Reading(error.code, error.what, error.hint)
        changed |= image.size != size
        same = image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
        images.append(pictures.fit(np.asarray(same)))
    if size is None:
        if first_error is None:
            return Reading(Outcome.EMPTY, "No image came.")
        return Reading(first_error.code, first_error.what, first_error.hint)
    return _reading(images, request, changed)


def _decode(blob: bytes, pixels: int) -> Image.Image:
    """One image as RGB, turned as its EXIF tag says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bombs are judged by our limit, tags not at all
            with Image.open(io.BytesIO(blob), formats=FORMATS) as image:
                width, height = image.size
                if width * height > pixels:
                    raise VideoError(
                        f"An image is {width} x {height}, more than {pixels} pixels.",
                        Outcome.TOO_LARGE,
                    )
                return _eight_bits(_upright(image)).convert("RGB")
    except VideoError:
        raise
    except Image.DecompressionBombError:
        raise VideoError(f"An image has more than {pixels} pixels.", Outcome.TOO_LARGE) from None
    except MemoryError:
        raise VideoError("Decoding an image ran out of memory.", Outcome.MEMORY) from None
    except Exception as error:
        said = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        if "BytesIO" in said:  # Pillow's words for bytes that are no image
            said = "not JPEG, PNG, WebP or BMP"
        raise VideoError(f"An image cannot be decoded ({said}).", Outcome.UNREADABLE) from None


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What the EXIF tag 274, orientation, asks for."""


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(image.getexif().get(274, 1))
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 bits in its upper eight; Pillow would make all above 255 white."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    shades = np.asarray(image)
    if image.mode == "I" and shades.max() <= 255:  # some versions of Pillow open 16 bits as 32
        return image
    return Image.fromarray((shades.clip(0, 65535) >> 8).astype(np.uint8))


def _reading(
    images: list[NDArray[np.uint8] | None], request: ReadRequest, changed: bool
) -> Reading:
    """Put stand-ins where images are missing; at least one is there."""
    good = np.array([i for i, image in enumerate(images) if image is not None])
    nearest = [good[np.abs(good - i).argmin()] for i in range(len(images))]
    missing = len(images) - len(good)
    shape = (request.sampling.windows, request.sampling.frames)
    count = np.arange(shape[0] * shape[1], dtype=np.int64).clip(max=len(images) - 1).reshape(shape)
    notes = [NOTE]
    if changed:
        notes.append("The images differ in size; all were scaled to the first one's.")
    message = (
        f"{missing} of {len(images)} images did not decode; the nearest ones stand in for them."
    )
    return Reading(
        status=Outcome.DEGRADED if missing else Outcome.OK,
        message=message if missing else "",
        frames=np.stack([images[i] for i in nearest]),  # pyright: ignore[reportCallIssue, reportArgumentType]
        index=count,
        frame_numbers=count,
        times=count / 25.0,
        seconds=len(images) / 25.0,
        notes=tuple(notes),
        decoder=f"Pillow {PIL.__version__}",
    )
