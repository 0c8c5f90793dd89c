"""What a user asks becomes a question, once."""

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from actionclip.encoding.questions import Question, ask
from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP


def question_of(
    model: ActionCLIP, labels: Question | str | Path | Sequence[str] | None, **options: Any
) -> Question:
    """The labels as a question; one that was made already stays as it is.

    Args:
        model: whose text tower reads the sentences.
        labels: as for `ask`, or its answer.
        options: those of `ask`.

    Raises:
        ActionCLIPError: as `ask` does; for an option that there is not; for options beside a
            question that was made without them.
    """
    if not isinstance(labels, Question):
        _check_names(options)
        return ask(model, labels, **options)
    if options:
        raise ActionCLIPError(
            f"{', '.join(sorted(options))} came with a question that was made already.",
            expected="What belongs to a question is given where it is made.",
            hint="Give it to `question`, or give the labels here.",
        )
    return labels


OF_METHODS = ("top_k", "frames", "windows", "spacing", "crops", "batch_size", "window", "stride")
"""What methods take beside the options of a question, and may be misspelt."""


def _check_names(options: Iterable[str]) -> None:
    known = [
        name
        for name, one in inspect.signature(ask).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    ]
    for name in options:
        if name not in known:
            near = get_close_matches(name, [*known, *OF_METHODS], n=1)
            raise ActionCLIPError(
                f"No option is called {name!r} here.",
                expected=f"A question takes {', '.join(known)}; a method also its own.",
                hint=f"Did you mean {near[0]!r}?" if near and near[0] != name else "",
            )
