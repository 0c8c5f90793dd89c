"""Text prompts (paper section 3.2): the sentences a label is turned into.

A template is a sentence with `{}` where the label goes; it is a prefix, a cloze or a suffix prompt,
after where its words stand. Instead of templates, a label can have descriptions: sentences of its
own, any number of them.

C labels, K templates, N sentences.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actionclip.errors import ActionCLIPError, unknown
from actionclip.model.prompts.label_files import looks_like_file, read_json, read_text
from actionclip.model.prompts.labels import key, worded

SHOWN = 5
"""Names listed in a warning."""

AUTHORS_TEMPLATES = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)
"""The authors' sixteen, in their order and spelling."""


def variety(template: str) -> Literal["prefix", "cloze", "suffix", "label"]:
    """What kind of prompt a template is, after where its words stand.

    >>> [variety(t) for t in ("A video of {}", "Is it {}?", "{}, an action", "{}")]
    ['prefix', 'cloze', 'suffix', 'label']
    """
    before, after = (part.strip() for part in template.split("{}"))
    if before:
        return "cloze" if after else "prefix"
    return "suffix" if after else "label"


TEMPLATE_SETS: dict[str, tuple[str, ...]] = {
    "authors16": AUTHORS_TEMPLATES,
    "prefix": tuple(t for t in AUTHORS_TEMPLATES if variety(t) == "prefix"),
    "cloze": tuple(t for t in AUTHORS_TEMPLATES if variety(t) == "cloze"),
    "suffix": tuple(t for t in AUTHORS_TEMPLATES if variety(t) == "suffix"),
    "label": ("{}",),
    # what CLIP's authors used for Kinetics; "a example" is theirs
    "clip28": tuple(
        f"a {medium} of {who}{{}}."
        for medium in ("photo", "video", "example", "demonstration")
        for who in (
            "",
            *(f"a person {doing}" for doing in ("", "using ", "doing ", "during ")),
            *(f"a person {doing}" for doing in ("performing ", "practicing ")),
        )
    ),
}


