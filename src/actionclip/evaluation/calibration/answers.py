"""What a model said about clips whose labels are known, before anything is made of it.

N clips, V views of a clip, D embedding width, C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from actionclip.encoding.questions import Question

SCORED_AT_ONCE = 256
"""Clips scored together."""


@dataclass(frozen=True)
class Answers:
    """Vectors of clips, the labels asked about, and which is right."""

    question: Question
    """Without any calibration."""
    views: Float[np.ndarray, "N V D"]
    """Unit vectors."""
    truth: Int[np.ndarray, " N"]
    """The number of the right label; -1 for a clip that shows none of them."""
    groups: tuple[str, ...]
    """The recording of each clip: what is drawn and held out together."""

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def known(self) -> "Answers":
        """The clips that show one of the labels."""
        return self.only(np.flatnonzero(self.truth >= 0))

    @property
    def unknown(self) -> "Answers":
        """The others."""
        return self.only(np.flatnonzero(self.truth < 0))

    def only(self, places: Sequence[int] | Int[np.ndarray, " M"]) -> "Answers":
        """Some of the clips."""
        chosen = np.asarray(places, np.int64)
        return replace(
            self,
            views=self.views[chosen],
            truth=self.truth[chosen],
            groups=tuple(self.groups[n] for n in chosen.tolist()),
        )

    def nearness(self) -> Float[np.ndarray, " N"]:
        """The cosine of each clip to the label that is nearest."""
        parts = [
            self.question.nearness(torch.from_numpy(self.views[start : start + SCORED_AT_ONCE]))
            for start in range(0, len(self), SCORED_AT_ONCE)
        ]
        return np.concatenate([np.zeros(0), *(part.double().numpy() for part in parts)])

    def scores(self, temperature: float = 1.0) -> Float[np.ndarray, "N C"]:
        """The scores at a temperature; 1: as they are."""
        asked = replace(
            self.question,
            scale=self.question.scale / temperature,
            bias=self.question.bias / temperature,
        )
        count = self.question.texts.shape[1]
        parts = [
            asked.matrix(torch.from_numpy(self.views[start : start + SCORED_AT_ONCE])).numpy()
            for start in range(0, len(self), SCORED_AT_ONCE)
        ]
        return np.concatenate([np.zeros((0, count), np.float32), *parts])
