"""What is kept of `embed` and `classify --output` when they are interrupted, and found again."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import forked
from actionclip.errors import ActionCLIPError
from actionclip.inference.bulk.lock import hold
from sample_videos import write_video

CLIPS, DONE = 48, 16
TINY = ("--model", "tiny", "--workers", "1")
LABELS = ("--labels", "running, waving one hand, jumping jacks")
VERBS = {"embed": ("all.npz", ()), "classify": ("all.jsonl", LABELS)}


@pytest.fixture(scope="module", params=VERBS)
def verb(request):
    return request.param


def asked(verb, videos, *options, output=None):
    """The words of a command."""
    file, words = VERBS[verb]
    return [verb, str(videos), "-o", str(output or file), *words, *TINY, *options]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(CLIPS - 1):
        write_video(folder / f"{seed:02d}.mp4", frames=12, size=(64, 64), seed=seed)
    (folder / "03.mp4").write_bytes(b"this is no video")
    write_video(folder / f"{CLIPS - 1}.mp4", frames=12, size=(64, 64), seed=CLIPS)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory, clips, verb):
    """The folder of a run that was killed before its file was written."""
    folder = tmp_path_factory.mktemp("killed")
    assert interrupted(verb, folder, clips, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (folder / VERBS[verb][0]).exists()
    return folder


@pytest.fixture
def left(killed, tmp_path):
    """What such a run left, in the folder of this test."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)


def interrupted(verb, folder, clips, how):
    """Run until some more videos are done than a block has; then the process is gone."""
    pipe = subprocess.PIPE
    run = forked.Command(asked(verb, clips, "--json"), stdout=pipe, stderr=pipe, cwd=folder)
    rows = [json.loads(run.stdout.readline()) for _ in range(DONE + 1)]
    run.send_signal(how)
    said = run.communicate(timeout=60)[1].decode()
    assert [Path(row["source"]).name for row in rows][:2] == ["00.mp4", "01.mp4"]
    return run.returncode, said


def rows_of(file):
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        return {key: [row[key] for row in rows] for key in ("source", "status", "scores")}
    with np.load(file) as found:
        return {key: found[key].tolist() for key in found.files}


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(
    command_line, tmp_path, clips, left, encoded, verb
):
    file = tmp_path / VERBS[verb][0]
    one = tmp_path / f"whole{file.suffix}"
    whole = command_line(*asked(verb, clips, "--json", output=one))
    encoded.clear()

    again = command_line(*asked(verb, clips, "--json"))

    assert again.exit_code == 3
    assert f"{DONE} of {CLIPS} videos were done before" in again.stderr
    assert encoded == [f"{number:02d}.mp4" for number in range(DONE, CLIPS)]
    assert again.stdout == whole.stdout
    assert rows_of(file) == rows_of(one)
    assert len(rows_of(file)["source"]) == (CLIPS - 1 if verb == "embed" else CLIPS)
    assert "03.mp4,unreadable" in (tmp_path / "failures.csv").read_text()
    assert not file.with_name(f"{file.name}.unfinished").exists()


def test_a_run_that_is_interrupted_says_what_is_kept(tmp_path, clips, verb):
    code, said = interrupted(verb, tmp_path, clips, signal.SIGINT)

    kept = f"{VERBS[verb][0]}.unfinished"
    assert code == 130
    assert f"What is done is kept in {kept}." in said
    assert "Traceback" not in said
    parts = [path for path in (tmp_path / kept).iterdir() if path.suffix in (".jsonl", ".npz")]
    assert len(parts) == 1


def test_what_is_done_is_found_where_the_list_is_another(
    command_line, tmp_path, clips, left, encoded, verb
):
    write_video(tmp_path / "new.mp4", frames=12, size=(64, 64), seed=100)
    (tmp_path / "own.txt").write_text(f"new.mp4\n{clips / '05.mp4'}\n{clips / '17.mp4'}\n")

    command_line(*asked(verb, "own.txt"))

    assert encoded == ["new.mp4", "17.mp4"]
    names = [Path(each).name for each in rows_of(tmp_path / VERBS[verb][0])["source"]]
    assert names == ["new.mp4", "05.mp4", "17.mp4"]


def test_what_was_made_with_other_views_is_not_taken_over(command_line, clips, left, verb):
    with pytest.raises(ActionCLIPError, match=r"made otherwise \(sampling: ") as refused:
        command_line(*asked(verb, clips, "--frames", "4"))

    assert f"Delete {VERBS[verb][0]}.unfinished" in refused.value.hint


def test_two_processes_do_not_work_on_one_file(command_line, tmp_path, clips, left, verb):
    folder = tmp_path / f"{VERBS[verb][0]}.unfinished"
    with hold(folder, expected="", hint=""):
        parts = sorted(folder.iterdir())

        with pytest.raises(ActionCLIPError, match=f"Process {os.getpid()} on .* is writing to"):
            command_line(*asked(verb, clips))

        assert sorted(folder.iterdir()) == parts
    assert command_line(*asked(verb, clips)).exit_code == 3
