"""What the page says when something is wrong, missing, slow or too much."""

import json
import os
import re

import pytest
from playwright.sync_api import expect

from actionclip.inference.recognizer import Recognizer
from model_of_each_kind import model_of
from sample_videos import write_video
from serving_client import served

LABELS = ["jumping jacks", "walking"]


@pytest.fixture
def start(visit):
    """The page with two labels; answers of 400 or more are expected."""
    return visit(refused=True).ready().label(*LABELS)


def trouble(seen, *texts):
    """Wait for the report of what went wrong and compare it."""
    box = seen.page.locator("#trouble")
    expect(box).to_be_visible()
    for text in texts:
        expect(box).to_contain_text(text)
    return box


def changed(route, path, change):
    """Let the server's answer through with some of it changed."""
    answer = route.fetch()
    row = answer.json()
    change(row)
    route.fulfill(response=answer, json=row)


def test_a_broken_file(start):
    start.open(("broken.mp4", b"this is not a video"))

    box = trouble(start, "unreadable")
    assert box.get_attribute("role") == "alert"
    assert start.page.locator("#scores li").count() == 0
    expect(box.get_by_role("button", name="Another video")).to_be_visible()
    expect(start.page.locator("#drop")).to_be_visible()
    expect(start.page.locator("#player")).to_be_hidden()


@pytest.mark.slow
def test_a_good_file_after_a_broken_one(start, film):
    start.open(("broken.mp4", b"this is not a video"))
    trouble(start, "unreadable")
    start.open(film).scores("jumping jacks")

    expect(start.page.locator("#trouble")).to_be_hidden()


@pytest.mark.parametrize("changed", ["gone", "other", "folder"])
def test_a_file_that_cannot_be_read_any_more_is_not_the_servers_fault(
    start, film, tmp_path, changed
):
    path = tmp_path / "mine.mp4"
    path.write_bytes(film.read_bytes() + changed.encode())
    start.open(path).scores("jumping jacks")
    start.segments()
    path.unlink()
    if changed == "other":
        path.write_bytes(film.read_bytes() + b"longer")
        later = path.stat().st_mtime + 10  # Chromium compares whole seconds
        os.utime(path, (later, later))
    elif changed == "folder":
        path.mkdir()
    start.page.get_by_text("Settings").click()
    start.page.locator("#stride").fill("1.5")
    start.page.locator("#stride").press("Tab")

    box = trouble(start, "mine.mp4 cannot be read.", "moved, changed or deleted", "unreadable")
    expect(box).not_to_contain_text("actionclip serve")
    start.open(film).scores("jumping jacks")
    expect(box).to_be_hidden()


def test_a_huge_file_is_not_even_sent(start):
    start.open(("huge.mp4", bytes(2**20 + 1)))

    trouble(start, "huge.mp4 has 1 MB", "up to 1 MB", "upload_too_large")
    assert start.count("/timeline file") == 0
    expect(start.page.locator("#drop")).to_be_visible()


def test_a_huge_file_is_refused_by_the_server(visit):
    seen = visit(refused=True)
    seen.page.route(
        "**/health", lambda route: changed(route, "", lambda row: row["limits"].update(upload=None))
    )
    seen.page.reload()
    seen.ready().label(*LABELS).open(("huge.mp4", bytes(3 * 2**20)))

    trouble(seen, "bytes", "upload_too_large")


def test_after_a_question_that_is_refused_earlier_scores_stay_grey(start, film):
    start.open(film).scores("jumping jacks")
    start.segments()
    scores, downloads = start.page.locator("#scores"), start.page.locator("#downloads")
    expect(downloads).to_be_visible()
    start.label("jumpingJacks")

    trouble(start, "same words", "labels")
    expect(scores).to_have_class("scores stale")
    expect(start.page.locator("#timeline.stale")).to_have_count(1)
    for part in (downloads, start.page.locator("#why-part")):
        expect(part).to_be_hidden()
    start.page.locator("#label").press("Backspace")
    start.scores("jumping jacks")
    start.segments()
    expect(downloads.get_by_role("button")).to_have_count(5)


def test_two_rows_of_one_name_and_an_answer_that_cannot_be_read(start, film):
    def twice(row):
        row["scores"] = [{"label": "none of these", "score": 0.25}] * 2 + row["scores"]

    start.page.route("**/classify", lambda route: changed(route, "", twice))
    start.open(film)
    names = start.page.locator("#scores:not(.stale) .name")
    expect(names).to_have_text(["none of these"] * 2 + LABELS)
    start.segments()
    start.label("clapping")  # drawn once more, over what is there
    expect(names).to_have_count(5)
    expect(start.page.locator("#trouble")).to_be_hidden()

    start.page.unroute("**/classify")
    start.page.route("**/classify", lambda route: route.fulfill(status=200, body="<html>"))
    start.label("bowing")
    trouble(start, "Something went wrong on this page: ")


