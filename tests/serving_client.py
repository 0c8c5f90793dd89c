"""The service as users start it, a process on a free port; and a plain client without secrets."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error."""
        return self.json["error"]["code"]


class Client:
    """Asks one service.

    Args:
        url: where it is.
        token: what it wants to know.
        process: what runs it.
    """

    def __init__(self, url, token=None, process=None):
        self.url, self.token, self.process = url, token, process
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own."""
        own = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, {**own, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        """A GET."""
        return self.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    def ask(self, path, **fields):
        """A POST of JSON."""
        return self.request("POST", path, json.dumps(fields), {"Content-Type": "application/json"})

    def send(self, path, video, **fields):
        """A POST of a video's bytes."""
        query = urlencode(fields, doseq=True)
        return self.request("POST", f"{path}?{query}", video, {"Content-Type": "video/mp4"})

    def send_form(self, path, *parts):
        """A POST of a form; a part is (name, value), or (name, file name, bytes)."""
        kind, body = form(*parts)
        return self.request("POST", path, body, {"Content-Type": kind})

    def connect(self):
        """A bare connection."""
        return socket.create_connection((self.host, self.port), timeout=60)


def form(*parts):
    """Content type and bytes of a form; parts as for `Client.send_form`."""
    mark = uuid.uuid4().hex
    lines = []
    for name, *rest in parts:
        file = f'; filename="{rest[0]}"' if len(rest) == 2 else ""
        value = rest[-1] if isinstance(rest[-1], bytes) else str(rest[-1]).encode()
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines += [head.encode(), value, b"\r\n"]
    return f"multipart/form-data; boundary={mark}", b"".join([*lines, f"--{mark}--\r\n".encode()])


@contextmanager
def running(folder, *arguments):
    """A service with `tiny`; its client."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "actionclip", "serve", "tiny", "--port", "0", "--json"]
    command += ["--workers", "1", "--uploads", str(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder.parent / f"{folder.name}.log").open("w+") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        killer = threading.Timer(900, process.kill)
        killer.start()
        try:
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(log.read())
            said = json.loads(line)
            yield Client(said["url"], said["token"], process)
        finally:
            killer.cancel()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
            process.stdout.close()
