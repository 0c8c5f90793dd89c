"""What is wrong with a set of labels, and how a label becomes words.

A label has two forms. What is shown is the user's own spelling; what goes into a prompt are its
words: `ApplyEyeMakeup` is shown, "apply eye makeup" is encoded (the towers have never read
`applyeyemakeup`).

C labels, K templates, D embedding width.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from actionclip.errors import ActionCLIPError

SIMILAR = 0.95
"""Cosine between two labels' text embeddings above which they are near-duplicates."""
SHOWN = 10
"""How many near-duplicates are named in a text."""
MOST_PAIRS = 1000
"""How many of them are told apart in a report; of 20,000 labels there may be 200 million."""


def clean(label: str) -> str:
    """The words of a label that is written like an identifier; any other label as it stands.

    An identifier is one run of letters, digits and underscores with a seam in it: an underscore, or
    a capital where a word starts. Capitals are lowered except in abbreviations. White space is
    made single spaces in every label.

    >>> [clean(label) for label in ("ApplyEyeMakeup", "brush_hair", "DJMixing", "Top10Goals")]
    ['apply eye makeup', 'brush hair', 'DJ mixing', 'top 10 goals']
    >>> [clean(label) for label in ("playing guitar", "X-ray", "iPhone", "Archery")]
    ['playing guitar', 'X-ray', 'iPhone', 'Archery']
    """
    text = " ".join(label.split())
    if not re.fullmatch(r"\w+", text):
        return text
    words = [word for part in text.split("_") if part for word in _split_capitals(part)]
    if not words or words == [text]:
        return text
    shouting = all(word.upper() == word for word in words)
    return " ".join(_lower(word, keep_abbreviations=not shouting) for word in words)


def _split_capitals(word: str) -> list[str]:
    """`DJMixing` -> DJ, Mixing. One small letter in front (`iPhone`) is a brand, not a word."""
    if re.match(r"[^\W\d_][A-Z]", word) and word[0].islower():
        return [word]
    words, start = [], 0
    for i in range(1, len(word)):
        before, here = word[i - 1], word[i]
        starts_word = word[i + 1 : i + 2].islower() and word[i + 1 :] != "s"  # `DVDs` is one word
        seam = (here.isupper() and (before.islower() or starts_word)) or (
            here.isdigit() and before.islower() and word.lower() != word
        )
        if seam:
            words.append(word[start:i])
            start = i
    return [*words, word[start:]]


def _lower(word: str, *, keep_abbreviations: bool) -> str:
    singular = word.removesuffix("s")
    is_abbreviation = len(singular) > 1 and singular.upper() == singular
    is_brand = word[0].islower() and word.lower() != word
    return word if is_brand or (is_abbreviation and keep_abbreviations) else word.lower()


def worded(label: str, cleaned: bool) -> str:
    """A label as it goes into a template: cleaned, or as it is but for underscores.

    The authors' tables have capitals and spaces, and no underscore: `brush hair`, as their weights
    have read it, where the data set's folders are called `brush_hair`.

    >>> worded("ApplyEyeMakeup", False), worded("brush_hair", False)
    ('ApplyEyeMakeup', 'brush hair')
    """
    return clean(label) if cleaned else label.replace("_", " ")


def key(label: str) -> str:
    """What two spellings of the same label have in common.

    >>> key("BrushHair") == key("brush_hair") == key("Brush hair")
    True
    """
    return clean(label).casefold()


@dataclass(frozen=True)
class Pair:
    """Two labels the text tower hardly tells apart."""

    first: str
    second: str
    similarity: float
    """Cosine of their text embeddings."""


