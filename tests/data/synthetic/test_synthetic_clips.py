import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest

from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.captions import HANDED, PHRASES, captions
from actionclip.data.synthetic.clips import ClipInfo, plan, stream, synthesise
from actionclip.data.synthetic.figure import JOINTS
from actionclip.data.synthetic.files import write_clip
from actionclip.errors import ActionCLIPError

SMALL = {"frames": 8, "size": (96, 80), "fps": 4.0}


def digest(clip):
    return hashlib.sha256(clip.frames.tobytes()).hexdigest()


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_makes_a_moving_picture(action):
    clip = synthesise(action, 3, clean=True, **SMALL)

    assert clip.frames.shape == (8, 80, 96, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.std() > 12
    changed = np.abs(np.diff(clip.frames.astype(int), axis=0)).max(axis=-1) > 20
    assert changed.mean(axis=(1, 2)).max() > (0 if action == "standing still" else 0.002)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_person_is_in_the_picture_for_most_of_the_time(action):
    for seed in range(6):
        take = plan(action, (seed,), **SMALL)
        pixels, _ = take.camera.project(take.at[: SMALL["frames"]])
        inside = ((pixels >= 0) & (pixels <= SMALL["size"])).all(axis=-1)

        assert inside.mean() > 0.7, seed
        tall = np.ptp(pixels[..., 1])
        assert 0.06 * 80 < tall <= 80, seed


def test_a_seed_decides_everything():
    clip = synthesise("kicking", 5, **SMALL)

    assert digest(clip) == digest(synthesise("kicking", 5, **SMALL))
    assert len({digest(synthesise("kicking", seed, **SMALL)) for seed in range(8)}) == 8


def test_the_stream_is_the_same_in_another_process_and_in_any_order():
    code = """
import hashlib, json
from actionclip.data.synthetic.clips import stream
clips = [stream(7, 2, i, frames=4, size=(64, 48)) for i in (9, 3, 120)]
print(json.dumps([[hashlib.sha256(c.frames.tobytes()).hexdigest(), c.info.action] for c in clips]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    elsewhere = json.loads(done.stdout)
    here = [stream(7, 2, i, frames=4, size=(64, 48)) for i in (120, 3, 9)][::-1]
    assert elsewhere == [[digest(clip), clip.info.action] for clip in here]


def test_an_epoch_shows_every_action_equally_often_and_nothing_twice():
    small = {"frames": 2, "size": (32, 32)}
    names = ["walking", "running", "boxing"]
    clips = [stream(0, epoch, i, actions=names, **small) for epoch in range(2) for i in range(6)]

    assert sorted(clip.info.action for clip in clips[:6]) == sorted(names * 2)
    assert len({digest(clip) for clip in clips}) == 12


@pytest.mark.parametrize(("frames", "size"), [(1, (96, 96)), (3, (33, 47)), (20, (64, 36))])
def test_any_number_of_frames_of_any_size(frames, size):
    for index in range(4):
        clip = stream(1, 0, index, frames=frames, size=size, fps=10.0)
        assert clip.frames.shape == (frames, size[1], size[0], 3)


def test_what_happens_once_is_over_at_the_end_of_a_short_clip():
    """Four frames are enough to see somebody sit down."""
    for seed in range(5):
        take = plan("sitting down", (seed,), frames=4, size=(96, 96), fps=2.0)

        assert take.phase[[0, 3]].tolist() == [0, 1]
        assert take.at[0, 0, 2] > 1.5 * take.at[3, 0, 2]


def test_where_people_go_is_what_is_said():
    said = set()
    for seed in range(40):
        for action in ("walking", "galloping sideways", "walking backwards"):
            take = plan(action, (seed,), **SMALL)
            x, y = take.at[7, 0, :2] - take.at[0, 0, :2]
            said.add(take.info.direction)
            if take.info.direction == "to the left":
                assert x < 0
            elif take.info.direction == "to the right":
                assert x > 0
            elif take.info.direction:
                assert (y > 0) == (take.info.direction == "away from the camera")
    assert {"to the left", "to the right"} < said


def test_an_unknown_action_gets_a_suggestion():
    with pytest.raises(ActionCLIPError, match="Did you mean 'walking'"):
        synthesise("walkin", 0, frames=4)


@pytest.mark.parametrize("action", ACTIONS)
def test_captions_say_what_is_done(action):
    for seed in range(3):
        info = plan(action, (seed,), **SMALL).info
        found = captions(info, np.random.default_rng(seed), count=6)

        assert action in found[0]
        assert len(set(found)) == 6
        for sentence in found:
            assert any(phrase in sentence for phrase in PHRASES[action]), sentence


def test_every_action_has_words_of_its_own():
    assert list(PHRASES) == list(ACTIONS)
    phrases = [phrase for several in PHRASES.values() for phrase in several]
    assert len(set(phrases)) == len(phrases)
    assert all(action == phrases[0] for action, phrases in PHRASES.items())
    assert set(HANDED) <= set(ACTIONS)


def test_captions_tell_pace_way_side_and_view():
    info = ClipInfo("kicking", (0,), "slowly", "to the left", "the back", "left", "park", 4.0)
    found = " | ".join(captions(info, np.random.default_rng(0), count=40))

    for words in ("slowly", "to the left", "with the left foot", "seen from behind"):
        assert words in found
    for words in ("right", "quickly", "hand"):
        assert words not in found


def test_somebody_who_spins_is_seen_from_no_side():
    for seed in range(8):
        info = synthesise("spinning", seed, frames=2, size=(32, 32), fps=4.0).info
        found = " | ".join(captions(info, np.random.default_rng(seed), count=20))
        assert info.view == ""
        assert "seen from" not in found


UPRIGHT = [name for name in ACTIONS if name not in ("spinning", "doing a cartwheel")]


@pytest.mark.parametrize("action", UPRIGHT)
def test_the_side_that_is_seen_at_first_is_the_one_that_is_told(action):
    """To a quarter and what a boxer has a shoulder ahead. Hips in a cartwheel tell nothing."""
    told = ("the right side", "the back", "the left side", "the front")
    for seed in range(12):
        take = plan(action, (seed,), frames=4, size=(32, 32), fps=4.0)
        hips = (take.at[0, JOINTS.index(f"{side}_hip")] for side in ("left", "right"))
        along, away, _ = next(hips) - next(hips)
        facing = np.degrees(np.arctan2(-along, away))
        off = abs((facing - 90 * told.index(take.info.view) + 180) % 360 - 180)
        assert off < 65, (seed, facing, take.info.view)


def test_a_clip_survives_being_written_and_read(tmp_path):
    clip = synthesise("boxing", 1, frames=20, size=(160, 120), clean=True).frames
    path = tmp_path / "boxing.mp4"

    write_clip(path, clip, fps=25.0)

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 25.0
        back = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert back.shape == clip.shape
    assert np.abs(back.astype(int) - clip).mean() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["boxing.mp4"]


@pytest.mark.parametrize(("size", "count", "crf"), [((96, 72), 8, 18), ((320, 240), 20, 23)])
def test_the_same_frames_give_the_same_file(tmp_path, size, count, crf):
    """What x264 does by chance depends on what lay in memory: other things lie there each time."""
    rng = np.random.default_rng(0)
    for seed, action in enumerate(("walking", "boxing", "sitting down", "waving one hand")):
        clip = synthesise(action, seed, frames=count, size=size, fps=8.0).frames
        found, others = set(), []
        for _ in range(6):
            others.append(rng.integers(0, 255, int(rng.integers(1_000, 400_000)), np.uint8))
            write_clip(tmp_path / "clip.mp4", clip, fps=8.0, crf=crf)
            found.add((tmp_path / "clip.mp4").read_bytes())

        assert len(found) == 1, action


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


def test_of_a_cut_action_any_part_is_seen_and_never_little():
    """At its own pace a window of 1.4 s shows a half of bending down: its start, middle or end."""
    takes = [
        plan("bending down", (seed,), frames=12, size=(48, 48), fps=8.0, cut=1.0).phase[:12]
        for seed in range(60)
    ]

    assert any(phase[0] == 0 and phase[-1] < 0.7 for phase in takes), "how it begins"
    assert any(phase[0] > 0.3 and phase[-1] == 1 for phase in takes), "how it ends"
    assert any(phase[0] > 0 and phase[-1] < 1 for phase in takes), "what is between"
    for phase in takes:
        assert np.mean((phase > 0) & (phase < 1)) >= 0.6


def test_people_differ_in_what_they_put_into_it(monkeypatch):
    """From a jog to a sprint, whatever way of running it is."""
    running, styles = ACTIONS["running"], []

    def watched(phase, style):
        styles.append(style)
        return running.pose(phase, style)

    monkeypatch.setitem(ACTIONS, "running", replace(running, pose=watched))
    for seed in range(60):
        plan("running", (seed,), **SMALL)
    effort, variant = np.array([(style.effort, style.variant) for style in styles]).T

    assert effort.min() < 0.1
    assert effort.max() > 0.9
    assert abs(np.corrcoef(effort, variant)[0, 1]) < 0.3
