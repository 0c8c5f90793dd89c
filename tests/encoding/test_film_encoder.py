"""Windows over a film: the vectors of encoding each window by itself, with each frame seen once."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.encoding.film import (
    NEIGHBOURS,
    WHOLE_WINDOWS,
    FilmEncoder,
    encode_film,
)
from actionclip.encoding.grid import Grid, Places
from actionclip.errors import ActionCLIPError
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.towers.motion import motion_input
from actionclip.video.film.part import Part, failed
from actionclip.video.film.session import film_of_array
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Preprocess, Resize, Sampling
from actionclip.video.transforms import to_input
from model.small_model import small_model

SPACED = Sampling(rule="spaced", frames=4, spacing=0.12)
PREPROCESS = Preprocess(size=16, resize=Resize(size=18))


def array(frames, height=30, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def config(sampling):
    return ModelConfig(backbone=BackboneConfig(name="x", architecture={}), sampling=sampling)


def watched(model, video, *, window, stride, sampling=None, preprocess=PREPROCESS, points=7):
    """The windows of frames in memory, read in small parts; and the encoder."""
    grid = Grid.of(config(sampling or Sampling(frames=4)), window=window, stride=stride)
    request = grid.request(preprocess)
    object.__setattr__(request, "points", points)
    encoder = FilmEncoder(model, grid, preprocess)
    return encoder.encode(film_of_array(video, request)), encoder


def one_by_one(model, video, windows, preprocess=PREPROCESS):
    """Each window by itself, from the frames on screen at its points."""
    found = []
    for start in windows.start:
        points = start + (np.arange(4) + 0.5) * (windows.end[0] - windows.start[0]) / 4
        numbers = (points * 25 + 1e-6).astype(int).clip(max=len(video) - 1)
        [part] = film_of_array(video[numbers], _all(preprocess))
        pixels = to_input(part.frames[part.index][None], preprocess)
        with torch.inference_mode():
            found.append(model.encode_video(pixels))
    return torch.stack(found)


def _all(preprocess):
    from actionclip.video.settings import GridRequest

    return GridRequest(spacing=0.04, resize=preprocess.resize)


@pytest.mark.parametrize("prompts", [{"post": "transf"}, {"pre": "joint"}, {"inner": "shift"}])
@pytest.mark.parametrize("crops", [1, 3])
def test_windows_are_as_if_each_were_encoded_by_itself(prompts, crops):
    model = small_model(**prompts)
    preprocess = Preprocess(size=16, resize=Resize(size=18), crops=crops)
    video = array(100)

    windows, _ = watched(model, video, window=0.96, stride=0.24, preprocess=preprocess)

    assert len(windows.start) == 14
    assert windows.vectors.shape == (14, crops, 16)
    expected = one_by_one(model, video, windows, preprocess)
    torch.testing.assert_close(windows.vectors, expected, rtol=1e-5, atol=1e-5)
    assert (WHOLE_WINDOWS in windows.notes) == model.sees_window


def test_every_frame_goes_through_the_tower_once():
    model = small_model(post="transf")
    seen = []
    model.backbone.visual.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))

    windows, encoder = watched(model, array(250), window=0.96, stride=0.12)

    assert sum(seen) == encoder.encoded == windows.frames == len(np.arange(0.06, 10, 0.12))
    assert len(windows.start) == 76


@pytest.mark.parametrize("points", [1, 5, 64])
def test_how_the_film_is_cut_into_parts_changes_nothing(points):
    model = small_model(post="transf")
    model.backbone.motion = True
    video = array(120)

    one, _ = watched(model, video, window=1.0, stride=0.3, sampling=SPACED, points=points)
    other, _ = watched(model, video, window=1.0, stride=0.3, sampling=SPACED, points=1000)

    torch.testing.assert_close(one.vectors, other.vectors, rtol=1e-5, atol=1e-5)
    assert np.array_equal(one.start, other.start)


def test_a_tower_that_sees_change_gets_the_real_neighbours_and_each_frame_once():
    """The vectors are those of one long stretch: inside windows exactly what a clip has."""
    model = small_model(post="meanp")
    model.backbone.motion = True
    video = array(90)
    seen = []
    model.backbone.visual.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    windows, _ = watched(model, video, window=0.48, stride=0.12, sampling=SPACED)

    shown = torch.cat(seen)
    assert len(shown) == 30
    pixels = to_input(resized(video[1::3])[None], PREPROCESS)
    torch.testing.assert_close(shown, motion_input(pixels)[0], rtol=1e-5, atol=1e-5)
    assert NEIGHBOURS in windows.notes


@pytest.mark.parametrize("motion", [False, True])
@pytest.mark.parametrize("points", [3, 64])
def test_a_picture_that_stays_is_encoded_once(motion, points):
    model = small_model(post="transf")
    model.backbone.motion = motion
    slides = array(5)[np.repeat(np.arange(5), [300, 1, 2, 90, 200])]

    windows, _ = watched(model, slides, window=0.48, stride=0.12, sampling=SPACED, points=points)

    # With neighbours: a slide's first, its last, and all between them.
    assert windows.frames <= (15 if motion else 5)
    assert len(windows.start) > 180


def test_slides_have_the_vectors_that_frames_one_by_one_have():
    model = small_model(post="transf")
    slides = array(4)[np.repeat(np.arange(4), [60, 40, 1, 50])]

    windows, _ = watched(model, slides, window=0.96, stride=0.24)

    expected = one_by_one(model, slides, windows)
    torch.testing.assert_close(windows.vectors, expected, rtol=1e-5, atol=1e-5)


def test_slides_are_compared_with_the_neighbours_they_have():
    model = small_model(post="meanp")
    model.backbone.motion = True
    slides = array(3)[np.repeat(np.arange(3), [33, 3, 36])]

    windows, _ = watched(model, slides, window=0.48, stride=0.12, sampling=SPACED)

    pixels = to_input(resized(slides[1::3])[None], PREPROCESS)
    with torch.inference_mode():
        frames = model.backbone.encode_images(motion_input(pixels)[0])
        expected = [model.fuse(frames[n : n + 4][None])[0] for n in range(len(windows.start))]
    torch.testing.assert_close(windows.vectors[:, 0], torch.stack(expected), rtol=1e-5, atol=1e-5)


def resized(video):
    [part] = film_of_array(video, _all(PREPROCESS))
    return part.frames[part.index]


def test_neighbours_stay_as_far_apart_as_the_model_has_them_where_windows_are_dense():
    model = small_model(post="meanp")
    model.backbone.motion = True
    video = array(60)

    sparse, _ = watched(model, video, window=0.48, stride=0.12, sampling=SPACED)
    # A grid three times as dense stands one frame earlier in its cells.
    dense, _ = watched(model, video[1:], window=0.48, stride=0.04, sampling=SPACED)

    assert len(dense.start) > 2.5 * len(sparse.start)
    found = {round(s, 6): v for s, v in zip(dense.start, dense.vectors, strict=True)}
    inner = [k for k, start in enumerate(sparse.start) if 0.1 < start < 1.7]
    assert len(inner) > 10
    for k in inner:
        vector = found[round(sparse.start[k], 6)]
        torch.testing.assert_close(vector, sparse.vectors[k], rtol=1e-4, atol=1e-4)


def test_a_window_longer_than_the_model_sees_has_several_views():
    model = small_model(post="transf")

    windows, _ = watched(model, array(100), window=1.2, stride=0.48, sampling=SPACED)

    assert windows.vectors.shape[1] == 3
    short, _ = watched(model, array(100), window=0.48, stride=0.12, sampling=SPACED)
    by_start = {round(s, 6): v[0] for s, v in zip(short.start, short.vectors, strict=True)}
    for start, views in zip(windows.start, windows.vectors, strict=True):
        for view, offset in zip(views, (0, 0.36, 0.72), strict=True):
            torch.testing.assert_close(view, by_start[round(start + offset, 6)])


@pytest.mark.parametrize("prompts", [{"post": "transf"}, {"pre": "joint"}, {"inner": "shift"}])
@pytest.mark.parametrize("length", [1, 3, 13, 25, 49])
@pytest.mark.parametrize("stride", [0.05, 1.0])
def test_frames_are_spread_over_all_of_a_film_that_is_shorter_than_its_window(
    prompts, length, stride
):
    """By models that have no spacing: the middles of equal parts of the film."""
    model, video = small_model(**prompts), array(length)
    numbers = ((np.arange(4) + 0.5) * length / 4 + 1e-6).astype(int)
    grid = Grid.of(config(Sampling(frames=4)), window=2.0, stride=stride)
    read = partial(film_of_array, video)
    [part] = film_of_array(video[numbers], _all(PREPROCESS))

    windows = encode_film(model, grid, PREPROCESS, read(grid.request(PREPROCESS)), read)

    with torch.inference_mode():
        alone = model.encode_video(to_input(part.frames[part.index][None], PREPROCESS))
    torch.testing.assert_close(windows.vectors[0], alone, rtol=0, atol=1e-5)
    assert (windows.start.tolist(), windows.end.tolist()) == ([0.0], [pytest.approx(length / 25)])


def test_a_film_that_fills_its_window_is_read_once():
    def again(request):
        raise AssertionError("it was read twice")

    for sampling, length in ((Sampling(frames=4), 50), (SPACED, 5)):
        grid = Grid.of(config(sampling), window=2.0, stride=0.5)
        parts = film_of_array(array(length), grid.request(PREPROCESS))
        encode_film(small_model(), grid, PREPROCESS, parts, again)


def test_a_film_that_is_gone_before_it_is_read_again_keeps_what_was_found():
    grid = Grid.of(config(Sampling(frames=4)), window=2.0, stride=0.5)
    parts = film_of_array(array(25), grid.request(PREPROCESS))
    gone = failed(Outcome.UNREADABLE, "It is gone.")

    windows = encode_film(small_model(), grid, PREPROCESS, parts, lambda request: iter([gone]))

    assert windows.ending.status is Outcome.OK
    assert len(windows.vectors) == 1


def test_a_window_shorter_than_the_model_sees_is_made_longer_and_said():
    grid = Grid.of(config(SPACED), window=0.2, stride=0.1)

    assert grid.window == pytest.approx(0.48)
    assert "sees 0.48 s at a time" in grid.notes[0]


@given(
    st.floats(0.1, 5), st.floats(0.05, 3), st.integers(1, 400), st.sampled_from([None, 0.12, 0.2])
)
def test_windows_cover_the_film_and_are_where_they_should_be(window, stride, points, spacing):
    sampling = Sampling(frames=4) if spacing is None else SPACED
    grid = Grid.of(config(sampling), window=window, stride=stride)
    places = Places(grid, grid.spacing)

    assert abs(places.start(7) * grid.spacing - 7 * stride) <= grid.spacing / 2 + 1e-9
    inside = places.of(np.array([0]))[0]
    assert inside.min() == 0
    assert inside.max() == places.length - grid.every
    assert (np.diff(inside, axis=1) == grid.every).all()
    assert grid.every * grid.spacing == pytest.approx((spacing and 0.12) or window / 4)
    assert places.length * grid.spacing == pytest.approx(grid.window, abs=grid.spacing * 1.01)
    assert points > 0


def test_no_two_windows_begin_together_where_whole_frames_are_longer_than_the_stride():
    grid = Grid.of(config(SPACED), window=0.48, stride=0.12)

    places = Places(grid, 4 / 30)

    assert (np.diff([places.start(k) for k in range(100)]) > 0).all()


@pytest.mark.parametrize("frames", [1, 3, 11, 12, 13])
def test_a_film_shorter_than_a_window_is_one_window(frames):
    for prompts in ({"post": "transf"}, {"inner": "shift"}):
        windows, _ = watched(small_model(**prompts), array(frames), window=0.64, stride=0.32)

        assert windows.start.tolist() == [0.0]
        assert windows.end[0] == pytest.approx(frames / 25)
        assert windows.vectors.norm(dim=-1).tolist() == [[pytest.approx(1.0, abs=1e-5)]]


@pytest.mark.parametrize("prompts", [{"post": "transf"}, {"inner": "shift"}])
def test_a_window_longer_than_the_film_is_all_of_it_and_not_its_last_frame(prompts):
    model, video = small_model(**prompts), array(60)

    long, _ = watched(model, video, window=9.6, stride=0.48, sampling=SPACED)
    fitting, _ = watched(model, video, window=2.4, stride=0.48, sampling=SPACED)

    assert long.vectors.shape == (1, 5, 16)
    torch.testing.assert_close(long.vectors, fitting.vectors)
    assert (long.start.tolist(), long.end.tolist()) == ([0.0], [pytest.approx(2.4)])


@pytest.mark.parametrize("kind", ["alone", "motion", "window"])
def test_what_is_kept_does_not_grow_with_the_film(kind):
    model = small_model(**({"inner": "shift"} if kind == "window" else {"post": "transf"}))
    model.backbone.motion = kind == "motion"
    grid = Grid.of(config(SPACED), window=0.96, stride=0.24)
    encoder = FilmEncoder(model, grid, PREPROCESS)
    rows = []

    def parts():
        request = grid.request(PREPROCESS)
        object.__setattr__(request, "points", 5)
        for part in film_of_array(array(600), request):
            yield part
            rows.append([0 if k.rows is None else len(k.rows) for k in kept(encoder)])

    windows = encoder.encode(parts())

    assert windows.frames >= 200
    assert max(map(sum, rows)) <= 8 + 5 + 5  # a window, a part, and neighbours
    assert len(rows) == 39


@pytest.mark.parametrize("frames", [120, 0])
def test_with_a_look_only_what_it_makes_of_a_window_is_kept(frames):
    model = small_model(post="transf")
    grid = Grid.of(config(SPACED), window=1.0, stride=0.3)
    request = grid.request(PREPROCESS)
    object.__setattr__(request, "points", 16)
    parts = list(film_of_array(array(120), request))
    if not frames:
        parts = [failed(Outcome.EMPTY, "nothing", spacing=parts[0].spacing)]
    weights = torch.randn(16, 3)

    def look(vectors):
        return vectors.mean(dim=1) @ weights

    whole = FilmEncoder(model, grid, PREPROCESS).encode(iter(parts))
    short = FilmEncoder(model, grid, PREPROCESS, look).encode(iter(parts))

    assert short.vectors.shape == (len(short.start), 3)
    assert torch.equal(short.vectors, whole.each(look))  # to the bit: the same windows at a time
    assert (whole.nbytes, short.nbytes) == (whole.vectors.nbytes, short.vectors.nbytes)
    assert len(short.made) > 1 or not frames
    for windows in (whole, short):  # together, and nothing beside it
        memories = {s.data_ptr(): s for s in (some.untyped_storage() for some in windows.made)}
        assert len(memories) == 1
        assert sum(s.nbytes() for s in memories.values()) == windows.nbytes


def kept(encoder):
    return encoder._kept, encoder._near


def test_the_last_window_ends_where_the_film_does():
    windows, _ = watched(small_model(), array(101), window=0.64, stride=0.5)

    assert windows.end[-1] == windows.seconds == pytest.approx(101 / 25)
    assert (np.diff(windows.start) > 0).all()


def test_a_film_without_frames_has_no_windows():
    grid = Grid.of(config(SPACED), window=1.0, stride=0.5)
    encoder = FilmEncoder(small_model(), grid, PREPROCESS)

    windows = encoder.encode(iter([failed(Outcome.UNREADABLE, "It is no video.")]))

    assert windows.vectors.shape == (0, 1, 16)
    assert windows.seconds == 0
    assert windows.ending.message == "It is no video."


def test_what_was_read_before_a_film_broke_off_counts():
    model, grid = small_model(post="transf"), Grid.of(config(SPACED), window=0.48, stride=0.12)
    [part] = film_of_array(array(60), grid.request(PREPROCESS))
    before = Part(part.frames, part.index, part.spacing, 100.0)
    broken = failed(Outcome.DEGRADED, "After 2.4 s: it died.", spacing=part.spacing)

    windows = FilmEncoder(model, grid, PREPROCESS).encode(iter([before, broken]))

    assert windows.seconds == pytest.approx(2.4)
    assert len(windows.start) == 17


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_windows_of_no_length_are_refused(window, stride):
    with pytest.raises(ActionCLIPError):
        Grid.of(config(SPACED), window=float(window), stride=float(stride))


@pytest.mark.parametrize("seconds", [1e-9, 1e9, float("inf")])
def test_windows_that_would_fill_the_memory_are_refused(seconds):
    for sizes in ({"window": seconds, "stride": 1.0}, {"window": 1.0, "stride": seconds}):
        with pytest.raises(ActionCLIPError, match="to a day"):
            Grid.of(config(SPACED), **sizes)
