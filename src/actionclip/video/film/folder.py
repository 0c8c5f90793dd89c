"""A folder of frames as a film: single images that were a video once, read in stretches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from actionclip.video.decode.workers.handover import FRAMES_PER_SECOND
from actionclip.video.decode.workers.pool import DecodePool
from actionclip.video.film.part import Part, failed
from actionclip.video.outcomes import Outcome
from actionclip.video.sampling import TICK, paced
from actionclip.video.settings import GridRequest, Limits, ReadRequest, Sampling
from actionclip.video.sources import Source, frame_files


def read_folder(source: Source, request: GridRequest, limits: Limits) -> Iterator[Part]:
    """The parts of a folder of frames; images are decoded in a locked-in worker, as ever."""
    spacing, first = paced(request.spacing, FRAMES_PER_SECOND, even=request.even)
    total = len(frame_files(Path(source.path))) if source.data is None else 1
    seconds = total / FRAMES_PER_SECOND
    points = np.arange(first, max(seconds, first + TICK), spacing) if total else np.zeros(0)
    shown = ((points + TICK) * FRAMES_PER_SECOND).astype(np.int64).clip(max=total - 1)
    done, complaints = 0, []
    with DecodePool(1, limits) as pool:
        while True:
            wanted = shown[done : done + request.points]
            if not len(wanted):
                yield failed(Outcome.EMPTY, "There are no images in this folder.", spacing=spacing)
                return
            asked = ReadRequest(
                sampling=Sampling(frames=len(wanted)),
                resize=request.resize,
                numbers=tuple(wanted.tolist()),
            )
            clip = pool.read(replace(source, start=None, end=None), asked)
            if clip.frames is None or clip.index is None:
                status = Outcome.DEGRADED if done else clip.status
                yield failed(status, clip.message, spacing=spacing, advice=clip.advice)
                return
            done += len(wanted)
            complaints += [clip.message] if clip.message else []
            last = done >= len(shown)
            yield Part(
                frames=clip.frames,
                index=clip.index[0],
                spacing=spacing,
                promised=seconds,
                done=last,
                status=Outcome.DEGRADED if last and complaints else Outcome.OK,
                message=" ".join(dict.fromkeys(complaints)) if last else "",
                seconds=seconds,
                size=None,
                notes=clip.notes,
                decoder=clip.decoder,
            )
            if last:
                return
