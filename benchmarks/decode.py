"""How long does it take to get some frames out of a video, and are they the right ones?

    python benchmarks/decode.py                    all films, about ten minutes
    python benchmarks/decode.py --films short      only these

Every way gets the same frame numbers and hands over RGB arrays of the video's size. The films carry
each frame's number in its pixels, so wrong frames are counted. Reading many videos, one runs on
each core; therefore the ways compete on one core each, and `all cores` is another matter. Compared
is processor time, which leaves out what else a busy machine does. Goal: never slower than the best
way that is exact.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from common import Film, number_of, rendered, report, say, take_turns
from numpy.typing import NDArray

from actionclip.video.decode import DecodePool
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.sampling import segment_centres
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source, find_videos

Frames: TypeAlias = NDArray[np.uint8]
Reader: TypeAlias = "Callable[[Path, list[int]], Frames]"

FILMS = {
    "short": (Film(320, 240, 10, numbered=True), 5),
    "long GOP": (Film(854, 480, 30, keyframes=9999, preset="fast", numbered=True), 1),
    "1080p": (Film(1920, 1080, 60, preset="veryfast", numbered=True), 1),
    "AVI": (Film(320, 240, 10, numbered=True, codec="mpeg4", suffix="avi"), 5),
}
"""What is read, and in how many rounds. An AVI with B-frames has no timestamps to go by."""
COUNTS = (8, 16, 32)
OURS = "ours"


def ours(path: Path, wanted: list[int]) -> Frames:
    """The planned reader of this package, in this process."""
    request = ReadRequest(sampling=Sampling(frames=len(wanted)))
    with path.open("rb") as file:
        reading = read_video(file.fileno(), request, Limits())
    assert reading.frames is not None, reading.message
    return reading.frames


def pyav_read_through(path: Path, wanted: list[int], threads: int = 1) -> Frames:
    """Decode from the start, keep what is wanted."""
    keep, frames = set(wanted), []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.thread_type = threads, "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if number in keep:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number == wanted[-1]:
                break
    return np.stack(frames)


def pyav_seek(path: Path, wanted: list[int]) -> Frames:
    """Jump to the keyframe before each wanted frame, decode up to it."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        assert stream.average_rate is not None
        assert stream.time_base is not None
        step = 1 / (stream.average_rate * stream.time_base)
        for number in wanted:
            target = int(number * step)
            container.seek(target, stream=stream)
            found = next(f for f in container.decode(stream) if (f.pts or 0) >= target)
            frames.append(found.to_ndarray(format="rgb24"))
    return np.stack(frames)


def opencv_seek(path: Path, wanted: list[int]) -> Frames:
    """Set the position, read: what most code on the internet does."""
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    for number in wanted:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def opencv_read_through(path: Path, wanted: list[int]) -> Frames:
    """Grab every frame, retrieve what is wanted."""
    import cv2

    capture, frames, keep = cv2.VideoCapture(str(path)), [], set(wanted)
    for number in range(wanted[-1] + 1):
        capture.grab()
        if number in keep:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def torchcodec(path: Path, wanted: list[int]) -> Frames:
    """Its exact mode, which scans the file first."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return decoder.get_frames_at(wanted).data.numpy()


def ffmpeg(path: Path, wanted: list[int]) -> Frames:
    """The program, with its `select` filter, through a pipe."""
    choice = "+".join(f"eq(n\\,{number})" for number in wanted)  # a comma alone ends a filter
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path)]
    command += ["-vf", f"select={choice}", "-fps_mode", "passthrough"]
    command += ["-frames:v", str(len(wanted)), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = subprocess.run(command, capture_output=True, check=True).stdout
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.frombuffer(pixels, np.uint8).reshape(-1, stream.height, stream.width, 3)


READERS: dict[str, Reader] = {
    OURS: ours,
    "pyav read-through": pyav_read_through,
    "pyav seek": pyav_seek,
    "opencv seek": opencv_seek,
    "opencv read-through": opencv_read_through,
    "torchcodec": torchcodec,
    "ffmpeg": ffmpeg,
}


def present(sample: Path) -> tuple[dict[str, Reader], dict[str, str]]:
    """The ways that work here, and why the others do not."""
    works, absent = {}, {}
    for name, reader in READERS.items():
        try:
            if name == "ffmpeg" and shutil.which("ffmpeg") is None:
                raise FileNotFoundError("no program called ffmpeg")
            reader(sample, [0, 1])
            works[name] = reader
        except (ImportError, OSError, RuntimeError) as error:
            absent[name] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            say(f"without {name}: {absent[name]}")
    return works, absent


def wrong(frames: Frames, wanted: list[int]) -> int:
    """How many of the frames are not those wanted."""
    return sum(number_of(frame) != n for frame, n in zip(frames, wanted, strict=True))


@contextmanager
def copies(path: Path, count: int) -> Iterator[list[Source]]:
    """A folder of videos: the same file under many names."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            (Path(folder) / f"{number:04d}.mp4").hardlink_to(path)
        yield find_videos([folder])


