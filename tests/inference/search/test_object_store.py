"""An index in a bucket, of a server that speaks S3 (moto's; `pip install 'moto[server]'`)."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import pytest

from actionclip.data.synthetic.clips import synthesise
from actionclip.data.synthetic.files import write_clip
from video.processes import wait_until

SERVER = shutil.which("moto_server")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SERVER is None, reason="moto_server is not installed"),
]


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The address of an empty bucket; what is needed to use it is in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": url,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)

    def made():
        request = urllib.request.Request(f"{url}/films", method="PUT")
        try:
            return urllib.request.urlopen(request, timeout=5).status == 200
        except OSError:
            return False

    with (tmp_path / "moto.log").open("w") as log:
        server = subprocess.Popen([SERVER, "-p", str(port)], stdout=log, stderr=log)
        try:
            assert wait_until(made, 60)
            yield "s3://films/index"
        finally:
            server.kill()
            server.wait()


def actionclip(*arguments, cwd):
    """One run of the program; its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "actionclip", *arguments],
        cwd=cwd,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_index_may_lie_in_a_bucket(bucket, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name, action in (("a.mp4", "jumping jacks"), ("b.mp4", "walking")):
        clip = synthesise(action, 5, frames=36, size=(96, 96), fps=12.0, clean=True)
        write_clip(clips / name, clip.frames, fps=12.0)
    index = ("index", "clips", "--index", bucket, "--model", "tiny")
    search = ("search", "--index", bucket, "--top", "1")

    actionclip(*index, cwd=tmp_path)
    [found] = actionclip(*search, "jumping jacks", cwd=tmp_path)
    assert found.endswith("a.mp4")
    (clips / "a.mp4").rename(clips / "c.mp4")
    (clips / "b.mp4").unlink()
    actionclip(*index, cwd=tmp_path)
    [found] = actionclip(*search, "--like", "clips/c.mp4", cwd=tmp_path)
    assert found.endswith("c.mp4")
    assert not any("b.mp4" in line for line in actionclip(*search, "walking", cwd=tmp_path))
