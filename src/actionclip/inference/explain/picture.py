"""An explanation as a picture: frames, the map laid over them, what each frame adds, sentences."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from actionclip.inference.explain.explanation import Explanation
from actionclip.inference.plot import write_picture

MOST_FRAMES = 8
MOST_SENTENCES = 6
INK, FAINT, PAPER = "#1c1c1c", "#8a8a8a", "#ffffff"
CHOSEN, OTHER, DROP = "#2a7f62", "#c06a2b", "#9db4c0"
TITLES = {
    "locations": "feature map against the label",
    "gradient": "feature map times gradient",
    "patches": "patches against the label",
    "rollout": "attention rollout, whatever the label",
    "occlusion": "lost when the place is hidden",
}


def draw_explanation(found: Explanation, path: Path) -> None:
    """Draw an explanation as a PNG of about 1000 pixels width.

    Raises:
        StorageError: when the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert found.pixels is not None
    shown = frames_to_show(found)
    rows = 1 if found.maps is None else 2
    strip = 10.4 / MOST_FRAMES * rows + 0.55
    sentences = found.sentences[:MOST_SENTENCES] if len(found.sentences) > 1 else []
    heights = [0.55, strip, 2.3]
    if sentences:
        heights.append(0.55 + 0.28 * len(sentences))
    figure = Figure(figsize=(10.8, sum(heights)), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
    _draw_heading(parts[0], found)
    _draw_frames(parts[1], found, shown)
    _draw_time(parts[2], found, shown)
    if sentences:
        _draw_sentences(parts[3], found, len(sentences))
    write_picture(figure, path)


def frames_to_show(found: Explanation, most: int = MOST_FRAMES) -> Int[np.ndarray, " F"]:
    """Of each of `most` equal parts of the frames the one that the answer rests on most."""
    weights = np.array([_weight(frame.margin_drop, frame.margin) for frame in found.frames])
    parts = np.array_split(np.arange(len(weights)), min(most, len(weights)))
    return np.array([part[weights[part].argmax()] for part in parts])


def _weight(drop: float | None, margin: float | None) -> float:
    return drop if drop is not None else margin or 0.0


def _draw_heading(figure: Any, found: Explanation) -> None:
    title = f"{Path(found.source).name}: {found.label} {found.score:.1%}"
    if found.runner_up is not None and found.runner_up_score is not None:
        title += f", rather than {found.runner_up} {found.runner_up_score:.1%}"
    figure.text(0.02, 0.35, title, fontsize=12, color=INK, ha="left")


def _draw_frames(figure: Any, found: Explanation, shown: Int[np.ndarray, " F"]) -> None:
    rows = 1 if found.maps is None else 2
    assert found.pixels is not None
    bare = {"frame_on": False, "xticks": [], "yticks": []}
    axes = figure.subplots(rows, MOST_FRAMES, squeeze=False, subplot_kw=bare)
    limit = 0.0 if found.maps is None else float(np.abs(found.maps.chosen).max())
    for column, frame in enumerate(shown):
        upper = axes[0, column]
        upper.imshow(found.pixels[frame])
        upper.set_title(f"{found.frames[frame].time:.2f} s", fontsize=8, color=INK, pad=2)
        if found.maps is not None:
            _overlay(axes[1, column], found.pixels[frame], found.maps.chosen[frame], limit)
    if found.maps is not None:
        words = f"{TITLES[found.maps.kind]} (red: for, blue: against {found.label!r})"
        if found.maps.kind == "rollout":
            words = TITLES["rollout"]
        figure.text(0.02, 0.02, words, fontsize=8, color=FAINT)
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.09, top=0.92, wspace=0.04, hspace=0.04)


def _overlay(
    axes: Any, pixels: np.ndarray, values: Float[np.ndarray, "rows columns"], limit: float
) -> None:
    """The map over the frame in gray; nothing where it is near zero."""
    side = pixels.shape[0]
    gray = pixels.mean(axis=-1)
    axes.imshow(gray, cmap="gray", vmin=0, vmax=255)
    scaled = values / (limit or 1.0)
    axes.imshow(
        scaled,
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        alpha=np.abs(scaled).clip(0, 1) ** 0.5 * 0.75,
        extent=(-0.5, side - 0.5, side - 0.5, -0.5),
        interpolation="nearest",
    )


def _draw_time(figure: Any, found: Explanation, shown: Int[np.ndarray, " F"]) -> None:
    """Similarities of the frames, and what is lost without each."""
    times = np.array([frame.time for frame in found.frames])
    dropped = all(frame.margin_drop is not None for frame in found.frames)
    alike = all(frame.chosen is not None for frame in found.frames)
    count = dropped + alike
    axes = list(np.atleast_1d(figure.subplots(1, count))) if count else []
    if alike:
        left = axes.pop(0)
        left.plot(times, [f.chosen for f in found.frames], color=CHOSEN, marker="o", ms=3)
        if found.runner_up is not None:
            others = [f.runner_up for f in found.frames]
            left.plot(times, others, color=OTHER, marker="o", ms=3, lw=1, ls="--")
        left.legend(
            [name for name in (found.label, found.runner_up) if name is not None],
            **{"frameon": False, "fontsize": 8, "ncols": 2},
            loc="upper right",
            bbox_to_anchor=(1.02, 1.17),
            columnspacing=1.2,
        )
        _style(left, "each frame alone (cosine)", times[shown])
    if dropped:
        right = axes.pop(0)
        values = np.array([f.margin_drop for f in found.frames])
        width = 0.7 * float(np.diff(times).min()) if len(times) > 1 else 0.1
        right.bar(times, values, width=width, color=[DROP if v < 0 else CHOSEN for v in values])
        right.axhline(0, color=FAINT, lw=0.8)
        _style(right, "lead lost without the frame (cosine)", times[shown])
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.22, top=0.86, wspace=0.16)


def _style(axes: Any, title: str, marks: Float[np.ndarray, " F"]) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_xlabel("seconds (marked: the frames above)", fontsize=8, color=FAINT)
    axes.tick_params(labelsize=8)
    low, high = axes.get_ylim()
    axes.plot(marks, [low] * len(marks), marker="^", ls="none", color=INK, ms=5, clip_on=False)
    axes.set_ylim(low, high)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_sentences(figure: Any, found: Explanation, count: int) -> None:
    """What share of the label's score each sentence has."""
    axes = figure.subplots()
    shown = found.sentences[:count][::-1]
    rows = range(len(shown))
    axes.barh(rows, [each.share for each in shown], color=CHOSEN, height=0.6)
    axes.set_yticks(rows, [_short(each.sentence) for each in shown], fontsize=8, color=INK)
    top = max(each.share for each in shown) or 1.0
    axes.set_xlim(0, 1.4 * top)
    axes.xaxis.set_visible(False)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    for row, each in zip(rows, shown, strict=True):
        words = f"{each.share:.1%} (cosine {each.similarity:.3f})"
        axes.text(each.share + 0.01 * top, row, words, va="center", fontsize=8, color=INK)
    more = len(found.sentences) - count
    title = "share of each sentence" + (f" (the first {count} of {count + more})" if more else "")
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    figure.subplots_adjust(left=0.36, right=0.98, bottom=0.04, top=0.8)


def _short(sentence: str, most: int = 52) -> str:
    return sentence if len(sentence) <= most else sentence[: most - 1] + "…"
