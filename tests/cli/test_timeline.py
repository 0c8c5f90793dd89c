"""`actionclip timeline` at the command line."""

import csv
import json
import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

import actionclip
from actionclip.errors import ActionCLIPError, StorageError
from actionclip.inference.recognizer import Recognizer
from actionclip.inference.timeline.segments import Rules
from film_of_actions import ACTIONS, shared_film
from model_of_each_kind import model_of

LABELS = ", ".join(ACTIONS)


@pytest.fixture
def film(tmp_path_factory, tmp_path):
    shutil.copy(shared_film(tmp_path_factory), tmp_path / "film.mp4")
    return tmp_path / "film.mp4"


def test_a_pipe_gets_a_line_for_each_segment(command_line, film):
    result = command_line("timeline", film, "--labels", LABELS, "--model", "tiny")

    assert result.exit_code == 0, result.stderr
    heading, *lines = result.stdout.splitlines()
    assert heading == f"{film}  0:09.0"
    assert len(lines) == 3
    for line, action in zip(lines, ACTIONS, strict=True):
        times, _, label = line.partition("%  ")
        assert label == action
        assert times.startswith("  0:0")


def test_every_file_is_written_at_once_and_json_goes_to_stdout(command_line, film, tmp_path):
    result = command_line(
        *("timeline", film, "--labels", LABELS, "--model", "tiny", "--json", "--scores"),
        *("--csv", "out/a.csv", "--srt", "out/a.srt", "--vtt", "out/a.vtt"),
        *("--save-plot", "out/a.png"),
    )

    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert [one["label"] for one in row["segments"]] == list(ACTIONS)
    assert len(row["scores"]) == len(row["times"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"a.{kind}" for kind in ("csv", "png", "srt", "vtt")
    ]
    rows = list(csv.DictReader((tmp_path / "out" / "a.csv").read_text().splitlines()))
    assert [one["label"] for one in rows] == list(ACTIONS)
    assert "00:00:00,000 --> " in (tmp_path / "out" / "a.srt").read_text()
    assert (tmp_path / "out" / "a.vtt").read_text().startswith("WEBVTT")
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.width == 1200


def test_a_page_with_the_video_in_it_and_the_video_with_its_labels(command_line, film):
    result = command_line(
        *("timeline", film, "--labels", LABELS, "--model", "tiny"),
        *("--html", "page.html", "--embed-video", "--overlay", "labelled.mp4"),
    )

    assert result.exit_code == 0, result.stderr
    assert "wrote labelled.mp4  (sound: none)" in result.stderr
    page = film.with_name("page.html").read_text(encoding="utf-8")
    assert 'src="data:video/mp4;base64,' in page
    assert all(action in page for action in ACTIONS)
    assert film.with_name("labelled.mp4").stat().st_size > 10_000


def test_what_no_label_can_be_drawn_into_costs_no_other_file(command_line, film, tmp_path):
    """A picture of one pixel; a film that was taken away would do as well."""
    dot = film.with_name("dot.mkv")
    with av.open(str(dot), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.width = stream.height = 1
        stream.pix_fmt = "yuv420p"
        for shade in range(16):
            picture = np.full((1, 1, 3), 15 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))

    asked = ("timeline", dot, "--labels", LABELS, "--model", "tiny", "--csv", "dot.csv")
    result = command_line(*asked, "--overlay", "drawn.mp4", "--save-all", "out")

    assert result.exit_code == 3
    assert "error: drawn.mp4 is not written: Its picture is too small" in result.stderr
    assert film.with_name("dot.csv").exists()
    assert json.loads((film.parent / "out" / "dot.json").read_text())["status"] == "ok"
    assert not film.with_name("drawn.mp4").exists()


def test_many_videos_get_their_files_in_a_folder_and_a_bad_one_stops_nobody(
    command_line, film, tmp_path
):
    (film.parent / "bad.mp4").write_bytes(b"no film")

    result = command_line(
        *("timeline", tmp_path / "bad.mp4", film, "--labels", LABELS, "--model", "tiny"),
        *("--save-all", "found"),
    )

    assert result.exit_code == 3
    assert "unreadable" in result.stderr
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names >= {f"0002-film.{kind}" for kind in ("json", "csv", "srt", "vtt", "png")}
    assert json.loads((tmp_path / "found" / "0002-film.json").read_text())["scores"]
    assert "bad.mp4,unreadable" in (tmp_path / "failures.csv").read_text()


def test_files_about_the_current_folder_have_its_name(command_line, tmp_path, monkeypatch):
    frames = tmp_path / "jumping"
    frames.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(frames / f"{number}.png")
    monkeypatch.chdir(frames)
    asked = ("--labels", LABELS, "--model", "tiny", "--save-all", tmp_path / "out")

    told = command_line("timeline", ".", *asked)
    pictures = ("--save-plot", tmp_path / "out" / "plots", "--workers", "1")
    command_line("classify", ".", *asked[:4], *pictures)

    assert told.exit_code == 0
    kinds = ("csv", "html", "json", "png", "srt", "vtt")
    names = sorted(path.name for path in (tmp_path / "out").glob("*.*"))
    assert names == [f"jumping.{kind}" for kind in kinds]
    assert "jumping.*" in told.stderr
    assert [path.name for path in (tmp_path / "out" / "plots").iterdir()] == ["0000-jumping.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--srt", "a.srt", "{film}"), "--save-all"),
        (("--save-plot", "a.jpg"), ".png"),
        (("--csv", "a", "--srt", "b/../a"), "same name"),
        (("--overlay", "film.avi"), ".mp4"),
        (("--overlay", "film.mp4"), "written over"),
        (("--csv", "{film}"), "written over"),
        (("--embed-video",), "no page.*--html"),
        (("--embed-video", "--json"), "no page.*--html"),
        (("--scores",), "--json"),
        (("--window", "0"), "above 0"),
        (("--window", "1e9"), "to a day"),
        (("--stride", "-1"), "above 0"),
        (("--leave", "0.8", "--threshold", "0.4"), "not above enter"),
    ],
)
def test_what_cannot_be_is_refused(command_line, film, options, words):
    asked = [film if word == "{film}" else word for word in options]
    before = film.read_bytes()

    with pytest.raises(ActionCLIPError, match=words):
        command_line("timeline", film, "--labels", LABELS, *asked, "--model", "tiny")
    assert film.read_bytes() == before
    assert [path.name for path in film.parent.iterdir()] == [film.name]


