"""The service under load: 200 clients, 5,000 small requests and 50 uploads of 20 MB.

    python benchmarks/serve.py

A service with `tiny` runs as a process of its own. Clients keep a connection each and take the next
request as soon as they have an answer. Small requests are of three kinds, mixed: other labels for
a kept video, a small video to classify (every one with other bytes, so that none is known already),
a small video to embed. Every answer is compared with what the same model says in this process.
Another process asks `/health` twenty times a second all the while. A client that is told to come
again does.

Goals: 0 lost, 0 wrong, no 5xx but 503, memory of the service grows by less than 50 MB after the
first requests, `/health` answers in less than 250 ms in 99 of 100 cases; known labels for a kept
video are scored in less than 50 ms when nothing else goes on.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import Film, rendered, report, say

LABEL_SETS = [
    ["waving one hand", "jumping jacks", "running"],
    ["walking", "clapping", "bowing", "boxing"],
    ["doing push-ups", "spinning"],
]
FILM = Film(128, 96, 1)
TOLERANCE = 2e-5
PROBES_A_SECOND = 20
MOST_BROKEN = 1000
"""Connections after which the service is taken for dead."""


@dataclass
class Request:
    """Something to ask, and what the answer has to be."""

    path: str
    kind: str
    body: list[bytes]
    """In pieces, which requests share: large ones together would fill the memory."""
    name: str
    expected: Any
    sort: str


@dataclass
class Tally:
    """What came of all requests."""

    answered: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def resident_mib(process: int) -> float:
    """Memory of a process without its children, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def free_box(payload: bytes, more: bytes = b"") -> bytes:
    """A box of an MP4 file that players skip: makes a file other, or larger by what follows."""
    return (len(payload) + len(more) + 8).to_bytes(4, "big") + b"free" + payload