def test_a_busy_server_is_waited_for_and_the_wait_is_shown(start, server, film):
    def wait_long(route):
        answer = route.fetch()
        busy = {"retry-after": "600"} if answer.status == 429 else {}
        route.fulfill(response=answer, headers=answer.headers | busy)

    service = server[1].service
    start.open(film).scores("jumping jacks")
    start.page.route("**/classify", wait_long)  # only the button ends this wait
    taken, service.busy = service.busy, service.settings.queue
    try:
        start.label("a label nobody asked for yet")
        waiting = start.page.locator("#waiting")
        expect(waiting).to_contain_text(re.compile(r"The server is busy. Trying again in \d{3} s."))
    finally:
        service.busy = taken
    waiting.get_by_role("button", name="Try now").click()
    expect(start.page.locator("#scores li")).to_have_count(3)

    expect(waiting).to_be_hidden()
    expect(start.page.locator("#trouble")).to_be_hidden()


def test_a_video_that_is_not_kept_any_more_is_sent_again(start, server, film):
    start.open(film).scores("jumping jacks")
    kept = server[1].service.kept
    kept._seconds, seconds = -1.0, kept._seconds
    kept.tidy()
    kept._seconds = seconds
    start.label("clapping")
    expect(start.page.locator("#scores li")).to_have_count(3)

    assert start.count("/timeline file") == 2


def hold_transfers(seen):
    """Whole videos that a page sends from now on wait, in this list; `continue_` lets one go on."""

    def hold(route):
        if "multipart" in route.request.headers["content-type"]:
            held.append(route)
        else:
            route.continue_()

    held = []
    seen.page.route("**/timeline", hold)
    return held


@pytest.fixture
def sending_again(start, server, film):
    """The page, sending a film that is not kept any more, and that transfer and those that follow,
    which are held.
    """
    start.open(film).scores("jumping jacks")
    start.settled()
    kept = server[1].service.kept
    kept._seconds, seconds = -1.0, kept._seconds
    kept.tidy()
    kept._seconds = seconds
    held = hold_transfers(start)
    start.label("clapping").until("/timeline file", 2)
    return start, held


def test_while_a_video_is_sent_again_other_labels_wait_for_it(sending_again):
    seen, held = sending_again
    for label in ("bowing", "kicking"):
        seen.label(label)
        seen.page.wait_for_timeout(700)  # a change is answered after 250 ms
    expect(seen.page.locator("#work")).to_be_visible()
    expect(seen.page.locator("#scores.stale")).to_be_attached()

    assert len(held) == 1
    held[0].continue_()
    expect(seen.page.locator("#scores:not(.stale) li")).to_have_count(5)
    seen.segments()
    expect(seen.page.locator("#work")).to_be_hidden()
    assert seen.settled().count("/timeline file") == 2


def test_while_a_video_is_sent_again_other_windows_begin_anew(sending_again):
    seen, held = sending_again
    gone = []
    seen.page.on("requestfailed", lambda request: gone.append(request.url))
    seen.page.get_by_text("Settings").click()
    seen.page.locator("#stride").fill("1.5")
    seen.page.locator("#stride").press("Tab")
    seen.until("/timeline file", 3)
    expect(seen.page.locator("#work")).to_be_visible()
    seen.label("bowing")
    seen.page.wait_for_timeout(700)

    assert len(held) == 2
    assert len(gone) == 1
    expect(seen.page.locator("#work")).to_be_visible()
    held[1].continue_()
    expect(seen.page.locator("#scores:not(.stale) li")).to_have_count(4)
    seen.segments()
    expect(seen.page.locator("#work")).to_be_hidden()
    expect(seen.page.locator("#trouble")).to_be_hidden()
    assert seen.settled().count("/timeline file") == 3


@pytest.mark.slow
def test_no_server_any_more(start, film):
    start.open(film).scores("jumping jacks")
    start.page.route("**/classify", lambda route: route.abort("connectionrefused"))
    start.label("clapping")

    box = trouble(start, "The server does not answer.", "unreachable")
    start.page.unroute("**/classify")
    box.get_by_role("button", name="Try again").click()
    expect(start.page.locator("#scores li")).to_have_count(3)
    expect(box).to_be_hidden()


