"""The protocols of the field, each by a name of its own: which clips against which labels.

Numbers of different protocols cannot be compared, and papers mix them up. So a result carries the
name of its protocol and one sentence that says what it is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from actionclip.data import splits
from actionclip.data.layouts.names import match
from actionclip.data.manifest import Manifest, Row
from actionclip.errors import ActionCLIPError, unknown

TESTED = ("test", "val", "")
"""The split that is tested on where none is named: the first in which clips have labels."""

Data = Manifest | Mapping[str, Manifest]


@dataclass(frozen=True)
class Part:
    """Clips that are tested together, and the labels that compete for them."""

    name: str
    manifest: Manifest
    """The rows that are tested; its classes are the labels to choose from."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that are tested."""
        return self.manifest.rows


@dataclass(frozen=True)
class Choices:
    """What a user says about a protocol beside its name."""

    split: str | None = None
    """The split to test on."""
    seed: int = 0
    """For what is drawn."""
    base: Sequence[str] | None = None
    """The base classes, where they are not the half with the most training clips."""


@dataclass(frozen=True)
class Protocol:
    """One way to test a model."""

    name: str
    means: str
    """What a number of it says, in a sentence."""
    draw: Callable[[Data, Choices], list[Part]]
    """The parts of a data set, as `parts` has them."""
    multi_label: bool = False
    all_classes: bool = True
    """Whether every part has all classes to choose from, so that other labels may be given."""
    combine: str = "mean"
    """How the parts become one number: `mean` (with deviation) or `harmonic`."""
    takes_split: bool = True
    """Whether the split to test on may be chosen."""
    takes_base: bool = False
    """Whether there are base classes."""
    takes_fold: bool = True
    """Whether an official split may be chosen, where a data set has several."""

    def parts(self, data: Data, choices: Choices) -> list[Part]:
        """What is tested against what.

        Args:
            data: a manifest, or several by name where the protocol has several parts.
            choices: what the user says.

        Raises:
            ActionCLIPError: for data that does not fit the protocol, or a choice that it has not.
        """
        if choices.split is not None and not self.takes_split:
            raise ActionCLIPError(
                f"The split {choices.split!r} was given, and {self.name} has no choice of splits.",
                expected=self.means,
                hint="Leave it out.",
            )
        if choices.base is not None and not self.takes_base:
            raise ActionCLIPError(
                f"Base classes were given, and {self.name} has none.",
                expected="They belong to base-to-novel.",
                hint="Leave them out, or test with --protocol base-to-novel.",
            )
        return self.draw(data, choices)

    def check_fold(self, fold: int | None) -> None:
        """Refuse the choice of an official split where it would decide nothing.

        Raises:
            ActionCLIPError: naming the protocol.
        """
        if fold is not None and not self.takes_fold:
            raise ActionCLIPError(
                f"The fold {fold} was given, and {self.name} tests the same clips whatever it is.",
                expected=self.means,
                hint="Leave it out.",
            )


def find_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ActionCLIPError: when there is none; it names the nearest one.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def named(data: Data) -> dict[str, Manifest]:
    """The manifests by name; a single one is called `all`."""
    return {"all": data} if isinstance(data, Manifest) else dict(data)


def rows_to_test(manifest: Manifest, split: str | None = None) -> Manifest:
    """The rows with labels that are tested on.

    Raises:
        ActionCLIPError: when there are none.
    """
    known = manifest.labelled
    wanted = [split] if split is not None else [name for name in TESTED if name in known.splits]
    rows = known.only(*wanted[:1]).rows
    if not rows:
        there = ", ".join(name or "(none)" for name in manifest.splits) or "no row at all"
        raise ActionCLIPError(
            f"The data set has the splits {there}, and no clip with labels "
            + ("to test on." if split is None else f"in {split!r}."),
            expected="Clips with labels in test, in val, or without a split were expected.",
            hint="Name the split to test on with --split.",
        )
    return replace(manifest, rows=rows)


def _whole(data: Data, choices: Choices) -> list[Part]:
    return [Part(name, rows_to_test(one, choices.split)) for name, one in named(data).items()]


def _three_splits(data: Data, choices: Choices) -> list[Part]:
    folds = named(data)
    if len(folds) != 3:
        raise ActionCLIPError(
            f"There are {len(folds)} splits of the data.",
            expected="The three official splits of UCF101 or HMDB51 were expected.",
            hint="Give the folder with the official lists, or three manifests.",
        )
    return _whole(folds, choices)


def _every_clip(data: Data, choices: Choices) -> list[Part]:
    found = _only(data)
    return [Part("all clips", replace(found, rows=tuple(r for r in found.rows if r.labels)))]


def _half_classes(data: Data, choices: Choices) -> list[Part]:
    drawn = splits.half_classes(_to_draw_from(data, choices.split), seed=choices.seed)
    return [Part(name, manifest) for name, manifest in drawn.manifests.items()]


def _kinetics600(data: Data, choices: Choices) -> list[Part]:
    drawn = splits.kinetics600_zero_shot(_to_draw_from(data, choices.split))
    return [Part(name, manifest) for name, manifest in drawn.manifests.items()]


