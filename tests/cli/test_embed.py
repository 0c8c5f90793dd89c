"""What is kept of `actionclip embed` when it is interrupted, and found again."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actionclip.encoding.encoder import VideoEncoder
from actionclip.errors import ActionCLIPError
from sample_videos import write_video

CLIPS, DONE = 48, 16
TINY = ("--model", "tiny", "--workers", "1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(CLIPS - 1):
        write_video(folder / f"{seed:02d}.mp4", frames=12, size=(64, 64), seed=seed)
    (folder / "03.mp4").write_bytes(b"this is no video")
    write_video(folder / f"{CLIPS - 1}.mp4", frames=12, size=(64, 64), seed=CLIPS)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory, clips):
    """The folder of a run that was killed: code, and what it said, before anything was written."""
    folder = tmp_path_factory.mktemp("killed")
    assert interrupted(folder, clips, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (folder / "all.npz").exists()
    return folder


@pytest.fixture
def left(killed, tmp_path):
    """What such a run left, in the folder of this test."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def encoded(monkeypatch):
    """The names of the videos that go through the model."""
    names, real = [], VideoEncoder.encode

    def encode(self, videos, *given, **options):
        return real(self, (names.append(v.path.name) or v for v in videos), *given, **options)

    monkeypatch.setattr(VideoEncoder, "encode", encode)
    return names


def interrupted(folder, clips, how):
    """Embed until some more videos are done than a block has; then the process is gone."""
    words = [sys.executable, "-m", "actionclip", "embed", str(clips), "-o", "all.npz"]
    run = subprocess.Popen(
        [*words, *TINY, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    rows = [json.loads(run.stdout.readline()) for _ in range(DONE + 1)]
    run.send_signal(how)
    said = run.communicate(timeout=60)[1]
    assert [Path(row["source"]).name for row in rows][:2] == ["00.mp4", "01.mp4"]
    return run.returncode, said


def rows_of(file):
    with np.load(file) as found:
        return {key: found[key] for key in found.files}


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bits(
    command_line, tmp_path, clips, left, encoded
):
    whole = command_line("embed", clips, "-o", "whole.npz", *TINY, "--json")
    encoded.clear()

    again = command_line("embed", clips, "-o", "all.npz", *TINY, "--json")

    assert again.exit_code == 3
    assert f"{DONE} of {CLIPS} videos were done before" in again.stderr
    assert encoded == [f"{number:02d}.mp4" for number in range(DONE, CLIPS)]
    assert again.stdout == whole.stdout
    expected, found = rows_of("whole.npz"), rows_of("all.npz")
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)
    assert "03.mp4,unreadable" in (tmp_path / "failures.csv").read_text()
    assert not (tmp_path / "all.npz.unfinished").exists()


def test_a_run_that_is_interrupted_says_what_is_kept(tmp_path, clips):
    code, said = interrupted(tmp_path, clips, signal.SIGINT)

    assert code == 130
    assert "What is done is kept in all.npz.unfinished." in said
    assert "Traceback" not in said
    assert list((tmp_path / "all.npz.unfinished").glob("block-*.npz"))


def test_what_is_done_is_found_where_the_list_is_another(
    command_line, tmp_path, clips, left, encoded
):
    write_video(tmp_path / "new.mp4", frames=12, size=(64, 64), seed=100)
    (tmp_path / "own.txt").write_text(f"new.mp4\n{clips / '05.mp4'}\n{clips / '17.mp4'}\n")

    command_line("embed", "own.txt", "-o", "all.npz", *TINY)

    assert encoded == ["new.mp4", "17.mp4"]
    names = [Path(each).name for each in rows_of("all.npz")["source"]]
    assert names == ["new.mp4", "05.mp4", "17.mp4"]


def test_what_was_made_with_other_views_is_not_taken_over(command_line, clips, left):
    with pytest.raises(ActionCLIPError, match=r"made otherwise \(sampling: ") as refused:
        command_line("embed", clips, "-o", "all.npz", *TINY, "--frames", "4")

    assert "Delete all.npz.unfinished" in refused.value.hint
