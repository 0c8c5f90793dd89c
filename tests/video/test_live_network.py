"""Whom a live source talks to: whom it was told to, and nobody else; what comes of the answers.

All servers are local.
"""

import http.client
import socket

import numpy as np
import pytest
from clips import number_in, picture, render
from live_watching import Watching, numbered

from actionclip.errors import ActionCLIPError
from actionclip.video.decode import sandbox_report
from actionclip.video.live.queue import Connected, Lost
from actionclip.video.outcomes import VideoError
from live_server import LiveServer, play_rtsp, rtp_packets


@pytest.fixture(scope="module")
def six_seconds():
    return numbered(150)


def test_a_password_is_sent_to_its_host_only(six_seconds):
    def elsewhere(wire):
        wire.head(Content_Length=len(six_seconds))
        wire.send(six_seconds)

    with LiveServer(elsewhere) as other:

        def answer(wire):
            wire.head("302 Found", Location=other.url())

        with LiveServer(answer) as server, Watching(server.url(user="me:secret@")) as watching:
            watching.all()

    assert watching.error is None
    assert "Authorization: Basic bWU6c2VjcmV0" in server.asked[0]
    assert "Authorization" not in other.asked[0]
    assert "secret" not in watching.feed.source.name


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd"]
    + [
        pytest.param(place, marks=pytest.mark.slow)
        for place in ("ftp://127.0.0.1/a", "rtsp://127.0.0.1/a", "data:,x")
    ],
)
def test_a_server_cannot_send_us_anywhere_else(place):
    def answer(wire):
        wire.head("302 Found", Location=place)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert isinstance(watching.error, ActionCLIPError)
    assert "where we do not go" in watching.error.what


def test_a_server_cannot_send_us_from_where_nobody_listens_to_where_they_may(monkeypatch):
    """As if it spoke TLS: certificates are Python's business."""

    def secure(host, port, *, timeout, context):
        return http.client.HTTPConnection(host, port, timeout=timeout)

    monkeypatch.setattr(http.client, "HTTPSConnection", secure)

    def answer(wire):
        wire.head("302 Found", Location=server.url("/open"))

    with LiveServer(answer) as server, Watching(server.url(scheme="https")) as watching:
        watching.all()

    assert isinstance(watching.error, ActionCLIPError)
    assert "to http:, where we do not go" in watching.error.what
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "place", ["http://[::1/a", "http://127.0.0.1:99999/", "http://a..b/", "/a b", "/\xe4"]
)
def test_a_server_that_sends_us_nowhere_has_refused(place):
    def answer(wire):
        wire.send(f"HTTP/1.0 302 Found\r\nLocation: {place}\r\n\r\n".encode("latin-1"))

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert isinstance(watching.error, ActionCLIPError)
    assert "no address" in watching.error.what


def test_going_round_in_circles_ends():
    def answer(wire):
        wire.head("302 Found", Location="/again")

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert len(server.asked) == 6
    assert "more than 5 times" in str(watching.error)


def playlists(address, secret):
    return {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n",
        "m3u8 of a file": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n"
        "#EXT-X-ENDLIST\n",
        "list": f"ffconcat version 1.0\nfile 'http://{address}/a.ts'\n",
        "list of a file": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {address.split(':')[1]} RTP/AVP/TCP 96\na=rtpmap:96 H264/90000\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-main:2011">'
        "<Period><AdaptationSet><Representation id='1' mimeType='video/mp4' bandwidth='1'>"
        f"<BaseURL>http://{address}/a</BaseURL></Representation></AdaptationSet></Period></MPD>",
    }


