"""The page of answers holds what it shows, and lets nothing out of its text."""

import re
import shutil
import weakref

import numpy as np
import pytest

from actionclip.inference.search.moments import Moment
from actionclip.inference.search.page import pictures_of, render_page
from browsing import LOADING, chromium, from_disk, wait_for
from film_of_actions import shared_film
from sample_videos import write_video

EVIL = "</title><script>alert('x')</script>\" onerror=alert(1) '&amp;"


def test_names_and_queries_are_text(tmp_path):
    film = tmp_path / f"{EVIL.replace('/', '|')}.mp4"
    moment = Moment(str(film), 1, 3, 0.5, 2)

    page = render_page(EVIL, [moment], [np.zeros((4, 4, 3), np.uint8)])

    assert page.count("<script>") == 1
    assert page.count("</title>") == 1
    assert "onerror=" not in re.sub(r"&quot; onerror=", "", page)
    assert f"{film.as_uri()}#t=1" in page.replace("&amp;", "&").replace("&#x27;", "'")


def test_words_and_emoji_with_joiners_stay_what_they_are():
    told = "\U0001f468\u200d\U0001f467 \u0645\u06cc\u200c\u0631\u0648\u062f"

    assert told in render_page(told, [], [])
    assert "\u202e" not in render_page("a\u202eb", [], [])


def test_a_moment_without_a_picture_and_no_moment_at_all(tmp_path):
    assert "no picture" in render_page("q", [Moment("/gone.mp4", 0, 2, 0.1, 1)], [None])
    assert "Nothing was found" in render_page("q", [], [])


def test_a_folder_of_images_is_shown_and_not_played(tmp_path):
    (tmp_path / "images").mkdir()

    page = render_page("q", [Moment(str(tmp_path / "images"), 0, 2, 0.1, 1)], [None])

    assert "<a href" in page
    assert "<a href" not in re.sub(r"<a href=[^>]*data-title", "", page)
    assert " data-film " not in page


def test_pictures_are_of_the_moment(tmp_path):
    film = write_video(tmp_path / "film.mp4", frames=48, fps=12)
    moments = [Moment(str(film), 0, 2, 0.1, 1), Moment(str(film), 2, 4, 0.1, 3)]

    first, second, gone = pictures_of([*moments, Moment("/gone.mp4", 0, 2, 0.1, 1)], workers=1)

    assert first.shape == second.shape == (240, 320, 3)
    assert np.abs(first.astype(int) - second).mean() > 5
    assert gone is None


def test_pictures_of_thousands_are_not_held_together(tmp_path):
    film = write_video(tmp_path / "film.mp4", frames=48, fps=12)
    alive = set()

    def watched(pictures):
        for number, picture in enumerate(pictures):
            alive.add(number)
            weakref.finalize(picture, alive.discard, number)
            yield picture
            del picture
            assert len(alive) < 40

    moments = [Moment(str(film), 0, 2, 0.1, 1)] * 100
    page = render_page("q", moments, watched(pictures_of(moments, workers=1)))

    assert page.count("data:image/jpeg") == 100


@pytest.fixture
def browser():
    with chromium() as found:
        yield found


def test_a_click_plays_the_film_at_the_moment(browser, tmp_path_factory, tmp_path):
    film = tmp_path / "films" / "a:b '&<i> %41#1.mp4"
    film.parent.mkdir()
    shutil.copy(shared_film(tmp_path_factory), film)
    moments = [Moment(str(film), 6, 8, 0.5, 7), Moment(str(tmp_path / EVIL[9:]), 1, 3, 0.4, 2)]
    place = tmp_path / "page.html"
    place.write_text(render_page(EVIL, moments, pictures_of(moments)), encoding="utf-8")
    page, errors, asked = from_disk(browser, place)
    assert page.locator("img").count() == 1

    page.locator("a").first.click()
    wait_for(page, "document.querySelector('video').currentTime >= 6")
    assert page.evaluate("document.querySelector('video').currentTime") < 8.5
    assert page.locator("dialog").is_visible()
    assert not page.locator("dialog p").is_visible()
    page.keyboard.press("Escape")
    page.locator("a").nth(1).press("Enter")  # there is no such film
    page.locator("dialog p").wait_for()
    # The same in one breath: the dialog says that it was closed when it is open again.
    page.evaluate(
        """() => { const dialog = document.querySelector("dialog"); dialog.close();
                   document.querySelectorAll("a")[0].click(); }"""
    )
    wait_for(page, "document.querySelector('video').currentTime >= 6")

    assert page.title() == page.locator("h1").inner_text() == EVIL
    assert [one for one in errors if not one.startswith(LOADING)] == []
    assert set(asked) <= {"file", "data"}
