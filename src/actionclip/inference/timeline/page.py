"""A timeline as one page that needs only the video: click a segment, and it plays there.

The page works from a disk (`file://`), without a network and without a server. Labels and names
come from strangers: everything is escaped, and its policy lets run the one script written here.
"""

import base64
import hashlib
import html
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.plot import colour_of, rows_of
from actionclip.inference.timeline.result import TimelineResult
from actionclip.inference.timeline.text import one_line, short_clock

MOST_EMBEDDED = 256 * 2**20
"""Bytes of a video that a page may hold itself; a page larger than this does not open."""
MOST_ROWS = 60
POINTS = 400
"""Of a row's curve at most."""
TICKS = 8
_TYPES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mp4", ".webm": "webm", ".mkv": "webm"}

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #5f5f5f; --paper: #fff; --lane: #f1f1ee;
  --line: #dcdcd8; --mark: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --faint: #ababab; --paper: #161616;
  --lane: #242424; --line: #3a3a3a; --mark: #ff8a80; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1100px; margin: 0 auto; padding: 20px; }
h1 { font-size: 20px; margin: 0 0 2px; overflow-wrap: anywhere; }
p { color: var(--faint); margin: 0 0 14px; }
video { display: block; width: 100%; max-height: 56vh; background: #000; border-radius: 6px; }
#trouble { color: var(--mark); }
.times { position: relative; margin: 18px 0 24px; }
.row, .axis { display: grid; grid-template-columns: minmax(90px, 22%) 1fr; gap: 12px;
  align-items: center; }
.name { text-align: right; overflow-wrap: anywhere; line-height: 1.2; }
.quiet .name { color: var(--faint); }
.lane { position: relative; height: 34px; background: var(--lane); margin: 2px 0;
  border-radius: 4px; overflow: hidden; }
.lane svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.segment { position: absolute; bottom: 3px; height: 14px; min-width: 3px; padding: 0; border: 0;
  border-radius: 3px; cursor: pointer; background: var(--tone); }
.segment:hover, .segment.now { outline: 2px solid var(--ink); outline-offset: 0; z-index: 1; }
.segment:focus-visible, td button:focus-visible { outline: 3px solid var(--mark); z-index: 2; }
.ticks { position: relative; height: 20px; color: var(--faint); font-size: 12px; }
.ticks span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.ticks span:first-child { transform: none; }
#head { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--mark);
  pointer-events: none; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--faint); font-weight: 500; font-size: 13px; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
tr.now td { font-weight: 600; }
td button { font: inherit; color: inherit; background: none; border: 0; padding: 2px 0;
  cursor: pointer; text-decoration: underline; text-underline-offset: 2px; white-space: nowrap; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 8px;
  background: var(--tone); }
@media (max-width: 560px) { .row, .axis { grid-template-columns: 1fr; gap: 0; }
  .name { text-align: left; margin-top: 6px; } .axis span.gap { display: none; } }
