"""`actionclip timeline` at the command line."""

import csv
import json
import shutil

import pytest
from PIL import Image

from actionclip.errors import ActionCLIPError, StorageError
from film_of_actions import ACTIONS, shared_film

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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--srt", "a.srt", "{film}"), "--save-all"),
        (("--save-plot", "a.jpg"), ".png"),
        (("--csv", "a", "--srt", "a"), "same name"),
        (("--window", "0"), "above 0"),
        (("--leave", "0.8", "--threshold", "0.4"), "not above enter"),
    ],
)
def test_what_cannot_be_is_refused(command_line, film, options, words):
    asked = [film if word == "{film}" else word for word in options]

    with pytest.raises(ActionCLIPError, match=words):
        command_line("timeline", film, "--labels", LABELS, *asked, "--model", "tiny")


def test_a_folder_that_cannot_be_written_is_a_storage_error(film, command_line, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        command_line("timeline", film, "--labels", LABELS, "--model", "tiny", "--csv", "file/a.csv")


def test_explain_says_what_carried_each_segment(command_line, film, tmp_path):
    asked = ("timeline", film, "--labels", LABELS, "--model", "tiny", "--explain", "why")
    row = json.loads(command_line(*asked, "--json").stdout)
    told = command_line(*asked)

    pictures = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert pictures == ["film-01.png", "film-02.png", "film-03.png"]
    with Image.open(tmp_path / "why" / pictures[0]) as picture:
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


def test_one_picture_is_not_enough_for_all_segments(command_line, film):
    with pytest.raises(ActionCLIPError, match="every segment gets a picture"):
        command_line("timeline", film, "--labels", LABELS, "--explain", "why.png")
