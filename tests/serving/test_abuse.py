"""What a hostile or clumsy client does costs itself, and nobody else."""

import contextlib
import json
import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import pytest

import actionclip
from actionclip.serving.engine import explaining
from actionclip.serving.routes import guard
from actionclip.video.outcomes import Outcome, VideoError
from serving_client import Answer, Client, served

MIB = 2**20
HEAD = b"POST /classify?labels=a,b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: video/mp4\r\n"


def files(spool):
    """What lies in the folder for uploads."""
    return [path for path in spool.rglob("*") if path.is_file() and path.name != "lock"]


def is_empty_soon(spool, seconds=30.0):
    until = time.monotonic() + seconds
    while files(spool) and time.monotonic() < until:
        time.sleep(0.02)
    return files(spool) == []


def read_all(connection):
    """All that the service says before it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def error_of(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def answer_on(connection):
    """The next answer, whether or not the connection stays open."""
    response = HTTPResponse(connection)
    response.begin()
    return Answer(response)


@pytest.fixture(autouse=True)
def _nothing_is_left(service, spool, clips):
    """After each test: no file, and others are served."""
    yield
    assert is_empty_soon(spool)
    assert service.send("/classify", clips[0], labels="running,clapping").status == 200


def test_a_body_announced_too_large_is_refused_before_it_comes(service):
    with service.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 900000000000\r\n\r\n")
        answer = answer_on(connection)

    assert (answer.status, answer.code) == (413, "upload_too_large")


def test_a_body_that_grows_too_large_is_cut_off(service):
    with service.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        block = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        for _ in range(3 * MIB // 65536):
            connection.sendall(block)

        connection.sendall(b"0\r\n\r\n")
        assert error_of(read_all(connection)) == (413, "upload_too_large")


def test_an_endless_body_is_not_read_for_ever(service):
    sent = 0
    with service.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        block = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 1000 * MIB:
                connection.sendall(block)
                sent += len(block)

    assert sent < 500 * MIB


def test_a_file_in_a_form_has_the_same_limit(service):
    answer = service.send_form("/classify", ("file", "a.mp4", b"x" * (MIB + 1)), ("labels", "a,b"))

    assert (answer.status, answer.code) == (413, "upload_too_large")


@pytest.mark.parametrize(
    ("kind", "size", "told", "hint"),
    [
        ("video/mp4", MIB + 1, "1,048,576 bytes", "takes videos of 1 MiB; --max-upload"),
        ("multipart/form-data; boundary=b", 9 * MIB, "1,048,576 bytes", "videos of 1 MiB"),
        ("application/json", MIB + 1, "1,048,576 bytes", "Send less."),
    ],
)
def test_what_is_too_large_is_told_the_limit_that_it_broke(service, kind, size, told, hint):
    """And the option that changes it, in the unit of that option; of JSON there is none."""
    with service.connect() as connection:
        head = f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        raw = b""
        while not raw.endswith(b"}}"):  # the end of the connection comes later
            raw += connection.recv(65536)
        error = json.loads(raw.partition(b"\r\n\r\n")[2])["error"]

    assert told in error["message"]
    assert hint in error["hint"]
    assert ("--max-upload" in error["hint"]) == (kind != "application/json")


def test_ten_thousand_parts_are_too_many(service):
    answer = service.send_form("/classify", *((f"f{n}", "x") for n in range(10_000)))

    assert (answer.status, answer.code) == (413, "too_many_parts")


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=" + "b" * 5000, b"x", 400),
        ("multipart/form-data; boundary=b", b"no such mark", 400),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="', 400),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"h" * 100_000, 400),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 5000, 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nno name\r\n--b--\r\n", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"[]", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b" " * (MIB + 1), 413),
        ("text/plain", b"x", 415),
        ("application/x-www-form-urlencoded", b"labels=a", 415),
        ("video/mp4", b"", 422),
    ],
)
def test_a_body_that_is_something_else(service, kind, body, status):
    answer = service.request("POST", "/classify?labels=a,b", body, {"Content-Type": kind})

    assert answer.status == status
    assert answer.json["error"]["message"]


def test_two_files_and_a_file_beside_an_id_are_refused(service, clips):
    file = ("file", "a.mp4", clips[0])

    two = service.send_form("/classify", file, ("other", "b.mp4", clips[1]), ("labels", "a,b"))
    both = service.send_form("/classify", file, ("labels", "a,b"), ("video", "x"))

    assert (two.status, both.status) == (400, 400)


def test_too_much_text_in_a_form_is_refused(service):
    answer = service.send_form("/classify", ("labels", "x" * (2 * MIB)))

    assert (answer.status, answer.code) == (413, "upload_too_large")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/passwd", "../../../etc/passwd"),
        ("/etc/passwd", "/etc/passwd"),
        ("C:\\x.mp4", "x.mp4"),
        ("a\x00b\x1b[31m", "ab[31m"),
        ("é☃", "é☃"),
        ("", "video"),
        ("n" * 1000, "n" * 255),
    ],
)
def test_a_clients_file_name_is_only_shown(service, spool, clips, name, shown):
    before = set(spool.rglob("*"))

    answer = service.send_form("/classify", ("file", name, clips[0]), ("labels", "a,b"))

    assert answer.status == 200
    assert answer.json["source"] == shown
    assert set(spool.rglob("*")) - before == set()


@pytest.mark.parametrize(
    "path",
    ["/page/../app.py", "/page/%2e%2e/server.py", "/page/..%2f..%2fserver.py", "/page//etc/passwd"],
)
def test_only_the_files_of_the_page_are_given_out(service, path):
    assert service.get(path).status == 404


@pytest.fixture
def hasty(spool, monkeypatch):
    """A service with little patience; not that of the other tests, who may have to wait."""
    monkeypatch.setattr(guard, "DRAIN_SECONDS", 0.5)
    model = actionclip.load("tiny", device="cpu", workers=1)
    with served(model, patience=1.0, folder=spool) as (url, insides):
        yield Client(url), insides.service


def test_a_silent_and_a_dripping_sender_are_told_so_and_hold_no_place(hasty, spool):
    hasty, _ = hasty
    silent, dripping = hasty.connect(), hasty.connect()
    with silent, dripping:
        silent.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        dripping.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        assert hasty.get("/health").json["queue"]["busy"] == 0
        while not select.select([dripping], [], [], 0.1)[0]:  # until it is told something
            dripping.sendall(b"x")

        assert error_of(read_all(silent)) == (408, "slow")
        assert error_of(read_all(dripping)) == (408, "slow")
    assert is_empty_soon(spool)


def test_who_finds_all_places_taken_is_told_so_before_sending(hasty):
    hasty, service = hasty
    service.busy = service.settings.queue
    with hasty.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 500000\r\n\r\n")
        told = answer_on(connection)
    service.busy = 0

    assert (told.status, told.code) == (429, "busy")
    assert int(told.headers["retry-after"]) >= 1


def test_explanations_hold_up_nobody_else(spool, clips, monkeypatch):
    def explain_slowly(*_, **__):
        go_on.wait(120)
        raise VideoError("Enough.", Outcome.EMPTY)

    go_on = threading.Event()
    monkeypatch.setattr(explaining, "explain_clip", explain_slowly)
    model = actionclip.load("tiny", device="cpu", workers=1)
    count = min(32, (os.cpu_count() or 1) + 4) + 1  # more than asyncio has threads of its own
    with served(model, folder=spool) as (url, insides), ThreadPoolExecutor(count) as threads:
        client, until = Client(url), time.monotonic() + 120
        asked = [
            threads.submit(client.send, "/explain", clips[0], labels="a,b") for _ in range(count)
        ]
        try:
            while insides.service.busy < count and time.monotonic() < until:
                time.sleep(0.01)
            assert client.send("/classify", clips[1], labels="a,b").status == 200
        finally:
            go_on.set()
        assert {one.result().status for one in asked} == {422}


def test_headers_that_never_end_are_not_waited_for(hasty):
    hasty, _ = hasty
    crowd = [hasty.connect() for _ in range(50)]
    for connection in crowd:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    assert hasty.get("/health").status == 200
    for connection in crowd:
        with connection:
            assert error_of(read_all(connection)) == (408, "slow")


def test_clients_that_go_away_leave_nothing(service, clips):
    for number in range(20):
        with service.connect() as connection:
            length = b"Content-Length: %d\r\n\r\n" % len(clips[0])
            connection.sendall(HEAD + length + clips[0][: len(clips[0]) * number // 20])

    assert service.get("/health").json["queue"]["busy"] == 0


def test_many_at_once_all_get_their_own_answer(service, clips):
    def ask(number):
        other = clips[number % 3] + b"\0\0\0\x10free" + number.to_bytes(8, "big")
        answer = service.send("/classify", other, labels="running,clapping", name=f"{number}")
        return answer.status, answer.json["source"], answer.json["scores"]

    alone = [
        service.send("/classify", clip, labels="running,clapping").json["scores"] for clip in clips
    ]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, range(36)))

    for number, (status, source, scores) in enumerate(answers):
        assert (status, source) == (200, str(number))
        assert scores[0]["label"] == alone[number % 3][0]["label"]
        assert scores[0]["score"] == pytest.approx(alone[number % 3][0]["score"], abs=1e-5)
    passes = service.get("/health").json["passes"]
    assert passes["count"] < passes["videos"]
