"""The splits of the field's protocols, drawn so that everybody draws the same.

A draw is a ranking by SHA-256 of (seed, class, clip), not by a random generator: it depends on
neither the machine, the version of Python, nor the order of the list, and the first two clips of a
class contain the first one. A clip is known by its name without suffix, so a copy of the data set
in another format or folder gives the same draw.

What is drawn is written down: a manifest for each part, and `splits.json` with protocol, rule,
seed, version and check sums.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from actionclip.data import label_sets
from actionclip.data.drawing.ranking import once, rank, ranked, set_aside
from actionclip.data.json_text import json_text
from actionclip.data.layouts.base import RECORD, drawn_files
from actionclip.data.layouts.names import loose, match, stem
from actionclip.data.manifest import Manifest, Row, manifest_contents, remove_old_classes
from actionclip.data.tables import read_text
from actionclip.errors import ActionCLIPError

VERSION = 3
"""Goes up when a rule draws something else than before."""
SHOTS = (1, 2, 4, 8, 16)
HELD_OUT = ("test", "val")


@dataclass(frozen=True)
class Drawn:
    """What was drawn: manifests by name, and how.

    Raises:
        ActionCLIPError: when one of the manifests has no clip.
    """

    protocol: str
    manifests: dict[str, Manifest]
    rule: str
    """How it was drawn, in words."""
    seed: int | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a part that nothing could be done with."""
        empty = [name for name, manifest in self.manifests.items() if not manifest.rows]
        if empty:
            raise ActionCLIPError(
                f"No clip belongs to {', '.join(empty)} of {self.protocol}.",
                expected="Each part that is drawn has to have clips; classes without any count "
                "when the classes are divided.",
                hint="Is it a part of the data set? Give one whose list of classes has no others.",
            )

    def write(self, folder: Path) -> list[Path]:
        """Write a manifest NAME.csv for each part and the record, all or nothing.

        Raises:
            StorageError: when they cannot be written.
        """
        from actionclip import __version__
        from actionclip.model.weights.files import text_content, write_together

        contents, files = {}, {}
        for name, manifest in self.manifests.items():
            contents |= manifest_contents(manifest, folder / f"{name}.csv")
            counts = Counter(row.split for row in manifest.rows)
            files[f"{name}.csv"] = {
                "classes": list(manifest.classes),
                "clips": {split or "-": counts[split] for split in manifest.splits},
                "sha256": fingerprint(manifest),
            }
        record = {
            "protocol": self.protocol,
            "rule": self.rule,
            "seed": self.seed,
            "version": VERSION,
            "actionclip": __version__,
            **self.details,
            "files": files,
        }
        before = (name for name in drawn_files(folder) - {RECORD} if name.endswith(".csv"))
        if earlier := sorted(n for n in before if n not in files and (folder / n).is_file()):
            record["earlier"] = earlier
        record_text = text_content(json_text(record, indent=2) + "\n")
        write_together(folder, contents | {RECORD: record_text})
        for name in self.manifests:
            remove_old_classes(folder / f"{name}.csv", contents)
        return [folder / name for name in [*files, RECORD]]