def _base_to_novel(data: Data, choices: Choices) -> list[Part]:
    given, split = named(data), choices.split
    if len(given) == 1:
        source = _to_draw_from(data, split)
        drawn = splits.base_to_novel(source, base=choices.base, shots=None, seed=choices.seed)
        given = dict(zip(("base", "novel"), drawn.manifests.values(), strict=True))
        split = None  # what was drawn is called test
    elif {name.split("-")[0] for name in given} != {"base", "novel"} or len(given) != 2:
        raise ActionCLIPError(
            f"The manifests are called {', '.join(given)}.",
            expected="One whose name begins with base and one whose name begins with novel.",
        )
    elif choices.base is not None:
        raise ActionCLIPError(
            f"Base classes were given, and the files {' and '.join(sorted(given))} say which "
            "classes are base.",
            hint="Leave them out, or give the one data set that the files were drawn from.",
        )
    parts = [Part(name.split("-")[0], rows_to_test(one, split)) for name, one in given.items()]
    return sorted(parts, key=lambda part: part.name)


def _to_draw_from(data: Data, split: str | None) -> Manifest:
    """The one data set, with the rows of the split that was named, if one was, in place of its
    rows for testing.
    """
    found = _only(data)
    if split is None:
        return found
    tests = (replace(row, split="test") for row in rows_to_test(found, split).rows)
    return replace(found, rows=(*found.only("train").rows, *tests))


def _only(data: Data) -> Manifest:
    found = named(data)
    if len(found) != 1:
        raise ActionCLIPError(
            f"There are {len(found)} manifests: {', '.join(found)}.",
            expected="This protocol draws its parts itself from one data set.",
        )
    return next(iter(found.values()))


def against(part: Part, labels: Sequence[str]) -> Part:
    """The same clips, with these labels to choose from in place of the data set's classes.

    Raises:
        ActionCLIPError: when a clip's own label is not among them, by name.
    """
    of_class = match(part.manifest.classes, labels)
    used = {label for row in part.manifest.rows for label in row.labels}
    if missing := sorted(label for label in used if of_class[label] is None):
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ActionCLIPError(
            f"Clips show {missing[0]!r}{rest}, which is not among the {len(labels)} labels.",
            expected="Labels are matched with the classes of the data by name.",
        )

    def renamed(row: Row) -> Row:
        return replace(row, labels=tuple(str(of_class[label]) for label in row.labels))

    rows = tuple(renamed(row) for row in part.manifest.rows)
    return replace(part, manifest=replace(part.manifest, rows=rows, classes=tuple(labels)))


def shots_of(data: Data) -> int | None:
    """K, where the data holds K training clips of each class; else None.

    A draw gives all clips of a class that has fewer: K is then what half of the classes or more
    have, and none has more. A whole training set says nothing of a draw from it.
    """
    counts = Counter(label for row in _rows(data, "train") for label in row.labels)
    largest = max(counts.values(), default=0)
    full = sum(count == largest for count in counts.values())
    return largest if largest and 2 * full >= len(counts) else None


def _rows(data: Data, split: str) -> Iterable[Row]:
    return (row for one in named(data).values() for row in one.rows if row.split == split)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "closed-set",
            "Test clips of one split; all classes of the data set, which the model was trained on.",
            _whole,
        ),
        Protocol(
            "zero-shot",
            "Test clips of one split; all classes, none of them trained on. UCF101 and HMDB51: not "
            "the mean of three splits that papers print.",
            _whole,
        ),
        Protocol(
            "zero-shot-3-splits",
            "UCF101 or HMDB51: the mean over the test clips of the three official splits, all "
            "classes; what X-CLIP, ViFi-CLIP, TC-CLIP and OST print.",
            _three_splits,
            takes_fold=False,
        ),
        Protocol(
            "zero-shot-full",
            "Every clip of the data set, training clips too; all classes; what Text4Vis, BIKE and "
            "FROSTER print with a star.",
            _every_clip,
            takes_split=False,
            takes_fold=False,
        ),
        Protocol(
            "zero-shot-half-classes",
            "Ten draws of half of the classes, which alone compete; mean and deviation. Several "
            "points above all classes.",
            _half_classes,
            all_classes=False,
        ),
        Protocol(
            "zero-shot-k600-3x160",
            "Kinetics-600: the mean over three lists of 160 classes that Kinetics-400 has not; not "
            "the 600-way number of foundation models.",
            _kinetics600,
            all_classes=False,
        ),
        Protocol(
            "few-shot",
            "All test clips, all classes, by a model that was trained on K clips of each class.",
            _whole,
        ),
        Protocol(
            "base-to-novel",
            "Base classes against base classes, novel ones against novel ones, by a model trained "
            "on the base classes; the harmonic mean of the two.",
            _base_to_novel,
            all_classes=False,
            combine="harmonic",
            takes_base=True,
        ),
        Protocol(
            "multi-label",
            "Clips with several labels each (Charades): the mean over the classes of the average "
            "precision of a ranking of all clips.",
            _whole,
            multi_label=True,
        ),
    )
}
