"""What a watched stream tells: labels, gaps, losses; and the sum of it at the end."""

from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from actionclip.model.scoring import Score

EventKind = Literal["label", "gap", "lost", "connected", "labels"]


def clock() -> str:
    """The time now, in UTC, to the millisecond.

    >>> clock().endswith("+00:00")
    True
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Event:
    """Something that happened in a stream.

    `label`: the answer about the newest window. `gap`: there were no frames for a while, and the
    window began anew. `lost`: the connection broke, or could not be made. `connected`: the first
    frame of a connection came. `labels`: other labels are in force.
    """

    event: EventKind
    time: float
    """Seconds from the first frame to the newest one."""
    clock: str
    """When this was said, UTC."""
    label: str | None = None
    """The label that holds; it may lag behind the best score, so that it does not flicker."""
    score: float | None = None
    """The score of `label` in the newest window."""
    scores: list[Score] = field(default_factory=list)
    """The answer about the newest window, best first."""
    changed: bool = False
    """Whether `label` is another one than before."""
    latency: float | None = None
    """Seconds from when the newest frame had been read to this answer."""
    dropped: int | None = None
    """Frames dropped so far because the model was busy."""
    gap: float | None = None
    """`label`: seconds without frames since the label before; `gap`: how long there were none."""
    reason: str | None = None
    wait: float | None = None
    """`lost`: seconds until the next attempt."""
    attempt: int | None = None
    """`lost`: how many attempts in a row gave no frame."""
    labels: list[str] | None = None
    """`labels`: those in force now."""

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; keys that this kind of event has not are left out."""
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("scores", "changed") and self.event != "label":
                continue
            if value is None:
                continue
            found[each.name] = round(value, 4) if isinstance(value, float) else value
        if "scores" in found:
            found["scores"] = [
                {"label": one.label, "score": round(one.score, 4)} for one in self.scores
            ]
        return found


@dataclass
class Summary:
    """A watched stream in numbers."""

    seconds: float = 0.0
    """From the first frame to the last."""
    seen: int = 0
    """Frames decoded."""
    wanted: int = 0
    """Frames picked for the model."""
    dropped: int = 0
    """Of these, dropped because it was busy."""
    broken: int = 0
    """Packets that did not decode."""
    answers: int = 0
    changes: int = 0
    """How often the label changed."""
    connections: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list, repr=False)
    """Of the newest answers."""

    @property
    def median_latency(self) -> float | None:
        """Seconds from a frame to the answer, of the newest answers."""
        ordered = sorted(self.latencies)
        return ordered[len(ordered) // 2] if ordered else None

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        found = asdict(self)
        del found["latencies"]
        middle = self.median_latency
        found["latency"] = None if middle is None else round(middle, 4)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}

    def __str__(self) -> str:
        parts = [
            f"{self.seconds:.1f} s",
            f"{self.seen} frames, {self.wanted} for the model, {self.dropped} dropped",
            f"{self.answers} answers, {self.changes} changes of label",
        ]
        if self.median_latency is not None:
            parts.append(f"{self.median_latency * 1000:.0f} ms from frame to label")
        if self.broken:
            parts.append(f"damaged packets: {self.broken}")
        if self.gaps:
            parts.append(f"{self.gaps} gaps of {self.gap_seconds:.1f} s in all")
        if self.connections > 1:
            parts.append(f"{self.connections} connections")
        return "; ".join(parts)
