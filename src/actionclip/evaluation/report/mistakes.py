"""The worst mistakes as one page: frames of the clip, what it shows, what the model said instead.

The page holds its pictures itself; it needs no network and can be sent to somebody.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionclip.data.manifest import Manifest, Row
from actionclip.errors import counted
from actionclip.evaluation.metrics import Sheet
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest, Resize, Sampling

MOST = 30
FRAMES, HEIGHT = 4, 120
"""Frames shown of a clip, and their height in pixels."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #636363; --paper: #fff; --card: #f6f6f4;
  --right: #2a7f62; --wrong: #a33b4a; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --faint: #a5a5a5; --paper: #161616;
  --card: #222; --right: #62c39e; --wrong: #e58391; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1240px; margin: 0 auto; padding: 24px; }
h1 { font-size: 22px; margin: 0 0 4px; }
p { color: var(--faint); margin: 0 0 20px; }
ol { list-style: none; padding: 0; display: grid; gap: 16px; margin: 0;
  grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); }
li { background: var(--card); border-radius: 8px; padding: 12px; overflow: hidden; }
figure { margin: 0 0 10px; display: flex; gap: 3px; }
figure img { flex: 1 1 0; min-width: 0; height: 120px; object-fit: cover; border-radius: 3px; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; padding: 1px 10px 1px 0; overflow-wrap: anywhere; }
td { color: var(--faint); padding: 1px 0; white-space: nowrap; width: 1%; text-align: right; }
td + td { padding-left: 14px; }
.right th { color: var(--right); } .wrong th { color: var(--wrong); }
.path { font-size: 12px; color: var(--faint); margin: 8px 0 0; overflow-wrap: anywhere; }
.none { height: 120px; display: grid; place-items: center; color: var(--faint); flex: 1; }
"""


@dataclass(frozen=True)
class Mistake:
    """A clip whose label was not the answer."""

    row: Row
    part: str
    answers: tuple[tuple[str, float], ...]
    """The labels that came before the right one, best first; three at most."""
    right: tuple[str, float, int]
    """The right label, its score, and its place counted from 1."""

    @property
    def weight(self) -> float:
        """How wrong it is: by how much the first answer was surer."""
        return self.answers[0][1] - self.right[1]


def worst_mistakes(sheets: Iterable[Sheet], most: int = MOST) -> list[Mistake]:
    """The mistakes the model was surest of; of a clip with several labels the one it missed most.

    A clip that stands in several sheets is named once.
    """
    found: dict[tuple[object, ...], Mistake] = {}
    for sheet in sheets:
        for place in np.flatnonzero(sheet.read):
            mistake = _mistake(sheet, int(place))
            key = (mistake.row.path, mistake.row.start, mistake.row.end) if mistake else ()
            if mistake and (key not in found or found[key].weight < mistake.weight):
                found[key] = mistake
    return sorted(found.values(), key=lambda each: (-each.weight, each.row.path))[:most]


def _mistake(sheet: Sheet, place: int) -> Mistake | None:
    order, right = sheet.order[place], sheet.targets[place]
    last = int(np.flatnonzero(right[order])[-1])
    before = [label for label in order[:last] if not right[label]]
    if not before:
        return None
    scores, label = sheet.scores[place], int(order[last])
    return Mistake(
        sheet.rows[place],
        sheet.name,
        tuple((sheet.classes[one], float(scores[one])) for one in before[:3]),
        (sheet.classes[label], float(scores[label]), last + 1),
    )


def mistakes_page(
    mistakes: Sequence[Mistake],
    manifests: dict[str, Manifest],
    pool: DecodePool,
    *,
    title: str,
    clips: int,
) -> str:
    """The page.

    Args:
        mistakes: what to show.
        manifests: where the clips of each part lie.
        pool: reads them.
        title: what was tested, in a line.
        clips: how many clips were tested.
    """
    request = ReadRequest(
        sampling=Sampling(frames=FRAMES),
        resize=Resize(mode="shortest", size=HEIGHT, interpolation="bilinear"),
    )
    sources = (manifests[each.part].source(each.row) for each in mistakes)
    cards = [
        _card(mistake, clip.windows()[0] if clip.status.usable else None)
        for mistake, clip in zip(mistakes, pool.read_all(sources, request), strict=True)
    ]
    among = counted(clips, "clip")
    shown = f"The {len(cards)} mistakes the model was surest of, among {among}."
    words = shown if cards else f"No mistake among {among}."
    heading = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{heading}</title><style>{STYLE}</style></head><body>\n"
        f"<h1>{heading}</h1><p>{words}</p>\n<ol>\n{''.join(cards)}</ol>\n</body></html>\n"
    )


def _card(mistake: Mistake, frames: NDArray[np.uint8] | None) -> str:
    label, score, place = mistake.right
    rows = [_line("wrong", name, value, "") for name, value in mistake.answers]
    rows.append(_line("right", label, score, f"place {place}"))
    row = mistake.row
    until = "the end" if row.end is None else f"{row.end:g} s"
    stretch = "" if row.name == row.path else f" ({row.start or 0:g} to {until})"
    pictures = "".join(map(_picture, frames)) if frames is not None else _NONE
    return (
        f"<li><figure>{pictures}</figure><table>{''.join(rows)}</table>"
        f'<div class="path">{html.escape(row.path + stretch)}</div></li>\n'
    )


_NONE = '<div class="none">no frames</div>'


def _line(kind: str, label: str, score: float, place: str) -> str:
    mark = "✓" if kind == "right" else "✗"
    number = f"{score:.1%}" if 0 <= score <= 1 else f"{score:.2f}"
    cells = f"<td>{place}</td><td>{number}</td>"
    return f'<tr class="{kind}"><th>{mark} {html.escape(label)}</th>{cells}</tr>'


def _picture(frame: NDArray[np.uint8]) -> str:
    data = BytesIO()
    Image.fromarray(frame).save(data, format="JPEG", quality=80)
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{text}">'
