"""One video on the page: dropped, labelled, scored, looked at over time, taken along."""

import base64
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

import av
import numpy as np
import pytest
from playwright.sync_api import expect

from actionclip.inference.explain.picture import frames_to_show
from actionclip.inference.results import CSV_COLUMNS, csv_lines
from actionclip.inference.timeline.text import to_csv, to_srt
from sample_videos import write_video
from serving_client import Client

LABELS = ["jumping jacks", "walking", "waving one hand"]


def percent(score):
    return f"{100 * score:.1f}%"


@pytest.fixture
def shown(visit, film):
    """The film with three labels, scored."""
    seen = visit().ready().label(*LABELS).open(film)
    seen.scores("jumping jacks")
    return seen.settled()


def test_scores_are_those_of_python(shown, recognizer, film):
    expected = {s.label: percent(s.score) for s in recognizer.classify(film, LABELS, top_k=None)}

    assert shown.scores() == expected


def test_scores_follow_the_labels_without_a_second_upload(shown, recognizer, film):
    shown.label("clapping", "running")
    expect(shown.page.locator("#scores li")).to_have_count(5)
    shown.page.get_by_role("button", name="Remove jumping jacks").click()
    expect(shown.page.locator("#scores li")).to_have_count(4)

    left = ["walking", "waving one hand", "clapping", "running"]
    expected = {s.label: percent(s.score) for s in recognizer.classify(film, left, top_k=None)}
    assert shown.scores(next(iter(expected))) == expected
    assert shown.count("/timeline file") == 1


@pytest.mark.slow
def test_quick_changes_are_one_question(shown):
    before = shown.count("/classify")
    shown.page.clock.install()
    shown.page.clock.pause_at(datetime.now() + timedelta(hours=1))
    shown.page.locator("#label").fill("clapping, running, squatting, kicking, bowing")
    shown.page.keyboard.press("Enter")
    for _ in range(3):
        shown.page.keyboard.press("Backspace")
    shown.page.clock.run_for(1000)
    expect(shown.page.locator("#scores li")).to_have_count(5)

    assert shown.count("/classify") == before + 1


def drop(seen, **files):
    """Drop files on the page, by name."""
    transfer = seen.page.evaluate_handle(
        """(files) => {
          const transfer = new DataTransfer();
          for (const [name, data] of Object.entries(files)) {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            transfer.items.add(new File([bytes], `${name}.mp4`, { type: "video/mp4" }));
          }
          return transfer;
        }""",
        {name: base64.b64encode(content).decode() for name, content in files.items()},
    )
    seen.page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    expect(seen.page.locator("body.over")).to_be_attached()
    seen.page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


@pytest.mark.slow
def test_a_file_can_be_dropped(visit, film):
    seen = visit().ready().label(*LABELS)
    drop(seen, dropped=film.read_bytes())

    seen.scores("jumping jacks")
    expect(seen.page.locator("#about")).to_contain_text("dropped.mp4")
    expect(seen.page.locator("#about")).not_to_contain_text("files")


def test_of_several_files_the_first_is_taken_and_that_is_said(visit, film):
    seen = visit().ready().label(*LABELS)
    drop(seen, one=film.read_bytes(), two=b"", three=b"")

    seen.scores("jumping jacks")
    expect(seen.page.locator("#about")).to_have_text(
        "one.mp4 · 0:08.0 · the first of 3 files: one at a time"
    )
    seen.open(film)
    expect(seen.page.locator("#about")).to_have_text(f"{film.name} · 0:08.0")


def test_the_frames_that_the_model_saw_lead_to_their_time(shown, recognizer, film):
    frames = shown.page.locator("#frames button")
    expect(frames.first).to_be_visible()
    [picture] = frames.nth(2).locator("img").evaluate_all("all => all.map(i => i.naturalWidth)")
    frames.nth(2).click()

    assert picture > 0
    assert f"{shown.seconds():.1f}" in frames.nth(2).get_attribute("aria-label")


def test_the_timeline_has_a_row_for_each_label(shown):
    shown.segments()

    assert shown.page.locator(".timeline .name").all_text_contents() == LABELS
    spans = shown.table()
    assert [label for _, _, label, _ in spans] == ["jumping jacks", "walking"]
    assert spans[0][0] == "0:00.0"
    assert spans[-1][1] == "0:08.0"


