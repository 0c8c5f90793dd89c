"""What a user asks becomes a question, once."""

from collections.abc import Sequence
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
        ActionCLIPError: as `ask` does; for options beside a question that was made without them.
    """
    if not isinstance(labels, Question):
        return ask(model, labels, **options)
    if options:
        raise ActionCLIPError(
            f"{', '.join(sorted(options))} came with a question that was made already.",
            expected="What belongs to a question is given where it is made.",
            hint="Give it to `question`, or give the labels here.",
        )
    return labels
