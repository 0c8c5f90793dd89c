"""Which layout a data set has: every layout is asked what it sees."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from actionclip.data.layouts.annotations import ACTIVITYNET, CHARADES, KINETICS, SSV2
from actionclip.data.layouts.base import Layout, Options, Place, look, no_folds
from actionclip.data.layouts.lists import AUTHORS, MMACTION2_FRAMES, MMACTION2_VIDEOS, SLOWFAST
from actionclip.data.layouts.official import DIVING48, HMDB51, UCF101
from actionclip.data.layouts.own import FOLDERS, MANIFEST, header
from actionclip.data.manifest import Manifest
from actionclip.errors import ActionCLIPError, unknown

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        MANIFEST,
        FOLDERS,
        UCF101,
        HMDB51,
        KINETICS,
        SSV2,
        CHARADES,
        ACTIVITYNET,
        DIVING48,
        MMACTION2_VIDEOS,
        MMACTION2_FRAMES,
        SLOWFAST,
        AUTHORS,
    )
}


@dataclass(frozen=True)
class Data:
    """A data set as it was found."""

    manifest: Manifest
    layout: str
    why: str
    """What spoke for this layout."""
    notes: list[str] = field(default_factory=list)
    """What a careful reader would want to know."""


def recognise(path: Path) -> tuple[Layout, str]:
    """The layout of the data set at `path`, and what speaks for it.

    Raises:
        ActionCLIPError: when no layout is seen, or several; it says what was seen and looked for.
    """
    return _choose(_look(path))


def _look(path: Path) -> Place:
    """The data set at a path; what was drawn from one only where there is no other."""
    place = look(path)
    if place.drawn and not any(layout.see(place) for layout in LAYOUTS.values()):
        return replace(place, lists=place.drawn)
    return place


def _choose(place: Place) -> tuple[Layout, str]:
    seen: list[tuple[Layout, str]] = []
    for rank in sorted({layout.rank for layout in LAYOUTS.values()}):
        asked = [layout for layout in LAYOUTS.values() if layout.rank == rank and not seen]
        seen = seen or [(layout, why) for layout in asked if (why := layout.see(place))]
    if len(seen) == 1:
        return seen[0]
    if seen:
        raise ActionCLIPError(
            f"{place.path} looks like several data sets: "
            + "; ".join(f"{layout.name} ({why})" for layout, why in seen)
            + ".",
            expected="One layout was expected.",
            hint=f"Choose with --layout {seen[0][0].name}, or name one of the lists.",
        )
    listed = "".join(f"\n  {each.name}: {each.looks_for}" for each in LAYOUTS.values())
    files = ", ".join(file.name for file in place.lists[:5]) or "none"
    raise ActionCLIPError(
        f"{place.path} has no layout that we know. Lists and tables in it: {files}.",
        expected=f"One of these was looked for:{listed}\n",
        hint=f"A table with the columns path and label always works. {_columns(place)}".strip(),
    )


def _columns(place: Place) -> str:
    """What the first table has instead of a column path."""
    for file in place.lists:
        if columns := [name for name in header(file) if name]:
            return f"{file.name} has {', '.join(columns[:9])}."
    return ""


def read_data(
    path: str | Path, *, layout: str | None = None, options: Options | None = None
) -> Data:
    """Read a data set, whatever its layout.

    Args:
        path: a folder, or one of the lists of a data set.
        layout: a name in `LAYOUTS`; None: the one that is recognised.
        options: what is known beside the path.

    Raises:
        ActionCLIPError: when the layout is not clear, a list has a mistake (file and line are
            named), labels cannot be matched by name, or an official split is asked for by its
            number where there are none.
    """
    place = _look(Path(path))
    if layout is None:
        chosen, why = _choose(place)
    else:
        if layout not in LAYOUTS:
            raise unknown("layout", layout, LAYOUTS)
        chosen, why = LAYOUTS[layout], ""
        if not (why := chosen.see(place)):
            raise ActionCLIPError(
                f"{path} is not laid out like {layout}.", expected=f"Expected {chosen.looks_for}."
            )
    options = options or Options()
    if options.fold != 1 and not chosen.folds:
        raise no_folds(place.path, options.fold)
    reading = chosen.read(place, options)
    if not reading.manifest.rows:
        raise ActionCLIPError(f"{path} ({chosen.name}) lists no clip.", expected="At least one.")
    return Data(reading.manifest, chosen.name, why, [note for note in reading.notes if note])
