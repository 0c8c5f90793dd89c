"""What is said about an answer: plain numbers, ready for JSON.

N different frames of a video, R input size.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from actionclip.model.scoring import Score

MapKind: TypeAlias = Literal["locations", "gradient", "patches", "rollout", "occlusion"]

MEANS: dict[MapKind, str] = {
    "locations": "similarity of each place of the last feature map to the label; their mean is the "
    "frame's similarity, exactly (a class activation map)",
    "gradient": "what each place of the last feature map adds to the video's similarity to the "
    "label, to first order: its vector times the gradient of that similarity, through the "
    "post-network prompt",
    "patches": "cosine of each patch's token, taken through the tower's last norm and projection, "
    "to the label; a stand-in: the tower was trained to answer with its class token alone",
    "rollout": "attention rollout: how much of each patch can have reached the class token; the "
    "same whatever the label",
    "occlusion": "what the similarity of the frame (of its window, where frames are mixed) to the "
    "label loses when this place is grey in all frames",
}
"""The kinds of maps, and what a number of each is."""


@dataclass(frozen=True)
class FrameEvidence:
    """One frame, and what it speaks for."""

    time: float
    """Seconds after the first frame of the video."""
    chosen: float | None
    """Cosine of the frame's embedding to the chosen label; None where frames have none (`joint`).
    For a post-network prompt that mixes frames this is a stand-in: see `drop`."""
    runner_up: float | None
    """The same for the runner-up."""
    drop: float | None
    """What the score of the chosen label loses when the model does not get this frame; below zero:
    it gains. None where that cannot be asked (a video of one frame)."""
    margin_drop: float | None
    """The same in cosines: what the lead of the chosen label over the runner-up loses. It still
    tells frames apart where scores are all but 1."""

    @property
    def margin(self) -> float | None:
        """By how much the frame is nearer to the chosen label than to the runner-up."""
        if self.chosen is None or self.runner_up is None:
            return self.chosen
        return self.chosen - self.runner_up


@dataclass(frozen=True)
class SentenceEvidence:
    """One sentence of the chosen label."""

    sentence: str
    similarity: float
    """Cosine to the video, the mean over its views."""
    score: float
    """What the label would score if this sentence (this template, for all labels) stood alone."""
    share: float
    """Its part of the sum of these scores; the shares of a label's sentences sum to one."""


@dataclass(frozen=True)
class Maps:
    """Where in the frames."""

    kind: MapKind
    chosen: Float[np.ndarray, "N rows columns"]
    """For each frame, the part of it that the model saw (its centre crop), top row first."""
    runner_up: Float[np.ndarray, "N rows columns"] | None

    @property
    def means(self) -> str:
        """What a number of these maps is."""
        return MEANS[self.kind]

    @property
    def margin(self) -> Float[np.ndarray, "N rows columns"]:
        """What speaks for the chosen label rather than for the runner-up, place by place."""
        if self.runner_up is None or self.kind == "rollout":
            return self.chosen
        return self.chosen - self.runner_up


@dataclass(frozen=True)
class Explanation:
    """What carried an answer."""

    source: str
    label: str
    """The label that is explained: the best one, unless another was asked for."""
    score: float
    runner_up: str | None
    """The next best label; None where there is only one."""
    runner_up_score: float | None
    answer: list[Score]
    """What `classify` says, all labels."""
    frames: list[FrameEvidence]
    """In the order shown, each once."""
    sentences: list[SentenceEvidence]
    """Most telling first."""
    maps: Maps | None
    notes: tuple[str, ...] = ()
    """What a careful reader should know of these numbers."""
    pixels: UInt8[np.ndarray, "N R R 3"] | None = field(default=None, repr=False, compare=False)
    """The frames as the model saw them (centre crop)."""

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """Stable keys of plain values.

        Args:
            maps: whether the numbers of the maps come along; they are many.
        """
        found: dict[str, Any] = {
            "label": self.label,
            "score": _short(self.score),
            "runner_up": self.runner_up,
            "runner_up_score": _short(self.runner_up_score),
            "frames": [
                {
                    "time": round(frame.time, 3),
                    **{
                        name: _short(getattr(frame, name))
                        for name in ("chosen", "runner_up", "drop", "margin_drop")
                    },
                }
                for frame in self.frames
            ],
            "sentences": [
                {
                    "sentence": each.sentence,
                    "similarity": _short(each.similarity),
                    "score": _short(each.score),
                    "share": _short(each.share),
                }
                for each in self.sentences
            ],
            "notes": list(self.notes),
        }
        if maps and self.maps is not None:
            other = self.maps.runner_up
            found["maps"] = {
                "kind": self.maps.kind,
                "means": self.maps.means,
                "chosen": self.maps.chosen.round(4).tolist(),
                "runner_up": None if other is None else other.round(4).tolist(),
            }
        return found


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
