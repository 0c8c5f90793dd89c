import hashlib

import av
import numpy as np
import pytest

from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.clips import demo_clips, synthesise, write_clip
from actionclip.data.synthetic.render import Camera, Parts, paint
from actionclip.data.synthetic.scenery import SCENES, draw_scene
from actionclip.errors import ActionCLIPError

SMALL = {"frames": 8, "size": (96, 80), "fps": 4.0}


def decoded(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_makes_a_moving_picture(action):
    clip = synthesise(action, 3, **SMALL)

    assert clip.shape == (8, 80, 96, 3)
    assert clip.dtype == np.uint8
    assert clip.std() > 15
    changed = (np.abs(np.diff(clip.astype(int), axis=0)).max(axis=-1) > 40).mean(axis=(1, 2))
    assert changed.max() > 0.004


def test_a_seed_decides_everything():
    clip = synthesise("kicking", 5, **SMALL)

    np.testing.assert_array_equal(clip, synthesise("kicking", 5, **SMALL))
    seen = {hashlib.sha256(synthesise("kicking", s, **SMALL)).hexdigest() for s in range(8)}
    assert len(seen) == 8


def test_the_person_stays_in_the_picture():
    """Against the same place without the person, what moves keeps off the upper edge."""
    for action in ("walking", "running", "jumping jacks", "jumping in place"):
        for seed in range(4):
            clip = synthesise(action, seed, frames=12, size=(96, 72), fps=8.0).astype(int)
            upper = clip[:, :2]
            assert np.abs(np.diff(upper, axis=0)).mean() < 6, (action, seed)


def test_what_happens_once_is_over_at_the_end_of_a_short_clip():
    """Four frames are enough to see somebody sit down: the last frame is lower than the first."""
    for seed in range(3):
        first, *_, last = synthesise("sitting down", seed, frames=4, size=(96, 96), fps=2.0)
        moved = np.abs(first.astype(int) - last).max(axis=-1) > 40
        assert moved[: 96 // 2].sum() > 40


def test_an_unknown_action_gets_a_suggestion():
    with pytest.raises(ActionCLIPError, match="Did you mean 'walking'"):
        synthesise("walkin", 0, frames=4)


def test_nearer_parts_hide_farther_ones():
    camera = Camera(
        width=40, height=40, focal=20.0, distance=1.0, above=0.0, horizon=20.0, x=np.zeros(1)
    )
    canvas = np.zeros((1, 40, 40, 3), np.float32)
    parts = Parts()
    parts.add(np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.1]]), 0.3, 0.3, (255, 0, 0))
    parts.add(np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 0.1]]), 0.8, 0.8, (0, 255, 0))

    paint(canvas, parts, camera)

    assert canvas[0, 20, 20, 0] > 100 > canvas[0, 20, 20, 1]
    assert canvas[0, 26, 20, 1] > 80 > canvas[0, 26, 20, 0]
    assert canvas[0, 2, 2].max() == 0


@pytest.mark.parametrize("name", SCENES)
def test_a_camera_that_moves_sees_the_floor_pass_faster_than_the_wall(name):
    camera = Camera(
        width=64,
        height=48,
        focal=120.0,
        distance=5.0,
        above=1.4,
        horizon=20.0,
        x=np.array([-1.0, 0.0, 1.0]),
    )
    scene = draw_scene(name, camera, 0.5, np.random.default_rng(0))
    frames = scene.seen_by(camera)

    assert frames.shape == (3, 48, 64, 3)
    assert frames.min() > -20
    assert frames.max() < 275
    assert scene.pixels_per_metre[-1] > 1.2 * scene.pixels_per_metre[0]
    assert np.abs(frames[0] - frames[2]).mean() > 0.5


def test_a_clip_survives_being_written_and_read(tmp_path):
    clip = synthesise("boxing", 1, frames=20, size=(160, 120))
    path = tmp_path / "boxing.mp4"

    write_clip(path, clip, fps=25.0)

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 25.0
    back = decoded(path)
    assert back.shape == clip.shape
    assert np.abs(back.astype(int) - clip).mean() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["boxing.mp4"]


def test_a_clip_whose_writing_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"as it was")
    whole = av.VideoFrame.from_ndarray
    pictures = iter([whole])
    monkeypatch.setattr(
        "av.VideoFrame.from_ndarray", lambda *a, **options: next(pictures)(*a, **options)
    )

    with pytest.raises(StopIteration):
        write_clip(path, np.zeros((2, 32, 32, 3), np.uint8))

    assert path.read_bytes() == b"as it was"
    assert len(list(tmp_path.iterdir())) == 1


def test_odd_sizes_are_refused(tmp_path):
    with pytest.raises(ActionCLIPError, match="31 x 32"):
        write_clip(tmp_path / "clip.mp4", np.zeros((2, 32, 31, 3), np.uint8))


def test_demo_clips_show_six_people_doing_six_things(tmp_path):
    clips = demo_clips(tmp_path / "demo")

    assert len({action for _, action in clips}) == len(clips) == 6
    for path, action in clips:
        assert action in ACTIONS
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (320, 240)
            assert stream.frames == 65
