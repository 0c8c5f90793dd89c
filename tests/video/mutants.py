"""Videos changed at random, from nine seeds by nine mutators, the same ones every time."""

import random
from collections.abc import Callable
from pathlib import Path

from clips import picture, render
from PIL import Image

FRAMES = 48


def _gif(path):
    images = [Image.fromarray(picture(i)) for i in range(FRAMES)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=40)
    return path


def _with(codec, **options):
    return lambda path: render(path, FRAMES, codec=codec, **options)


SEEDS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": _with("libx264", bframes=2),
    "hevc.mp4": _with("libx265", options={"x265-params": "log-level=0"}),
    "vp9.webm": _with("libvpx-vp9", options={"cpu-used": "8"}),
    "av1.mkv": _with("libsvtav1", options={"preset": "12"}),
    "mpeg4.avi": _with("mpeg4", bframes=2),
    "mjpeg.mov": _with("mjpeg", pix_fmt="yuvj420p"),
    "mpeg2.ts": _with("mpeg2video"),
    "flv1.flv": _with("flv"),
    "gif.gif": _gif,
}


def truncate(data, chance, _):
    del data[chance.randrange(1, len(data)) :]


def flip_bits(data, chance, _):
    for _ in range(chance.choice([1, 4, 16, 64])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def change_header(data, chance, _):
    for _ in range(chance.choice([1, 4, 16])):
        data[chance.randrange(min(len(data), 512))] = chance.randrange(256)


def extreme_numbers(data, chance, _):
    number = chance.choice([b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"])
    for _ in range(chance.choice([1, 3])):
        place = chance.randrange(len(data))
        data[place : place + 4] = number


def delete(data, chance, _):
    start = chance.randrange(len(data))
    del data[start : start + chance.choice([1, 16, 188, 2000])]


def duplicate(data, chance, _):
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.choice([1, 16, 188, 2000])]


def clear(data, chance, _):
    start = chance.randrange(len(data))
    end = min(start + chance.choice([16, 188, 2000]), len(data))
    data[start:end] = bytes(end - start)


def splice(data, chance, other):
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]


def append(data, chance, _):
    data += chance.randbytes(chance.choice([1, 1000, 20_000]))


MUTATORS = (
    truncate,
    flip_bits,
    change_header,
    extreme_numbers,
    delete,
    duplicate,
    clear,
    splice,
    append,
)


def make_seeds(folder):
    """Each seed's bytes by its name."""
    return {name: make(folder / name).read_bytes() for name, make in SEEDS.items()}


def mutants(seeds, count, *, start=0):
    """`count` pairs of name and bytes; number `n` is the same whatever `start` and `count` are."""
    names = list(seeds)
    for n in range(start, start + count):
        chance = random.Random(n)
        name = names[n % len(names)]
        mutator = MUTATORS[n // len(names) % len(MUTATORS)]
        data = bytearray(seeds[name])
        mutator(data, chance, seeds[chance.choice(names)])
        stem, _, suffix = name.partition(".")
        yield f"{n:05d}-{stem}-{mutator.__name__}.{suffix}", bytes(data)
