"""The page of a timeline: what is in it, and what a real Chromium makes of it."""

import html
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import pytest
from timelines import timeline_of

from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline import page as page_module
from actionclip.inference.timeline.page import timeline_page
from actionclip.inference.timeline.plot import timeline_picture
from actionclip.inference.timeline.segments import Segment
from browsing import chromium, from_disk, wait_for
from film_of_actions import shared_film

EVIL = '"><img src=x onerror="window.evil=1">\n</script><script>window.evil=1</script>$x_{'


@pytest.fixture
def result(tmp_path_factory, tmp_path):
    """Three labels, one of them hostile, in a film whose name is hostile too."""
    path = tmp_path / "films" / "a:b '&<i> %41#1.mp4"
    path.parent.mkdir()
    shutil.copy(shared_film(tmp_path_factory), path)
    times = np.arange(1.0, 9.0, 0.5)
    return timeline_of(
        [Segment(0.0, 3.0, "jumping jacks", 0.9), Segment(6.0, 9.0, EVIL, 0.8)],
        source=str(path),
        labels=("jumping jacks", EVIL, "never"),
        times=times,
        scores=np.stack([times < 3, times > 6, times < 0], axis=1).astype(float),
        seconds=9.0,
        path=path,
    )


class Tags(HTMLParser):
    """The tags of a page and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def test_nothing_hostile_becomes_a_tag_or_a_second_script(result, tmp_path):
    tags = Tags(timeline_page(result, tmp_path / "page.html"))

    assert len(tags.of("script")) == 1
    assert not tags.of("img")
    assert not tags.of("i")
    assert not [a for _, attrs in tags.found for a in attrs if a.startswith("on")]
    assert not [attrs for attrs in tags.of("link") + tags.of("iframe")]
    [policy] = [a["content"] for a in tags.of("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_the_video_is_named_relative_to_the_page(result, tmp_path):
    for page in (tmp_path / "page.html", tmp_path / "pages" / "deep" / "page.html"):
        [video] = Tags(timeline_page(result, page)).of("video")
        page.parent.mkdir(parents=True, exist_ok=True)
        assert video["src"].startswith("./")
        assert (page.parent / unquote(video["src"])).samefile(result.path)


def test_a_name_that_is_not_utf8_is_found_too(result, tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    path = result.path.rename(result.path.with_name(name))

    text = timeline_page(replace(result, source=str(path), path=path), tmp_path / "page.html")

    [video] = Tags(text).of("video")
    assert (tmp_path / os.fsdecode(unquote_to_bytes(video["src"]))).samefile(path)
    assert text.encode("utf-8")


def test_every_segment_can_be_clicked_in_the_row_and_in_the_table(result, tmp_path):
    buttons = Tags(timeline_page(result, tmp_path / "page.html")).of("button")

    assert sorted(float(button["data-start"]) for button in buttons) == [0.0, 0.0, 6.0, 6.0]
    assert all(b["aria-label"].startswith("Play ") for b in buttons if b.get("class"))


def test_of_many_labels_those_with_segments_and_the_best_have_a_row(result, tmp_path):
    labels = tuple(f"label {k:02}" for k in range(100))
    scores = np.tile(np.arange(100) / 100, (len(result.times), 1))
    many = replace(
        result, labels=labels, scores=scores, segments=[Segment(0.0, 3.0, "label 07", 0.9)]
    )

    names = re.findall('class="name">(.*?)<', timeline_page(many, tmp_path / "page.html"))

    assert names == ["label 07", *(f"label {k:02}" for k in range(99, 40, -1))]


def test_a_page_may_hold_its_video_up_to_a_size(result, tmp_path, monkeypatch):
    text = timeline_page(result, tmp_path / "page.html", embed_video=True)

    assert 'src="data:video/mp4;base64,' in text
    assert len(text) > result.path.stat().st_size * 4 / 3
    monkeypatch.setattr(page_module, "MOST_EMBEDDED", 10)
    with pytest.raises(ActionCLIPError, match="A page can hold"):
        timeline_page(result, tmp_path / "page.html", embed_video=True)


def test_a_timeline_without_a_file_or_without_segments_is_a_page_too(result, tmp_path):
    empty = replace(result, path=None, segments=[], times=np.zeros(0), scores=np.zeros((0, 3)))

    text = timeline_page(empty, tmp_path / "page.html")

    assert "no file to play" in text
    assert "None of these labels" in text
    assert not Tags(text).of("video")
    with pytest.raises(ActionCLIPError):
        timeline_page(empty, tmp_path / "page.html", embed_video=True)


def test_a_film_from_standard_input_is_not_linked_for_it_is_gone_with_the_command(result, tmp_path):
    piped = replace(result, source="-")

    text = timeline_page(piped, tmp_path / "page.html")

    assert "<video" not in text
    assert "--embed-video" in text
    assert "<h1>standard input</h1>" in text
    assert "data:video/mp4" in timeline_page(piped, tmp_path / "page.html", embed_video=True)


def test_a_picture_has_a_row_for_each_label_whatever_it_is_called(result):
    data = timeline_picture(result)

    assert data.startswith(b"\x89PNG")
    strange = ("$\\frac{1", "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 5, "x" * 1000)
    names = dict(zip(result.labels, strange, strict=True))
    renamed = replace(
        result,
        labels=strange,
        segments=[one._replace(label=names[one.label]) for one in result.segments],
    )
    assert timeline_picture(renamed).startswith(b"\x89PNG")


@pytest.fixture
def browser():
    with chromium() as found:
        yield found


@pytest.mark.parametrize("embed_video", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_click_on_a_segment_plays_it_from_a_disk(browser, result, tmp_path, embed_video):
    place = tmp_path / "page.html"
    place.write_text(timeline_page(result, place, embed_video=embed_video), encoding="utf-8")
    page, errors, asked = from_disk(browser, place, viewport={"width": 1000, "height": 900})
    wait_for(page, "document.querySelector('video').readyState >= 1")

    page.locator(".segment").nth(1).click()
    wait_for(page, "document.querySelector('video').currentTime >= 6")
    wait_for(page, "document.querySelectorAll('.segment')[1].matches('.now')")
    at = page.evaluate("document.querySelector('video').currentTime")
    page.locator("tbody button").first.press("Enter")
    wait_for(page, "document.querySelector('video').currentTime < 3")

    assert 6 <= at < 9
    assert not page.locator("#trouble").is_visible()
    assert page.evaluate("window.evil") is None
    assert page.locator(".name").nth(1).inner_text() == " ".join(EVIL.split("\n"))
    assert errors == []
    assert set(asked) <= {"file", "data"}
    shown = html.unescape(re.search(r"<title>(.*?)</title>", place.read_text()).group(1))
    assert page.title() == shown == result.path.name
