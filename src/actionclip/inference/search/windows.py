"""What an index needs to be told about films and queries, whoever computes it.

N windows, D embedding width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from actionclip.errors import ActionCLIPError
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import Source


@dataclass(frozen=True)
class Span:
    """How films are cut into windows."""

    window: float = 2.0
    """Seconds of a window."""
    stride: float = 1.0
    """Seconds from the beginning of one to that of the next."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        for name, value in (("window", self.window), ("stride", self.stride)):
            if not 0 < value < float("inf"):
                raise ActionCLIPError(
                    f"The {name} is {value} seconds.", expected="It must be above 0."
                )
        if self.stride > self.window:
            raise ActionCLIPError(
                f"The stride is {self.stride:g} s and the window {self.window:g} s.",
                expected="The stride must not be longer, or parts of a film would be in no window.",
            )


@dataclass(frozen=True)
class Windowed:
    """The windows of one film, or why there are none."""

    source: Source
    status: Outcome
    starts: Float[np.ndarray, " N"]
    """Seconds after the first frame."""
    ends: Float[np.ndarray, " N"]
    vectors: Float[np.ndarray, "N D"]
    """Unit length, float32."""
    message: str = ""
    hint: str = ""


@runtime_checkable
class Embedder(Protocol):
    """A model as an index sees it."""

    @property
    def name(self) -> str:
        """What a user would type to get it; empty when that is not known."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides its vectors, but for the window and the stride."""
        ...

    @property
    def dimension(self) -> int:
        """D."""
        ...

    @property
    def margin(self) -> float:
        """How much lower the cosine of a neighbour may be that still shows the same."""
        ...

    def windows(self, sources: Iterable[Source], span: Span) -> Iterator[Windowed]:
        """The windows of films, in the order given; a bad film never raises."""
        ...

    def text(self, query: str, templates: Sequence[str] | None) -> Float[np.ndarray, " D"]:
        """A unit vector for words."""
        ...

    def clip(self, path: Path) -> Float[np.ndarray, " D"]:
        """A unit vector for an example."""
        ...
