"""`actionclip stream` as a user meets it: what it prints, where, and how it ends."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import typer

import actionclip
from actionclip.cli import stream
from actionclip.encoding.questions import key_of
from actionclip.errors import ActionCLIPError
from actionclip.model.config import CalibrationConfig
from live_server import LiveServer, broadcast
from sample_videos import write_video

LABELS = "running, waving one hand, jumping jacks"
QUICK = ("--labels", LABELS, "--model", "tiny", "--speed", "0")
PATIENT = 120.0


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", frames=60, fps=25)


def test_a_line_for_each_change_and_a_summary_on_stderr(command_line, film):
    result = command_line("stream", film, *QUICK)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert 1 <= len(lines) <= 4
    seconds, unit, score, *label = lines[0].split()
    assert (float(seconds), unit) == (1.3, "s")
    assert score.endswith("%")
    assert " ".join(label) in LABELS
    assert "60 frames, 20 for the model, 0 dropped" in result.stderr


def test_json_lines(command_line, film):
    result = command_line("stream", film, *QUICK, "--json", "--every", 0.5, "--top-k", 2)

    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["event"] == "connected"
    labels = [event for event in events if event["event"] == "label"]
    assert 2 <= len(labels) <= 4
    keys = {"time", "clock", "label", "score", "scores", "changed", "latency", "dropped", "gap"}
    assert keys < labels[0].keys()
    assert len(labels[0]["scores"]) == 2


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp", "tcp"])
def test_without_leave_nothing_is_called(command_line, scheme):
    with LiveServer(lambda wire: wire.head()) as canary:
        address = canary.url(scheme=scheme, user="me:secret@")
        with pytest.raises(ActionCLIPError) as error:
            command_line("stream", address, "--labels", "a, b", "--model", "no-such-model")

    assert "secret" not in str(error.value)
    assert canary.times == []


@pytest.mark.parametrize(
    ("source", "said"),
    [("nothing.mp4", "There is no file"), ("rtmp://h/a", "is not read"), ("http://", "no address")],
)
def test_a_mistake_is_told_before_a_model_is_loaded(command_line, source, said):
    with pytest.raises(ActionCLIPError, match=said):
        command_line("stream", source, "--labels", "a, b", "--model", "no-such-model")


def test_standard_input_that_is_closed_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(ActionCLIPError, match="standard input, and that is closed"):
        stream.stream("-", labels="a, b", model="no-such-model")


def test_a_source_may_be_longer_than_the_name_of_a_file(command_line):
    with pytest.raises(ActionCLIPError, match="There is no file"):
        command_line("stream", "7" * 300 + ".mp4", "--labels", "a, b", "--model", "no-such-model")


def test_labels_through_a_pipe_are_read_once(command_line, film, pipe):
    words = pipe(LABELS.replace(", ", "\n"))
    options = ("--model", "tiny", "--speed", "0", "--json")
    result = command_line("stream", film, "--labels", words, *options)

    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {one["label"] for e in events for one in e.get("scores", ())} == set(LABELS.split(", "))
    assert "warning" not in result.stderr


def test_labels_may_be_longer_than_the_name_of_a_file(command_line, film):
    many = ", ".join(f"doing thing number {number}" for number in range(20))

    result = command_line("stream", film, "--labels", many, "--model", "tiny", "--speed", "0")

    assert result.exit_code == 0
    assert "doing thing number" in result.stdout


def test_what_a_model_was_calibrated_for_is_obeyed(command_line, film, tmp_path):
    with actionclip.load("tiny", device="cpu") as recognizer:
        model = recognizer.model
        known = CalibrationConfig(
            key=key_of(recognizer.question(LABELS)), labels=3, clips=20, threshold=1.0
        )
        model.config = dataclasses.replace(model.config, calibration=known)
        actionclip.save(model, tmp_path / "m")
    words = ("stream", film, "--labels", LABELS, "--model", "m", "--speed", "0")

    assert "none of these" in command_line(*words).stdout
    for more in (("--no-calibration",), ("--threshold", "0")):
        assert "none of these" not in command_line(*words, *more).stdout


def test_what_cannot_be_watched_ends_with_three(command_line, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"this is not a video")

    result = command_line("stream", "broken.mp4", *QUICK)

    assert result.exit_code == 3
    assert "broken.mp4" in result.stderr
    assert result.stdout == ""


def test_a_server_that_goes_away_is_told_and_ends_with_three(command_line):
    data = broadcast(60)

    def answer(wire):
        wire.head()
        wire.play(data, 0.5)

    with LiveServer(answer) as server:
        result = command_line(
            *("stream", server.url(), "--allow-network", "--labels", LABELS, "--model", "tiny"),
            *("--retries", 0),
        )

    assert result.exit_code == 3
    assert "The server hung up." in result.stderr
    assert "60 frames" in result.stderr
    assert "%" in result.stdout


# --- how it ends ----------------------------------------------------------------------------------


class Running:
    """The command in a process of its own, watching a server that never ends."""

    def __init__(self, server, *more):
        command = [sys.executable, "-m", "actionclip", "stream", server.url(), "--allow-network"]
        self.process = subprocess.Popen(
            [*command, "--labels", LABELS, "--model", "tiny", "--json", "--every", "0", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._patience = threading.Timer(2 * PATIENT, self.process.kill)

    def __enter__(self):
        self._patience.start()
        return self

    def __exit__(self, *_):
        self._patience.cancel()
        self.process.kill()
        for end in (self.process.stdout, self.process.stderr):
            end.close()
        self.process.wait()

    def until_a_label(self):
        return any(json.loads(line)["event"] == "label" for line in self.process.stdout)

    def end(self):
        out, err = self.process.communicate(timeout=PATIENT)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def endless():
    data = broadcast(250)

    def answer(wire):
        wire.head()
        while True:
            wire.play(data, 10.0)
            time.sleep(0.1)

    with LiveServer(answer) as server:
        yield server


def test_a_request_to_terminate_ends_it_cleanly(command_line, monkeypatch):
    data = broadcast(250)
    too_early = []
    labelled = threading.Event()

    def echo(message="", **options):
        printed(message, **options)
        if '"event": "label"' in str(message):
            labelled.set()

    printed = typer.echo
    monkeypatch.setattr(typer, "echo", echo)

    def answer(wire):
        wire.head()
        wire.play(data, 3.0)
        labelled.wait(PATIENT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENT)

    before = signal.signal(signal.SIGTERM, lambda *_: too_early.append(True))
    try:
        with LiveServer(answer) as server:
            result = command_line(
                *("stream", server.url(), "--allow-network", "--labels", LABELS),
                *("--model", "tiny", "--json", "--stall", 60),
            )
    finally:
        signal.signal(signal.SIGTERM, before)

    assert not too_early
    assert result.exit_code == 0
    assert '"event": "label"' in result.stdout
    assert "answers" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_cleanly(endless, number):
    with Running(endless) as running:
        assert running.until_a_label()
        running.process.send_signal(number)
        code, _, err = running.end()

    assert code == 0
    assert "answers" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_quietly(endless):
    with Running(endless) as running:
        assert running.until_a_label()
        running.process.stdout.close()

        assert running.process.wait(PATIENT) == 0
        assert running.process.stderr.read() == ""
