"""The data of a recipe: found, cut down to what is trained on, and made into a source."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actionclip.data import label_sets
from actionclip.data.layouts.base import Options
from actionclip.data.layouts.names import stem
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest
from actionclip.data.splits import Drawn, base_to_novel, few_shot, fingerprint
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.errors import ActionCLIPError, counted
from actionclip.model.config import ModelConfig
from actionclip.model.prompts.label_files import read_labels
from actionclip.training.recipes.settings import DataSettings, Draw, EvaluationSettings
from actionclip.training.run.batches import ClipSource
from actionclip.training.sources.clips import Clips
from actionclip.training.sources.failures import Failures
from actionclip.training.sources.manifests import ManifestEntries
from actionclip.training.sources.shards import ShardEntries

Place = tuple[Path, float | None, float | None]
"""Where a clip lies: its file, and from when to when in it."""
SIDES = re.compile(r"\b(left|right)(wards?)?\b", re.IGNORECASE)
LOOKED_AT = 10_000
"""Texts that are looked at for left and right, spread over all: shards may hold millions."""


@dataclass
class TrainingData:
    """What a recipe trains on."""

    source: ClipSource
    failures: Failures
    about: str
    """In a sentence, for a card: it is published, so it names the data and not where they lie."""
    fingerprint: str
    """Of the clips in their order, on which it depends what a step sees."""
    unordered: str
    """The same in any order: what splits.json holds, and what runs wrote once."""
    notes: Sequence[str] = ()
    """What a careful reader would want to know."""
    drawn: Drawn | None = field(default=None, repr=False)
    """The part of the data that was drawn, to be written down."""
    clips: frozenset[Place] = field(default=frozenset(), repr=False)
    """Where the clips of a manifest lie."""
    path: str = ""
    """The data set as the recipe names it."""

    def close(self) -> None:
        """End what decodes."""
        if isinstance(self.source, Clips):
            self.source.close()


def open_data(settings: DataSettings, config: ModelConfig, seed: int) -> TrainingData:
    """The source of a recipe's examples.

    Args:
        settings: `[data]`.
        config: of the model: frames and size.
        seed: `training.seed`.

    Raises:
        ActionCLIPError: when there is no such data, it has nothing to train on, or it is not what
            `settings.fingerprint` says.
    """
    if settings.synthetic is not None:
        return _rendered(settings.synthetic, config)
    notes: Sequence[str] = ()
    drawn: Drawn | None = None
    clips: frozenset[Place] = frozenset()
    if settings.shards:
        entries = ShardEntries(settings.shards)
        mark = unordered = _fingerprint_of(entries)
        about = f"{len(entries):,} pairs of {len(entries.paths)} shards"
        notes = _mirrored(entries, settings)
    else:
        rows = read_rows(settings)
        drawn, notes = rows.drawn, rows.notes
        manifest = only_split(rows.manifest, settings.split, settings.path)
        entries = ManifestEntries(manifest, captions=settings.captions)
        notes = [*notes, *_mirrored(entries, settings)]
        mark, unordered = _mark_of(entries), fingerprint(manifest)
        clips = places(manifest)
        what = "captions" if settings.captions else f"{len(manifest.classes)} labels"
        about = f"{len(entries):,} clips with {what} of {Path(settings.path).absolute().name}"
    if entries.left_out:
        notes = [*notes, f"{counted(entries.left_out, 'clip')} without anything to say: left out."]
    _check_fingerprint(settings, mark, unordered)
    failures = Failures(entries.different, settings.most_failures)
    source = Clips(
        entries,
        config,
        settings.augment,
        seed=seed,
        random_frames=settings.random_frames,
        failures=failures,
        decoders=settings.decoders,
    )
    named = settings.path or settings.shards
    return TrainingData(source, failures, about, mark, unordered, notes, drawn, clips, named)


def places(manifest: Manifest) -> frozenset[Place]:
    """Where the clips of a manifest lie; clips at the same place are the same."""
    return frozenset((manifest.path_of(row), row.start, row.end) for row in manifest.rows)


def _mirrored(entries: ManifestEntries | ShardEntries, settings: DataSettings) -> list[str]:
    """A note where clips are mirrored, and what is said of them tells left from right."""
    if not settings.augment.flip:
        return []
    step = -(-len(entries) // LOOKED_AT)
    looked_at = range(0, len(entries), step)
    told = [text for i in looked_at if SIDES.search(text := entries.said(i))]
    if not told:
        return []
    of = f"{len(told)} of {len(looked_at)} that were looked at" if step > 1 else f"{len(told)}"
    return [
        f"Half of the clips are mirrored, and what is said of {of} tells left or right, "
        f"for example {told[0]!r}. Where that tells clips apart, set data.augment.flip = false."
    ]


def _rendered(settings: PeopleConfig, config: ModelConfig) -> TrainingData:
    """People who are drawn when they are looked at."""
    wanted = (config.sampling.frames, config.preprocess.size)
    if (settings.frames, settings.size) != wanted:
        raise ActionCLIPError(
            f"[data.synthetic] has {settings.frames} frames of {settings.size} pixels.",
            expected=f"The model looks at {wanted[0]} frames of {wanted[1]} pixels.",
        )
    people = People(settings)
    what = "pictures" if settings.frames == 1 else "clips"
    about = f"{len(people):,} rendered {what} of {len(people.labels)} actions, others in each epoch"
    mark = hashlib.sha256(repr(settings).encode()).hexdigest()
    return TrainingData(people, Failures(0, 0.0), about, mark, mark)


@dataclass(frozen=True)
class Rows:
    """A data set as a recipe names it, all splits of it."""

    manifest: Manifest
    drawn: Drawn | None = None
    """Where only a part was drawn: all parts, of which `manifest` is the first."""
    notes: Sequence[str] = ()


def read_rows(settings: DataSettings | EvaluationSettings) -> Rows:
    """The rows that a recipe names.

    Raises:
        ActionCLIPError: when there are none.
    """

    def built_in(name: str) -> list[str] | None:
        return label_sets.load(name) if name in label_sets.names() else None

    labels = settings.labels
    data = read_data(
        Path(settings.path).expanduser(),
        layout=settings.layout or None,
        options=Options(
            root=Path(settings.root).expanduser() if settings.root else None,
            labels=tuple(read_labels(labels, known=built_in)) if labels else None,
            fold=settings.fold,
            intervals=settings.intervals,
        ),
    )
    draw = settings.draw if isinstance(settings, DataSettings) else Draw()
    if draw.protocol == "all":
        return Rows(data.manifest, None, data.notes)
    if draw.protocol == "few-shot":
        drawn = few_shot(data.manifest, shots=[draw.shots], seed=draw.seed)
    else:
        drawn = base_to_novel(data.manifest, shots=draw.shots, seed=draw.seed)
    return Rows(next(iter(drawn.manifests.values())), drawn, data.notes)


def only_split(manifest: Manifest, split: str, path: str) -> Manifest:
    """The rows of a split; all rows where there are no splits.

    Raises:
        ActionCLIPError: when it has none.
    """
    chosen = manifest if manifest.splits == [""] else manifest.only(split)
    if not chosen.rows:
        there = ", ".join(name or "(none)" for name in manifest.splits)
        raise ActionCLIPError(
            f"{path} has no clip in the split {split!r}.",
            expected=f"It has the splits {there}.",
            hint="Set data.split.",
        )
    return chosen


def _fingerprint_of(shards: ShardEntries) -> str:
    digest = hashlib.sha256()
    for _, pair in shards.pairs:
        digest.update(f"{pair.key}{pair.suffix} {pair.pixels[1]} {pair.words[1]}\n".encode())
    return digest.hexdigest()


def _mark_of(entries: ManifestEntries) -> str:
    """SHA-256 of classes and clips in their order, the same wherever the videos lie."""
    digest = hashlib.sha256(json.dumps(list(entries.labels)).encode())
    for row in entries.rows:
        said = row.caption if entries.captions else sorted(row.labels)
        digest.update(json.dumps([stem(row.path), said, row.start, row.end]).encode())
    return digest.hexdigest()


def _check_fingerprint(settings: DataSettings, mark: str, unordered: str) -> None:
    if settings.fingerprint not in ("", mark, unordered):
        raise ActionCLIPError(
            f"The clips of {settings.path or settings.shards} have the fingerprint {mark}.",
            expected=f"The recipe was made for {settings.fingerprint} (data.fingerprint).",
            hint="Other clips, labels or splits, or another order? Take the setting away to train "
            "on these.",
        )
