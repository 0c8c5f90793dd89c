"""Moments in a folder on the page: found, looked at, and what is said when there are none."""

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

import actionclip
from browsing import wait_for
from sample_videos import write_video
from serving_client import served


@pytest.fixture(scope="module")
def indexed(film, tmp_path_factory):
    """A service with an index of films and frames: its address, and what Python finds there."""
    pytest.importorskip("lancedb")
    from actionclip.inference.search.index import Index

    folder = tmp_path_factory.mktemp("library")
    films = folder / "films"
    films.mkdir()
    (films / film.name).write_bytes(film.read_bytes())
    write_video(films / "other.mp4")
    frames = folder / "frames"
    frames.mkdir()
    for number in range(12):
        Image.new("RGB", (64, 48), (20 * number, 90, 60)).save(frames / f"{number}.png")
    model = actionclip.load("tiny", workers=1)
    index = Index.open(folder / "index", model, model="tiny")
    index.add([films, frames])
    found = index.search("walking", 12)
    spool = tmp_path_factory.mktemp("spool")
    with served(model, index=str(folder / "index"), folder=spool) as (address, _):
        yield address, found


@pytest.fixture
def searched(visit, indexed):
    """The page after a search."""
    return search(visit(indexed[0], view="#search"), indexed)


def search(seen, indexed):
    seen.ready()
    seen.page.locator("#query").fill("walking")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#moments li")).to_have_count(len(indexed[1]))
    return seen.settled()


def test_the_moments_are_those_of_python_and_have_pictures(searched, indexed):
    rows = searched.page.locator("#moments button")

    shown = rows.evaluate_all(
        """rows => rows.map(row => [
          row.querySelector(".file").textContent,
          row.querySelector(".when").lastChild.textContent,
          row.querySelector("img").naturalWidth])"""
    )
    expected = [(one.source.rsplit("/", 1)[-1], f"{one.score:.3f}") for one in indexed[1]]
    assert [(name, score) for name, score, _ in shown] == expected
    assert all(width > 0 for _, _, width in shown)
    count = "1 moment" if len(shown) == 1 else f"{len(shown)} moments"
    expect(searched.page.locator("#search-hint")).to_contain_text(f"{count} for “walking”")


def test_a_moment_plays_from_its_start_and_can_be_left_by_the_keyboard(searched, indexed):
    moment = indexed[1][0]
    searched.page.locator("#moments button").first.focus()
    searched.page.keyboard.press("Enter")
    dialog = searched.page.get_by_role("dialog", name=moment.source.rsplit("/", 1)[-1])
    expect(dialog).to_be_visible()
    plays = "start => document.getElementById('moment-video').currentTime >= start - 0.05"
    wait_for(searched.page, plays, arg=moment.start)
    first = searched.page.locator("#moment-video").get_attribute("src")
    searched.page.evaluate(  # closed and opened in one breath
        """() => { document.getElementById("moment").close();
                   document.querySelector("#moments button").click(); }"""
    )
    searched.page.wait_for_timeout(500)  # by then it has been said that it was closed
    expect(searched.page.locator("#moment-video")).to_have_attribute("src", first)
    wait_for(searched.page, plays, arg=moment.start)
    searched.page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    assert searched.page.locator("#moment-video").get_attribute("src") is None


def test_back_closes_a_moment_and_leads_nowhere_else(visit, indexed):
    seen = visit(indexed[0]).ready()
    seen.page.locator("#to-search").click()
    searched = search(seen, indexed)
    moments, dialog = searched.page.locator("#moments button"), searched.page.locator("#moment")
    places = searched.page.evaluate("history.length")
    for leave in (searched.page.go_back, lambda: searched.page.keyboard.press("Escape")):
        moments.first.click()
        expect(dialog).to_be_visible()
        leave()
        expect(dialog).to_be_hidden()
        wait_for(searched.page, "() => !history.state && location.hash === '#search'")
        expect(searched.page.locator("#view-search")).to_be_visible()
        wait_for(searched.page, "() => !document.getElementById('moment-video').src")
    assert searched.page.evaluate("history.length") == places + 1
    searched.page.go_back()

    expect(searched.page.locator("#view-video")).to_be_visible()


def test_of_what_no_browser_plays_the_best_frame_is_shown(visit, indexed):
    searched = search(visit(indexed[0], view="#search", refused=True), indexed)
    place = next(n for n, one in enumerate(indexed[1]) if one.source.endswith("frames"))
    searched.page.locator("#moments button").nth(place).click()

    expect(searched.page.locator("#moment-hint")).to_contain_text("the picture is of 0:0")
    shown = """() => new Promise(done => { const image = new Image();
        image.onload = () => done(image.naturalWidth);
        image.src = document.getElementById("moment-video").poster; })"""
    assert searched.page.evaluate(shown) > 0
    searched.page.keyboard.press("Escape")
    wait_for(searched.page, "() => !document.getElementById('moment-video').poster")


def test_of_a_file_that_is_gone_it_is_said_that_it_is(visit, indexed):
    searched = search(visit(indexed[0], view="#search", refused=True), indexed)
    place = next(n for n, one in enumerate(indexed[1]) if one.source.endswith("other.mp4"))
    path = Path(indexed[1][place].source)
    away = path.rename(path.parent.parent / "away.mp4")
    searched.page.locator("#moments button").nth(place).click()

    expect(searched.page.locator("#moment-hint")).to_have_text(
        "The index has no such file, or it is gone."
    )
    away.rename(path)


def test_without_an_index_it_says_how_to_make_one(visit):
    seen = visit(view="#search").ready()

    expect(seen.page.locator("#search-about")).to_contain_text("without an index")
    expect(seen.page.locator("#no-index")).to_contain_text("actionclip index FOLDER")
    expect(seen.page.locator("#search-form")).to_be_hidden()


@pytest.mark.slow
def test_a_search_that_fails_can_be_tried_again(visit, indexed):
    seen = visit(indexed[0], view="#search", refused=True).ready()
    seen.page.route("**/search", lambda route: route.abort("connectionrefused"))
    seen.page.locator("#query").fill("walking")
    seen.page.keyboard.press("Enter")
    box = seen.page.locator("#search-trouble")
    expect(box).to_contain_text("The server does not answer.")
    seen.page.unroute("**/search")
    box.get_by_role("button", name="Search again").click()

    expect(seen.page.locator("#moments li")).to_have_count(len(indexed[1]))
    expect(box).to_be_hidden()


@pytest.mark.slow
def test_a_film_that_comes_after_its_window_was_closed_does_not_play(searched):
    held = []
    searched.page.evaluate("sessionStorage.setItem('token', 'any')")
    searched.page.reload()
    searched.ready()
    searched.page.locator("#query").fill("walking")
    searched.page.keyboard.press("Enter")
    searched.page.locator("#moments button").first.wait_for()
    searched.settled()
    searched.page.route("**/index/*", lambda route: held.append(route))
    searched.page.locator("#moments button").first.click()
    searched.page.get_by_role("button", name="Close").click()
    held[0].continue_()
    searched.settled()

    assert searched.page.locator("#moment-video").get_attribute("src") is None
