"""The service as a process: where it listens, who may ask, how it ends."""

import json
import os
import re
import resource
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack
from functools import partial
from urllib.parse import parse_qs

import pytest

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.serving import server
from serving_client import anew, running


def test_what_is_asked_before_the_end_is_answered_and_nothing_is_left(tmp_path, clips):
    """Killed: the folder stays. Started again: it goes. Told to stop: what runs is finished."""
    spool = tmp_path / "spool"
    with running(spool) as client:
        client.send("/classify", clips[0], labels="running,clapping")
        with client.connect() as connection:
            connection.sendall(
                b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
                b"Content-Length: 400000\r\n\r\n" + b"x" * 300_000
            )
            while not any(path.stat().st_size for path in spool.glob("*/*")):
                assert client.process.poll() is None
                time.sleep(0.02)
            os.kill(client.process.pid, signal.SIGKILL)
            client.process.wait()
    [left] = spool.iterdir()

    answers = []
    with running(spool, "--queue", "1", "--host", "0.0.0.0") as client:
        assert not left.exists()
        _check_token(client, clips)
        _check_queue(client, clips)
        slow = _begin_to_send(client)
        late = threading.Thread(target=lambda: answers.append(client.send("/embed", clips[1])))
        late.start()
        while not client.get("/health").json["queue"]["busy"] and not answers:
            time.sleep(0.001)
        client.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        with slow:
            _check_told_to_come_again(slow)
        assert time.monotonic() - told < 4  # after any other answer a sender has 5 s to hear it
        late.join()
        assert client.process.wait(timeout=30) == 0
    assert answers[0].status == 200
    assert list(spool.iterdir()) == []
    assert "Traceback" not in (tmp_path / "spool.log").read_text()


def _begin_to_send(client):
    """A connection on which a video arrives that is never whole."""
    connection = client.connect()
    connection.sendall(
        b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: 400000\r\n\r\n"
        % client.token.encode()
        + b"x" * 1000
    )
    return connection


def _check_told_to_come_again(connection):
    """A service that ends does not wait for what still arrives, and says so."""
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: " in answer.lower()
    assert _code(answer) == "ending"


def _check_token(client, clips):
    """Away from loopback there is a token, drawn and shown."""
    token, client.token = client.token, None
    assert len(token) > 20
    assert client.get("/health").json == {"status": "ok"}
    api = client.get("/openapi.json").json
    [(name, scheme)] = api["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert api["security"] == [{name: []}]
    assert "Authorization: Bearer" in client.get("/docs").body.decode()
    for path, methods in api["paths"].items():
        [what] = methods.values()
        assert ("401" in what["responses"]) == (path != "/health")
        assert ({} in what.get("security", [])) == (path == "/health")
    for path in ("/models", "/labels", "/videos/x/frames"):
        assert client.get(path).status == 401
    for wrong in ("Bearer wrong", f"Basic {token}", f"Bearer {token}x", "Bearer"):
        assert client.get("/models", Authorization=wrong).code == "token"
    assert client.send("/embed", clips[0]).status == 401
    client.token = token
    assert client.get("/models").status == 200
    assert client.get("/health").json["model"] == "tiny"


def _check_queue(client, clips):
    """With one place, who comes meanwhile is told when to come again, and then served."""
    answers = []

    def ask(number):
        other = clips[0] + b"\0\0\0\x10free" + number.to_bytes(8, "big")
        while (answer := client.send("/embed", other)).status == 429:
            answers.append(answer)
            time.sleep(0.05)
        answers.append(answer)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.code for answer in refused} == {"busy"}
    assert [answer.status for answer in answers if answer not in refused] == [200] * 8


@pytest.fixture
def few_files():
    """Processes that are started now may open 256 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_files_are_turned_away_and_not_logged(tmp_path, few_files):
    alone = running(tmp_path / "spool", "--patience", "300", start=anew)
    with alone as client, ExitStack() as stack:
        few_files()
        crowd = [stack.enter_context(client.connect()) for _ in range(600)]
        told, until = [], time.monotonic() + 60
        while time.monotonic() < until:  # till nobody has heard anything for a second
            spoken, _, _ = select.select([one for one in crowd if one not in told], [], [], 1)
            told += spoken
            if not spoken and len(told) > 600 - 256:
                break
        heard = [b"".join(iter(partial(one.recv, 65536), b"")) for one in told]
        assert 600 - 256 < len(heard) < 600
        assert all(words.startswith(b"HTTP/1.1 503 ") for words in heard)
        assert all(b"retry-after: 1\r\n" in words.lower() for words in heard)
        assert {_code(words) for words in heard} == {"crowded"}
        stack.close()
        assert client.get("/health").status == 200
    assert (tmp_path / "spool.log").read_text() == ""


def _code(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


def test_a_port_that_is_taken_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ActionCLIPError, match=f"port {port}"):
            server.listen("127.0.0.1", port)


def test_a_port_that_is_taken_is_told_before_a_model_is_looked_for(command_line, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ActionCLIPError, match=f"port {port}") as caught:
            command_line("serve", str(tmp_path / "no-model"), "--port", str(port))

    assert "--port" in caught.value.hint


def test_an_index_that_is_not_there_is_told_before_a_model_is_looked_for(command_line, tmp_path):
    pytest.importorskip("lancedb")
    place = str(tmp_path / "nowhere")
    with pytest.raises(ActionCLIPError, match=f"There is no index at {place}"):
        command_line("serve", str(tmp_path / "no-model"), "--index", place, "--port", "0")


def test_a_folder_for_uploads_that_is_not_there_is_an_error_that_says_so(command_line):
    with pytest.raises(StorageError, match="Uploads cannot be kept in nothere") as caught:
        command_line("serve", "tiny", "--uploads", "nothere", "--port", "0")

    assert "--uploads FOLDER" in caught.value.hint


def test_missing_packages_are_named_with_what_installs_them(monkeypatch, command_line):
    monkeypatch.setattr(server, "find_spec", lambda name: None)

    with pytest.raises(ActionCLIPError, match=r"pip install 'actionclip\[serve\]'"):
        command_line("serve", "tiny")


def test_the_address_with_a_token_is_read_as_it_was_meant(monkeypatch, command_line):
    def start_and_end(recognizer, name, settings, ready):
        recognizer.close()
        ready(server.Address("http://box:8000", settings.token))

    monkeypatch.setattr(server, "serve", start_and_end)
    token = "a+b/c&d#e%20f g="

    done = command_line("serve", "tiny", "--token", token)

    assert parse_qs(re.search(r"#(token=\S+)", done.output)[1])["token"] == [token]
    assert f"Authorization: Bearer {token}" in done.output
