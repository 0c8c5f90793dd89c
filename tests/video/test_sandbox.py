"""What a process can no longer do once it is in the sandbox: tried in a process that tries it."""

import json
import subprocess
import sys

import pytest

from actionclip.video.decode import sandbox_report

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

PROBE = """
import json, os, socket, sys
from actionclip.video.decode.workers import sandbox

secret, arguments = sys.argv[1], json.loads(sys.argv[2])
before = os.open(secret, os.O_RDONLY)
ours, theirs = socket.socketpair()
canary = socket.create_server(("127.0.0.1", 0))
report = sandbox.enter(parent=os.getppid(), **arguments)

def attempt(action):
    try:
        action()
    except BaseException as error:
        return type(error).__name__
    return "done"

def connect(kind, address):
    with socket.socket(*kind) as end:
        end.connect(address)

print(json.dumps({"report": report, **{name: attempt(action) for name, action in {
    "open a file": lambda: open(secret).close(),
    "list a folder": lambda: os.listdir(os.path.dirname(secret)),
    "write a file": lambda: open(secret + ".copy", "w").close(),
    "connect": lambda: connect((), canary.getsockname()),
    "send a datagram": lambda: connect((socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", 9)),
    "talk to a local service": lambda: connect((socket.AF_UNIX,), "\\0service"),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "read the environment": lambda: open("/proc/self/environ").close(),
    "take much memory": lambda: bytearray(3 * 2**29),
    "read what was open": lambda: os.pread(before, 6, 0) == b"secret" or 1 / 0,
    "use the socket": lambda: ours.send(b"x") and theirs.recv(1),
    "import late": lambda: __import__("wave"),
    "open many files": lambda: [os.dup(before) for _ in range(100)],
}.items()}}))
"""


def probe(tmp_path, **arguments):
    (tmp_path / "secret.txt").write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path / "secret.txt"), json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FORBIDDEN = {
    "open a file": "no files",
    "list a folder": "no files",
    "write a file": "no files",
    "read the environment": "no files",
    "import late": "no files",
    "connect": "system call filter",
    "send a datagram": "system call filter",
    "talk to a local service": "system call filter",
    "start a program": "system call filter",
    "signal the parent": "system call filter",
    "take much memory": "memory limit",
    "open many files": "other limits",
}
"""What is tried, and the layer that forbids it."""


@needs_linux
def test_what_is_forbidden_does_not_happen(tmp_path):
    seen = probe(tmp_path, memory=2**30)

    on = {layer for layer, state in seen["report"].items() if state is True}
    assert "memory limit" in on
    assert "other limits" in on
    for action, layer in FORBIDDEN.items():
        if layer in on:
            assert seen[action] in ("PermissionError", "MemoryError", "OSError"), action
    assert not (tmp_path / "secret.txt.copy").exists()


@needs_linux
def test_what_is_open_stays_usable(tmp_path):
    seen = probe(tmp_path, memory=2**30)

    assert seen["read what was open"] == "done"
    assert seen["use the socket"] == "done"


@needs_linux
def test_a_decoder_that_imports_late_may_read_its_own_folders_and_no_others(tmp_path):
    seen = probe(tmp_path, memory=None, readable=[sys.prefix, sys.base_prefix, "/no/such/folder"])

    assert seen["report"]["memory limit"] == "not used with this decoder"
    assert seen["take much memory"] == "done"
    assert seen["import late"] == "done"
    if seen["report"]["no files"] == "only Python's own folders can be read":
        assert seen["open a file"] == "PermissionError"
        assert seen["write a file"] == "PermissionError"


@needs_linux
def test_each_layer_is_on_or_says_why_not(tmp_path):
    report = probe(tmp_path, memory=2**30)["report"]

    assert set(report) == {
        "memory limit",
        "other limits",
        "ends with its parent",
        "no new privileges",
        "no files",
        "no TCP",
        "no signals",
        "system call filter",
    }
    assert all(state is True or (isinstance(state, str) and state) for state in report.values())


def test_a_system_without_any_layer_is_told_and_does_not_fail(monkeypatch):
    from actionclip.video.decode.workers import sandbox

    monkeypatch.setattr(sandbox.sys, "platform", "win32")
    monkeypatch.setattr(sandbox, "_lower", lambda *_: (_ for _ in ()).throw(ImportError("none")))

    report = sandbox.enter(memory=2**30, parent=1)

    assert set(report.values()) == {"none", "not on win32", "no Landlock: not on win32"}


def test_the_report_is_that_of_a_real_worker():
    report = sandbox_report()

    assert report["memory limit"] is True
    assert "libavformat" in report["libraries"]


CALLER = """
import json, os, socket, sys
from actionclip.video.decode.workers import sandbox

servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
ports = [server.getsockname()[1] for server in servers]
report = sandbox.enter(memory=None, parent=os.getppid(), port=ports[0])

def attempt(action):
    try:
        action()
    except BaseException as error:
        return type(error).__name__
    return "done"

def connect(port):
    with socket.socket() as end:
        end.connect(("127.0.0.1", port))

print(json.dumps({"report": report, **{name: attempt(action) for name, action in {
    "call the port": lambda: connect(ports[0]),
    "call another": lambda: connect(ports[1]),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "make a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "make a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW),
    "talk to a local service": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "open a file": lambda: open(os.__file__).close(),
}.items()}}))
"""


@needs_linux
def test_a_worker_that_may_call_one_port_calls_no_other():
    done = subprocess.run([sys.executable, "-c", CALLER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    report = found.pop("report")
    assert found.pop("call the port") == "done"
    if isinstance(report["no TCP"], str) and "only port" not in report["no TCP"]:
        del found["call another"], found["open a file"]
    if report["system call filter"] is not True:
        pytest.skip(f"no filter here: {report['system call filter']}")
    assert set(found.values()) == {"PermissionError"}, found
