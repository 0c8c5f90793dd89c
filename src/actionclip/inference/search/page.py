"""The answers to a query as one page: a picture of each moment; a click plays it from there.

The page holds its pictures itself and needs no network. The films stay where they are: it opens
them from this machine. Names of files and words of queries are text from strangers: all of it is
escaped, and the page allows no script but its own.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionclip.figures import printable
from actionclip.inference.search.moments import Moment
from actionclip.inference.timeline.text import short_clock
from actionclip.video.decode import DecodePool
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

WIDTH = 320
"""Of a picture, pixels along its longer side."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #5c5c5c; --paper: #fff; --card: #f4f4f1;
  --mark: #1f6f58; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --faint: #a9a9a9; --paper: #161616;
  --card: #222; --mark: #6ccaa7; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1320px; margin: 0 auto; padding: 24px; }
h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }
p { color: var(--faint); margin: 0 0 20px; overflow-wrap: anywhere; }
ol { list-style: none; padding: 0; margin: 0; display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); }
li { background: var(--card); border-radius: 8px; overflow: hidden; }
a { color: inherit; text-decoration: none; display: block; height: 100%; }
a:focus-visible { outline: 3px solid var(--mark); outline-offset: -3px; border-radius: 8px; }
a:hover .name { text-decoration: underline; }
img, .none { display: block; width: 100%; aspect-ratio: 16 / 9; object-fit: contain;
  background: #101010; color: #b9b9b9; }
.none { display: grid; place-items: center; }
.about { padding: 10px 12px 12px; display: grid; grid-template-columns: 1fr auto; gap: 2px 12px; }
.time { font-weight: 600; font-variant-numeric: tabular-nums; }
.score { color: var(--mark); font-variant-numeric: tabular-nums; }
.name { grid-column: 1 / -1; color: var(--faint); font-size: 13px; overflow-wrap: anywhere; }
dialog { border: 0; border-radius: 10px; padding: 0; background: #101010; color: #ececec;
  width: min(960px, 94vw); }
dialog::backdrop { background: rgb(0 0 0 / 60%); }
dialog header { display: flex; gap: 12px; align-items: center; padding: 10px 14px; }
dialog header span { flex: 1; overflow-wrap: anywhere; font-size: 13px; }
dialog button { font: inherit; padding: 4px 12px; }
dialog video { display: block; width: 100%; max-height: 78vh; background: #000; }
dialog p { color: #f0b4b4; margin: 0; padding: 12px 14px; }
"""

SCRIPT = """
const box = document.querySelector("dialog"), video = box.querySelector("video");
const trouble = box.querySelector("p");
for (const link of document.querySelectorAll("a[data-film]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    trouble.hidden = true;
    box.querySelector("span").textContent = link.dataset.title;
    video.src = link.href;
    box.showModal();
    video.play().catch(() => {});
  });
}
video.addEventListener("error", () => { if (video.getAttribute("src")) trouble.hidden = false; });
box.addEventListener("close", () => {
  if (box.open) return;  // it was opened again before this was said
  video.pause();
  video.removeAttribute("src");
  video.load();
});
box.querySelector("button").addEventListener("click", () => box.close());
"""


def pictures_of(
    moments: Sequence[Moment], *, workers: int | None = None, limits: Limits | None = None
) -> Iterator[NDArray[np.uint8] | None]:
    """A frame [H, W, 3] of each moment, from the middle of its best window; None if unreadable.

    They come as they are taken, so that those of thousands need not be in memory together.
    """
    request = ReadRequest(sampling=Sampling(frames=1), resize=Resize(mode="longest", size=WIDTH))
    sources = [
        Source(
            name=moment.source,
            path=Path(moment.source),
            kind="frames" if Path(moment.source).is_dir() else "file",
            start=moment.best,
            end=moment.best + 0.001,
        )
        for moment in moments
    ]
    with DecodePool(workers, limits) as pool:
        for clip in pool.read_all(sources, request):
            yield None if clip.frames is None else clip.frames[0]


def render_page(
    title: str, moments: Sequence[Moment], pictures: Iterable[NDArray[np.uint8] | None]
) -> str:
    """The page: a card for each moment, best first.

    Args:
        title: the query.
        moments: what was found.
        pictures: see `pictures_of`; one for each.
    """
    cards = "\n".join(
        _card(number, moment, picture)
        for number, (moment, picture) in enumerate(zip(moments, pictures, strict=True), start=1)
    )
    count = "Nothing was found"
    if moments:
        films = len({moment.source for moment in moments})
        count = f"Moments: {len(moments)}, in videos: {films}"
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src file:; base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_escaped(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{_escaped(title)}</h1>
<p>{count}. A click plays the video from there.</p>
<ol>
{cards}
</ol>
<dialog aria-label="Player">
<header><span></span><button autofocus>Close</button></header>
<video controls></video>
<p hidden>This browser cannot play the file: it may be gone, or in a format that browsers do not
know. Another player can open it.</p>
</dialog>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _card(number: int, moment: Moment, picture: NDArray[np.uint8] | None) -> str:
    path = Path(moment.source)
    time = f"{short_clock(moment.start)} – {short_clock(moment.end)}"  # noqa: RUF001
    title = f"{printable(path.name)}, {time}"
    link = f"{path.as_uri()}#t={moment.start:g}"
    plays = "" if path.is_dir() else " data-film"
    image = '<div class="none">no picture</div>'
    if picture is not None:
        image = f'<img alt="Frame of {_escaped(title)}" src="{_data(picture)}">'
    return (
        f'<li><a href="{_escaped(link)}"{plays} data-title="{_escaped(title)}">{image}'
        f'<div class="about"><span class="time">{number}. {time}</span>'
        f'<span class="score" title="cosine of the angle to the query">{moment.score:.3f}</span>'
        f'<span class="name">{_escaped(printable(moment.source))}</span></div></a></li>'
    )


def _data(picture: NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _escaped(text: str) -> str:
    return html.escape(printable(text), quote=True)
