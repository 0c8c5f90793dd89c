"""The clips of a manifest, with their labels or their captions."""

from collections.abc import Sequence

from actionclip.data.manifest import Manifest
from actionclip.errors import ActionCLIPError
from actionclip.training.sources.clips import Entry, one_hot


class ManifestEntries:
    """Rows of a manifest as they are trained on.

    A row has the number of its label, or, where any row has several labels, a vector of zeros and
    ones.

    Args:
        manifest: rows without a label (or without a caption) are left out.
        captions: say what the caption says, instead of templates filled with labels.

    Raises:
        ActionCLIPError: when nothing is left.
    """

    def __init__(self, manifest: Manifest, *, captions: bool = False) -> None:
        self.manifest, self.captions = manifest, captions
        self.rows = [row for row in manifest.rows if (row.caption if captions else row.labels)]
        self.left_out = len(manifest.rows) - len(self.rows)
        self.several = not captions and any(len(row.labels) > 1 for row in self.rows)
        if not self.rows:
            what = "caption" if captions else "label"
            raise ActionCLIPError(
                f"None of the {len(manifest.rows)} clips has a {what}.",
                expected=f"Clips with a {what} to train on.",
                hint="Is data.split right, and data.captions?",
            )

    @property
    def labels(self) -> Sequence[str]:
        """The classes; none where captions are used."""
        return () if self.captions else self.manifest.classes

    @property
    def different(self) -> int:
        """How many different clips may fail: of a film each of its stretches."""
        return len({(row.path, row.start, row.end) for row in self.rows})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Entry:
        row = self.rows[index]
        source = self.manifest.source(row)
        if self.captions:
            return Entry(source, 0, row.caption, row.start, row.end)
        numbers = [self.manifest.numbers[label] for label in row.labels]
        label = one_hot(numbers, len(self.manifest.classes)) if self.several else numbers[0]
        return Entry(source, label, None, row.start, row.end)

    def said(self, index: int) -> str:
        """What is said of a clip: its caption, or its labels."""
        row = self.rows[index]
        return row.caption if self.captions else ", ".join(row.labels)

    def name(self, index: int) -> str:
        """The row's path, with its times where it is a stretch."""
        return self.rows[index].name
