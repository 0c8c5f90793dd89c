"""From a word to a video: somebody, somewhere, does it."""

import os
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from actionclip.data.synthetic.actions import ACTIONS, SEAT, Action, Style
from actionclip.data.synthetic.figure import Body, joint_positions, turn
from actionclip.data.synthetic.render import Camera, Look, Parts, body_parts, paint, paint_shadow
from actionclip.data.synthetic.scenery import SCENES, draw_scene
from actionclip.errors import ActionCLIPError, unknown

Random = np.random.Generator

DEMO = (
    *(("walking", 3), ("waving one hand", 5), ("jumping jacks", 1)),
    *(("bending down", 8), ("running", 2), ("sitting down", 9)),
)
"""Actions and seeds of the clips people see first: different people in different places."""

_AT_ONCE = 16  # frames painted together: fewer cost more calls, more do not fit the cache

SKINS = ((238, 196, 166), (224, 172, 138), (198, 144, 108), (150, 102, 74), (104, 70, 52))
HAIRS = ((38, 30, 28), (72, 48, 32), (124, 84, 46), (196, 160, 96), (150, 150, 148), (140, 62, 36))
SHIRTS = (
    *((196, 62, 54), (44, 104, 176), (58, 140, 90), (226, 176, 50), (120, 76, 150)),
    *((235, 232, 224), (230, 120, 60), (36, 140, 150), (70, 74, 84), (214, 110, 140)),
)
TROUSERS = ((46, 58, 92), (54, 54, 58), (112, 96, 74), (84, 92, 70), (38, 40, 52), (130, 132, 136))
SHOES = ((44, 40, 40), (228, 226, 220), (120, 70, 44), (170, 50, 46))


