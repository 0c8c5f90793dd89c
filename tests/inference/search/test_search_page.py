"""The page of answers holds what it shows, and lets nothing out of its text."""

import re

import numpy as np

from actionclip.inference.search.moments import Moment
from actionclip.inference.search.page import pictures_of, render_page
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
