"""A data set of rendered clips: video files in a folder for each action, and their manifest.

Clip i shows action i modulo the number of actions, and is the same however many are asked for. A
run that was interrupted goes on where it stopped: files appear only when they are whole.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.captions import captions
from actionclip.data.synthetic.clips import plan
from actionclip.data.synthetic.files import write_clip
from actionclip.errors import ActionCLIPError, cannot_write, unknown

MANIFEST, SETTINGS = "manifest.csv", "synth.json"
_SPLITS = ("train",) * 8 + ("val", "test")


@dataclass(frozen=True)
class Recipe:
    """What decides the clips of a data set, but for their number."""

    actions: tuple[str, ...] = tuple(ACTIONS)
    width: int = 320
    height: int = 240
    seconds: float = 2.5
    fps: float = 25.0
    seed: int = 0

    @property
    def frames(self) -> int:
        """In each clip."""
        return max(round(self.seconds * self.fps), 1)


@dataclass(frozen=True)
class Done:
    """What a run has made."""

    manifest: Path
    rendered: int
    kept: int
    """Clips that were there already."""


def write_dataset(
    folder: Path, recipe: Recipe, clips: int, *, seen: Callable[[bool], None] | None = None
) -> Done:
    """Render clips into `folder/ACTION/NUMBER.mp4`, and write `folder/manifest.csv`.

    Of ten clips of an action eight are for training, one is for validation, one for testing; the
    manifest has a caption for each, in words that differ.

    Args:
        folder: made where it is missing.
        recipe: what decides the clips.
        clips: how many in all.
        seen: called after each clip, with whether it was there already.

    Raises:
        ActionCLIPError: for an action that is not known, sides that H.264 cannot have, or a folder
            in which clips of another recipe lie.
        StorageError: when the folder cannot be written to.
    """
    _check(recipe, clips)
    rows, rendered = [], 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _same_recipe(folder / SETTINGS, recipe)
        for number in range(clips):
            turn, place = divmod(number, len(recipe.actions))
            action = recipe.actions[place]
            path = folder / action.replace(" ", "_") / f"{number:06d}.mp4"
            take = plan(
                action,
                (recipe.seed, number),
                frames=recipe.frames,
                size=(recipe.width, recipe.height),
                fps=recipe.fps,
            )
            there = path.is_file()
            if not there:
                path.parent.mkdir(exist_ok=True)
                write_clip(path, take.draw().frames, fps=recipe.fps, crf=_loss(recipe, number))
                rendered += 1
            words = np.random.default_rng([recipe.seed, number, 2])
            caption = captions(take.info, words, count=2)[1]
            name = path.relative_to(folder).as_posix()
            rows.append((name, action, caption, _SPLITS[turn % len(_SPLITS)]))
            if seen is not None:
                seen(there)
        _write_whole(folder / MANIFEST, _table(rows))
    except OSError as error:
        again = "Run the command again when there is room: it goes on where it stopped."
        raise cannot_write(folder, error, hint=again) from error
    return Done(folder / MANIFEST, rendered, clips - rendered)


def _check(recipe: Recipe, clips: int) -> None:
    for action in recipe.actions:
        if action not in ACTIONS:
            raise unknown("synthetic action", action, ACTIONS)
    if not recipe.actions or clips < 1:
        raise ActionCLIPError(
            f"{clips} clips of {len(recipe.actions)} actions were asked for.",
            expected="There must be at least one of each.",
        )
    if recipe.width % 2 or recipe.height % 2 or min(recipe.width, recipe.height) < 32:
        raise ActionCLIPError(
            f"The size is {recipe.width}x{recipe.height}.",
            expected="Both sides must be even and at least 32 pixels.",
        )


def _same_recipe(path: Path, recipe: Recipe) -> None:
    """Write down what decides the clips, or compare it with what was written down."""
    settings = json.loads(json.dumps(asdict(recipe)))
    if path.is_file():
        try:
            old = json.loads(path.read_text())
        except ValueError:
            old = None
        if old != settings:
            raise ActionCLIPError(
                f"{path.parent} holds clips that were made with other settings.",
                expected=f"{path.name} there says which.",
                hint="Choose another folder, or delete this one.",
            )
    else:
        _write_whole(path, json.dumps(settings, indent=1) + "\n")


def _loss(recipe: Recipe, number: int) -> int:
    """How strongly a clip is compressed: from hardly to visibly."""
    return int(np.random.default_rng([recipe.seed, number, 3]).integers(18, 33))


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "caption", "split"))
    writer.writerows(rows)
    return text.getvalue()


def _write_whole(path: Path, text: str) -> None:
    """A file that is there as a whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        unfinished.write_text(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
