"""Is a score of 80 % right in 80 of 100 cases? The calibration of the best label, as a picture.

M bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from actionclip.evaluation.metrics import BINS, Sheet
from actionclip.figures import png_of

INK, FAINT, PAPER = "#1c1c1c", "#8a8a8a", "#ffffff"
BAR, GAP = "#2a7f62", "#a33b4a"


@dataclass(frozen=True)
class Reliability:
    """Clips by the score of their best label, in bins of equal width."""

    clips: Int[np.ndarray, " M"]
    right: Float[np.ndarray, " M"]
    """Share of a bin's clips whose best label is right; NaN for an empty bin."""
    sure: Float[np.ndarray, " M"]
    """Their mean score; NaN for an empty bin."""

    @property
    def error(self) -> float:
        """Expected calibration error: the gap between the two, weighted by clips."""
        known = self.clips > 0
        gaps = np.abs(self.right - self.sure)[known] * self.clips[known]
        return float(gaps.sum() / max(self.clips.sum(), 1))


def reliability(sheets: Sequence[Sheet], bins: int = BINS) -> Reliability:
    """Count the clips of some sheets that could be read."""
    scores = np.concatenate([s.scores[s.read].max(axis=1) for s in sheets]).astype(np.float64)
    hits = np.concatenate([s.places[s.read] == 0 for s in sheets])
    # as torchmetrics: a score on an edge belongs to the bin above it
    edges = np.linspace(0, 1, bins + 1)
    place = (np.searchsorted(edges, scores, side="right") - 1).clip(0, bins - 1)
    clips = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        right = np.bincount(place, hits.astype(float), bins) / clips
        sure = np.bincount(place, scores, bins) / clips
    return Reliability(clips, right, sure)


def reliability_picture(found: Reliability) -> bytes:
    """A PNG: how often each bin is right against how sure it is, and how many clips it has."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 6.4), dpi=120, facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: Any = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.3])
    upper, lower = parts
    bins = len(found.clips)
    width, known = 1 / bins, found.clips > 0
    middles = (np.arange(bins) + 0.5) / bins
    upper.bar(middles[known], found.right[known], width * 0.92, color=BAR, label="how often right")
    low = np.minimum(found.right, found.sure)[known]
    gap = np.abs(found.right - found.sure)[known]
    upper.bar(
        middles[known],
        gap,
        width * 0.92,
        low,
        color="none",
        edgecolor=GAP,
        hatch="////",
        linewidth=0.8,
        label="gap to how sure",
    )
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--", label="an honest model")
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of clips that are right")
    clips = int(found.clips.sum())
    upper.set_title(
        f"Calibration error {found.error:.1%} over {clips} clips in {bins} bins",
        loc="left",
        fontsize=10,
        color=INK,
    )
    upper.legend(loc="upper left", frameon=False, fontsize=8)
    lower.bar(middles, found.clips, width * 0.92, color="#9db4c0")
    lower.set(xlabel="score of the best label", ylabel="clips")
    lower.yaxis.get_major_locator().set_params(integer=True, nbins=4)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=INK)
    return png_of(figure, tight=True)
