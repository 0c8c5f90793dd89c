"""JSON that every reader takes, whatever the files are called."""

import json
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    r"""A value as JSON that is UTF-8: on one line, or indented. Letters stay what they are.

    The bytes of a file name that is not UTF-8 are lone surrogates in Python. Where there are any,
    all of the JSON is in ASCII, so that whoever reads it gets the same name again.

    >>> print(json_text({"source": "día.mp4"}))
    {"source": "día.mp4"}
    >>> print(json_text({"source": "d\udceda.mp4"}))
    {"source": "d\udceda.mp4"}
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
