"""What this machine can do: versions, devices, decoders and codecs, the sandbox, the cache."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

PACKAGES = ("torch", "torchvision", "open_clip_torch", "av", "numpy", "pillow", "safetensors")
OPTIONAL = {"pyarrow": "parquet", "torchcodec": "torchcodec"}
CODECS = {
    "h264": ("libx264", "mp4", "yuv420p"),
    "hevc": ("libx265", "mp4", "yuv420p"),
    "vp9": ("libvpx-vp9", "webm", "yuv420p"),
    "av1": ("libsvtav1", "mkv", "yuv420p"),
    "mpeg4": ("mpeg4", "avi", "yuv420p"),
    "mpeg2video": ("mpeg2video", "mpg", "yuv420p"),
    "mjpeg": ("mjpeg", "mov", "yuvj420p"),
}


@dataclass
class Report:
    """Facts by section, and what a person should do something about."""

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**self.sections, "troubles": self.troubles}


def examine() -> Report:
    """Look at this machine; takes a few seconds, needs no network."""
    report = Report()
    report.sections["versions"] = _versions()
    report.sections["devices"] = _devices()
    report.sections["codecs"] = _codecs(report)
    report.sections["decoding sandbox"] = _sandbox(report)
    report.sections["storage"] = _storage(report)
    return report


def _versions() -> dict[str, str]:
    from actionclip import __version__

    found = {"actionclip": __version__, "python": platform.python_version()}
    found["system"] = f"{platform.system()} {platform.machine()}"
    for package in PACKAGES:
        found[package] = version(package)
    for package, extra in OPTIONAL.items():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = f'not installed (pip install "actionclip[{extra}]")'
    return found


def _devices() -> dict[str, str]:
    import torch

    from actionclip.inference.precision import has_bf16
    from actionclip.processors import processors

    cores = f"{processors()} of {os.cpu_count()} cores"
    facts = {"cpu": f"{cores}, torch uses {torch.get_num_threads()} threads"}
    facts["bf16 on the cpu"] = "yes" if has_bf16("cpu") else "no"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        facts[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        facts["mps"] = "yes"
    return facts


def _codecs(report: Report) -> dict[str, str]:
    """Write a few frames with each codec and read them back as any video is read."""
    import av
    import av.error

    from actionclip.video.decode import DecodePool
    from actionclip.video.settings import ReadRequest, Sampling
    from actionclip.video.sources import find_videos

    facts = {"decoder": f"PyAV {av.__version__}"}
    facts["torchcodec"] = "installed" if find_spec("torchcodec") else "not installed"
    request = ReadRequest(sampling=Sampling(frames=2))
    with tempfile.TemporaryDirectory() as folder, DecodePool(1) as pool:
        for name, (encoder, container, pixels) in CODECS.items():
            path = Path(folder) / f"{name}.{container}"
            try:
                with _silence(), scheduled_as_before():
                    _write_sample(path, encoder, pixels)
            except (av.error.FFmpegError, ValueError) as error:
                facts[name] = f"not checked: no encoder to make a sample ({error})"
                continue
            clip = pool.read(find_videos([path])[0], request)
            facts[name] = "works" if clip.status.usable else f"{clip.status}: {clip.message}"
            if not clip.status.usable:
                report.troubles.append(f"{name} videos cannot be read: {clip.message}")
    return facts


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what encoders written in C tell about themselves off the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """Undo what SVT-AV1 does to a process of root: the thread that encodes becomes a real-time one.

    It would stay so, and so would all it starts; nothing else then gets a processor.
    """
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameter)


def _write_sample(path: Path, encoder: str, pixels: str) -> None:
    import av
    import av.error

    with av.open(str(path), "w") as container:
        stream = cast(Any, container.add_stream(encoder, rate=25))
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixels
        for shade in range(0, 200, 25):
            picture = np.full((96, 128, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _sandbox(report: Report) -> dict[str, str]:
    from actionclip.video.decode import sandbox_report

    facts = {}
    for layer, state in sandbox_report().items():
        facts[layer] = ("on" if state else "off") if isinstance(state, bool) else str(state)
    if "off" in facts.values():
        report.troubles.append(
            "Some layers of the decoding sandbox are off on this system: "
            "do not decode videos from strangers without another barrier, such as a container."
        )
    return facts


def _storage(report: Report) -> dict[str, str]:
    from huggingface_hub import constants

    from actionclip.model.text_cache import cache_folder

    cache, labels = Path(constants.HF_HUB_CACHE), cache_folder()
    existing = next(parent for parent in [cache, *cache.parents] if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < 2:
        report.troubles.append(f"Only {free:.1f} GiB are free for weights in {cache}.")
    return {
        "weights": f"{cache} ({free:.0f} GiB free)",
        "encoded labels": "kept nowhere: this user has no home; ACTIONCLIP_CACHE names a place"
        if labels.is_relative_to(os.devnull)
        else str(labels),
        "network": "off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "allowed for weights",
    }