def start(*options: str) -> tuple[subprocess.Popen, str]:
    """A service, and where it is."""
    command = [sys.executable, "-m", "actionclip", "serve", "tiny", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the service ended with {process.wait()}")
    return process, json.loads(line)["url"]


def ask(url: str, path: str, body: bytes, kind: str) -> tuple[int, Any, float]:
    """One request by itself: status, answer, seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    begin = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    seconds = time.perf_counter() - begin
    connection.close()
    return answer.status, found, seconds


def truth(paths: list[Path]) -> tuple[list[list[dict[str, float]]], list[list[float]]]:
    """Scores of each clip for each set of labels, and its vector: Python's own answers."""
    import actionclip

    with actionclip.load("tiny", device="cpu", precision="auto", workers=1) as model:
        per_set = [model.classify(paths, labels, top_k=None) for labels in LABEL_SETS]
        vectors = model.embed_video(paths).tolist()
    scores = [
        [{score.label: score.score for score in answers[clip]} for answers in per_set]
        for clip in range(len(paths))
    ]
    return scores, vectors


def make_requests(
    clips: list[bytes], kept: list[str], known: tuple[Any, Any], counts: tuple[int, int, int]
) -> list[Request]:
    """All that will be asked, shuffled the same way every time."""
    rng = random.Random(0)
    scores, vectors = known
    small, large, megabytes = counts
    requests = []
    padding = rng.randbytes(megabytes * 10**6)
    for number in range(small + large):
        clip, labels = number % len(clips), number // len(clips) % len(LABEL_SETS)
        asked, name = LABEL_SETS[labels], f"request {number}"
        expected: Any = scores[clip][labels]
        query = f"?labels={','.join(asked)}&top_k=&name={name}".replace(" ", "%20")
        if number >= small:
            body = [
                clips[clip],
                free_box(number.to_bytes(8, "big")),
                free_box(b"", padding),
                padding,
            ]
            row = ("/classify" + query, "video/mp4", body, "large")
        elif number % 10 < 7:
            fields = {"video": kept[clip], "labels": asked, "top_k": None, "name": name}
            row = ("/classify", "application/json", [json.dumps(fields).encode()], "again")
        else:
            body = [clips[clip], free_box(number.to_bytes(8, "big"))]
            row = ("/classify" + query, "video/mp4", body, "small")
            if number % 10 == 9:
                row = (f"/embed?name={name}".replace(" ", "%20"), "video/mp4", body, "embed")
                expected = vectors[clip]
        requests.append(Request(row[0], row[1], row[2], name, expected, row[3]))
    rng.shuffle(requests)
    return requests


def is_right(request: Request, row: dict[str, Any]) -> bool:
    """Whether an answer is that of the request, with the right numbers."""
    if row.get("source") != request.name or row.get("status") != "ok":
        return False
    if request.sort == "embed":
        pairs = zip(row["embedding"], request.expected, strict=True)
        return all(abs(a - b) < TOLERANCE for a, b in pairs)
    found = {score["label"]: score["score"] for score in row["scores"]}
    same = found.keys() == request.expected.keys()
    return same and all(abs(found[k] - v) < TOLERANCE for k, v in request.expected.items())


async def exchange(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: Request
) -> tuple[int, dict[str, str], bytes]:
    """Send a request over an open connection; status, headers, body.

    A large body is announced first, as curl does, and sent when the service wants it.
    """
    reader, writer = streams
    length = sum(map(len, request.body))
    expect = "Expect: 100-continue\r\n" if length > 10**6 else ""
    head = (
        f"POST {request.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {request.kind}\r\n"
        f"Content-Length: {length}\r\n{expect}\r\n"
    )
    writer.write(head.encode())
    lines = await head_of(reader) if expect else ["HTTP/1.1 100 Continue"]
    if lines[0].split()[1] == "100":
        await send_body(writer, request)
        lines = await head_of(reader)
    pairs = [line.split(": ", 1) for line in lines[1:] if line]
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, body


async def head_of(reader: asyncio.StreamReader) -> list[str]:
    """The first line and the headers of an answer."""
    return (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")


async def send_body(writer: asyncio.StreamWriter, request: Request) -> None:
    """All pieces of a body, as fast as they are taken."""
    for piece in map(memoryview, request.body):
        for begin in range(0, len(piece), 2**18):
            writer.write(piece[begin : begin + 2**18])
            await writer.drain()


async def client(url: str, requests: list[Request], tally: Tally) -> None:
    """Take requests until there are none; one connection as long as it lasts."""
    parts, streams = urlsplit(url), None
    while requests:
        request = requests.pop()
        begin = time.perf_counter()
        while True:
            try:
                streams = streams or await asyncio.open_connection(parts.hostname, parts.port)
                status, headers, body = await exchange(streams, request)
            except (OSError, asyncio.IncompleteReadError) as error:
                tally.broken.append(f"{request.name} ({request.sort}): {error!r}")
                streams = None
                if len(tally.broken) > MOST_BROKEN:
                    raise
                continue
            tally.statuses[status] += 1
            if headers.get("connection") == "close":
                streams[1].close()
                streams = None
            if status not in (429, 503):
                break
            await asyncio.sleep(float(headers["retry-after"]))
        tally.answered[request.sort] += 1
        tally.seconds.setdefault(request.sort, []).append(time.perf_counter() - begin)
        if status != 200 or not is_right(request, json.loads(body)):
            tally.wrong.append(f"{request.name} ({request.sort}): {status} {body[:200]!r}")
    if streams is not None:
        streams[1].close()


async def storm(url: str, requests: list[Request], clients: int) -> Tally:
    """All clients at once."""
    tally = Tally()
    await asyncio.gather(*(client(url, requests, tally) for _ in range(clients)))
    return tally


def probe(url: str) -> None:
    """Ask `/health` until standard input is closed; print how long each answer took."""
    import threading

    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    times, statuses = [], Counter()
    print("ready", flush=True)
    while not done.wait(1 / PROBES_A_SECOND):
        begin = time.perf_counter()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - begin)
        statuses[answer.status] += 1
    print(json.dumps({"times": times, "statuses": statuses}))


def milliseconds(times: list[float]) -> dict[str, float]:
    """Median, 99th percentile, largest."""
    ordered = sorted(times)
    place = min(len(ordered) - 1, round(0.99 * len(ordered)))
    found = {"p50": statistics.median(ordered), "p99": ordered[place], "max": ordered[-1]}
    return {name: round(1000 * value, 1) for name, value in found.items()}


def again_alone(url: str, kept: list[str], count: int) -> list[float]:
    """Seconds for other, known labels of a kept video when nothing else goes on."""
    times = []
    for number in range(count):
        fields = {"video": kept[number % len(kept)], "labels": LABEL_SETS[number % 3]}
        body = json.dumps(fields).encode()
        times.append(ask(url, "/classify", body, "application/json")[2])
    return times


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=5000, help="small ones")
    parser.add_argument("--uploads", type=int, default=50, help="large ones")
    parser.add_argument("--megabytes", type=int, default=20, help="of a large one")
    parser.add_argument("--quick", action="store_true", help="few of everything: does it work?")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clips")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.probe:
        probe(args.probe)
        return
    if args.quick:
        args.clients, args.requests, args.uploads, args.megabytes = 20, 60, 2, 2
    paths = rendered(FILM, 8, args.clips)
    known, clips = truth(paths), [path.read_bytes() for path in paths]
    with tempfile.TemporaryDirectory() as spool:
        process, url = start("--uploads", spool)
        try:
            row = measure(process, url, clips, known, args)
        finally:
            process.terminate()
            row_end = {
                "exit code": process.wait(60),
                "files left": len(list(Path(spool).iterdir())),
            }
            assert process.stdout is not None
            process.stdout.close()
    report("serve", {"goal": "0 lost, 0 wrong, no 5xx but 503", **row, **row_end})


