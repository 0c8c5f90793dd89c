"""Animals of the zoo that are no video at all: what is no file, and what holds something else."""

import io
import os
import shutil
import socket
import wave
import zipfile
from pathlib import Path

import av
import numpy as np
from clips import picture
from PIL import Image
from zoo_keeper import ends, small

# --- not a file at all ---------------------------------------------------------------------------


@ends("unreadable", "There is no file")
def missing(folder):
    return folder / "missing.mp4"


@ends("unreadable", "Did you mean 'holiday.mp4'?")
def misspelt(folder):
    small(folder, "holiday.mp4")
    return folder / "hoilday.mp4"


@ends("unreadable", "a folder")
def folder_named_like_a_video(folder):
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


@ends("unreadable", "a named pipe")
def named_pipe(folder):
    os.mkfifo(folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "a socket")
def socket_file(folder):
    short = Path("/tmp") / f"zoo-{os.getpid()}"  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(short))
    shutil.move(short, folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "a device")
def endless_device(folder):
    return Path("/dev/zero")


@ends("unreadable", "leads back to itself")
def link_to_itself(folder):
    (folder / "v.mp4").symlink_to(folder / "v.mp4")
    return folder / "v.mp4"


@ends("unreadable", "there is no such file")
def link_to_nowhere(folder):
    (folder / "v.mp4").symlink_to(folder / "nowhere.mp4")
    return folder / "v.mp4"


@ends("ok")
def link_to_a_video(folder):
    (folder / "v.mp4").symlink_to(small(folder, "real.mp4"))
    return folder / "v.mp4"


@ends("unreadable", "not permitted")
def no_permission(folder):
    path = small(folder)
    path.chmod(0)
    return path


@ends("unreadable", "cannot be opened")
def endless_name(folder):
    return folder / ("v" * 300 + ".mp4")


# --- not a video ---------------------------------------------------------------------------------


@ends("unreadable", "empty")
def nothing(folder):
    (folder / "v.mp4").touch()
    return folder / "v.mp4"


@ends("unreadable")
def one_byte(folder):
    (folder / "v.mp4").write_bytes(b"\0")
    return folder / "v.mp4"


@ends("unreadable")
def text(folder):
    (folder / "v.mp4").write_text("These are the minutes of the meeting.\n" * 100)
    return folder / "v.mp4"


@ends("unreadable")
def web_page(folder):
    (folder / "v.mp4").write_text("<!doctype html><title>404</title>Not found" * 20)
    return folder / "v.mp4"


@ends("unreadable")
def noise(folder):
    (folder / "v.mp4").write_bytes(np.random.default_rng(0).bytes(100_000))
    return folder / "v.mp4"


@ends("unreadable")
def archive(folder):
    with zipfile.ZipFile(folder / "v.mp4", "w") as file:
        file.writestr("a.txt", "a" * 10_000)
    return folder / "v.mp4"


@ends("unreadable")
def photograph(folder):
    Image.fromarray(picture(5)).save(folder / "v.png")
    return (folder / "v.png").rename(folder / "v.mp4")


@ends("unreadable")
def sparse_four_gigabytes(folder):
    with (folder / "v.mp4").open("wb") as file:
        file.truncate(4 * 2**30)
    return folder / "v.mp4"


@ends("unreadable")
def sound_wave(folder):
    with wave.open(str(folder / "v.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\1\2" * 8000)
    return folder / "v.wav"


def sound(path, cover=None):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        image = None
        if cover is not None:
            image = output.add_stream("mjpeg", rate=1)
            image.width, image.height, image.pix_fmt = 96, 64, "yuvj420p"
            image.disposition = av.stream.Disposition.attached_pic
        for i in range(8):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, i * 1024
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if image is not None:
            output.mux(image.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            output.mux(image.encode(None))
    return path


@ends("no_video", "no video stream")
def song(folder):
    return sound(folder / "v.m4a")


@ends("no_video", "cover")
def song_with_a_cover(folder):
    return sound(folder / "v.mp4", cover=picture(5))


# --- folders of frames ---------------------------------------------------------------------------


def frames(folder, count=8):
    for i in range(count):
        Image.fromarray(picture(i)).save(folder / f"{i}.png")
    return folder


@ends("ok")
def folder_of_frames(folder):
    return frames(folder)


@ends("no_video", "no images")
def folder_without_frames(folder):
    return folder


@ends("degraded", "1 of 8 images")
def folder_with_a_broken_frame(folder):
    frames(folder)
    (folder / "3.png").write_bytes(b"not an image")
    return folder


@ends("unreadable", "image")
def folder_of_broken_frames(folder):
    for i in range(8):
        (folder / f"{i}.jpg").write_text("not an image")
    return folder


@ends("unreadable", "3.png")
def folder_with_a_pipe_in_it(folder):
    frames(folder)
    (folder / "3.png").unlink()
    os.mkfifo(folder / "3.png")
    return folder


@ends("too_large", "pixels")
def folder_of_a_huge_image(folder):
    blob = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(blob, "PNG")
    (folder / "0.png").write_bytes(blob.getvalue())
    return folder


@ends("ok")
def folder_of_frames_of_different_sizes(folder):
    frames(folder)
    Image.fromarray(picture(5, width=200, height=30)).save(folder / "5.png")
    return folder
