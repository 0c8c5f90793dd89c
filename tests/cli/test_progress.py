"""Progress on a terminal never mixes with results that go elsewhere."""

import json
import os
import pty
import subprocess

import forked
from sample_videos import write_video


def test_results_go_to_the_file_while_the_bar_is_on_the_terminal(tmp_path):
    for seed in range(3):
        write_video(tmp_path / f"{seed}.mp4", seed=seed)
    ours, theirs = pty.openpty()
    words = ["classify", str(tmp_path), "--labels", "a, b", "--model", "tiny", "--json"]

    run = forked.Command(words, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # Linux ends a pseudo-terminal with an error
    finally:
        os.close(ours)
    output, _ = run.communicate(timeout=60)

    assert run.returncode == 0
    rows = [json.loads(line) for line in output.splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert b"3/3" in shown
    assert b'"scores"' not in shown
