"""How late is the label of a live stream, and how many frames does it miss?

    python benchmarks/stream.py
    python benchmarks/stream.py --seconds 10 --models ViT-B-32

A film of 25 frames a second plays in real time. *Ours* is `Recognizer.stream`: a worker decodes,
picks and resizes the frames wanted, each is encoded once, and a window is put together from what
is kept. *Naive* is the loop that most programs have: a camera with a buffer of 4 pictures, as
OpenCV's, of which the oldest is lost when nobody reads; each picture wanted is resized, put into
the window, and the whole window is encoded again for the label. Both use the same weights,
precision, spacing and threads, and take turns; text embeddings are made once, before.

Latency is from when a frame can be had (the camera's clock) to the label of the window that ends
with it. Dropped are frames that a window should have held and never did. Processor time counts
everything, decoding too, and is the number to look at where the machine does other things. Weights
are random but for `tiny`: the labels mean nothing. The last line of stdout is JSON.
"""

import argparse
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Film, architecture_of, rendered, report, say

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

LABELS = [f"a person is doing thing number {number}" for number in range(20)]
CAMERA_BUFFER = 4


def recognizer_of(name: str) -> Any:
    """The shipped `tiny`, or a tower of a known shape with random weights, 8 frames."""
    import torch

    import actionclip
    from actionclip.model.actionclip import ActionCLIP
    from actionclip.model.backbone import OpenClipBackbone
    from actionclip.model.config import BackboneConfig, ModelConfig
    from actionclip.video.settings import Preprocess, Resize

    torch.set_num_threads(1)
    if name == "tiny":
        return actionclip.load("tiny", device="cpu", precision="auto")
    architecture = architecture_of("tiny" if name == "small" else name)
    torch.manual_seed(0)
    backbone = OpenClipBackbone.from_architecture(architecture)
    size = backbone.image_size
    config = ModelConfig(
        backbone=BackboneConfig(name=name, architecture=architecture, licence="none"),
        preprocess=Preprocess(size=size, resize=Resize(size=size)),
    )
    return actionclip.Recognizer(ActionCLIP(backbone, config), precision="auto")


def ours(recognizer: Any, question: Any, film: Path) -> dict[str, Any]:
    """Latencies and drops of `Recognizer.stream`."""
    with recognizer.stream(film, question) as stream:
        latencies = [event.latency for event in stream if event.event == "label"]
    summary = stream.summary
    return {
        "latencies": latencies,
        "pictures": stream.window.encoded,
        "dropped": summary.dropped / max(summary.wanted, 1),
        "seconds": summary.seconds,
    }


class Camera:
    """Plays a film in real time into a buffer of a few pictures, as a driver does."""

    def __init__(self, film: Path) -> None:
        self._buffer: deque[tuple[int, float, Any]] = deque(maxlen=CAMERA_BUFFER)
        self._changed = threading.Condition()
        self._over = False
        self.count = 0
        self._thread = threading.Thread(target=self._play, args=(film,))
        self._thread.start()

    def _play(self, film: Path) -> None:
        import av

        with av.open(str(film)) as container:
            start = time.monotonic()
            for number, frame in enumerate(container.decode(video=0)):
                picture = frame.to_ndarray(format="rgb24")
                due = start + float(frame.time or 0.0)
                time.sleep(max(due - time.monotonic(), 0.0))
                with self._changed:
                    self._buffer.append((number, due, picture))
                    self.count = number + 1
                    self._changed.notify()
        with self._changed:
            self._over = True
            self._changed.notify()

    def read(self) -> tuple[int, float, Any] | None:
        """The oldest picture there is, with its number and time; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._over)
            return self._buffer.popleft() if self._buffer else None


def naive(recognizer: Any, question: Any, film: Path) -> dict[str, Any]:
    """Latencies and drops of the loop that encodes its whole window for every label."""
    import numpy as np
    import torch

    from actionclip.inference.stream.watching import live_views
    from actionclip.video.resize import resize
    from actionclip.video.transforms import to_input

    model, views = recognizer.model, live_views(recognizer.config)
    sampling, preprocess = views.sampling, views.preprocess
    step = max(round(sampling.spacing * 25), 1)
    window: deque[Any] = deque(maxlen=sampling.frames)
    latencies, used, wanted, start = [], 0, 0, time.monotonic()
    camera = Camera(film)
    while (read := camera.read()) is not None:
        number, due, picture = read
        if number < wanted:
            continue
        wanted = number + step
        used += 1
        window.append(resize(picture[None], preprocess.resize)[0])
        if len(window) < sampling.frames:
            continue
        with torch.inference_mode():
            pixels = to_input(np.stack(window)[None], preprocess).to(model.device, model.dtype)
            embedding = model.encode_video(pixels).cpu()
        question.scores(embedding)
        latencies.append(time.monotonic() - due)
    return {
        "latencies": latencies,
        "pictures": len(latencies) * sampling.frames,
        "dropped": max(1 - used * step / camera.count, 0.0),
        "seconds": time.monotonic() - start,
    }


WAYS = {"ours": ours, "naive": naive}


def measure(name: str, film: Path, rounds: int) -> dict[str, Any]:
    """Both ways in turn, some rounds, and what divides them."""
    recognizer = recognizer_of(name)
    question = recognizer.question(LABELS, templates=["{}"], look_alikes=False)
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in sorted(WAYS, reverse=bool(turn % 2)):
            busy = processor()
            last = WAYS[way](recognizer, question, film)
            last["processor"] = processor() - busy
            runs[way].append(last)
            middle = statistics.median(last["latencies"]) * 1000
            say(f"{name}, {way}: {middle:.0f} ms, {last['dropped']:.0%} dropped")
    recognizer.close()
    row: dict[str, Any] = {"precision": recognizer.precision}
    for way, found in runs.items():
        late = sorted(value for run in found for value in run["latencies"])
        row[way] = {
            "median ms": round(statistics.median(late) * 1000, 1),
            "p95 ms": round(late[int(len(late) * 0.95)] * 1000, 1),
            "dropped": round(statistics.mean(run["dropped"] for run in found), 3),
            "labels/s": round(len(late) / sum(run["seconds"] for run in found), 2),
            "pictures a label": round(sum(run["pictures"] for run in found) / len(late), 2),
            "processor ms a label": round(
                sum(run["processor"] for run in found) / len(late) * 1000, 1
            ),
        }
    row["naive / ours"] = ratio(runs, lambda run: statistics.median(run["latencies"]))
    row["naive / ours, processor"] = ratio(
        runs, lambda run: run["processor"] / len(run["latencies"])
    )
    return row


def ratio(runs: dict[str, list[dict[str, Any]]], of: Callable[[dict[str, Any]], float]) -> float:
    """How many times more the naive way needs of something: the median over the rounds."""
    pairs = zip(runs["naive"], runs["ours"], strict=True)
    return round(statistics.median(of(slow) / of(fast) for slow, fast in pairs), 2)


def processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def main() -> None:
    """Measure the models asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["tiny", "ViT-B-32"])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the film")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=Path, help="where films are kept")
    parser.add_argument("--quick", action="store_true", help="a small tower, once, a short film")
    args = parser.parse_args()
    if args.quick:
        args.models, args.seconds, args.rounds = ["small"], 4.0, 1
    [film] = rendered(Film(320, 240, args.seconds, preset="veryfast"), 1, args.clips)
    rows = {name: measure(name, film, args.rounds) for name in args.models}
    report("stream", {"rows": rows, "seconds": args.seconds, "rounds": args.rounds})


if __name__ == "__main__":
    main()
