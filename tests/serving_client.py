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
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import forked


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

    def processor_seconds(self):
        """What the service's own process has worked so far, whatever else the machine does."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


def anew(words, **streams):
    """A command that begins with starting Python."""
    command = [sys.executable, "-m", "actionclip", *words]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, **streams)


@contextmanager
def running(folder, *arguments, model="tiny", start=forked.Command):
    """A service with a model; its client."""
    folder.mkdir(exist_ok=True)
    words = ["serve", str(model), "--port", "0", "--json"]
    words += ["--workers", "1", "--uploads", str(folder), *arguments]
    with (folder.parent / f"{folder.name}.log").open("w+") as log:
        process = start(words, stdout=subprocess.PIPE, stderr=log)
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


@contextmanager
def served(recognizer, **settings):
    """The service in a thread of this process; gives its address and its insides."""
    import uvicorn

    from actionclip.serving.engine.library import Library
    from actionclip.serving.routes.app import create_app
    from actionclip.serving.routes.guard import Guard
    from actionclip.serving.routes.protocol import Server, patient_for
    from actionclip.serving.server import listen
    from actionclip.serving.settings import ServeConfig
    from actionclip.serving.uploads.spool import most_at_once

    config = ServeConfig(port=0, **settings)
    listener = listen(config.host, config.port)
    library = None if config.index is None else Library(config.index, recognizer, "tiny")
    app = create_app(recognizer, "tiny", config, library)
    ready = threading.Event()
    protocol = patient_for(config.patience, most_at_once())
    server = Server(
        uvicorn.Config(Guard(app, config), http=protocol, ws="none", log_level="warning"),
        ready.set,
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert ready.wait(60)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app.state
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
