"""Who may ask, without a server: requests as the guard sees them."""

import asyncio
import json

import pytest

from actionclip.errors import ActionCLIPError
from actionclip.serving.routes.guard import Guard
from actionclip.serving.settings import ServeConfig


def ask(settings, path="/models", method="GET", **headers):
    """Status and body of a request to an application that answers everything with "in"."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'"in"'})

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    pairs = {"host": "127.0.0.1:8000", **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
    }
    asyncio.run(Guard(app, settings)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]), dict(sent[0]["headers"])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_this_machine_is_let_in_by_its_own_names(host):
    assert ask(ServeConfig(), host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "localhost."])
def test_another_name_for_this_machine_is_not(host):
    status, body, _ = ask(ServeConfig(), host=host)

    assert (status, body["error"]["code"]) == (403, "host")


@pytest.mark.parametrize("name", ["box.lan", "Box.lan:80"])
def test_a_name_can_be_allowed(name):
    assert ask(ServeConfig(allow_hosts=(name,)), host="box.lan:80")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused(headers):
    status, body, _ = ask(ServeConfig(), method="POST", path="/classify", **headers)

    assert (status, body["error"]["code"]) == (403, "origin")


def test_behind_a_proxy_that_names_another_host_its_own_page_is_known_by_the_allowed_name():
    """What nginx does unless it is told otherwise. Scripts of a page have an origin too."""
    behind = {"origin": "https://Films.example", "sec_fetch_site": "same-origin"}
    for method, path in (("GET", "/page/main.js"), ("POST", "/classify")):
        status, body, _ = ask(ServeConfig(), method=method, path=path, **behind)
        assert (status, body["error"]["code"]) == (403, "origin")
        assert "--allow-host" in body["error"]["hint"]
        for settings in (
            ServeConfig(allow_hosts=("films.example",)),
            ServeConfig(allow_hosts=("films.example:80",), host="0.0.0.0"),
        ):
            assert ask(settings, method=method, path=path, **behind)[0] == 200
    settings = ServeConfig(allow_hosts=("films.example",))
    for foreign in ("https://films.example.evil", "https://127.0.0.1:9", "null"):
        assert ask(settings, method="POST", path="/classify", origin=foreign)[0] == 403


def test_the_own_page_and_links_to_it_are_not():
    own = {"origin": "http://127.0.0.1:8000", "sec_fetch_site": "same-origin"}

    assert ask(ServeConfig(), method="POST", path="/classify", **own)[0] == 200
    assert ask(ServeConfig(), path="/", sec_fetch_site="cross-site")[0] == 200


def test_every_answer_carries_the_policy_and_no_cors():
    for status in ({}, {"host": "evil.example"}):
        headers = ask(ServeConfig(), **status)[2]
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert not [name for name in headers if name.startswith(b"access-control")]


def test_a_token_is_asked_for_where_one_is_set():
    settings = ServeConfig(token="correct horse")

    assert ask(settings)[0] == 401
    assert ask(settings, authorization="Bearer correct horsf")[0] == 401
    assert ask(settings, authorization="Bearer correct horse")[0] == 200
    assert ask(settings, path="/")[0] == 200
    assert ask(settings, path="/page/app.js")[0] == 200


@pytest.mark.parametrize(
    "token", ["short", "sésame, ouvre-toi", "a secret\n", " a secret", "a\tsecret"]
)
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(ActionCLIPError, match="token"):
        ServeConfig(token=token)
