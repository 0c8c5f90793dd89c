"""When a rolling label changes: not with every flicker. Numbers in, a label out; no model here."""

from actionclip.errors import ActionCLIPError


class Steady:
    """Holds on to a label until another one has led clearly, and for some time.

    Args:
        margin: by how much the score of another label has to be above that of the one held.
        hold: for how many seconds, without a break, one and the same other label has to lead.

    Raises:
        ActionCLIPError: for numbers that make no sense.

    >>> steady = Steady(margin=0.1, hold=1.0)
    >>> steady.update(0.0, {"run": 0.9, "sit": 0.1})
    'run'
    >>> steady.update(0.5, {"run": 0.1, "sit": 0.9}), steady.update(1.5, {"run": 0.1, "sit": 0.9})
    ('run', 'sit')
    """

    def __init__(self, *, margin: float = 0.1, hold: float = 0.5) -> None:
        if not 0 <= margin < 1 or not 0 <= hold < float("inf"):
            raise ActionCLIPError(
                f"margin is {margin} and hold is {hold}.",
                expected="The margin is from 0 to below 1, and hold 0 seconds or more.",
            )
        self.margin, self.hold = margin, hold
        self.label: str | None = None
        """The one held."""
        self._rival: str | None = None
        self._since = 0.0

    def restart(self) -> None:
        """Forget: the next answer counts at once."""
        self.label = self._rival = None

    def update(self, time: float, scores: dict[str, float]) -> str:
        """The label after one more answer.

        Args:
            time: of the answer, in seconds, not before the one before.
            scores: of all labels, at least one.
        """
        best = max(scores, key=lambda label: scores[label])
        if self.label is None or self.label not in scores:
            self.label, self._rival = best, None
            return self.label
        if best == self.label or scores[best] - scores[self.label] < self.margin:
            self._rival = None
            return self.label
        if best != self._rival:
            self._rival, self._since = best, time
        if time - self._since >= self.hold:
            self.label, self._rival = best, None
        return self.label