def synthesise(
    action: str, seed: int, *, frames: int, size: tuple[int, int] = (320, 240), fps: float = 25.0
) -> UInt8[np.ndarray, "T H W 3"]:
    """A clip of a person who does `action`: RGB, [T, H, W, 3].

    The same seed gives the same clip. An action that happens once takes place within the clip,
    however short that is; at 8 frames and 4 frames/s one sees all of it.

    Args:
        action: one of `ACTIONS`.
        seed: decides the person, the clothes, the place, the view, the pace and the manner.
        frames: how many (T).
        size: width and height in pixels.
        fps: frames per second.

    Raises:
        ActionCLIPError: when no such action is known.
    """
    if action not in ACTIONS:
        raise unknown("synthetic action", action, ACTIONS)
    rng = np.random.default_rng([seed, crc32(action.encode())])
    doing = ACTIONS[action]
    body, look, style = _someone(rng)
    phase = _phases(doing, frames, fps, rng)
    pose = doing.pose(phase, style)
    at = joint_positions(body, pose)

    low, high = doing.views
    facing = np.radians(rng.uniform(low, high))
    if rng.random() < 0.5:
        facing = np.pi - facing
    at = _stand_in_the_world(at, float(facing))
    camera = _camera(at, size, body, rng)
    place = str(rng.choice(list(SCENES)))
    scene = draw_scene(place, camera, float(at[..., 1].max()), rng)

    canvas = scene.seen_by(camera)
    parts = body_parts(at, body, look)
    if doing.seat:
        _add_stool(parts, at, body, float(facing), rng)
    for first in range(0, frames, _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        paint_shadow(canvas[some], parts.at(some), camera.at(some))
        paint(canvas[some], parts.at(some), camera.at(some))
    return canvas.clip(0, 255).astype(np.uint8)


def write_clip(path: Path, frames: UInt8[np.ndarray, "T H W 3"], *, fps: float = 25.0) -> None:
    """Write RGB frames as H.264 in an MP4 file; the file appears when it is whole.

    Args:
        path: ends in `.mp4`; its folder exists.
        frames: width and height are even.
        fps: frames per second.

    Raises:
        ActionCLIPError: when a side has an odd number of pixels.
    """
    import av

    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ActionCLIPError(
            f"A picture of {width} x {height} pixels does not fit H.264.",
            expected="Both sides must have an even number of pixels.",
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(unfinished), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.height, stream.width = height, width
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "20", "preset": "veryfast"}
            for picture in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def demo_clips(folder: Path) -> list[tuple[Path, str]]:
    """Six different clips of 2.6 seconds in `folder`, each with the action it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for action, seed in DEMO:
        path = folder / f"{action.replace(' ', '_')}.mp4"
        write_clip(path, synthesise(action, seed, frames=65), fps=25.0)
        clips.append((path, action))
    return clips


def _someone(rng: Random) -> tuple[Body, Look, Style]:
    """A person with clothes and a way of moving."""
    body = Body(
        height=rng.uniform(1.56, 1.9),
        build=rng.uniform(0.9, 1.2),
        shoulders=rng.uniform(0.88, 1.12),
        leg_share=rng.uniform(0.485, 0.515),
    )

    def pick(colours: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
        chosen = np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 6, 3)
        red, green, blue = chosen.clip(12, 245).astype(int).tolist()
        return red, green, blue

    look = Look(
        skin=pick(SKINS),
        hair=pick(HAIRS),
        shirt=pick(SHIRTS),
        trousers=pick(TROUSERS),
        shoes=pick(SHOES),
        long_sleeves=bool(rng.random() < 0.5),
        shorts=bool(rng.random() < 0.3),
        long_hair=bool(rng.random() < 0.4),
    )
    side = "left" if rng.random() < 0.3 else "right"
    return body, look, Style(side=side, size=rng.uniform(0.9, 1.1), variant=rng.random())


def _phases(doing: Action, frames: int, fps: float, rng: Random) -> NDArray[np.float64]:
    """When in the movement each frame is."""
    seconds = doing.seconds / rng.uniform(0.88, 1.15)
    time = np.arange(frames) / fps
    if doing.repeats:
        return time / seconds + rng.uniform(0, 1)
    room = max((frames - 1) / fps, 1e-6)
    seconds = min(seconds, room)
    return ((time - rng.uniform(0, 1) * (room - seconds)) / seconds).clip(0, 1)


def _stand_in_the_world(at: NDArray[np.float64], facing: float) -> NDArray[np.float64]:
    """Turn joints that face X to another direction, the middle of their way at the origin."""
    middle = at[:, 0].mean(axis=0) * (1, 1, 0)
    matrix = turn("z", np.degrees(np.array([facing])))[0]
    return (at - middle) @ matrix.T


def _camera(at: NDArray[np.float64], size: tuple[int, int], body: Body, rng: Random) -> Camera:
    """A camera that sees the whole person all the time, and follows one who leaves the picture."""
    width, height = size
    distance = rng.uniform(4.5, 8.0)
    tallest = max(float(at[..., 2].max()) + 0.1, 0.75 * body.height)
    nearest = float(at[..., 1].min())
    scale = height * rng.uniform(0.72, 0.84) / tallest
    scale = min(scale, width / float(np.ptp(at[..., 0] - at[:, :1, 0]) + 0.9))
    x = at[:, 0, 0]
    view = 0.62 * width / scale
    follow = 1 - min(view / max(float(np.ptp(x)), 1e-6), 1.0)
    above = rng.uniform(1.0, 1.6)
    focal = scale * (distance + nearest)
    feet = height * rng.uniform(0.9, 0.94)
    return Camera(
        width=width,
        height=height,
        focal=focal,
        distance=distance,
        above=above,
        horizon=feet - scale * above,
        x=follow * x,
    )


def _add_stool(
    parts: Parts, at: NDArray[np.float64], body: Body, facing: float, rng: Random
) -> None:
    """A stool under where the person sits in one of the frames."""
    lowest = int(at[:, 0, 2].argmin())
    middle = at[lowest, 0] * (1, 1, 0)
    top = SEAT * body.leg - 0.062 * body.height * body.build
    wood = SHOES[2]
    ahead = np.array([np.cos(facing), np.sin(facing), 0])
    across = np.array([-ahead[1], ahead[0], 0])

    def add(a: NDArray[np.float64], b: NDArray[np.float64], radius: float) -> None:
        ends = np.broadcast_to(middle + a, (len(at), 3)), np.broadcast_to(middle + b, (len(at), 3))
        parts.add(*ends, radius, radius, wood, nearer=-0.16)

    up = np.array([0, 0, 1])
    for forward in (-0.16, 0.16):
        for aside in (-0.15, 0.15):
            foot = ahead * forward + across * aside
            add(foot * 1.1, foot * 0.9 + up * top, 0.02)
    for aside in (-0.14, -0.07, 0.0, 0.07, 0.14):
        plank = across * aside + up * (top - 0.03)
        add(plank - ahead * 0.17, plank + ahead * 0.17, 0.035)
