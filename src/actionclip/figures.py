"""Words of strangers where they are shown, and a matplotlib figure as a picture that has them."""

import re
import unicodedata
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BYTES = re.compile(r"[\ud800-\udfff]")


JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Invisible, and part of words and emoji: without them these are others."""


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    r"""Text from a stranger for a terminal, a page or a subtitle: nothing in it moves other text.

    Control characters, ends of lines, marks that turn the direction of writing, and bytes that are
    no text become `instead`. Spaces of any width stay.

    >>> print(printable("a\x1b[31m", " "))
    a [31m
    """
    return "".join(c if _is_shown(c) else instead for c in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"


def legible(text: str) -> str:
    r"""Text with a mark for each byte of a name that is not UTF-8, which Python keeps in strings.

    >>> print(legible("caf\udce9, día"))
    caf�, día
    """
    return _BYTES.sub("\N{REPLACEMENT CHARACTER}", text)


def png_of(figure: "Figure", *, tight: bool = False) -> bytes:
    """A figure as a PNG.

    Labels and file names come from strangers: dollars in them make no formula (a wrong one would
    stop the program), letters that the font lacks are boxes, and bytes that are no text are marks.

    Args:
        figure: with a canvas.
        tight: whether the parts are first moved to where nothing is cut off.
    """
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        words: Any = text
        words.set_parse_math(False)
        words.set_text(legible(words.get_text()))
    for axis in figure.findobj(Axis):
        _make_ticks_legible(axis)
    data = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if tight:
            figure.tight_layout()
        figure.savefig(data, format="png")
    return data.getvalue()


def _make_ticks_legible(axis: Any) -> None:
    """The words at an axis are made anew whenever it is drawn; only wrong ones are replaced."""
    words = [tick.get_text() for tick in axis.get_ticklabels()]
    if any(map(_BYTES.search, words)):
        axis.set_ticks(axis.get_ticklocs(), labels=[legible(each) for each in words])