@pytest.mark.slow
def test_labels_that_are_the_same_words(start, film):
    start.label("jumpingJacks").open(film)

    trouble(start, "same words")


@pytest.mark.slow
def test_sending_can_be_cancelled(start, film):
    held = []
    start.page.route("**/timeline", lambda route: held.append(route))
    start.open(film)
    expect(start.page.get_by_role("progressbar")).to_be_visible()
    start.page.get_by_role("button", name="Cancel").first.click()

    expect(start.page.locator("#work")).to_be_hidden()
    expect(start.page.locator("#drop")).to_be_visible()
    held[0].abort()


@pytest.mark.slow
def test_a_file_that_browsers_do_not_play(start, tmp_path):
    start.open(write_video(tmp_path / "old.avi", codec="mpeg4")).scores()

    expect(start.page.locator("#unplayable")).to_be_visible()
    start.segments()
    start.page.locator("#frames button").nth(3).click()
    head = start.page.get_by_role("slider", name="Playhead")
    assert float(head.get_attribute("aria-valuenow")) > 0


def test_nothing_yet(visit):
    seen = visit().ready()

    expect(seen.page.locator("#drop")).to_contain_text("Up to 1 MB")
    expect(seen.page.locator("#scores-hint")).to_contain_text("Name what could happen")
    seen.label("walking")
    expect(seen.page.locator("#scores-hint")).to_have_text("Now a video.")
    for part in ("#timeline-part", "#frames-part", "#downloads"):
        expect(seen.page.locator(part)).to_be_hidden()


@pytest.mark.slow
def test_one_label_alone_is_no_question(visit, film):
    seen = visit().ready().label("walking").open(film)

    assert seen.scores() == {"walking": "100.0%"}
    expect(seen.page.locator("#remarks")).to_have_text(
        "One label alone always wins: scores compare labels with each other."
    )


def test_random_weights_are_said_to_be_random(visit, tmp_path):
    recognizer = Recognizer(model_of("alone"), workers=1)
    with served(recognizer, folder=tmp_path) as (address, _):
        seen = visit(address).ready()

        expect(seen.page.get_by_role("note").first).to_contain_text("scores mean nothing")


@pytest.mark.slow
def test_a_server_that_keeps_nothing_is_not_sent_the_file_again_and_again(
    visit, recognizer, film, tmp_path
):
    with served(recognizer, keep_seconds=0.01, folder=tmp_path) as (address, _):
        seen = visit(address, refused=True).ready().label(*LABELS).open(film)
        expect(seen.page.locator("#trouble")).to_be_visible()
        seen.settled()

        assert seen.count("/timeline file") == 1


@pytest.mark.slow
def test_after_cancelling_a_second_sending_nothing_is_left_of_the_first(start, film):
    start.open(film).scores("jumping jacks")
    start.settled()
    held = hold_transfers(start)
    start.page.get_by_text("Settings").click()
    start.page.locator("#stride").fill("1")
    start.page.locator("#stride").press("Tab")
    start.page.locator("#work").get_by_role("button", name="Cancel").click()
    start.label("clapping").settled()

    assert len(held) == 1
    expect(start.page.locator("#trouble")).to_be_hidden()
    expect(start.page.locator("#scores li")).to_have_count(0)
    expect(start.page.locator("#scores-hint")).to_have_text("Now a video.")


@pytest.mark.slow
def test_a_token_is_asked_for(visit, recognizer, tmp_path):
    with served(recognizer, token="a secret of ours", folder=tmp_path) as (address, _):
        seen = visit(address, refused=True)
        seen.page.locator("#token").fill("слово")
        seen.page.get_by_role("button", name="Go on").click()
        expect(seen.page.locator("#token")).to_be_empty()
        seen.page.locator("#token").fill("something else")
        seen.page.get_by_role("button", name="Go on").click()
        expect(seen.page.locator("#gate-hint")).to_contain_text("That was not it")
        seen.page.locator("#token").fill("a secret of ours")
        seen.page.keyboard.press("Enter")
        seen.ready()
        expect(seen.page.get_by_role("region", name="HTTP")).to_contain_text(
            '-H "Authorization: Bearer $ACTIONCLIP_TOKEN"'
        )
        by_link = visit(address, view="#token=a%20secret%20of%20ours").ready()

    assert json.loads(by_link.page.evaluate("JSON.stringify(location.hash)")) == ""