@pytest.mark.parametrize("verb", ["timeline", "index"])
def test_a_stretch_is_refused_where_whole_videos_are_read(command_line, film, tmp_path, verb):
    (tmp_path / "parts.csv").write_text("path,start,end\nfilm.mp4,3,6\n")
    words = ("--labels", LABELS) if verb == "timeline" else ("--index", tmp_path / "index")

    with pytest.raises(ActionCLIPError, match=r"film\.mp4#t=3,6 is a stretch"):
        command_line(verb, tmp_path / "parts.csv", *words, "--model", "tiny")


def test_labels_and_lists_are_not_written_over(command_line, film):
    words = film.with_suffix(".csv")
    words.write_text("label\nrunning\nwalking\n")
    for output in (("--save-all", "."), ("--srt", words), ("--html", "./film.csv")):
        with pytest.raises(ActionCLIPError, match="written over"):
            command_line("timeline", film, "--labels", words, *output, "--model", "tiny")


@pytest.mark.parametrize(
    "option", [("--overlay", "out.mp4"), ("--html", "a.html", "--embed-video")]
)
def test_a_folder_of_frames_is_refused_where_a_file_is_needed(command_line, tmp_path, option):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "frames" / "1.png")

    with pytest.raises(ActionCLIPError, match="folder of frames"):
        command_line("timeline", "frames", "--labels", LABELS, *option, "--model", "tiny")


