"""torchcodec instead of PyAV's decoders, for those who ask for it and have it installed.

Only the decoding changes hands. The file is opened, judged and indexed by our own rules first (list
of containers and codecs, largest picture, which stream, which frames), and torchcodec then gets the
open file, never a name: a name may be an address to it. Files it would answer wrongly or not at all
are left to PyAV, and a note says so: those whose packets have no usable times, and damaged ones.

It needs torch, so its worker has no memory limit and may read Python's own folders; the other
layers of the sandbox, the time limit and the separate process stay.
"""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from actionclip.errors import ActionCLIPError
from actionclip.video.decode.pyav.decoding import Decoder
from actionclip.video.decode.pyav.index import Index, Times, read_index
from actionclip.video.decode.pyav.opening import coded_errors
from actionclip.video.decode.pyav.pixels import Pictures
from actionclip.video.decode.pyav.plan import nearest_entries
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.decode.reading import Reading
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import Timeline, choose_for
from actionclip.video.settings import Limits, ReadRequest


def load() -> Callable[[int, ReadRequest, Limits], Reading]:
    """Import torchcodec and make sure that it works; returns a reader like `read_video`.

    Raises:
        ActionCLIPError: with the reason why it does not.
    """
    try:
        import torchcodec  # pyright: ignore[reportMissingImports]
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
    except Exception as error:  # a missing library is an OSError or RuntimeError
        raise _unusable(error) from None
    try:
        VideoDecoder(io.BytesIO(b"not a video"))
    except Exception as error:
        # Newer versions look for FFmpeg only now; whatever else it says is about the bytes.
        if "libtorchcodec" in str(error):
            raise _unusable(error) from None
    name = f"torchcodec {getattr(torchcodec, '__version__', '(version unknown)')}"

    def read(descriptor: int, request: ReadRequest, limits: Limits) -> Reading:
        try:
            with coded_errors():
                return _read(VideoDecoder, name, descriptor, request, limits)
        except VideoError as error:
            note = f"{name} could not read it ({error.what}); PyAV was asked instead."
            reading = read_video(descriptor, request, limits)
            return replace(reading, notes=(*reading.notes, note))

    return read


def _unusable(error: Exception) -> ActionCLIPError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line.removeprefix("OSError: ") for line in lines if line.startswith("OSError: lib")]
    reason = (
        "; ".join([lines[0].removesuffix(" Likely causes:").rstrip("."), *causes[:1]])
        if lines
        else "?"
    )
    return ActionCLIPError(
        f"torchcodec cannot be used here ({type(error).__name__}: {reason}).",
        expected="It needs its Python package and shared libraries of FFmpeg.",
        hint="Leave the decoder at 'pyav', or install both: pip install 'actionclip[torchcodec]'"
        " and, for example, apt install ffmpeg",
    )


def _read(
    decoder_class: Callable[..., Any],
    name: str,
    descriptor: int,
    request: ReadRequest,
    limits: Limits,
) -> Reading:
    """Read by torchcodec.

    Raises:
        VideoError: when torchcodec is not to be trusted with the file.
    """
    sampling = request.sampling
    pictures = Pictures(request.resize, limits, sampling.windows * sampling.frames)
    opened = Decoder(descriptor, limits)
    try:
        index = read_index(opened.container, opened.stream, descriptor)
        stream = opened.stream.index
    finally:
        opened.close()
    if index is None or index.kind is not Times.EXACT or index.damage or index.given is not None:
        raise VideoError("its times or its data are not intact", Outcome.UNREADABLE)

    numbers = choose_for(request, Timeline(index.times, index.seconds))
    if request.nearest_keyframes:
        numbers = nearest_entries(numbers, index.packets, index.keys)
    unique = np.unique(numbers)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        decoder = decoder_class(
            file, stream_index=stream, dimension_order="NHWC", num_ffmpeg_threads=1
        )
        if len(decoder) != len(index):
            raise VideoError(
                f"it counts {len(decoder)} frames where there are {len(index)}",
                Outcome.UNREADABLE,
            )
        pictures.check(decoder.metadata.width, decoder.metadata.height)
        # One by one and in order, so that only small pictures are held.
        found = (decoder.get_frame_at(int(number)).data.numpy() for number in unique)
        frames = np.stack([pictures.fit(image) for image in found])
    return _reading(name, index, numbers, unique, frames)


def _reading(
    name: str, index: Index, numbers: np.ndarray, unique: np.ndarray, frames: np.ndarray
) -> Reading:
    return Reading(
        Outcome.OK,
        frames=frames,
        index=np.searchsorted(unique, numbers).astype(np.int64),
        frame_numbers=numbers,
        times=index.times[numbers],
        seconds=index.seconds,
        notes=index.notes,
        decoder=name,
    )
