"""What the command line does with habits, terminals and folders as people have them."""

import errno
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import actionclip
import forked
from actionclip.cli.console import show_error
from actionclip.errors import ActionCLIPError, StorageError
from sample_videos import write_video


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("classify film.mp4 --labels running --labels walking", "--labels"),
        ("classify film.mp4 --labels a,b --reject nothing --reject noise", "--reject"),
        ("timeline film.mp4 --labels=running --model tiny --labels walking", "--labels"),
        ("stream film.mp4 --labels running --labels walking", "--labels"),
        ("eval tiny --data set --out results --labels running --labels walking", "--labels"),
        ("calibrate tiny --data set --labels running --labels walking", "--labels"),
        ("convert weights.pt folder --labels running --labels walking", "--labels"),
    ],
)
def test_words_that_would_be_forgotten_are_refused(command_line, verb, option):
    """Of options given twice the last one counts: the first words would not be asked about."""
    with pytest.raises(ActionCLIPError, match=f"{option} was given more than once") as refused:
        command_line(*verb.split())

    assert "between commas" in refused.value.expected


def test_templates_are_given_several_times(command_line, tmp_path):
    write_video(tmp_path / "film.mp4", seed=0)

    answered = command_line(
        *("classify", "film.mp4", "--labels", "walking, running", "--model", "tiny"),
        *("--template", "a person {}", "--template", "someone is {}"),
    )

    assert answered.exit_code == 0


def closed():
    """A folder in which this user may not write; None where every one is open, as to root."""
    folders = ("/sys", "/proc/sys", "/usr", "/")
    return next((each for each in folders if not os.access(each, os.W_OK)), None)


@pytest.mark.skipif(closed() is None, reason="this user may write everywhere")
@pytest.mark.parametrize(
    "words",
    [
        "embed {film} --output {place}/a.npz",
        "embed {film} --output {place}/a.parquet",
        "classify {film} --labels a,b --save-plot {place}/a.png",
        "classify {film} --labels a,b --explain {place}/new/folder",
        "timeline {film} --labels a,b --srt {place}/a.srt",
        "timeline {film} --labels a,b --save-all {place}/all",
        "timeline {film} --labels a,b --explain {place}/why",
    ],
)
def test_a_place_that_is_read_only_is_said_before_any_video_is_read(command_line, tmp_path, words):
    write_video(tmp_path / "film.mp4", seed=0)
    words = words.format(film=tmp_path / "film.mp4", place=closed())

    with pytest.raises(StorageError, match="could not be written: ") as refused:
        command_line(*words.split(), "--model", tmp_path / "no-such-model")

    assert "Choose another place" in refused.value.hint


FAILURES = "--labels a,b --failures taken/failures.csv"


@pytest.mark.parametrize(
    "words",
    [
        f"classify film.mp4 other.mp4 {FAILURES} --model none/such",
        f"timeline film.mp4 other.mp4 {FAILURES} --model none/such",
        "embed film.mp4 -o all.npz --failures taken/failures.csv --model none/such",
        "index film.mp4 other.mp4 --failures taken/failures.csv --model none/such",
        "search walking --html taken/page.html --model none/such",
        "eval none/such --data set --protocol zero-shot --out taken/results",
        "calibrate none/such --data set --out taken/model",
        "fewshot set --model none/such --out taken/model",
        "interpolate none/such tiny --out taken/model",
        "convert no-such-weights.pt taken/model",
        "train no-such-recipe.toml --out taken/run",
        "data inspect set --sheet taken/sheet.png",
        "data inspect set --write taken/manifest.csv",
    ],
)
def test_a_place_where_a_file_is_in_the_way_is_said_before_the_work(command_line, tmp_path, words):
    """There is no such model: who asks for it first says that; others look at all clips first."""
    for name in ("walking", "running"):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_video(tmp_path / "set" / name / "0.mp4", seed=0)
    write_video(tmp_path / "film.mp4", seed=0)
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(StorageError, match=r"taken/.* could not be written: taken is a file"):
        command_line(*words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--sheet set/walking/0.mp4", r"--sheet is set/walking/0\.mp4\."),
        ("--sheet sheet.jpg", r"sheet\.jpg, and that is no \.png"),
        ("--write manifest.txt", r"Cannot tell the format of manifest\.txt"),
        ("--write manifest.csv", r"manifest\.csv is read, and would be written over"),
    ],
)
def test_looking_at_a_data_set_destroys_none_of_it(command_line, tmp_path, words, said):
    (tmp_path / "set" / "walking").mkdir(parents=True)
    film = write_video(tmp_path / "set" / "walking" / "0.mp4", seed=0)
    (tmp_path / "manifest.csv").write_text("path,label\nset/walking/0.mp4,walking\n")
    before = film.read_bytes()

    with pytest.raises(ActionCLIPError, match=said):
        command_line("data", "inspect", "manifest.csv", *words.split())

    assert film.read_bytes() == before