@pytest.mark.parametrize("way", ["http", pytest.param("file", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "which", ["m3u8", "m3u8 of a file", "list", "list of a file", "sdp", "dash"]
)
def test_what_names_other_places_opens_none(which, way, tmp_path):
    secret = render(tmp_path / "secret.ts", 30, container="mpegts")
    with LiveServer(lambda wire: wire.head()) as canary:
        text = playlists(f"127.0.0.1:{canary.port}", secret)[which].encode()
        path = tmp_path / "stream.ts"
        path.write_bytes(text)

        def answer(wire):
            wire.head(kind="application/vnd.apple.mpegurl", Content_Length=len(text))
            wire.send(text)

        with LiveServer(answer) as server:
            source = server.url("/live.m3u8") if way == "http" else path
            with Watching(source, retries=0, speed=0) as watching:
                watching.all()

    assert watching.frames == []
    assert isinstance(watching.error, VideoError)
    assert canary.times == []


# --- what a server answers ------------------------------------------------------------------------


def test_a_file_over_the_network_ends_where_it_ends(six_seconds):
    def answer(wire):
        wire.head(Content_Length=len(six_seconds))
        wire.send(six_seconds)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert watching.error is None
    assert watching.of(Lost) == []
    assert len(server.asked) == 1


def test_a_file_over_the_network_that_was_cut_off_is_asked_for_again(six_seconds):
    def answer(wire):
        wire.head(Content_Length=len(six_seconds))
        wire.send(six_seconds[: None if wire.number else len(six_seconds) // 2])

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert watching.error is None
    assert [one.reason for one in watching.of(Lost)] == ["The server hung up."]
    assert len(server.asked) == 2


def test_attempts_are_spaced_out_and_come_to_an_end():
    def answer(wire):
        wire.head("503 Later")

    settings = {"retries": 3, "longest_wait": 0.2}
    with LiveServer(answer) as server, Watching(server.url(), **settings) as watching:
        watching.all()

    assert isinstance(watching.error, VideoError)
    assert "503" in watching.error.what
    waits = [one.wait for one in watching.of(Lost)]
    for wait, longest in zip(waits, (0.1, 0.2, 0.2), strict=True):
        assert longest / 2 <= wait <= longest
    assert [one.attempt for one in watching.of(Lost)] == [1, 2, 3]
    assert len(server.times) == 4


@pytest.mark.parametrize(
    "status", ["404 Not Found", pytest.param("401 Unauthorized", marks=pytest.mark.slow)]
)
def test_a_server_that_refuses_is_not_asked_again(status):
    with LiveServer(lambda wire: wire.head(status)) as server, Watching(server.url()) as watching:
        watching.all()

    assert isinstance(watching.error, VideoError)
    assert status[:3] in watching.error.what
    assert len(server.asked) == 1


def test_what_is_no_video_at_all_ends_at_once():
    def answer(wire):
        wire.head()
        wire.send(b"<html>hello</html>" * 1000)

    with LiveServer(answer) as server, Watching(server.url()) as watching:
        watching.all()

    assert isinstance(watching.error, VideoError)
    assert len(server.asked) == 1


# --- cameras of the network -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def packets():
    return rtp_packets(50, show=picture)


def test_an_rtsp_camera_is_watched(packets):
    with LiveServer(lambda wire: play_rtsp(wire, packets, 1.0)) as server:
        address = server.url("/door", scheme="rtsp", user="me:secret@")
        with Watching(address) as watching:
            watching.until(lambda: len(watching.of(Connected)) >= 2)

    first = [frame for frame in watching.frames if frame.number < 6]
    numbers = [number_in(frame.image) for frame in first]
    assert set(np.diff(numbers)) == {5}
    assert [frame.time for frame in first] == pytest.approx(np.arange(len(first)) * 0.2)
    assert watching.of(Lost)[0].reason == "The stream ended."
    assert "secret" not in watching.feed.source.name


def test_an_rtsp_camera_cannot_send_us_to_another_port(packets):
    report = sandbox_report()
    if report["no TCP"] is not True:
        pytest.skip(f"no limit on ports here: {report['no TCP']}")
    with LiveServer(lambda wire: play_rtsp(wire, packets, 0.1)) as other:
        there = other.url("/door", scheme="rtsp")
        with (
            LiveServer(lambda wire: play_rtsp(wire, packets, 0.1, redirect=there)) as server,
            Watching(server.url("/door", scheme="rtsp"), retries=0) as watching,
        ):
            watching.all()

    assert watching.frames == []
    assert len(server.times) == 1
    assert other.times == []


def test_a_host_with_several_numbers_is_called_at_the_next_after_a_failure(packets, monkeypatch):
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with LiveServer(lambda wire: play_rtsp(wire, packets, 1.0)) as server:
        both = [(*kind, (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        address = f"rtsp://camera.invalid:{server.port}/door"
        with Watching(address) as watching:
            watching.until(lambda: watching.of(Lost) and watching.frames)

    assert watching.of(Lost)[0].reason.startswith("It cannot be reached")
    assert watching.frames


def test_a_host_nobody_knows_is_an_error_of_its_own(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with Watching("rtsp://camera.invalid/door", retries=0) as watching:
        watching.all()

    assert "Name or service not known" in str(watching.error)