def one_core(film: Film, path: Path, count: int, rounds: int, ways: dict[str, Reader]) -> Any:
    """Milliseconds and wrong frames of every way, for `count` frames of one file."""
    wanted = segment_centres(film.frames, count).tolist()

    def run(name: str) -> Frames:
        try:
            return ways[name](path, wanted)
        except (StopIteration, av.FFmpegError):  # it found no such frame
            return np.zeros((count, film.height, film.width, 3), np.uint8)

    path.read_bytes()  # into the system's cache, for the first as for the last
    got: dict[str, Frames] = {}
    times = take_turns(
        {name: lambda name=name: got.update({name: run(name)}) for name in ways},
        rounds,
        warm_up=False,  # `present` has opened a film in every way
    )
    mistakes = {name: wrong(frames, wanted) for name, frames in got.items()}
    row: dict[str, Any] = {
        name: {"ms": round(times.busy_seconds(name) * 1000, 1), "wrong": mistakes[name]}
        for name in ways
    }
    exact = [name for name in ways if not mistakes[name] and name != OURS]
    best = min(exact, key=times.busy_seconds)
    row["best exact"] = best
    row["best exact / ours"] = round(times.busy_ratio(best, OURS), 2)
    say(f"  {count:3} frames: " + ", ".join(f"{n} {row[n]['ms']} ms" for n in ways))
    return row


def all_cores(film: Film, path: Path, count: int, rounds: int, cores: int) -> Any:
    """Milliseconds a video when every core works: ours in workers, PyAV with threads."""
    wanted = segment_centres(film.frames, count).tolist()
    full = ReadRequest(sampling=Sampling(frames=count))
    small = replace(full, resize=Resize())
    with DecodePool() as pool, copies(path, 2 * cores) as sources:

        def read(request: ReadRequest) -> None:
            for clip in pool.read_all(sources, request):
                clip.raise_for_status()

        clip = pool.read(sources[0], full)
        mistakes = wrong(clip.windows()[0], wanted)
        times = take_turns(
            {
                "workers": lambda: read(full),
                "workers, resized to 224": lambda: read(small),
                "pyav read-through, threads": lambda: [
                    pyav_read_through(source.path, wanted, cores) for source in sources
                ],
            },
            rounds,
            warm_up=False,
        )
    row = {n: {"ms": round(times.seconds(n) / len(sources) * 1000, 1)} for n in times.wall}
    row["workers"]["wrong"] = mistakes
    say(f"  {count:3} frames, all cores: " + ", ".join(f"{n} {row[n]['ms']} ms" for n in row))
    return row


def main() -> None:
    """Measure all ways on all films."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--films", nargs="*", choices=FILMS, default=list(FILMS))
    parser.add_argument("--quick", action="store_true", help="tiny films, to see that it works")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered films")
    args = parser.parse_args()
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"

    films, counts = {name: FILMS[name] for name in args.films}, COUNTS
    if args.quick:
        films, counts = {"tiny": (Film(128, 96, 1, numbered=True, keyframes=8), 1)}, (4,)
    sample = rendered(next(iter(films.values()))[0], 1, args.clips)[0]
    ways, absent = present(sample)
    cores = len(os.sched_getaffinity(0))
    rows: dict[str, Any] = {}
    for (name, (film, rounds)), count in itertools.product(films.items(), counts):
        say(f"{name}: {film.name}")
        path = rendered(film, 1, args.clips)[0]
        row = {"film": film.name, "one core": one_core(film, path, count, rounds, ways)}
        if count == counts[0]:
            row["all cores"] = all_cores(film, path, count, rounds, cores)
        rows[f"{name}, {count} frames"] = row
    ratios = [row["one core"]["best exact / ours"] for row in rows.values()]
    goal = {"goal": "never slower than the best exact way", "worst": min(ratios)}
    report("decode", {**goal, "rows": rows, "absent": absent})


if __name__ == "__main__":
    main()
