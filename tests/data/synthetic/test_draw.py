from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from actionclip.data.synthetic.draw.camera import Camera, Framing, aim
from actionclip.data.synthetic.draw.lens import Lens, expose
from actionclip.data.synthetic.draw.paint import Light, Parts, paint, paint_shadow
from actionclip.data.synthetic.draw.scenery import SCENES, behind

ONE = np.zeros(1)


def camera(frames=1, size=40, **changes):
    still = np.zeros(frames)
    made = Camera(
        width=size, height=size, focal=20.0, distance=1.0, above=0.0, horizon=size / 2,
        middle=size / 2, pan=still, rise=still,
    )  # fmt: skip
    return replace(made, **changes)


def ball(y, radius, colour, frames=1):
    at = np.tile([0.0, y, 0.0], (frames, 1))
    parts = Parts()
    parts.add(at, at + np.array([0, 0, 0.1]), radius, radius, colour)
    return parts


def test_nearer_parts_hide_farther_ones():
    canvas = np.zeros((1, 3, 40, 40), np.float32)
    parts = ball(0.0, 0.3, (255, 0, 0))
    far = np.array([[0.0, 1.0, 0.0]])
    parts.add(far, far + np.array([0, 0, 0.1]), 0.8, 0.8, (0, 255, 0))

    paint(canvas, parts, camera(), Light())

    assert canvas[0, 0, 20, 20] > 100 > canvas[0, 1, 20, 20]
    assert canvas[0, 1, 28, 20] > 80 > canvas[0, 0, 28, 20]
    assert canvas[0, :, 2, 2].max() == 0


def test_a_ball_is_round_lit_from_its_side_and_as_large_as_it_should_be():
    canvas = np.zeros((1, 3, 80, 80), np.float32)
    parts = Parts()
    at = np.zeros((1, 3))
    parts.add(at, at + 1e-4, 1.0, 1.0, (200, 200, 200), ball=True)

    paint(canvas, parts, camera(size=80), Light(direction=(-0.6, -0.6, 0.5)))

    gray = canvas[0, 0]
    covered = (gray > 60).sum()
    assert covered == pytest.approx(np.pi * 20**2, rel=0.05)
    assert gray[30, 30] > 1.2 * gray[50, 50]


def test_parts_outside_the_picture_and_halfway_out_are_no_trouble():
    for column in (-5.0, -1.1, 0.0, 0.99, 1.05, 7.0):
        canvas = np.zeros((1, 3, 40, 40), np.float32)
        parts = Parts()
        at = np.array([[column, 0.0, 0.0]])
        parts.add(at, at + np.array([0, 0, 3.0]), 0.2, 0.1, (255, 255, 255))

        paint(canvas, parts, camera(), Light())

        assert (canvas.max() > 50) == (abs(column) < 1.19)


def test_what_moves_while_the_shutter_is_open_is_smeared():
    sharp, smeared = (np.zeros((1, 3, 40, 40), np.float32) for _ in range(2))
    now = ball(0.0, 0.25, (255, 255, 255))
    then = Parts(**vars(now))
    then.ends = [now.ends[0] + (0.5, 0, 0)]

    paint(sharp, now, camera(), Light())
    paint(smeared, now, camera(), Light(), then)

    assert smeared.max() < sharp.max()
    assert (smeared > 5).sum() > 1.4 * (sharp > 5).sum()


def test_shadows_darken_the_floor_and_a_grey_sky_casts_none():
    lit = camera(above=1.0, elevation=20.0, distance=6.0, focal=60.0)
    parts = ball(0.0, 0.9, (255, 255, 255))
    cloudy, sunny = (np.full((1, 3, 40, 40), 200, np.float32) for _ in range(2))

    paint_shadow(cloudy, parts, lit, Light(shadow=0.0))
    paint_shadow(sunny, parts, lit, Light(shadow=0.4))

    assert cloudy.min() == 200
    assert 119 < sunny.min() < 130
    assert np.abs(np.diff(sunny)).max() < 0.6 * (200 - sunny.min())  # its edges are soft
    assert (sunny == 200).mean() > 0.2


@pytest.mark.parametrize("moved", [-22, -12, 10, 18])
def test_a_shadow_lies_where_its_person_stands_however_much_of_it_is_in_the_picture(moved):
    lit = camera(above=1.0, elevation=20.0, distance=6.0, focal=60.0)
    middle, aside = (np.full((1, 3, 40, 40), 200, np.float32) for _ in range(2))

    paint_shadow(middle, ball(0.0, 0.9, (255, 255, 255)), lit, Light())
    there = replace(lit, middle=lit.middle + moved)
    paint_shadow(aside, ball(0.0, 0.9, (255, 255, 255)), there, Light())

    # The outermost columns are blurred with themselves instead of what is outside.
    seen = slice(max(moved, 0) + 3, 40 + min(moved, 0) - 3)
    before = slice(seen.start - moved, seen.stop - moved)
    np.testing.assert_array_equal(aside[..., seen], middle[..., before])
    assert aside[..., seen].min() < 150


def test_a_picture_of_odd_sides_has_the_shadows_of_a_larger_one():
    lit = camera(above=1.0, elevation=20.0, distance=6.0, focal=60.0, middle=38.0)
    even, odd = (np.full((1, 3, side, side), 200, np.float32) for side in (42, 41))

    for canvas in (even, odd):
        paint_shadow(canvas, ball(0.0, 0.9, (255, 255, 255)), lit, Light())

    assert even[..., -2].min() < 150
    np.testing.assert_array_equal(odd, even[..., :41, :41])