def fingerprint(manifest: Manifest) -> str:
    """SHA-256 of the clips' names, splits, labels and times; the same wherever the videos lie."""
    lines = sorted(
        json.dumps([stem(row.path), row.split, sorted(row.labels), row.start, row.end])
        for row in manifest.rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def few_shot(manifest: Manifest, *, shots: Sequence[int] = SHOTS, seed: int = 0) -> Drawn:
    """K clips of each class to train on, for each K; a larger K contains the smaller ones.

    Clips are drawn from the split `train`, and one that is listed twice is one clip; val and test
    stay as they are, without the clips that have no label. A data set without splits is cut in
    two: what is not drawn for the largest K becomes `test` for every K. There, where several clips
    are known to be of one recording, a recording is trained on or tested on: the other clips of
    one that was drawn from are left out, and every class with another recording keeps one to test
    on.

    Args:
        manifest: one label a clip.
        shots: the numbers K.
        seed: another seed draws other clips.

    Raises:
        ActionCLIPError: when a clip has several labels, none can be trained on, or nothing would be
            left to test on.
    """
    shots = sorted(set(shots))
    _check(shots, manifest)
    known = manifest.labelled
    pool = once(known.only("train").rows or known.only("").rows)
    if not pool:
        raise ActionCLIPError(
            f"The data set has the splits {_listed_splits(manifest)}.",
            expected="Clips with labels in train, or in no split, were expected to draw from.",
        )
    order = ranked(pool, manifest.classes, seed)
    held_out = [row for row in known.rows if row.split in HELD_OUT]
    details: dict[str, Any] = {}
    if not held_out:
        order, held_out = _apart(pool, order, shots[-1])
        drawn = sum(len(rows[: shots[-1]]) for rows in order.values())
        tested = {label for row in held_out for label in row.labels}
        details["clips_left_out"] = len(pool) - len(held_out) - drawn
        details["classes_without_test_clips"] = [n for n in manifest.classes if n not in tested]
    parts = {
        f"few-shot-k{k}-seed{seed}": replace(
            manifest,
            rows=(
                *(replace(row, split="train") for rows in order.values() for row in rows[:k]),
                *held_out,
            ),
        )
        for k in shots
    }
    few = {name: len(rows) for name, rows in order.items() if len(rows) < shots[-1]}
    return Drawn(
        "few-shot",
        parts,
        "the K clips of each class with the smallest SHA-256 of 'seed/class/clip'",
        seed,
        {"shots": list(shots), "classes_with_fewer_clips": few, **details},
    )


def _apart(
    pool: Sequence[Row], order: dict[str, list[Row]], shots: int
) -> tuple[dict[str, list[Row]], list[Row]]:
    """What to draw from, and what is left to test on: clips of other recordings."""
    aside = set_aside(order)
    order = {n: [row for row in rows if row.recording not in aside] for n, rows in order.items()}
    used = {row.recording for rows in order.values() for row in rows[:shots]}
    held_out = [replace(row, split="test") for row in pool if row.recording not in used]
    if not held_out:
        alike = len({row.recording for row in pool}) < len(pool)
        largest = max(map(len, order.values()))
        raise ActionCLIPError(
            f"{shots} clips of each class to train on leave none "
            f"{'of another recording ' if alike else ''}to test on.",
            expected="A split test, or more clips, were expected.",
            hint=f"Draw fewer: the largest class has {largest} clips.",
        )
    return order, held_out


def base_to_novel(
    manifest: Manifest,
    *,
    base: Iterable[str] | None = None,
    shots: int | None = 16,
    seed: int = 0,
) -> Drawn:
    """Train on the base classes, test on them and on the novel ones, each against its own kind.

    The field's convention (ViFi-CLIP): the half of the classes with the most training clips is
    base, rounded up; the other half is novel. K clips of a base class are trained on. Ties, which
    HMDB51 has nothing but, are not settled by that rule: here the alphabet does. To compare with
    published numbers give the published base classes, or the published lists (`from_lists`).

    Args:
        manifest: with the splits train, and test or val.
        base: the base classes, by name; None: by the rule.
        shots: training clips of each base class; None: all.
        seed: for drawing these.

    Raises:
        ActionCLIPError: for an unknown class, or a data set without training or test clips.
    """
    train, tests = _parts(manifest)
    train = once(train)
    counts = Counter(label for row in train for label in row.labels)
    if base is None:
        order = sorted(manifest.classes, key=lambda name: (-counts[name], name))
        chosen = set(order[: (len(order) + 1) // 2])
        rule = "base: the half (rounded up) of the classes with the most training clips, ties a-z"
    else:
        chosen = set(_named(base, manifest))
        rule = "base: the classes that were given"
    first = tuple(name for name in manifest.classes if name in chosen)
    novel = tuple(name for name in manifest.classes if name not in chosen)
    if not first or not novel:
        raise ActionCLIPError(
            f"There are {len(first)} base and {len(novel)} novel classes.",
            expected="At least one of each was expected.",
        )
    if shots is not None:
        _check([shots], manifest)
        train = [row for rows in ranked(train, first, seed).values() for row in rows[:shots]]
        rule += f"; {shots} training clips of each by SHA-256 of 'seed/class/clip'"
    return Drawn(
        "base-to-novel",
        {
            f"base-seed{seed}": _of_classes(manifest, [*train, *tests], first),
            "novel": _of_classes(manifest, tests, novel),
        },
        rule,
        seed,
        {"base": list(first), "novel": list(novel), "shots": shots},
    )


def kinetics600_zero_shot(manifest: Manifest) -> Drawn:
    """The three lists of 160 Kinetics-600 classes that Kinetics-400 does not have.

    This is what CLIP-based papers mean by "K600 zero-shot": the mean over the three lists.
    Foundation models report all 600 classes instead, which cannot be compared.

    Raises:
        ActionCLIPError: when the data set lacks one of these classes, or has no test clips.
    """
    _, tests = _parts(manifest, train=False)
    parts = {}
    for number in (1, 2, 3):
        wanted = label_sets.load(f"kinetics600_zero_shot_split{number}")
        classes = _named(wanted, manifest)
        parts[f"k600-zero-shot-{number}"] = _of_classes(manifest, tests, classes)
    return Drawn("k600-zero-shot", parts, "three published lists of 160 classes new in K600")


def half_classes(manifest: Manifest, *, draws: int = 10, seed: int = 0) -> Drawn:
    """Half of the classes (rounded down: 50 of UCF101, 25 of HMDB51) to test on, drawn ten times.

    Every test clip of the chosen classes is in, or every clip where there are no splits; the mean
    and deviation over the draws is reported.

    Raises:
        ActionCLIPError: when there are fewer than two classes.
    """
    if len(manifest.classes) < 2 or draws < 1:
        raise ActionCLIPError(
            f"{draws} draws from {len(manifest.classes)} classes.",
            expected="At least one draw from two classes was expected.",
        )
    _, tests = _parts(manifest, train=False)
    parts = {}
    for draw in range(draws):
        order = sorted(manifest.classes, key=lambda name: rank(f"{seed}/{draw}", loose(name)))
        half = set(order[: len(order) // 2])
        classes = tuple(name for name in manifest.classes if name in half)
        parts[f"half-{draw}-seed{seed}"] = _of_classes(manifest, tests, classes)
    rule = "half of the classes with the smallest SHA-256 of 'seed/draw/class'"
    return Drawn("half-classes", parts, rule, seed, {"draws": draws})


def from_lists(manifest: Manifest, *, train: Path | None, test: Path | None) -> Drawn:
    """The clips that published lists name, with the labels that the data set itself gives them.

    A line of a list starts with a clip, whatever its suffix; its folder counts only where several
    clips have the same name. Numbers after it are left alone, because they are of no order that is
    known. Classes that no list touches are left out.

    Args:
        manifest: all clips of the data set.
        train: the list of training clips; None: none.
        test: the list of test clips; None: those of the data set, of the classes trained on.

    Raises:
        ActionCLIPError: when a list names a clip that the data set does not have, or that several
            of its clips could be.
    """
    lists = {"train": train, "test": test}
    rows: list[Row] = []
    for split, file in lists.items():
        rows += [replace(row, split=split) for row in _listed(manifest, file)] if file else []
    touched = {label for row in rows for label in row.labels}
    classes = tuple(name for name in manifest.classes if name in touched)
    if test is None:
        rows += _of_classes(manifest, _parts(manifest, train=False)[1], classes).rows
    name = "-".join(file.stem for file in lists.values() if file)
    origin = {split: file.name for split, file in lists.items() if file}
    drawn = replace(manifest, rows=tuple(rows), classes=classes)
    rule = "the clips that published lists name"
    return Drawn("lists", {name: drawn}, rule, details={"lists": origin})


def _listed(manifest: Manifest, file: Path) -> list[Row]:
    by_name: dict[str, list[Row]] = {}
    for row in manifest.rows:
        by_name.setdefault(stem(row.path), []).append(row)
    rows: list[Row] = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        words = re.sub(r"([\s,]+\d+)+\s*$", "", line.strip()).strip('"')
        if not words:
            continue
        found = by_name.get(stem(words), [])
        if len(found) > 1:
            folder = PurePosixPath(words).parent.name
            found = [row for row in found if PurePosixPath(row.path).parent.name == folder] or found
        if len(found) != 1:
            raise ActionCLIPError(
                f"{file}:{number}: {len(found) or 'no'} clips are called {stem(words)!r}.",
                expected="Each line names one clip of the data set.",
            )
        rows.append(found[0])
    return rows


def _check(shots: Sequence[int], manifest: Manifest) -> None:
    if not shots or min(shots) < 1:
        raise ActionCLIPError(f"The shots are {list(shots)}.", expected="Numbers from 1 up.")
    several = next((row for row in manifest.rows if len(row.labels) > 1), None)
    if several is not None:
        raise ActionCLIPError(
            f"{several.path} has {len(several.labels)} labels.",
            expected="K clips of each class are only defined where a clip has one label.",
        )


def _parts(manifest: Manifest, *, train: bool = True) -> tuple[list[Row], list[Row]]:
    """Training rows, and those to test on: test, else val, else (where none is needed) all.

    Clips without a label do not count: the labels of some test sets are secret.
    """
    known = manifest.labelled
    rows = {split: list(known.only(split).rows) for split in manifest.splits}
    tests = rows.get("test") or rows.get("val") or ([] if train else rows.get("", []))
    if not tests or (train and not rows.get("train")):
        raise ActionCLIPError(
            f"The data set has the splits {_listed_splits(manifest)}.",
            expected="Clips with labels in train and in test (or val) were expected."
            if train
            else "Clips with labels in test (or val) were expected.",
        )
    return rows.get("train", []), [replace(row, split="test") for row in tests]


def _listed_splits(manifest: Manifest) -> str:
    return ", ".join(name or "(none)" for name in manifest.splits)


def _of_classes(manifest: Manifest, rows: Iterable[Row], classes: Sequence[str]) -> Manifest:
    """The rows that have a label among these classes, with those labels alone."""
    wanted = set(classes)
    kept = (
        replace(row, labels=tuple(label for label in row.labels if label in wanted)) for row in rows
    )
    return replace(manifest, rows=tuple(row for row in kept if row.labels), classes=tuple(classes))


def _named(names: Iterable[str], manifest: Manifest) -> tuple[str, ...]:
    """The classes of the data set that are called so."""
    found = match(names, manifest.classes)
    if missing := [name for name, known in found.items() if known is None]:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ActionCLIPError(
            f"The data set has no class {missing[0]!r}{rest}.",
            expected=f"It has {len(manifest.classes)} classes; they are matched by name.",
            hint="Is it another data set, or a part of it?",
        )
    return tuple(known for known in found.values() if known is not None)


PROTOCOLS: dict[str, Callable[..., Drawn]] = {
    "few-shot": few_shot,
    "base-to-novel": base_to_novel,
    "k600-zero-shot": kinetics600_zero_shot,
    "half-classes": half_classes,
    "lists": from_lists,
}