def measure(
    process: subprocess.Popen, url: str, clips: list[bytes], known: tuple[Any, Any], args: Any
) -> dict[str, Any]:
    """The whole course with one service."""
    memory = {"start": resident_mib(process.pid)}
    kept = []
    for clip in clips:
        status, row, _ = ask(url, "/classify?labels=a,b", clip, "video/mp4")
        assert status == 200, row
        kept.append(row["video"])
    warm = make_requests(clips, kept, known, (100, 2, args.megabytes))
    asyncio.run(storm(url, warm, 8))
    alone = again_alone(url, kept, 60)
    memory["warm"] = resident_mib(process.pid)
    requests = make_requests(clips, kept, known, (args.requests, args.uploads, args.megabytes))
    count = len(requests)
    say(f"{count} requests of {args.clients} clients")
    prober = subprocess.Popen(
        [sys.executable, __file__, "--probe", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert prober.stdout is not None
    prober.stdout.readline()
    begin = time.perf_counter()
    tally = asyncio.run(storm(url, requests, args.clients))
    seconds = time.perf_counter() - begin
    health = json.loads(prober.communicate()[0])
    memory["end"] = resident_mib(process.pid)
    load = os.getloadavg()
    for what in (*tally.wrong[:3], *tally.broken[:3]):
        say(what)
    return {
        "clients": args.clients,
        "asked": count,
        "answered": dict(tally.answered),
        "lost": count - sum(tally.answered.values()),
        "wrong": len(tally.wrong),
        "connections broken": len(tally.broken),
        "statuses": {str(status): n for status, n in sorted(tally.statuses.items())},
        "seconds": round(seconds, 1),
        "requests/s": round(count / seconds, 1),
        "MB a large upload": args.megabytes,
        "ms": {sort: milliseconds(times) for sort, times in sorted(tally.seconds.items())},
        "ms, known labels again, alone": milliseconds(alone),
        "ms, health": milliseconds(health["times"]),
        "health statuses": health["statuses"],
        "load after": [round(one, 1) for one in load],
        "memory MiB": {name: round(value) for name, value in memory.items()},
        "growth MiB": round(memory["end"] - memory["warm"]),
    }


if __name__ == "__main__":
    main()