def read_templates(templates: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The templates a user means.

    Args:
        templates: a list of templates; or one template; or the name of a set (`TEMPLATE_SETS`); or
            a text file with one template a line.

    Raises:
        ActionCLIPError: for a template without exactly one `{}` (naming file and line), no template
            at all, or a name that is neither a set nor a file.
    """
    if not isinstance(templates, (str, Path)):
        return _checked(list(enumerate(templates, start=1)), "Template {}")
    if isinstance(templates, str):
        if templates in TEMPLATE_SETS:
            return TEMPLATE_SETS[templates]
        if "{" in templates or " " in templates.strip():
            return _checked([(1, templates)], "The template")
        if not looks_like_file(templates):
            raise unknown("set of templates", templates, TEMPLATE_SETS)
    lines = read_text(Path(templates)).splitlines()
    return _checked(
        [(i, line.strip()) for i, line in enumerate(lines, start=1) if line.strip()],
        f"{templates}, line {{}}",
    )


def _checked(templates: list[tuple[int, str]], place: str) -> tuple[str, ...]:
    """The templates, if each has one `{}`; `place` says where the one of a number stands."""
    for number, template in templates:
        if template.count("{}") != 1:
            raise ActionCLIPError(
                f"{place.replace('{}', str(number))} is {template!r}.",
                expected="A template has {} once, where the label goes, as in 'a video of {}'.",
            )
    if not templates:
        raise ActionCLIPError(
            "There is no template.",
            expected="At least one sentence with {} was expected.",
            hint="The template '{}' is the label alone.",
        )
    return tuple(template for _, template in templates)


def fill(templates: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Every template with every label, template by template: row k*C + c is template k, label c.

    >>> fill(["{}", "A video of {}"], ["yoga", "tai chi"])
    ['yoga', 'tai chi', 'A video of yoga', 'A video of tai chi']
    """
    return [template.replace("{}", label) for template in templates for label in labels]


@dataclass(frozen=True)
class Prompts:
    """The sentences of a set of labels, and whose they are."""

    labels: tuple[str, ...]
    """As the user spelt them."""
    sentences: tuple[str, ...]
    owners: tuple[int, ...]
    """For each sentence the place of its label."""
    templates: int | None
    """K where the sentences are K templates with every label, template-major; None where labels
    have sentences of their own."""
    undescribed: tuple[str, ...] = ()
    """Labels without a description among described ones: they got the templates."""
    unused: tuple[str, ...] = ()
    """Descriptions of labels that are not in the set."""

    @property
    def complaints(self) -> list[str]:
        """Sentences about labels without a description, and descriptions without a label."""
        found = []
        if self.undescribed:
            names = ", ".join(map(repr, self.undescribed[:SHOWN]))
            more = " and more" if len(self.undescribed) > SHOWN else ""
            found.append(f"No description for {names}{more}: the templates were used.")
        if self.unused:
            names = ", ".join(map(repr, self.unused[:SHOWN]))
            found.append(f"There are descriptions of labels that were not asked for: {names}.")
        return found


def make_prompts(
    labels: Sequence[str],
    templates: Sequence[str] = ("{}",),
    *,
    descriptions: Mapping[str, Sequence[str]] | None = None,
    clean_labels: bool = True,
) -> Prompts:
    """The sentences to encode for a set of labels.

    A description is a whole sentence and is encoded as it stands, without a template. It belongs to
    the label with the same words (`BrushHair` and "brush hair" are the same). A label that has none
    gets the templates, as if its filled templates were its description.

    Args:
        labels: as the user spelt them.
        templates: sentences with `{}`.
        descriptions: for some or all labels the sentences of their own.
        clean_labels: whether `ApplyEyeMakeup` becomes words before it goes into a template, or only
            underscores become spaces.

    Raises:
        ActionCLIPError: when there are descriptions and none is about a label of the set.
    """
    words = [worded(label, clean_labels) for label in labels]
    if descriptions is None:
        count = len(templates)
        owners = tuple(range(len(labels))) * count
        return Prompts(tuple(labels), tuple(fill(templates, words)), owners, count)
    described = {key(name): tuple(sentences) for name, sentences in descriptions.items()}
    own = [described.get(key(label), ()) for label in labels]
    if not any(own):
        raise ActionCLIPError(
            f"The descriptions are about other labels: {', '.join(list(descriptions)[:3])}, ...",
            expected=f"The labels are {', '.join(labels[:3])}, ...",
            hint="A description belongs to the label with the same words.",
        )
    rows = [
        (sentence, place)
        for place, (sentences, text) in enumerate(zip(own, words, strict=True))
        for sentence in (sentences or fill(templates, [text]))
    ]
    present = {key(label) for label in labels}
    return Prompts(
        labels=tuple(labels),
        sentences=tuple(sentence for sentence, _ in rows),
        owners=tuple(place for _, place in rows),
        templates=None,
        undescribed=tuple(label for label, s in zip(labels, own, strict=True) if not s),
        unused=tuple(name for name in descriptions if key(name) not in present),
    )


def read_descriptions(
    descriptions: str | Path | Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Sentences for labels: a table, a JSON file `{label: [sentences]}`, or a CSV file.

    The CSV has two columns, label and sentence, and a row for each sentence; a header
    `label,sentence` is left out.

    Raises:
        ActionCLIPError: for a file that cannot be read, an empty sentence, or another layout.
    """
    if isinstance(descriptions, Mapping):
        return _table(descriptions, "The table of descriptions")
    path = Path(descriptions)
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        return _table(_csv_descriptions(text, path), str(path))
    data = read_json(text, path)
    if not isinstance(data, dict):
        raise ActionCLIPError(
            f"{path} holds a {type(data).__name__}.", expected="Expected {label: [sentences]}."
        )
    return _table(data, str(path))


def _csv_descriptions(text: str, path: Path) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != 2:
            raise ActionCLIPError(
                f"{path}, line {reader.line_num} has {len(row)} columns.",
                expected="Two were expected: label and sentence.",
                hint='Put a sentence with a comma between double quotes: yoga,"slow, calm moves".',
            )
        is_header = not table and [cell.strip().lower() for cell in row] in HEADERS
        if not is_header:
            table.setdefault(row[0].strip(), []).append(row[1])
    return table


HEADERS = [["label", "sentence"], ["label", "description"], ["name", "description"]]


def _table(data: Mapping[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    table = {}
    for label, value in data.items():
        sentences = [value] if isinstance(value, str) else value
        usable = isinstance(sentences, (list, tuple)) and sentences
        if not usable or not all(isinstance(s, str) and s.strip() for s in sentences):
            raise ActionCLIPError(
                f"{where} describes {label!r} with {value!r}.",
                expected="One or more sentences were expected, none of them empty.",
            )
        table[label] = tuple(s.strip() for s in sentences)
    if not table:
        raise ActionCLIPError(f"{where} is empty.", expected="Expected {label: [sentences]}.")
    return table
