"""Small videos whose frames say their own number.

The number stands in the picture as twelve bars, white for 1 and black for 0, the lowest bit left.
"""

import os
from fractions import Fraction

import av
import numpy as np

from actionclip.inference.doctor import scheduled_as_before
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.settings import Limits, ReadRequest, Sampling

BITS = 12


def picture(number, width=96, height=64):
    """The frame with `number` written in bars, uint8 [height, width, 3]."""
    bits = (number >> np.arange(BITS)) & 1
    bar = np.where(bits, 235, 20).astype(np.uint8)[np.arange(width) * BITS // width]
    image = np.repeat(bar[None, :, None], height, axis=0).repeat(3, axis=2)
    # A grey stripe that wanders, so that there is motion to predict.
    top = number * 3 % max(height - 4, 1)
    image[top : top + 2] = 128
    return image


def number_in(image):
    """The number that `picture` wrote, read from the middle of each bar."""
    grey = np.median(np.asarray(image, np.float32).mean(axis=2), axis=0)
    centres = ((np.arange(BITS) + 0.5) * len(grey) / BITS).astype(int)
    return int(((grey[centres] > 128) << np.arange(BITS)).sum())


def render(
    path,
    count,
    *,
    codec="libx264",
    rate=25,
    size=(96, 64),
    pix_fmt="yuv420p",
    gop=12,
    bframes=None,
    options=None,
    container_options=None,
    ticks=None,
    time_base=None,
    pictures=None,
    container=None,
    rotate=None,
):
    """Encode `count` numbered frames and return `path`.

    Args:
        ticks: presentation times in units of `time_base`; by default 0, 1, 2, ... at `rate`.
        pictures: what frame `i` shows, a function; by default its number.
        rotate: arguments of `set_display_rotation`.
    """
    width, height = size
    show = pictures or (lambda i: picture(i, width, height))
    base = time_base or Fraction(1, rate)
    with (
        scheduled_as_before(),
        av.open(
            str(path), "w", format=container, container_options=container_options or {}
        ) as output,
    ):
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = base
        stream.codec_context.thread_count = 1
        if bframes is not None:
            stream.codec_context.max_b_frames = bframes
        if rotate is not None:
            stream.set_display_rotation(**rotate)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(show(i), format="rgb24")
            frame.pts = i if ticks is None else ticks[i]
            frame.time_base = base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def remux(path, new, *, skip=0, late=0):
    """Copy a video's packets without decoding them, as tools do that cut at once.

    Args:
        skip: how many packets are left out at the beginning.
        late: how many seconds later everything is shown.
    """
    with av.open(str(path)) as source, av.open(str(new), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for packet in [packet for packet in source.demux(stream) if packet.size][skip:]:
            ticks = round(late / packet.time_base)
            packet.pts += ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.stream = copy
            output.mux(packet)
    return new


def read(path, *, frames=8, limits=None, **request):
    """The reading of a file; the rest of the arguments are those of `ReadRequest`."""
    file = os.open(path, os.O_RDONLY)
    try:
        sampling = request.pop("sampling", Sampling(frames=frames))
        return read_video(file, ReadRequest(sampling=sampling, **request), limits or Limits())
    finally:
        os.close(file)


def numbers_seen(reading):
    """The numbers in the pictures of a reading's first window."""
    assert reading.frames is not None, f"{reading.status}: {reading.message}"
    return [number_in(frame) for frame in reading.frames[reading.index[0]]]