def test_a_raised_camera_sees_the_floor_from_above():
    level = camera(above=1.0, distance=5.0, focal=100.0)
    near, far = np.array([[[0.0, -1.0, 0.0]]]), np.array([[[0.0, 3.0, 0.0]]])

    def rows(one):
        return one.project(near)[0][0, 0, 1] - one.project(far)[0][0, 0, 1]

    assert rows(replace(level, elevation=30.0)) > 2 * rows(level) > 0


@pytest.mark.parametrize("follow", [0.0, 1.0])
def test_a_camera_that_follows_keeps_who_walks_in_one_place(follow):
    at = np.zeros((5, 2, 3))
    at[..., 0] += np.linspace(-2, 2, 5)[:, None]
    at[:, 1, 2] = 1.7
    framing = Framing(0.5, 6.0, 1.4, 0.0, follow, 1.0, 0.0, 0.5, 0.5)

    seen = aim(at, 1.7, (200, 100), framing, np.zeros((2, 5)))
    pixels, _ = seen.project(at)

    assert (pixels > 0).all()
    assert (pixels < (200, 100)).all()
    assert (np.ptp(pixels[..., 0]) < 1) == (follow == 1)


@pytest.mark.parametrize("scene", SCENES)
def test_places_differ_fill_the_picture_and_go_along_with_the_camera(scene):
    turned = replace(camera(3, 48), above=1.4, distance=6.0, pan=np.array([0.0, 0.5, 6.0]))

    def picture(seed):
        return behind(turned, 0.5, scene, np.random.default_rng(seed), frames=3)

    frames = picture(1)
    assert frames.shape == (3, 3, 48, 48)
    assert frames.min() >= 0
    assert frames.max() <= 255
    np.testing.assert_allclose(frames[0, :, :, 6:], frames[2, :, :, :-6], atol=1e-3)
    halfway = frames[0, :, :, :2].mean(axis=-1)
    assert np.abs(frames[1, :, :, 0] - halfway).mean() < 2
    assert np.abs(picture(2) - frames).mean() > 1
    np.testing.assert_array_equal(picture(1), frames)


@pytest.mark.parametrize("way", ["pan", "rise"])
def test_a_place_moves_by_parts_of_a_pixel(way):
    turned = replace(camera(13, 48), above=1.4, distance=6.0, **{way: np.linspace(0, 3, 13)})

    frames = behind(turned, 0.5, "street", np.random.default_rng(3), frames=13)

    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 0.4 * steps.max() > 0


def test_a_camera_that_turns_round_sees_the_place_mirrored_and_then_again():
    wide = int(1.5 * 48)  # a backdrop
    pans = np.linspace(0, 2 * wide, 2 * wide + 1)
    turned = replace(camera(len(pans), 48), above=1.4, distance=6.0, pan=pans)

    frames = behind(turned, 0.5, "street", np.random.default_rng(3), frames=len(pans))

    np.testing.assert_allclose(frames[0], frames[-1], atol=1e-3)
    for one, other in pairwise(frames):
        np.testing.assert_allclose(one[..., 1:], other[..., :-1], atol=1e-3)
    strip = np.concatenate([frames[0], *frames[1:, ..., -1:]], axis=-1)[0]
    once = strip[:, : 2 * wide]
    mirrored = [np.abs(np.roll(once[:, ::-1], by, axis=1) - once).mean() for by in range(2 * wide)]
    assert min(mirrored) < 0.2 * np.median(mirrored)


@pytest.mark.parametrize(("frames", "height"), [(3, 48), (3, 25_008)])
def test_a_recorder_keeps_colours_and_the_order_of_frames(frames, height):
    colours = np.array([(200, 120, 40), (40, 200, 120), (120, 40, 200)], np.float32)
    scene = np.tile(colours[:, :, None, None], (1, 1, height, 16))

    for recorder in (Lens(grain=0.0, quality=90), Lens(grain=0.0, defocus=0.5)):
        taken = expose(scene.copy(), recorder, np.random.default_rng(0)).astype(int)

        assert taken.shape == (frames, height, 16, 3)
        assert np.abs(taken[:, 2:-2] - colours[:, None, None]).max() <= 4


def test_a_lens_darkens_greys_blurs_and_compresses():
    rng = np.random.default_rng(0)
    scene = np.repeat(rng.uniform(60, 200, (1, 3, 32, 32)).astype(np.float32), 2, axis=0)

    def taken(**settings):
        return expose(scene.copy(), Lens(**{"grain": 0.0, **settings}), rng).astype(int)

    plain = taken()
    np.testing.assert_array_equal(plain, scene.astype(np.uint8).transpose(0, 2, 3, 1))
    assert taken(gain=(0.5, 0.5, 0.5)).mean() == pytest.approx(plain.mean() / 2, abs=1)
    assert np.ptp(taken(saturation=0.0), axis=-1).max() <= 1
    assert taken(contrast=0.5).std() < 0.6 * plain.std()
    assert taken(defocus=1.0).std() < 0.6 * plain.std()
    assert 2 < np.abs(taken(quality=20) - plain).mean() < 60
    noisy = taken(grain=6.0) - plain
    assert noisy.std() == pytest.approx(6, rel=0.15)
    assert np.abs(noisy[0] - noisy[1]).mean() > 3
    assert np.ptp(taken(flicker=0.1).mean(axis=(1, 2, 3))) > 1