def test_timeline_and_player_go_together(shown):
    segments = shown.segments()
    walking = shown.page.get_by_role("button", name=re.compile("^walking, "))
    walking.click()
    start = float(re.search(r":([\d.]+) to", walking.get_attribute("aria-label"))[1])
    head = shown.page.get_by_role("slider", name="Playhead")
    expect(head).to_have_attribute("aria-valuenow", f"{start:.1f}")
    shown.plays_at(start - 0.06, start + 0.06)
    expect(shown.page.locator(".name.now")).to_have_text("walking")

    box = segments.first.locator("..").bounding_box()
    shown.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 2)
    shown.plays_at(1.9, 2.1)
    shown.page.evaluate("document.getElementById('film').play()")
    shown.plays_at(2.2)
    expect(head).not_to_have_attribute("aria-valuenow", "2.0")

    shown.page.locator("#to-search").click()  # nobody hears what nobody can see or stop
    assert shown.page.evaluate("document.getElementById('film').paused")


@pytest.fixture
def late_film(film, tmp_path):
    """The same, and a tone that begins 0.75 seconds before the picture does."""
    path, ahead, rate = tmp_path / "late.mp4", 0.75, 48_000
    with av.open(str(film)) as given, av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=12)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = container.add_stream("aac", rate=rate)
        for number, frame in enumerate(given.decode(video=0)):
            frame.pts, frame.time_base = number + round(12 * ahead), Fraction(1, 12)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, 8 * rate, 1024):
            silence = np.zeros((2, 1024), np.float32)
            piece = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
            piece.sample_rate, piece.pts = rate, start
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    return path


def test_the_player_waits_for_a_picture_that_begins_after_the_sound(visit, late_film, recognizer):
    seen = visit().ready().label(*LABELS[:2]).open(late_film)
    seen.segments()
    walking = seen.page.get_by_role("button", name=re.compile("^walking, "))
    start = float(re.search(r":([\d.]+) to", walking.get_attribute("aria-label"))[1])

    walking.click()

    seen.plays_at(start + 0.75 - 0.06, start + 0.75 + 0.06)
    expect(seen.page.locator(".name.now")).to_have_text("walking")
    with seen.page.expect_download() as waiting:
        seen.page.get_by_role("button", name="Subtitles (SRT)").click()
    made = recognizer.timeline(late_film, LABELS[:2])
    assert made.begins == pytest.approx(0.75, abs=0.03)
    assert waiting.value.path().read_text() == to_srt(made)