@dataclass(frozen=True)
class LabelReport:
    """What is wrong with a set of labels; labels are named as the user spelt them."""

    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of labels that are the same words."""
    empty: tuple[int, ...] = ()
    """Places (from 0) of labels that are blank."""
    too_long: tuple[str, ...] = ()
    """Labels whose prompt has more tokens than the text tower reads."""
    near_duplicates: tuple[Pair, ...] = ()
    """Pairs more similar than the threshold, the most similar first; no more than `MOST_PAIRS`."""
    alike: int = 0
    """How many such pairs there are."""
    single: bool = False
    """Whether there is one label only."""

    @property
    def errors(self) -> list[str]:
        """Sentences about what makes scores wrong."""
        lines = []
        if self.duplicates:
            groups = "; ".join(" = ".join(map(repr, group)) for group in self.duplicates)
            lines.append(f"These labels are the same words: {groups}.")
        if self.empty:
            places = ", ".join(str(place + 1) for place in self.empty)
            lines.append(f"There is nothing in label number {places}.")
        if self.too_long:
            names = ", ".join(repr(_short(label)) for label in self.too_long)
            lines.append(f"Too long for the text tower: {names}.")
        return lines

    @property
    def warnings(self) -> list[str]:
        """Sentences about what makes scores less useful."""
        lines = []
        if self.near_duplicates:
            shown = [
                f"{pair.first!r} and {pair.second!r} ({pair.similarity:.2f})"
                for pair in self.near_duplicates[:SHOWN]
            ]
            more = self.alike - SHOWN
            rest = f"; and {more} more pairs" if more > 0 else ""
            lines.append(f"The text tower hardly tells these apart: {'; '.join(shown)}{rest}.")
        if self.single:
            lines.append("One label alone always wins: scores compare labels with each other.")
        return lines

    def __str__(self) -> str:
        return "\n".join([*self.errors, *self.warnings]) or "The labels are fine."

    def raise_for_errors(self) -> None:
        """Refuse labels that would give wrong scores.

        Raises:
            ActionCLIPError: naming every duplicate, empty and too long label.
        """
        if self.errors:
            raise ActionCLIPError(
                " ".join(self.errors),
                expected="Every label must be there once, and fit the text tower with its prompt.",
                hint="Take out or shorten the labels named here.",
            )


def check(
    labels: Sequence[str],
    *,
    clean_labels: bool = True,
    tokenize: Callable[[list[str]], Int[Tensor, "N L"]] | None = None,
    templates: Sequence[str] = ("{}",),
    embeddings: Float[Tensor, "K C D"] | None = None,
    similar: float = SIMILAR,
) -> LabelReport:
    """Look for what is wrong with a set of labels.

    Args:
        labels: as the user spelt them.
        clean_labels: whether prompts are filled with `clean(label)`; then `BrushHair` and
            `brush_hair` are duplicates. Case never makes a difference.
        tokenize: the text tower's tokenizer, which refuses what is too long; None: lengths are not
            looked at.
        templates: what the labels are filled into, which counts for the length.
        embeddings: the text embeddings of the labels' prompts; None: near-duplicates are not
            looked for.
        similar: the cosine above which two labels are near-duplicates.
    """
    words = [worded(label, clean_labels) for label in labels]
    groups: dict[str, list[str]] = {}
    for label, text in zip(labels, words, strict=True):
        if text.strip():
            groups.setdefault(text.strip().casefold(), []).append(label)
    nothing: tuple[tuple[Pair, ...], int] = ((), 0)
    near, alike = nothing if embeddings is None else _similar(labels, words, embeddings, similar)
    return LabelReport(
        duplicates=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        empty=tuple(i for i, text in enumerate(words) if not text.strip()),
        too_long=() if tokenize is None else _too_long(labels, words, templates, tokenize),
        near_duplicates=near,
        alike=alike,
        single=len(labels) == 1,
    )


def _too_long(
    labels: Sequence[str],
    words: Sequence[str],
    templates: Sequence[str],
    tokenize: Callable[[list[str]], Int[Tensor, "N L"]],
) -> tuple[str, ...]:
    """The labels that do not fit with the template that leaves them the least room."""
    padding = tokenize([""])[0, -1]
    longest = max(templates, key=lambda t: int((tokenize([t]) != padding).sum()))

    def fits(texts: Sequence[str]) -> bool:
        try:
            tokenize([longest.replace("{}", text) for text in texts])
        except ActionCLIPError:
            return False
        return True

    if fits(words):
        return ()
    return tuple(label for label, text in zip(labels, words, strict=True) if not fits([text]))


def _similar(
    labels: Sequence[str],
    words: Sequence[str],
    embeddings: Float[Tensor, "K C D"],
    threshold: float,
) -> tuple[tuple[Pair, ...], int]:
    """The nearest pairs of different labels above the threshold, and how many there are.

    A block of rows at a time: of tens of thousands of labels most pairs may be alike.
    """
    vectors = F.normalize(embeddings.float().mean(dim=0), dim=-1)
    numbers: dict[str, int] = {}
    same = torch.tensor([numbers.setdefault(w.strip().casefold(), len(numbers)) for w in words])
    count, found = 0, list[tuple[float, int, int]]()
    for start in range(0, len(labels), 1024):
        cosines = (vectors[start : start + 1024] @ vectors.T).cpu()
        later = torch.ones_like(cosines, dtype=torch.bool).triu(diagonal=start + 1)
        alike = (cosines > threshold) & later & (same[start : start + 1024, None] != same)
        here = int(alike.sum())
        count += here
        best = cosines.masked_fill(~alike, -2.0).flatten().topk(min(here, MOST_PAIRS))
        for cosine, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            found.append((-cosine, start + place // len(labels), place % len(labels)))
        found = sorted(found)[:MOST_PAIRS]
    return tuple(Pair(labels[one], labels[other], -far) for far, one, other in found), count


def _short(label: str, length: int = 60) -> str:
    return label if len(label) <= length else label[: length - 1] + "…"