PLACES = ("out.csv", "plots/0000-film.png")


def test_what_was_written_before_stays_whole_where_the_disk_is_full(
    command_line, tmp_path, monkeypatch
):
    """A picture or a list that is cut is worse than none."""
    write_video(tmp_path / "film.mp4", seed=0)
    asked = ("film.mp4", "none.mp4", "--labels", "walking, running", "--model", "tiny")
    command_line("classify", *asked, "--save-plot", "plots", "--failures", "out.csv")
    before = {place: (tmp_path / place).read_bytes() for place in PLACES}
    whole = Path.write_bytes

    def full(path, data):
        whole(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    for words in (["--save-plot", "plots"], ["--failures", "out.csv"]):
        with pytest.raises(StorageError, match="No space left on device"):
            command_line("classify", *asked, *words)

    assert {place: (tmp_path / place).read_bytes() for place in before} == before
    assert not list(tmp_path.rglob(".actionclip-writing-*"))


def test_a_folder_called_like_the_file_is_said_before_any_video_is_read(command_line, tmp_path):
    write_video(tmp_path / "film.mp4", seed=0)
    (tmp_path / "all.npz").mkdir()

    with pytest.raises(StorageError, match="Is a directory"):
        command_line("embed", "film.mp4", "-o", "all.npz", "--model", tmp_path / "no-such-model")


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_letters_that_the_output_lacks_do_not_end_a_run(tmp_path, form):
    """As on a system whose language is not set to UTF-8, or in a pipe on Windows."""
    names = ["日本.mp4", "😀 é.mp4", "last.mp4"]
    for name in names:
        write_video(tmp_path / name, seed=0)
    words = ["classify", *names, "--labels", "été, 走る, running", "--model", "tiny", form]

    run = forked.run(*words, env=os.environ | {"PYTHONIOENCODING": "latin-1"}, cwd=tmp_path)

    assert run.returncode == 0, run.stderr
    lines = run.stdout.decode("latin-1").splitlines()
    if form == "--json":
        rows = [json.loads(line) for line in lines]
        assert [row["source"] for row in rows] == names
        assert {one["label"] for one in rows[0]["scores"]} == {"été", "走る", "running"}
    else:
        assert lines[1].startswith(r"\u65e5\u672c.mp4,ok,1,")
        assert lines[4].startswith(r"\ud83d\ude00 é.mp4,ok,1,")
        assert lines[7].startswith("last.mp4,ok,1,")


@pytest.mark.skipif(closed() is None, reason="this user may write everywhere")
def test_a_demo_where_nothing_can_be_written_says_so(command_line):
    with pytest.raises(StorageError, match="could not be written: ") as refused:
        command_line("demo", "--folder", f"{closed()}/demo")

    assert "--folder FOLDER" in refused.value.hint


def test_the_command_that_labels_shows_can_be_typed(command_line):
    with pytest.raises(ActionCLIPError) as refused:
        command_line("labels", "walking, running", "--model", "tiny")

    words = shlex.split(refused.value.hint.partition("actionclip ")[2])
    assert words == ["labels", "walking, running", "--check", "--model", "tiny"]


def on_a_terminal(folder, *words, **environment):
    """What a command writes to a terminal, both its streams."""
    ours, theirs = pty.openpty()
    run = forked.Command(
        words, stdout=theirs, stderr=theirs, cwd=folder, env=os.environ | environment
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux ends a pseudo-terminal with an error
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    run.wait(timeout=60)
    return shown.decode()


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d[;\dm]")


def test_colours_are_left_out_where_none_are_wanted(tmp_path):
    """As https://no-color.org asks for; a dumb terminal gets no control character at all."""
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, seed=0)
    words = ["classify", "a.mp4", "b.mp4", "c.mp4", "--labels", "a, b", "--model", "tiny"]

    usual = on_a_terminal(tmp_path, *words, TERM="xterm", NO_COLOR="")
    without = on_a_terminal(tmp_path, *words, TERM="xterm", NO_COLOR="1")
    dumb = on_a_terminal(tmp_path, *words, TERM="dumb", NO_COLOR="")

    assert COLOUR.search(usual)
    assert not COLOUR.search(without)
    assert "\x1b" not in dumb
    for shown in (usual, without, dumb):
        assert "━━" in shown
        assert "unreadable: There is no file 'c.mp4'" in shown


def test_an_error_has_no_colour_where_none_is_wanted(tmp_path):
    words = ["classify", "a.mp4", "--labels", "a, b", "--model", "tinny"]

    assert "\x1b[31merror" in on_a_terminal(tmp_path, *words, TERM="xterm", NO_COLOR="")
    assert "\x1b" not in on_a_terminal(tmp_path, *words, TERM="xterm", NO_COLOR="1")


def test_the_table_of_models_is_whole_on_a_narrow_terminal(tmp_path):
    """A heading of which three letters are left, or half a repository, is of no use."""
    shown = on_a_terminal(tmp_path, "models", "ViT-B-16/l*", COLUMNS="60", NO_COLOR="1")

    heading, first, *_ = [re.sub(r"\x1b\[\d*m", "", line) for line in shown.splitlines()]
    assert heading.split() == [
        *("name", "parameters", "frames", "size", "cached", "licence", "source")
    ]
    assert first.split()[:4] == ["ViT-B-16/laion400m_e31", "150", "M", "8"]
    assert first.split()[-1] == "timm/vit_base_patch16_clip_224.laion400m_e31"


def test_the_frames_of_a_model_are_those_it_looks_at(command_line):
    (row,) = map(json.loads, command_line("models", "tiny", "--json").stdout.splitlines())

    assert row["frames"] == actionclip.load("tiny").config.sampling.frames == 12


def in_a_shell(folder, words):
    program = f"{shlex.quote(sys.executable)} -m actionclip"
    return subprocess.run(
        ["bash", "-c", words.replace("actionclip", program)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.mark.parametrize("words", ["labels kinetics400", "models", "--help"])
def test_a_reader_that_has_seen_enough_ends_the_program_quietly(tmp_path, words):
    """As SIGPIPE ends other programs: no traceback, and no exit code of a failure of ours."""
    run = in_a_shell(tmp_path, f"(actionclip {words}; echo $? >&2) | true")

    assert run.stderr == "141\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_lead_nowhere(tmp_path, closed):
    """As a service or a job scheduler may start it; files must not get the numbers of streams."""
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, seed=0)
    words = "a.mp4 b.mp4 c.mp4 --labels 'walking, running' --model tiny --json --save-plot plots"

    run = in_a_shell(tmp_path, f"actionclip classify {words} {closed}")

    assert run.returncode == 3
    assert "Traceback" not in run.stderr
    rows = [json.loads(line)["status"] for line in run.stdout.splitlines()]
    assert rows == ([] if closed != "2>&-" else ["ok", "ok", "unreadable"])
    assert (tmp_path / "failures.csv").read_text().count("\n") == 2
    assert len(list((tmp_path / "plots").iterdir())) == 2


def test_standard_input_that_is_closed_is_told(tmp_path):
    run = in_a_shell(tmp_path, "actionclip classify - --labels 'a, b' --model tiny <&-")

    assert (run.returncode, "standard input, and that is closed" in run.stderr) == (2, True)


HOSTILE = "walk\x1b]0;title\x07\ring"


@pytest.mark.parametrize(
    "words",
    [
        "classify {name}.mp4 bad-{name}.mp4 --labels labels.txt --model tiny",
        "classify {name}.mp4 --labels labels.txt --model {name}",
        "timeline {name}.mp4 bad-{name}.mp4 --labels labels.txt --model tiny --threshold 0.01",
        "embed {name}.mp4 -o {name}.npz --model tiny",
        "stream {name}.mp4 --labels labels.txt --model tiny --speed 0",
        "labels labels.txt --check --model tiny",
        "data inspect set",
        "eval tiny --data set --protocol zero-shot",
        "eval tiny --data set --protocol zero-shot --split {name}",
    ],
)
def test_names_and_labels_of_strangers_do_not_drive_a_terminal(
    command_line, tmp_path, capsys, words
):
    """Such a name in an archive could else retitle it, hide lines, or type for the user."""
    write_video(tmp_path / f"{HOSTILE}.mp4", seed=0)
    (tmp_path / f"bad-{HOSTILE}.mp4").write_bytes(b"this is no video")
    (tmp_path / "labels.txt").write_text("walk\x1b]0;title\x07ing\nrunning\n")
    for name in (HOSTILE, "running"):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_video(tmp_path / "set" / name / "0.mp4", seed=0)

    try:
        run = command_line(*(each.format(name=HOSTILE) for each in words.split()))
        shown = run.stdout + run.stderr
    except ActionCLIPError as error:
        show_error(error)
        shown = capsys.readouterr().err

    assert not re.findall(r"[\x07\x1b\r]", shown)


def test_labels_are_exact_for_programs_and_harmless_on_a_terminal(command_line, tmp_path):
    (tmp_path / "labels.txt").write_text("walk\x1b]0;title\x07ing\nrunning\u3000fast\n")

    piped = command_line("labels", "labels.txt").stdout
    shown = on_a_terminal(tmp_path, "labels", "labels.txt")

    assert piped == "walk\x1b]0;title\x07ing\nrunning\u3000fast\n"
    assert shown.splitlines() == [
        "walk\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}ing",
        "running\u3000fast",
    ]


@pytest.mark.parametrize("kind", ["fifo", "descriptor of a pipe", "descriptor of a file"])
def test_what_goes_to_a_pipe_arrives_and_the_pipe_stays(command_line, tmp_path, kind):
    """A file in its place would be one that nobody reads: as root, /dev/null was lost so."""
    write_video(tmp_path / "film.mp4", seed=0)
    os.mkfifo(tmp_path / "pipe")
    if kind == "descriptor of a file":
        writing = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
        reading = os.open(tmp_path / "out", os.O_RDONLY)
    elif kind == "fifo":
        reading = writing = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    else:
        reading, writing = os.pipe()
    place = tmp_path / "pipe" if kind == "fifo" else f"/dev/fd/{writing}"
    words = ("timeline", "film.mp4", "--labels", "walking, running", "--model", "tiny")

    run = command_line(*words, "--csv", "film.csv", "--srt", place)

    assert run.exit_code == 0
    assert b" --> " in os.read(reading, 10_000)
    for descriptor in {reading, writing}:
        os.close(descriptor)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "film.csv").is_file()
    assert not list(tmp_path.glob(".actionclip-writing-*"))
