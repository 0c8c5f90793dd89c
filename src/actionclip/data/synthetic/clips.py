"""From a word to a video: somebody, somewhere, does it.

Everything is a pure function of a seed; what is kept between calls only saves time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from actionclip.data.synthetic.actions import ACTIONS, Action, Style
from actionclip.data.synthetic.draw.body import SHIRTS, Look, body_parts, somebody
from actionclip.data.synthetic.draw.camera import Camera, Framing, aim
from actionclip.data.synthetic.draw.lens import Lens, expose, light_by_chance
from actionclip.data.synthetic.draw.paint import Light, Parts, paint, paint_shadow
from actionclip.data.synthetic.draw.props import Stage
from actionclip.data.synthetic.draw.scenery import SCENES, behind
from actionclip.data.synthetic.figure import Body, joint_positions
from actionclip.data.synthetic.files import write_clip
from actionclip.errors import cannot_write, unknown

Random = np.random.Generator
Array = NDArray[np.float64]

DEMO = (
    *(("walking", 3), ("waving one hand", 5), ("jumping jacks", 1)),
    *(("bending down", 8), ("running", 2), ("sitting down", 8)),
)
"""Actions and seeds of the clips people see first: different people in different places."""

_DRAWN = ("room", "hall", "park", "studio")  # scenes that look well from near
_AT_ONCE = 16  # frames painted together: fewer cost more calls, more do not fit the cache
_REST = 0.3  # share of a clip in which nothing has begun, or all is over, where an action is cut
_SLOW, _QUICK = 0.86, 1.16  # tempo below and above which somebody would say so


@dataclass(frozen=True)
class ClipInfo:
    """What a clip shows."""

    action: str
    """One of `ACTIONS`."""
    seed: tuple[int, ...]
    """The numbers that decide everything else."""
    tempo: str
    """"slowly", "quickly", or nothing where it is neither."""
    direction: str
    """Where the person goes in the picture: "to the left", "to the right", "towards the camera",
    "away from the camera", or nothing."""
    view: str
    """What one sees of the person at first: "the front", "the back", "the left side", …; nothing of
    somebody who spins: that shows every side, and any at first."""
    side: str
    """The hand or foot that does what only one does."""
    scene: str
    """What is behind, one of `SCENES`."""
    fps: float


@dataclass(frozen=True)
class Clip:
    """A video and what it shows."""

    frames: UInt8[np.ndarray, "T H W 3"]
    info: ClipInfo


def stream(
    seed: int,
    epoch: int,
    index: int,
    *,
    frames: int = 8,
    size: tuple[int, int] = (96, 96),
    fps: float = 4.0,
    actions: Sequence[str] | None = None,
    clean: bool = False,
) -> Clip:
    """Clip number `index` of an epoch of training without files: a pure function.

    In an epoch every action comes up equally often; the order is another one in every round.

    Args:
        seed: of the training.
        epoch: which epoch; no clip is shown twice.
        index: from 0, without end.
        frames: how many (T).
        size: width and height in pixels, any.
        fps: frames per second.
        actions: from which; None: all of `ACTIONS`.
        clean: as in `synthesise`.

    Raises:
        ActionCLIPError: for an action that is not known.
    """
    names = list(ACTIONS) if actions is None else list(actions)
    turn, place = divmod(index, len(names))
    action = names[_order(seed, epoch, turn, len(names))[place]]
    take = plan(action, (seed, epoch, index), frames=frames, size=size, fps=fps, clean=clean)
    return take.draw()


@lru_cache(maxsize=16)
def _order(seed: int, epoch: int, turn: int, actions: int) -> list[int]:
    """In which order the actions come up in a round."""
    return np.random.default_rng([seed, epoch, turn, 1]).permutation(actions).tolist()


def synthesise(
    action: str,
    seed: int,
    *,
    frames: int,
    size: tuple[int, int] = (320, 240),
    fps: float = 25.0,
    clean: bool = False,
) -> Clip:
    """A clip of a person who does `action`.

    The same seed gives the same clip. An action that happens once takes place within the clip,
    however short that is; at 8 frames and 4 frames/s one sees all of it.

    Args:
        action: one of `ACTIONS`.
        seed: decides the person, the clothes, the place, the view, the pace and the manner.
        frames: how many (T).
        size: width and height in pixels.
        fps: frames per second.
        clean: filmed with a good camera: no noise, blur or compression, and close enough.

    Raises:
        ActionCLIPError: when no such action is known.
    """
    return plan(action, (seed,), frames=frames, size=size, fps=fps, clean=clean).draw()


def demo_clips(folder: Path) -> list[tuple[Path, str]]:
    """Six different clips of 2.6 seconds in `folder`, each with the action it shows.

    Raises:
        StorageError: when the folder cannot be written to.
    """
    clips = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for action, seed in DEMO:
            path = folder / f"{action.replace(' ', '_')}.mp4"
            write_clip(path, synthesise(action, seed, frames=65, clean=True).frames, fps=25.0)
            clips.append((path, action))
    except OSError as error:
        hint = "Name a folder that is writable and has room with --folder FOLDER."
        raise cannot_write(folder, error, hint=hint) from error
    return clips


@dataclass(frozen=True)
class Take:
    """A clip before it is drawn: who does what, where, before which camera."""

    info: ClipInfo
    doing: Action
    at: Float[np.ndarray, "M J 3"]
    """Joints in every frame, and again when its shutter closes (M = 2 T)."""
    phase: Float[np.ndarray, " M"]
    facing: float
    body: Body
    look: Look
    camera: Camera
    lens: Lens
    light: Light
    rng: Random
    """Where further chance comes from: a take is drawn once."""

    def moment(self, frame: int) -> "Take":
        """The same with one frame only."""
        both = np.array([frame, frame + len(self.at) // 2])
        seen = self.camera.at(both[:1])
        return replace(self, at=self.at[both], phase=self.phase[both], camera=seen)

    def draw(self) -> Clip:
        """Everything in its place, and the camera runs."""
        rng, frames = self.rng, len(self.at) // 2
        room = float(self.at[..., 1].max())
        canvas = behind(self.camera, room, self.info.scene, rng, frames=frames)
        parts = body_parts(self.at, self.body, self.look)
        if self.doing.things is not None:
            colour = SHIRTS[int(rng.integers(len(SHIRTS)))]
            stage = Stage(self.at, self.phase, self.body, self.facing, self.info.side, colour)
            self.doing.things(parts, stage)
        _paint_all(canvas, parts, self.camera, self.light)
        return Clip(expose(canvas, self.lens, rng), self.info)


def plan(
    action: str,
    seed: tuple[int, ...],
    *,
    frames: int,
    size: tuple[int, int],
    fps: float,
    clean: float = 0.0,
    cut: float = 0.0,
) -> Take:
    """All that is decided about a clip before it is drawn; the arguments are `synthesise`'s.

    Args:
        action: as there.
        seed: as there, in several numbers.
        frames: as there.
        size: as there.
        fps: as there.
        clean: between 0 and 1 the chance that each of distance, camera, view and place is an easy
            one.
        cut: the chance that an action that happens once and takes longer than the clip goes at
            its own pace, so that one sees a part of it; otherwise it is hurried.
    """
    if action not in ACTIONS:
        raise unknown("synthetic action", action, ACTIONS)
    rng = np.random.default_rng([*seed, crc32(action.encode())])
    doing = ACTIONS[action]
    body, look = somebody(rng)
    framing, lens, light = Framing.draw(rng), Lens.draw(rng, size[1]), light_by_chance(rng)
    if doing.near:
        framing = replace(framing, share=0.72 + 0.2 * framing.column)
    near, sharp, seen, plain = _eased(seed, clean)
    if near:
        framing = _well_filmed(framing)
    if sharp:
        lens, light = Lens(), Light()
    effort = float(np.random.default_rng([*seed, 6]).random())
    style, tempo = _manner(rng, effort), float(rng.uniform(0.76, 1.3))
    whole = np.random.default_rng([*seed, 5]).random() >= cut
    phase = _phases(doing, frames, fps, tempo, rng, whole=whole)
    both = np.concatenate([phase, _later(doing, phase, lens.shutter * tempo / doing.seconds)])
    facing = _facing(doing, rng, seen)
    at = _in_the_world(joint_positions(body, doing.pose(both, style)), frames, facing)
    camera = aim(at[:frames], body.height, size, framing, _shake(frames, fps, rng))
    info = ClipInfo(
        action=action,
        seed=seed,
        tempo="slowly" if tempo < _SLOW else "quickly" if tempo > _QUICK else "",
        direction=_direction(at[:frames], body),
        view="" if action == "spinning" else _view(facing),
        side=style.side,
        scene=str(rng.choice(_DRAWN if plain else list(SCENES))),
        fps=fps,
    )
    return Take(info, doing, at, both, facing, body, look, camera, lens, light, rng)


def _paint_all(
    canvas: Float[np.ndarray, "N 3 H W"], parts: Parts, camera: Camera, light: Light
) -> None:
    """Shadows and parts; parts are given for the N frames and again for when the shutter closes."""
    count = len(canvas)
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        here = slice(first, last)
        now, then = parts.at(here), parts.at(slice(count + first, count + last))
        seen = camera.at(np.arange(first, last))
        paint_shadow(canvas[here], now, seen, light)
        paint(canvas[here], now, seen, light, then)


def _eased(seed: tuple[int, ...], clean: float) -> tuple[bool, ...]:
    """Whether distance, camera, view and place are easy ones."""
    if clean in (0, 1):
        return (bool(clean),) * 4
    return tuple((np.random.default_rng([*seed, 4]).random(4) < clean).tolist())


def _well_filmed(framing: Framing) -> Framing:
    share = 0.72 + 0.12 * framing.row
    return Framing(share, 7.0, 1.3, 0.0, 1.0, 0.95, 0.0, 0.5, 0.7)


def _manner(rng: Random, effort: float) -> Style:
    side = "left" if rng.random() < 0.4 else "right"
    size, variant, arms = rng.uniform(0.88, 1.12), rng.random(), rng.random()
    return Style(side, float(size), float(variant), float(arms), effort)


def _facing(doing: Action, rng: Random, clean: bool) -> float:
    """Mostly as the action is best seen; now and then from behind, or from anywhere. Radians."""
    chance = rng.random()
    angle = rng.uniform(*doing.views)
    if not clean and chance < 0.1:
        angle = rng.uniform(-180, 180)
    elif not clean and chance < 0.22:
        angle = -angle
    facing = np.radians(angle)
    return float(np.pi - facing if rng.random() < 0.5 else facing)


def _phases(
    doing: Action, frames: int, fps: float, tempo: float, rng: Random, *, whole: bool
) -> Array:
    """When in the movement each frame is."""
    seconds = doing.seconds / tempo
    time, start = np.arange(frames) / fps, rng.uniform(0, 1)
    if doing.repeats:
        return time / seconds + start
    room = max((frames - 1) / fps, 1e-6)
    if seconds > room and not whole:
        missed = start * (seconds - (1 - 2 * _REST) * room) - _REST * room
        return ((time + missed) / seconds).clip(0, 1)
    seconds = min(seconds, room)
    return ((time - start * (room - seconds)) / seconds).clip(0, 1)


def _later(doing: Action, phase: Array, share: float) -> Array:
    """The phases when the shutter closes; what has begun or is over does not move."""
    later = phase + share
    if doing.repeats:
        return later
    return np.where((phase <= 0) | (phase >= 1), phase, np.minimum(later, 1))


def _shake(frames: int, fps: float, rng: Random) -> Float[np.ndarray, "2 N"]:
    """Slow sways and a little tremble of a hand, each axis about 1 in size."""
    time = np.arange(frames) / fps
    rate, start = rng.uniform(0.3, 3.0, (3, 2, 1)), rng.uniform(0, 6.28, (3, 2, 1))
    return np.sin(2 * np.pi * rate * time + start).sum(axis=0) / np.sqrt(1.5)


def _in_the_world(at: Array, frames: int, facing: float) -> Array:
    """Turn joints that face X to another direction, the middle of their way at the origin."""
    way = at[:frames, 0]
    middle = (way.min(axis=0) + way.max(axis=0)) / 2 * (1, 1, 0)
    cosine, sine = np.cos(facing), np.sin(facing)
    matrix = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    return (at - middle) @ matrix


def _direction(at: Array, body: Body) -> str:
    """Where the person goes, if far enough to be worth a word."""
    way = at[-1, 0] - at[0, 0]
    if float(np.hypot(way[0], way[1])) < 0.4 * body.height:
        return ""
    if abs(way[0]) > 0.7 * abs(way[1]):
        return "to the right" if way[0] > 0 else "to the left"
    return "away from the camera" if way[1] > 0 else "towards the camera"


def _view(facing: float) -> str:
    """Which part of the person the camera sees."""
    quarter = round(np.degrees(facing) / 90) % 4
    return ("the right side", "the back", "the left side", "the front")[quarter]
