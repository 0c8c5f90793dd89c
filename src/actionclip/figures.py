"""A matplotlib figure becomes a picture in which words are words, whoever wrote them."""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_of(figure: "Figure", *, tight: bool = False) -> bytes:
    """A figure as a PNG.

    Labels and file names come from strangers: dollars in them make no formula (a wrong one would
    stop the program), and letters that the font lacks are boxes.

    Args:
        figure: with a canvas.
        tight: whether the parts are first moved to where nothing is cut off.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        words: Any = text
        words.set_parse_math(False)
    data = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if tight:
            figure.tight_layout()
        figure.savefig(data, format="png")
    return data.getvalue()
