"""`index` and `search` in this process, on real files, with `tiny`."""

import csv
import json
import os
import re

import pytest
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.errors import ActionCLIPError, StorageError
from docs_runner.stand_ins import write_person

ACTIONS = {"jump": "jumping jacks", "run": "running", "wave": "waving one hand"}
HOSTILE = "<script>alert(1)<\\script> & \"'\udcff.mp4"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed, (name, action) in enumerate(ACTIONS.items()):
        write_person(folder / f"{name}.mp4", action, seed)
    (folder / "bad.mp4").write_bytes(b"this is no video")
    os.link(folder / "jump.mp4", folder / HOSTILE)
    return folder


@pytest.fixture(scope="module")
def indexed(clips, tmp_path_factory):
    """An index that is made once; what the command said."""
    place = tmp_path_factory.mktemp("place") / "index"
    failures = place.with_name("failures.csv")
    command = ["index", clips, "--index", place, "--model", "tiny", "--failures", failures]
    return place, CliRunner().invoke(app, [str(word) for word in command])


@pytest.fixture
def search(command_line, indexed):
    def run(*arguments):
        return command_line("search", *arguments, "--index", indexed[0])

    return run


def test_index_says_what_it_did_with_every_file(indexed):
    place, done = indexed
    out, error = done.stdout, done.stderr

    assert done.exit_code == 3, error
    assert len(out.splitlines()) == 5
    assert re.search(r"added  .*/run\.mp4\n", out)
    assert re.search(r"copied  .*\(was .*\)\n", out)
    assert re.search(r"failed  .*bad\.mp4  unreadable: ", out)
    assert "4 windows; 3 added, 1 copied, 1 failed" in error
    failures = (place.parent / "failures.csv").read_text()
    assert "bad.mp4,unreadable," in failures


def test_a_second_run_encodes_nothing_and_needs_no_model(command_line, indexed, clips):
    done = command_line("index", clips, "--index", indexed[0], "--json")

    assert done.exit_code == 3
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["change"] for line in lines) == ["failed", *["unchanged"] * 4]
    assert {line["source"] for line in lines} == {str(path) for path in clips.iterdir()}


def test_standard_input_is_refused_before_the_model_is_loaded(command_line):
    with pytest.raises(ActionCLIPError, match="Standard input cannot be searched later"):
        command_line("index", "-", "--model", "no-such-model", input=b"a film")


def test_words_find_the_right_video_first(search):
    for name, action in ACTIONS.items():
        done = search(action, "--top", "1", "--json", "--template", "label")
        assert done.exit_code == 0, done.output
        [moment] = [json.loads(line) for line in done.stdout.splitlines()]
        alike = {"jump": f"({name}.mp4|script)"}.get(name, f"{name}.mp4")
        assert re.search(alike, moment["source"]), (action, moment)
        assert 0 <= moment["start"] < moment["end"] <= 2.1
        assert set(moment) == {"source", "start", "end", "score", "best"}


def test_plain_lines_in_a_pipe(search):
    lines = [line.split("\t") for line in search("running").stdout.splitlines()]

    assert len(lines) == 4
    assert [len(line) for line in lines] == [4] * 4
    scores = [float(line[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def test_csv_keeps_names_that_are_no_text(search, clips):
    done = search("jumping jacks", "--csv")

    rows = list(csv.DictReader(done.stdout_bytes.decode("utf-8", "surrogateescape").splitlines()))
    assert {row["source"] for row in rows} == {
        str(path) for path in clips.iterdir() if path.name != "bad.mp4"
    }
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]


def test_an_example_finds_itself_and_its_copy(search, clips):
    done = search("--like", clips / "jump.mp4", "--top", "2", "--json")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["source"] for row in rows} == {str(clips / "jump.mp4"), str(clips / HOSTILE)}


def test_a_page_with_hostile_names(search, tmp_path):
    done = search("<b>jumping</b> \"jacks'", "--html", "page.html")

    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "<b>jumping" not in page
    assert "&lt;b&gt;jumping" in page
    assert len(re.findall(r"<script", page)) == 1
    assert re.search(r'href="file:///[^"]*/run\.mp4#t=0"', page)
    assert "%FF.mp4#t=" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is no query"),
        (["a", "--like", "b.mp4"], "both given"),
        (["a", "--json", "--csv"], "both given"),
        (["a", "--since", "yesterday"], "--since is 'yesterday'"),
        (["a", "--until", "2026-02-30"], "--until is '2026-02-30'"),
        (["--like", "b.mp4", "--template", "a {}"], "--template is for words"),
        (["--like", "nothing.mp4"], "There is no file"),
        (["a", "--index", "nowhere"], "There is no index at nowhere"),
        (["a", "--model", "ViT-B-16/nothing"], "nothing"),
    ],
)
def test_what_cannot_be_asked(command_line, indexed, arguments, message):
    place = [] if "--index" in arguments else ["--index", indexed[0]]

    with pytest.raises(ActionCLIPError, match=message):
        command_line("search", *arguments, *place)


@pytest.mark.parametrize("top", ["0", "-3", "many"])
def test_a_number_of_answers_that_is_none(search, top):
    done = search("running", "--top", top)

    assert done.exit_code == 2
    assert "--top" in done.stderr
    assert done.stdout == ""


def test_more_answers_and_later_days_than_there_are(search):
    done = search("running", "--top", str(10**20), "--until", "9999-12-31", "--since", "0001-01-01")

    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 4


def test_nothing_is_found_where_there_is_nothing(search):
    done = search("running", "--until", "1999-01-01")

    assert done.exit_code == 0
    assert done.stdout == ""
    assert "Nothing was found" in done.stderr
    assert "there is no folder nowhere." in search("running", "--folder", "nowhere").stderr


def test_a_page_that_cannot_be_written(search, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match=r"taken/page\.html could not be written"):
        search("running", "--html", tmp_path / "taken" / "page.html")