def test_it_shows_what_carried_the_answer(shown, recognizer, film):
    why = recognizer.explain(film, LABELS)
    shown.page.get_by_role("button", name="What carried the answer?").click()
    hint = shown.page.locator("#why-hint")
    expect(hint).to_contain_text(f"the lead of “{why.label}” over “{why.runner_up}”")
    expect(hint).to_contain_text(why.sentences[0].sentence)

    drops = {f"{frame.time:.3f}": frame.margin_drop for frame in why.frames}
    rows = shown.page.locator("#frames li")
    for time, favours in rows.evaluate_all(
        "rows => rows.map(row => [Number(row.dataset.time), row.classList.contains('for')])"
    ):
        assert favours == (drops[f"{time:.3f}"] > 0)
    times = [frame.time for frame in why.frames]
    wanted = [times[frame] for frame in frames_to_show(why)]
    places = shown.page.locator("#places li")
    expect(places).to_have_count(len(wanted))
    expect(shown.page.locator("#places-hint")).to_contain_text(why.maps.means)
    told = places.evaluate_all(
        "rows => rows.map(row => [Number(row.dataset.time), row.firstElementChild.ariaLabel])"
    )
    for (time, name), frame in zip(told, frames_to_show(why), strict=True):
        assert time == round(times[frame], 3)
        assert f"; most speaks for {why.label} {place_of(why.maps.chosen[frame])}" in name
    pixels = places.locator("canvas").first.evaluate(
        """canvas => [
          ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    )
    colours = np.array(pixels).reshape(-1, 4)[:, :3]
    assert (colours.max(axis=1) - colours.min(axis=1) > 60).any()  # laid over what is grey else
    places.last.get_by_role("button").click()
    shown.plays_at(wanted[-1] - 0.06, wanted[-1] + 0.06)

    shown.label("clapping")
    expect(shown.page.locator("#frames .lean")).to_have_count(0)
    expect(places).to_have_count(0)
    expect(hint).to_be_empty()


def test_an_explanation_goes_with_its_labels_and_its_video(shown, film):
    explanation = shown.page.locator("#why-hint:not(:empty), #places li, #frames .lean")
    shown.page.get_by_role("button", name="What carried the answer?").click()
    expect(shown.page.locator("#places li").first).to_be_visible()
    shown.page.get_by_role("button", name="Remove all").click()
    expect(shown.page.locator("#scores li")).to_have_count(0)

    expect(explanation).to_have_count(0)
    expect(shown.page.locator("#frames-hint")).to_be_empty()
    shown.open(("other.mp4", film.read_bytes() + b"another"))
    expect(shown.page.locator("#frames img").first).to_be_visible()
    shown.settled()
    expect(explanation).to_have_count(0)


def test_pictures_that_come_after_the_scores_are_counted(visit, film):
    seen = visit().ready().label(*LABELS)
    held = []
    seen.page.route("**/frames", lambda route: held.append(route))
    seen.open(film).scores("jumping jacks")
    seen.segments()
    held[0].continue_()

    expect(seen.page.locator("#frames-hint")).to_have_text(
        re.compile(r"The scores rest on (\d+) frames; (?!0 )\d+ of them are here\.")
    )


@pytest.mark.parametrize(
    ("frames", "told"),
    [(1, "frames: all of them this one."), (3, "frames: 3 different ones, some of them several")],
)
def test_of_a_short_video_it_is_said_that_frames_are_seen_several_times(
    visit, tmp_path, frames, told
):
    seen = visit().ready().label(*LABELS)
    seen.open(write_video(tmp_path / "short.mp4", frames=frames)).scores()

    expect(seen.page.locator("#frames img")).to_have_count(frames)
    expect(seen.page.locator("#frames-hint")).to_contain_text(told)


def test_an_explanation_stays_when_more_scores_are_shown(visit, film):
    seen = visit().ready().label(*LABELS, *(f"thing {number}" for number in range(9)))
    seen.open(film).scores("jumping jacks")
    seen.settled()
    seen.page.get_by_role("button", name="What carried the answer?").click()
    expect(seen.page.locator("#places li").first).to_be_visible()
    seen.page.get_by_role("button", name="Show all 12").click()

    expect(seen.page.locator("#scores li")).to_have_count(12)
    expect(seen.page.locator("#places li").first).to_be_visible()
    expect(seen.page.get_by_role("button", name="Show the first ten")).to_be_visible()

    seen.page.get_by_role("button", name="What carried the answer?").click()
    seen.settled()
    assert seen.page.locator("#frames .lean").count() == seen.page.locator("#frames img").count()


def place_of(chosen):
    """In words: where a map is highest."""
    rows, columns = chosen.shape
    row, column = divmod(int(chosen.argmax()), columns)
    down = ["at the top", "half way up", "at the bottom"][int(3 * (row + 0.5) / rows)]
    across = ["on the left", "", "on the right"][int(3 * (column + 0.5) / columns)]
    words = f"{down} {across}".strip()
    return "in the middle" if words == "half way up" else words


@pytest.mark.slow
def test_settings_change_the_answer_and_the_file_is_sent_again_only_for_other_windows(shown):
    shown.segments()
    shown.page.get_by_text("Settings").click()
    shown.page.locator("#reject").fill("standing still, sitting")
    shown.page.locator("#reject").press("Tab")
    expect(shown.page.locator("#scores li", has_text="none of these")).to_be_visible()

    assert shown.count("/timeline file") == 1
    shown.page.locator("#stride").fill("1")
    shown.page.locator("#stride").press("Tab")
    expect(shown.page.locator("#recipes")).to_contain_text("--stride 1")
    shown.until("/timeline file", 2)
    shown.segments()

    assert shown.errors.pop().startswith("Failed to load resource")  # 409, and sent again


@pytest.mark.slow
def test_all_labels_of_the_model_at_once(visit, film, recognizer):
    seen = visit().ready()
    seen.page.get_by_role("button", name=re.compile("Use the .* labels")).click()
    seen.open(film).scores("jumping jacks")

    assert seen.page.locator("#scores li").count() == 10
    seen.page.get_by_role("button", name=re.compile("Show all")).click()
    assert seen.page.locator("#scores li").count() == len(recognizer.config.labels)


def test_downloads_are_what_the_command_line_writes(shown, film, recognizer):
    [result] = recognizer.results([film], LABELS, top_k=None)
    shown.segments()
    saved = {}
    for button in shown.page.locator("#downloads button").all():
        with shown.page.expect_download() as waiting:
            button.click()
        saved[waiting.value.suggested_filename] = waiting.value.path().read_text()

    answer = json.loads(saved["jump & walk.json"])
    expected = result.to_dict() | {"source": film.name}
    assert [one["label"] for one in answer["scores"]] == list(shown.scores())
    assert {key: answer[key] for key in expected if key != "scores"} == {
        key: value for key, value in expected.items() if key != "scores"
    }
    header, *rows = saved["jump & walk.csv"].splitlines()
    assert header == csv_lines([CSV_COLUMNS])
    assert rows == [
        csv_lines([(film.name, "ok", rank, one["label"], f"{one['score']:.6f}")])
        for rank, one in enumerate(answer["scores"], start=1)
    ]

    timeline = replace(recognizer.timeline(film, LABELS), source=film.name)
    row = json.loads(saved["jump & walk.timeline.json"])
    assert {key: row[key] for key in timeline.to_dict()} == timeline.to_dict()
    assert saved["jump & walk.timeline.csv"] == to_csv(timeline)
    assert saved["jump & walk.srt"] == to_srt(timeline)


def test_downloads_name_the_file_that_was_opened(visit, server, film):
    content = film.read_bytes() + b"once"
    other = ("/timeline", ("file", "of somebody else.mp4", content), ("labels", "running"))
    send = Client(server[0]).send_form
    send(*other)
    seen = visit().ready().label(*LABELS).open(("own.mp4", content))
    seen.scores("jumping jacks")
    send(*other)
    seen.label("clapping")
    seen.segments()
    seen.settled()

    for button in seen.page.locator("#downloads button").all()[:4]:
        with seen.page.expect_download() as waiting:
            button.click()
        text = waiting.value.path().read_text()
        assert "own.mp4" in text
        assert "somebody" not in text


def test_the_command_it_shows_gives_the_same(shown, film, command_line, recognizer):
    commands = shown.page.get_by_role("region", name="Command line").inner_text()
    command = shlex.split(commands.replace("\\\n", " ").splitlines()[0])
    command[command.index(film.name)] = str(film)
    done = command_line(*command[1:], "--json", "--top-k", "9")

    answer = json.loads(done.stdout)
    assert command[command.index("--precision") + 1] == answer["precision"] == "fp32"
    assert {s["label"]: percent(s["score"]) for s in answer["scores"]} == shown.scores()


@pytest.mark.slow
def test_the_python_it_shows_gives_the_same(shown, film, monkeypatch):
    monkeypatch.chdir(film.parent)
    names = {}
    exec(shown.page.get_by_role("region", name="Python").inner_text(), names)

    assert {s.label: percent(s.score) for s in names["scores"]} == shown.scores()
    shown.segments()
    assert len(shown.table()) == len(names["timeline"].segments)


def test_words_of_others_are_text(visit, film):
    label = '<img src=x onerror="alert(1)">'
    seen = visit().ready().label(label, "'; rm -rf ~ #", "walking")
    seen.open(('"><script>alert(2)</script>.mp4', film.read_bytes()))
    seen.scores()

    expect(seen.page.locator("#chips")).to_contain_text(label)
    expect(seen.page.locator("#about")).to_contain_text("<script>alert(2)</script>.mp4")
    assert seen.page.locator("#chips img, #scores img, #about script").count() == 0
    commands = seen.page.get_by_role("region", name="Command line").inner_text()
    words = shlex.split(commands.replace("\\\n", " ").splitlines()[0])
    assert words[2] == '"><script>alert(2)</script>.mp4'
    assert len(words) == 9
    compile(seen.page.get_by_role("region", name="Python").inner_text(), "shown", "exec")


def test_the_request_it_shows_gives_the_same(visit, film, tmp_path):
    name = """it's a; "film", $(touch x).mp4"""
    (tmp_path / name).write_bytes(film.read_bytes())
    labels = ["it's", "$(touch y)", '"wash, rinse"', 'say "hi"', "walking", "list.txt"]
    seen = visit().ready().label(*labels)
    seen.page.get_by_text("Settings").click()
    seen.page.locator("#reject").fill("standing still, sitting")
    seen.page.locator("#reject").press("Tab")
    seen.open((name, film.read_bytes())).scores()
    expect(seen.page.locator("#scores li")).to_have_count(7)
    seen.settled()

    request = seen.page.get_by_role("region", name="HTTP").inner_text()
    if shutil.which("curl") is None:
        pytest.skip("the request is for curl, which is not here")
    done = subprocess.run(["sh", "-c", request], cwd=tmp_path, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert {s["label"]: percent(s["score"]) for s in answer["scores"]} == seen.scores()
    assert "none of these" in seen.scores()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_remarked_about_scores_is_shown(shown):
    shown.label("walks", "strolling")

    expect(shown.page.locator("#remarks")).to_contain_text("hardly tells these apart")


@pytest.mark.slow
def test_labels_are_kept_when_the_page_is_loaded_again(shown):
    shown.page.reload()
    shown.ready()

    assert shown.page.locator("#chips .chip span").all_text_contents() == LABELS
