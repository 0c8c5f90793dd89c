"""What a source of videos gives for training: some frames, and what they show.

T frames, R input size, C labels.
"""

from dataclasses import dataclass

from jaxtyping import Float, Shaped, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """A video and what is said about it."""

    frames: UInt8[Tensor, "T 3 R R"] | Float[Tensor, "T 3 R R"]
    """uint8: pixels. Floating point: already normalised."""
    label: int | Shaped[Tensor, " C"]
    """The number of its label, or zeros and ones for all labels."""
    text: str | None = None
    """A sentence about this video; None: a template filled with its label."""