"""

SCRIPT = """
const player = document.querySelector("video"), head = document.getElementById("head");
const lanes = document.querySelectorAll(".lane"), times = document.querySelector(".times");
const parts = document.querySelectorAll("[data-start]"), whole = Number(times.dataset.seconds);
const begins = Number(times.dataset.begins);
const jump = (seconds) => {
  if (!player) return;
  player.currentTime = begins + seconds;
  const playing = player.play();
  if (playing) playing.catch(() => {});
};
for (const part of parts) {
  if (part.matches("button")) part.addEventListener("click", (event) => {
    event.stopPropagation();
    jump(Number(part.dataset.start));
  });
}
for (const lane of lanes) lane.addEventListener("click", (event) => {
  const box = lane.getBoundingClientRect();
  jump((event.clientX - box.left) / box.width * whole);
});
const show = () => {
  const now = player.currentTime - begins, lane = lanes[0];
  for (const part of parts) part.classList.toggle("now",
    Number(part.dataset.start) <= now && now < Number(part.dataset.end));
  if (!lane || !whole) return;
  const box = lane.getBoundingClientRect(), all = times.getBoundingClientRect();
  head.hidden = false;
  const share = Math.min(Math.max(now / whole, 0), 1);
  head.style.left = (box.left - all.left + box.width * share) + "px";
};
if (player) {
  for (const name of ["timeupdate", "seeked", "loadedmetadata"])
    player.addEventListener(name, show);
  window.addEventListener("resize", show);
  player.addEventListener("error", () => { document.getElementById("trouble").hidden = false; });
}
"""


def timeline_page(result: TimelineResult, page: Path, *, embed_video: bool = False) -> str:
    """The page.

    Args:
        result: what was found.
        page: where the page will lie: the video is named relative to it.
        embed_video: put the video itself into the page, so that it can be sent to somebody.

    Raises:
        ActionCLIPError: when the video is too large to be put into the page, or is no file.
    """
    piped = result.source == "-"
    name = "standard input" if piped else html.escape(one_line(Path(result.source).name))
    rows = rows_of(result, MOST_ROWS)
    hash_of_script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; media-src 'self' file: data: blob:; "
        f"script-src 'sha256-{hash_of_script}'"
    )
    lanes = "".join(_row(result, row, label) for row, label in enumerate(rows))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{name}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>{name}</h1><p>{_about(result)}</p>\n"
        f"{_player(result, page, embed_video)}\n"
        f'<div class="times" data-seconds="{result.seconds or 0:.3f}" '
        f'data-begins="{result.begins:.3f}">\n{lanes}'
        f'<div class="axis"><span class="gap"></span>{_ticks(result.seconds or 0)}</div>'
        '<div id="head" hidden></div></div>\n'
        f"{_table(result, rows)}\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def _about(result: TimelineResult) -> str:
    count = len(result.segments)
    said = [
        "no segment" if not count else f"{count} segment{'s' if count > 1 else ''}",
        f"{short_clock(result.seconds or 0)} long",
        f"{len(result.labels)} labels",
        f"windows of {result.window:g} s every {result.stride:g} s",
    ]
    if result.message:
        said.append(f"{result.status}: {one_line(result.message)}")
    return html.escape(" · ".join(said))


def _player(result: TimelineResult, page: Path, embed_video: bool) -> str:
    path = result.path
    if path is None or not path.is_file():
        if embed_video:
            raise ActionCLIPError(f"{result.source} is no file that a page could hold.")
        return "<p>There is no file to play.</p>"
    if result.source == "-" and not embed_video:  # its copy goes with the process
        return (
            "<p>The video came from standard input and was not kept, so it cannot be played here. "
            "The option --embed-video puts it into the page.</p>"
        )
    if embed_video:
        check_embedded(path)
        kind = _TYPES.get(path.suffix.lower(), "mp4")
        source = f"data:video/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    else:
        relative = os.path.relpath(path.absolute(), page.absolute().parent)
        source = "./" + quote(os.fsencode(relative))  # or `a:b.mp4` would be an address
    return (
        f'<video controls preload="metadata" src="{html.escape(source)}"></video>'
        '<p id="trouble" hidden>This browser cannot play the video, or does not find it: keep it '
        "where it was, or convert it to H.264 in MP4. The times below hold all the same.</p>"
    )


def check_embedded(path: Path) -> None:
    """Refuse a video that is too large to be put into a page.

    Raises:
        ActionCLIPError: if so.
    """
    size = path.stat().st_size
    if size > MOST_EMBEDDED:
        raise ActionCLIPError(
            f"{path} has {size / 2**20:.0f} MB.",
            expected=f"A page can hold {MOST_EMBEDDED // 2**20} MB of video.",
            hint="Leave --embed-video out, and keep the video beside the page.",
        )


def _row(result: TimelineResult, row: int, label: int) -> str:
    name, whole = result.labels[label], result.seconds or 1.0
    mine = [one for one in result.segments if one.label == name]
    shown = html.escape(one_line(name))
    buttons = "".join(
        f'<button type="button" class="segment" data-start="{one.start:.3f}" '
        f'data-end="{one.end:.3f}" style="left:{100 * one.start / whole:.3f}%;'
        f'width:{100 * (one.end - one.start) / whole:.3f}%" '
        f'title="{shown}, {_said(one.start, one.end, one.score)}" '
        f'aria-label="Play {shown}, {_said(one.start, one.end, one.score)}"></button>'
        for one in mine
    )
    quiet = "" if mine else " quiet"
    return (
        f'<div class="row{quiet}" style="--tone:{colour_of(row)}"><span class="name">{shown}</span>'
        f'<div class="lane">{_curve(result, label)}{buttons}</div></div>\n'
    )


def _said(start: float, end: float, score: float) -> str:
    return f"{short_clock(start)} to {short_clock(end)}, {score:.0%}"


def _curve(result: TimelineResult, label: int) -> str:
    """The score over time; of many windows the highest of neighbours."""
    if not len(result.times):
        return ""
    groups = np.array_split(np.arange(len(result.times)), min(len(result.times), POINTS))
    whole = result.seconds or 1.0
    points = [
        f"{1000 * result.times[group].mean() / whole:.1f},"
        f"{100 - 78 * result.scores[group, label].max():.1f}"
        for group in groups
    ]
    first, last = points[0].split(",")[1], points[-1].split(",")[1]
    line = " ".join([f"0,100 0,{first}", *points, f"1000,{last} 1000,100"])
    return (
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{line}" fill="var(--tone)" opacity="0.25"/></svg>'
    )


def _ticks(seconds: float) -> str:
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    step = next((step for step in steps if seconds / step <= TICKS), 7200)
    marks = np.arange(0, seconds * 0.97, step)
    spans = "".join(
        f'<span style="left:{100 * mark / (seconds or 1):.2f}%">{short_clock(mark)[:-2]}</span>'
        for mark in marks.tolist()
    )
    return f'<div class="ticks" aria-hidden="true">{spans}</div>'


def _table(result: TimelineResult, rows: list[int]) -> str:
    if not result.segments:
        return "<p>None of these labels was found.</p>"
    row_of = {result.labels[label]: row for row, label in enumerate(rows)}
    lines = "".join(
        f'<tr data-start="{one.start:.3f}" data-end="{one.end:.3f}"><td>'
        f'<button type="button" data-start="{one.start:.3f}" data-end="{one.end:.3f}">'
        f"{short_clock(one.start)} to {short_clock(one.end)}</button></td>"
        f'<td><span class="dot" style="--tone:{colour_of(row_of.get(one.label, 0))}"></span>'
        f"{html.escape(one_line(one.label))}</td><td>{one.score:.0%}</td></tr>\n"
        for one in result.segments
    )
    return (
        "<table><thead><tr><th>Time</th><th>Label</th><th>Score</th></tr></thead>"
        f"<tbody>\n{lines}</tbody></table>"
    )
