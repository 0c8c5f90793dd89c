"""A web server for streams, as ill-behaved as a test wants it. It answers on this machine only."""

import io
import socket
import threading
import time
from contextlib import suppress

import av
import numpy as np


class Wire:
    """One connection, from the server's side."""

    def __init__(self, end, number):
        self._end = end
        self.number = number
        """Counted from 0."""
        self.asked = b""

    def read_request(self):
        while b"\r\n\r\n" not in self.asked:
            more = self._end.recv(4096)
            if not more:
                break
            self.asked += more

    def head(self, status="200 OK", kind="video/mp2t", **headers):
        lines = [f"HTTP/1.0 {status}", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, data):
        self._end.sendall(data)

    def play(self, data, seconds):
        """Send some bytes over so many seconds."""
        pieces = max(round(seconds * 20), 1)
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            self.send(data[start : start + size])
            time.sleep(seconds / pieces)


class LiveServer:
    """Answers each connection with `answer(wire)`, in a thread of its own."""

    def __init__(self, answer):
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.asked = []
        """What each connection asked for."""
        self.times = []
        """When each came."""
        self._ends = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def url(self, path="/live.ts", scheme="http", user=""):
        return f"{scheme}://{user}127.0.0.1:{self.port}{path}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _serve(self):
        while True:
            try:
                end, _ = self._server.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            self._ends.append(end)
            threading.Thread(target=self._one, args=(end, len(self.times) - 1), daemon=True).start()

    def _one(self, end, number):
        wire = Wire(end, number)
        with end, suppress(OSError):
            wire.read_request()
            self.asked.append(wire.asked.decode())
            self._answer(wire)


def moving(number, width, height):
    """A picture of a bar that wanders, on coloured noise."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 80, (height // 8, width // 8, 3), np.uint8)
    picture = picture.repeat(8, axis=0).repeat(8, axis=1)
    left = number * 4 % (width - 8)
    picture[:, left : left + 8] = 250
    return picture


def broadcast(frames, *, size=(96, 64), rate=25, kind="mpegts", first=0, show=None, codec=None):
    """So many frames as a stream that can be joined and cut anywhere.

    Args:
        show: the picture of frame i, a function.
        first: the number of the first frame; times go on from there.
    """
    width, height = size
    show = show or (lambda i: moving(i, width, height))
    file = io.BytesIO()
    file.name = f"stream.{kind}"
    codec = codec or ("mjpeg" if kind == "mpjpeg" else "libx264")
    with av.open(file, "w", format=kind) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "12"}
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(show(first + i), format="rgb24")
            frame.pts = first + i
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=door\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
    "a=control:track1\r\n"
)


def rtp_packets(frames, *, size=(96, 64), rate=25, show=None):
    """Frames as the packets that a camera sends: FFmpeg sends them to us, and we keep them."""
    width, height = size
    show = show or (lambda i: moving(i, width, height))
    packets = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(0.3)
        address = f"rtp://127.0.0.1:{inbox.getsockname()[1]}"

        def empty():
            with suppress(TimeoutError):
                while True:
                    packets.append(inbox.recv(4096))

        with av.open(address, "w", format="rtp") as output:
            stream = output.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            headers = {"x264-params": "repeat-headers=1"}
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "12", **headers}
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(show(i), format="rgb24")
                frame.pts = i
                output.mux(stream.encode(frame))
                if i % 50 == 49:
                    empty()
            output.mux(stream.encode(None))
            empty()
    return [packet for packet in packets if packet[1] & 0x7F == 96]


def play_rtsp(wire, packets, seconds, *, redirect=None):
    """Be an RTSP camera on a connection whose first request has been read."""
    request = wire.asked
    while request:
        text = request.decode()
        verb = text.split()[0]
        number = next(line.split()[1] for line in text.splitlines() if line.startswith("CSeq"))
        lines, body = [f"CSeq: {number}"], ""
        status = "200 OK"
        if verb == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif verb == "DESCRIBE" and redirect:
            status = "302 Moved"
            lines.append(f"Location: {redirect}")
        elif verb == "DESCRIBE":
            body = SDP
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif verb == "SETUP":
            lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
        else:
            lines.append("Session: 1")
        wire.send(("\r\n".join([f"RTSP/1.0 {status}", *lines]) + f"\r\n\r\n{body}").encode())
        if verb == "PLAY":
            for packet in packets:
                wire.send(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                time.sleep(seconds / len(packets))
            return
        wire.asked = b""
        wire.read_request()
        request = wire.asked
