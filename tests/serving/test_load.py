"""Many clients at once: what `benchmarks/serve.py` counts, with as many as it is about."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "serve.py"


@pytest.mark.slow
def test_under_load_nothing_is_lost_or_wrong_and_nothing_stays(tmp_path):
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "--clips", tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=900)
    finally:
        with suppress(ProcessLookupError):  # the service, should the program have been stopped
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    row = json.loads(said.splitlines()[-1])

    assert (row["clients"], row["asked"]) == (200, 5050)
    assert (row["lost"], row["wrong"], row["connections broken"]) == (0, 0, 0)
    assert set(row["statuses"]) <= {"200", "429", "503"}
    assert set(row["health statuses"]) == {"200"}
    assert row["growth MiB"] < 50
    assert (row["exit code"], row["files left"]) == (0, 0)