def test_options_reach_the_timeline(command_line, film):
    options = {"window": 2.5, "stride": 0.25, "multi_label": True}
    rules = Rules(enter=0.2, leave=0.05, smooth=0.3, min_length=0.2, merge_gap=0.1)
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        expected = model.timeline(film, LABELS, reject="crawling", rules=rules, **options)

    result = command_line(
        *("timeline", film, "--labels", LABELS, "--reject", "crawling", "--model", "tiny"),
        *("--device", "cpu", "--precision", "fp32", "--json", "--scores", "--multi-label"),
        *("--window", 2.5, "--stride", 0.25, "--threshold", 0.2, "--leave", 0.05),
        *("--smooth", 0.3, "--min-length", 0.2, "--merge-gap", 0.1),
    )

    assert json.loads(result.stdout) == expected.to_dict(scores=True)


def test_names_of_odd_bytes_are_told_as_they_are_but_not_to_a_terminal(command_line, film):
    name = os.fsdecode(b"caf\xe9 \x1b[31m.mp4")
    film.rename(film.with_name(name))
    bad = film.with_name(os.fsdecode(b"\xe9.mp4"))
    bad.write_bytes(b"no film")
    outputs = ("--csv", "a.csv", "--html", "a.html", "--vtt", "a.vtt", "--save-plot", "a.png")

    lines = command_line("timeline", name, "--labels", LABELS, "--model", "tiny", *outputs)
    rows = command_line("timeline", name, bad, "--labels", LABELS, "--model", "tiny", "--json")

    assert lines.stdout.startswith("caf   [31m.mp4  0:09.0\n")
    assert os.fsencode(name) in film.with_name("a.csv").read_bytes()
    assert b'"source": "caf\\udce9 \\u001b[31m.mp4"' in rows.stdout_bytes
    assert rows.exit_code == 3
    assert b"\xe9.mp4,unreadable" in film.with_name("failures.csv").read_bytes()


def test_what_is_not_as_asked_is_said_once(command_line, film, monkeypatch):
    asked = ("timeline", film, "--labels", LABELS)
    short = command_line(*asked, film, "--model", "tiny", "--window", 0.5)
    shift = Recognizer(model_of("shift"))
    monkeypatch.setattr("actionclip.cli.options.open_model", lambda *_, **__: shift)
    whole = command_line(*asked)

    assert short.stderr.count("note: This model sees 1.5 s at a time") == 1
    assert "neighbour" not in short.stderr
    assert "note: This model's visual prompt lets the frames of a window see each" in whole.stderr


def test_a_folder_that_cannot_be_written_is_a_storage_error(film, command_line, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        command_line("timeline", film, "--labels", LABELS, "--model", "tiny", "--csv", "file/a.csv")


def test_explain_says_what_carried_each_segment(command_line, film, tmp_path):
    """Also where pictures of an earlier time lie."""
    asked = ("timeline", film, "--labels", LABELS, "--model", "tiny", "--explain", "why")
    row = json.loads(command_line(*asked, "--json").stdout)
    (tmp_path / "why" / "film-01.png").write_bytes(b"of last week")
    told = command_line(*asked)

    assert told.exit_code == 0
    pictures = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert pictures == ["film-01.png", "film-02.png", "film-03.png"]
    with Image.open(tmp_path / "why" / pictures[0]) as picture:  # no longer last week's
        assert picture.width > 800
    assert told.stderr.count("stand-in") == 1
    for segment in row["segments"]:
        why = segment["explanation"]
        assert why["label"] == segment["label"] != why["runner_up"]
        times = [frame["time"] for frame in why["frames"]]
        assert segment["start"] - 1 <= times[0] < times[-1] <= segment["end"] + 1
        assert times[-1] - times[0] < 2.0  # the window where it scores most, not the film
        most = max(why["frames"], key=lambda frame: frame["margin_drop"])
        assert f"{most['time']:.2f} s" in told.stdout


def test_a_segment_is_explained_also_where_its_label_is_not_the_best(command_line, film):
    labels = f"{LABELS}, waving both hands, bowing"  # like others of them
    asked = ("timeline", film, "--labels", labels, "--model", "tiny", "--explain", "why", "--json")
    found = command_line(*asked, "--multi-label", "--threshold", "0.02").stdout
    segments = json.loads(found)["segments"]

    assert any(one["score"] < 0.3 for one in segments)
    assert [one["explanation"]["label"] for one in segments] == [one["label"] for one in segments]


def test_a_film_that_is_gone_keeps_its_segments(command_line, film, monkeypatch):
    from actionclip.inference.recognizer import Recognizer

    watch = Recognizer.timeline

    def watch_and_remove(self, source, *args, **options):
        result = watch(self, source, *args, **options)
        film.unlink()
        return result

    monkeypatch.setattr(Recognizer, "timeline", watch_and_remove)
    asked = ("timeline", film, "--labels", LABELS, "--model", "tiny", "--explain", "why", "--json")
    result = command_line(*asked)

    assert result.exit_code == 0
    segments = json.loads(result.stdout)["segments"]
    assert [one["explanation"] for one in segments] == [None, None, None]
    assert result.stderr.count("is not explained") == result.stderr.count("There is no file") == 3
    assert "wrote" not in result.stderr


def test_a_name_as_long_as_names_may_be_leaves_room_for_its_files(command_line, film, tmp_path):
    long = film.rename(film.with_name("\u6f14" * 83 + ".mp4"))  # 253 bytes
    asked = (long, film.with_name("gone.mp4"), "--labels", LABELS, "--model", "tiny")

    done = command_line("timeline", *asked, "--explain", "why", "--save-all", "all")

    assert done.exit_code == 3, done.stderr  # the other one is not there
    names = sorted(
        path.name.replace("\u6f14" * 66, "long") for path in (tmp_path / "why").iterdir()
    )
    assert names == ["0001-long-01.png", "0001-long-02.png", "0001-long-03.png"]
    assert len(list((tmp_path / "all").glob("0001-*"))) == 6


def frames_of(film, folder):
    """The frames of a film as pictures that are called as explanations of it would be."""
    folder.mkdir()
    with av.open(str(film)) as container:
        for number, frame in enumerate(container.decode(video=0), 1):
            frame.to_image().save(folder / f"{folder.name}-{number:02d}.png")
    return {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("place", ["shot", "../{here}/shot/.", "link"])
def test_explanations_do_not_take_the_place_of_the_frames(
    command_line, film, tmp_path, monkeypatch, place
):
    monkeypatch.setattr("actionclip.cli.options.open_model", lambda *_, **__: pytest.fail("read"))
    before = frames_of(film, tmp_path / "shot")
    (tmp_path / "link").symlink_to("shot")
    asked = ("--labels", LABELS, "--model", "tiny", "--explain", place.format(here=tmp_path.name))

    with pytest.raises(ActionCLIPError, match=r"shot-01\.png is read, and would be written over"):
        command_line("timeline", "shot", *asked)
    assert {path: path.read_bytes() for path in (tmp_path / "shot").iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--save-plot", "why/film-02.png"), "same name"),
        (("--failures", "why/film-02.png"), "same name"),
        (("--labels", "why/film-03.png"), "written over"),
    ],
)
def test_explanations_do_not_take_the_place_of_anything_named(
    command_line, film, tmp_path, options, words
):
    (tmp_path / "why").mkdir()
    (tmp_path / "why" / "film-03.png").write_text("running\nwalking\n")

    labels = [] if "--labels" in options else ["--labels", LABELS]

    with pytest.raises(ActionCLIPError, match=words):
        command_line("timeline", film, *labels, "--model", "tiny", "--explain", "why", *options)


@pytest.mark.parametrize(
    ("name", "words"),
    [("why.png", "every segment gets"), ("why.PNG", "every segment gets"), ("w.jpg", "no .png")],
)
def test_one_picture_is_not_enough_for_all_segments(command_line, film, name, words):
    with pytest.raises(ActionCLIPError, match=words):
        command_line("timeline", film, "--labels", LABELS, "--explain", name)
