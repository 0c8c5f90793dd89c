import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sampling import (
    Timeline,
    choose,
    choose_for,
    segment_centres,
    segment_random,
    sliding_windows,
    spaced,
    stretch,
)
from actionclip.video.settings import ReadRequest, Sampling

SEGMENTS = [1, 4, 8, 16, 32]

lengths = st.integers(1, 100_000)
segments = st.integers(1, 64)


@st.composite
def timelines(draw):
    """Even or uneven frame times, not always from zero."""
    gaps = draw(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60))
    start = draw(st.sampled_from([0.0, 0.7, 3600.0]))
    times = start + np.cumsum([0.0, *gaps[:-1]])
    return Timeline(times, float(np.sum(gaps)))


def even(frames, fps=25.0):
    return Timeline(np.arange(frames) / fps, frames / fps)


@pytest.mark.parametrize("segments", SEGMENTS)
def test_segment_centres_agree_with_the_authors_code(golden, segments):
    recorded = golden("sampling")
    for length, expected in zip(recorded["num_frames"], recorded[f"test_S{segments}"], strict=True):
        indices = segment_centres(int(length), segments) + 1  # theirs count from 1
        assert indices.tolist() == expected.tolist(), f"{length} frames"


@pytest.mark.parametrize("segments", SEGMENTS)
def test_segment_random_agrees_with_the_authors_code(golden, segments):
    recorded = golden("sampling")
    for length, expected in zip(
        recorded["num_frames"], recorded[f"train_S{segments}"], strict=True
    ):
        rng = np.random.RandomState(1000 + int(length))
        indices = segment_random(int(length), segments, rng) + 1
        assert indices.tolist() == expected.tolist(), f"{length} frames"


@given(length=lengths, segments=segments, position=st.floats(0, 0.999))
def test_segment_centres_are_ordered_and_inside_the_video(length, segments, position):
    indices = segment_centres(length, segments, position=position)

    assert len(indices) == segments
    assert 0 <= indices[0] <= indices[-1] < length
    assert (np.diff(indices) >= 0).all()


@given(segments=segments, data=st.data())
def test_segment_centres_never_repeat_a_frame_when_there_are_enough(segments, data):
    length = data.draw(st.integers(segments, 100_000))

    assert len(set(segment_centres(length, segments).tolist())) == segments


@given(length=lengths, segments=segments, seed=st.integers(0, 2**32 - 1))
def test_segment_random_takes_one_frame_of_every_part(length, segments, seed):
    indices = segment_random(length, segments, np.random.default_rng(seed))

    if length > segments:
        starts = np.arange(segments + 1) * length // segments
        assert (indices >= starts[:-1]).all()
        assert (indices < starts[1:]).all()
    else:
        assert set(indices.tolist()) == set(range(length))
        assert (np.diff(indices) >= 0).all()
        assert len(indices) == segments


def test_every_window_of_centres_looks_elsewhere_inside_the_parts():
    many = choose(Sampling(frames=4, windows=10), even(400))

    assert (np.diff(many, axis=0) > 0).all()
    assert (many // 100 == np.arange(4)).all()


@given(length=lengths, frames=segments)
def test_one_window_of_centres_is_the_authors_rule(length, frames):
    [row] = choose(Sampling(frames=frames), even(length))

    assert row.tolist() == segment_centres(length, frames).tolist()


@given(
    timeline=timelines(),
    frames=st.integers(1, 20),
    windows=st.integers(1, 5),
    rule=st.sampled_from(["centres", "random", "spaced"]),
)
def test_every_rule_gives_frames_of_the_video_in_order(timeline, frames, windows, rule):
    spacing = 0.3 if rule == "spaced" else None
    sampling = Sampling(rule=rule, frames=frames, windows=windows, spacing=spacing)

    chosen = choose(sampling, timeline, seed=1)

    assert chosen.shape == (windows, frames)
    assert chosen.dtype == np.int64
    assert chosen.min() >= 0
    assert chosen.max() < len(timeline)
    assert (np.diff(chosen, axis=1) >= 0).all()


def test_a_seed_decides_random_frames():
    sampling = Sampling(rule="random", frames=8, windows=2)
    first, again, other = (choose(sampling, even(1000), seed=seed) for seed in (3, 3, 4))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first[0].tolist() != first[1].tolist()


@pytest.mark.parametrize("fps", [24, 25, 30, 30000 / 1001, 60])
def test_spaced_frames_are_one_spacing_apart_at_every_frame_rate(fps):
    timeline = even(600, fps)
    [row] = spaced(timeline, 8, 0.5)

    assert np.abs(np.diff(timeline.times[row]) - 0.5).max() <= 1 / fps + 1e-9


def test_spaced_frames_follow_the_clock_and_not_the_frame_count():
    """Ten frames in the first second, then one a second: five seconds of video."""
    times = np.array([*np.arange(10) / 10, 1.0, 2.0, 3.0, 4.0])

    [row] = spaced(Timeline(times, 5.0), 5, 1.0)

    assert times[row].tolist() == [0.5, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("decimals", [3, 9])
@pytest.mark.parametrize(
    ("fps", "step"), [(8, 1), (10, 1), (15, 2), (24, 3), (25, 3), (30, 4), (50, 6), (60, 8)]
)
def test_spaced_frames_are_whole_frames_apart_where_the_rate_is_steady(fps, step, decimals):
    """Also when the file counts milliseconds, as Matroska does."""
    timeline = Timeline((np.arange(fps * 4) / fps).round(decimals), 4.0)

    chosen = spaced(timeline, 12, 0.125, windows=3)

    assert (np.diff(chosen) == step).all()


def test_a_rate_that_does_not_divide_the_spacing_is_read_by_the_clock():
    """12 frames/s: one frame is 0.083 s and two are 0.167 s, both too far from 0.125 s."""
    [row] = spaced(even(48, 12.0), 8, 0.125)

    assert set(np.diff(row).tolist()) == {1, 2}


def test_frames_that_are_all_shown_at_once_have_no_rate():
    """A file may say of every frame that it begins at the same instant; the last one stays."""
    assert spaced(Timeline(np.zeros(5), 0.2), 4, 0.1).tolist() == [[4, 4, 4, 4]]


@given(timeline=timelines(), windows=st.integers(1, 6), spacing=st.floats(0.01, 3.0))
def test_spaced_shows_the_last_frame_that_has_begun(timeline, windows, spacing):
    shown = np.diff(timeline.times)
    assume(len(shown) < 2 or np.ptp(shown) > 0.25 * shown.mean())  # a rate that is not steady
    chosen = spaced(timeline, 5, spacing, windows=windows)

    room = max(timeline.seconds - 4 * spacing, 0.0)
    for window, row in enumerate(chosen):
        for k, index in enumerate(row):
            wanted = room * (window + 0.5) / windows + k * spacing
            shown = timeline.times - timeline.times[0]
            assert shown[index] <= wanted + 1e-5
            assert index == len(timeline) - 1 or shown[index + 1] > wanted - 1e-5


def test_spaced_repeats_the_last_frame_of_a_short_video():
    assert spaced(even(10, 10.0), 5, 0.4).tolist() == [[0, 4, 8, 9, 9]]


def test_a_picture_is_a_video_of_one_frame():
    picture = Timeline(np.array([0.0]), 0.0)

    for sampling in (Sampling(), Sampling(rule="random"), Sampling(rule="spaced", spacing=1.0)):
        assert choose(sampling, picture).tolist() == [[0] * 8]
    assert sliding_windows(picture, 2.0, 1.0, 3).frames.tolist() == [[0, 0, 0]]


def test_sliding_windows_by_hand():
    """5.5 s at 10 frames/s, windows of 2 s every 2 s: the last one is pulled back to the end."""
    start, end, frames = sliding_windows(even(55, 10.0), 2.0, 2.0, 2)

    assert start.tolist() == [0.0, 2.0, 3.5]
    assert end.tolist() == [2.0, 4.0, 5.5]
    assert frames.tolist() == [[5, 15], [25, 35], [40, 50]]


@given(
    timeline=timelines(),
    window=st.floats(0.1, 20.0),
    share=st.floats(0.1, 1.0),
    frames=st.integers(1, 9),
)
def test_sliding_windows_leave_nothing_out(timeline, window, share, frames):
    start, end, index = sliding_windows(timeline, window, window * share, frames)

    assert start[0] == 0
    assert end[-1] == pytest.approx(timeline.seconds)
    assert (start[1:] <= end[:-1] + 1e-9).all()
    assert index.shape == (len(start), frames)
    assert (np.diff(index, axis=1) >= 0).all()
    assert index.max() < len(timeline)


@pytest.mark.parametrize(("window", "stride"), [(0.0, 1.0), (1.0, 0.0), (1.0, float("nan"))])
def test_windows_without_length_are_refused(window, stride):
    with pytest.raises(ActionCLIPError, match="must be above 0"):
        sliding_windows(even(10), window, stride, 4)


def test_a_header_that_claims_too_little_does_not_hide_frames():
    timeline = Timeline(np.arange(50) / 10, duration=1.0)

    assert timeline.seconds == pytest.approx(4.9)
    assert sliding_windows(timeline, 1.0, 1.0, 2).frames.max() >= 46


def test_a_video_without_frames_is_refused():
    with pytest.raises(ActionCLIPError, match="a video of 0 frames"):
        Timeline(np.array([]), 0.0)
    for rule in (segment_centres, lambda *a: segment_random(*a, np.random.default_rng(0))):
        with pytest.raises(ActionCLIPError, match="a video of 0 frames"):
            rule(0, 4)


@given(
    timeline=timelines(),
    begin=st.floats(0, 0.99),
    length=st.floats(0.01, 1),
    rule=st.sampled_from(["centres", "random", "spaced"]),
    seed=st.none() | st.integers(0, 9),
)
def test_a_stretch_of_a_video_gives_frames_on_screen_within_it(timeline, begin, length, rule, seed):
    start = begin * timeline.seconds
    end = start + length * timeline.seconds
    sampling = Sampling(rule=rule, frames=4, windows=2, spacing=0.1 if rule == "spaced" else None)

    numbers = choose_for(ReadRequest(sampling=sampling, start=start, end=end, seed=seed), timeline)

    shown = timeline.times - timeline.times[0]
    until = np.append(shown[1:], np.inf)
    assert numbers.shape == (2, 4)
    assert (until[numbers] >= start - 1e-5).all()
    assert ((shown[numbers] < end) | (numbers == stretch(timeline, start)[0])).all()


def test_a_stretch_without_ends_is_the_video():
    timeline = even(50)

    assert stretch(timeline) == (0, timeline)


def test_a_stretch_beyond_the_end_is_an_empty_video():
    with pytest.raises(VideoError, match="from 2 s on is beyond its end: it has 2 s") as error:
        choose_for(ReadRequest(start=2.0), even(50))
    assert error.value.code is Outcome.EMPTY


def held(begins):
    """A still picture until `begins`, then 25 frames a second for four seconds: the still one
    written once, and 25 times a second.
    """
    moving = begins + np.arange(100) / 25
    still = np.arange(round(begins * 25)) / 25
    return (
        Timeline(np.append(0.0, moving), begins + 4.0),
        Timeline(np.append(still, moving), begins + 4.0),
    )


def pictures(timeline, numbers, begins):
    """Which moving picture each chosen frame is; -1: the still one."""
    return np.where(timeline.times[numbers] < begins, -1, (timeline.times[numbers] - begins) * 25)


@pytest.mark.parametrize(
    ("start", "spacing"), [(19.5, 0.12), (19.5, 0.2), (19.97, 0.125), (20.0, 0.125), (20.7, 0.125)]
)
def test_a_stretch_counts_its_seconds_from_where_it_begins(start, spacing):
    """Not from where the frame that is on screen there appeared, which may be long before."""
    sampling = Sampling(rule="spaced", frames=12, windows=3, spacing=spacing)
    request = ReadRequest(sampling=sampling, start=start, end=start + 3.5)

    once, often = (
        pictures(timeline, choose_for(request, timeline), 20.0) for timeline in held(20.0)
    )

    np.testing.assert_allclose(once, often, atol=1e-6)
    assert once.max() > 60


def test_a_stretch_is_as_long_as_it_was_asked_for():
    for timeline in held(20.0):
        _, part = stretch(timeline, 19.5, 23.0)
        _, within = stretch(part, 1.0, 2.0)  # from 20.5 to 21.5

        assert part.seconds == pytest.approx(3.5)
        assert pictures(part, part.at(np.array([0.0, 0.4, 0.5, 1.5])), 20.0) == pytest.approx(
            [-1, -1, 0, 25]
        )
        assert within.seconds == pytest.approx(1.0)
        assert pictures(within, within.at(np.array([0.0, 0.5])), 20.0) == pytest.approx(
            [12, 25], abs=1
        )


def test_spaced_windows_begin_anywhere_when_chance_is_asked_for():
    sampling = Sampling(rule="spaced", frames=4, spacing=0.2)
    draws = {seed: choose(sampling, even(250), seed=seed).tolist() for seed in range(20)}

    assert choose(sampling, even(250), seed=3).tolist() == draws[3]
    firsts = [frames[0][0] for frames in draws.values()]
    assert len(set(firsts)) > 15
    assert 0 <= min(firsts) < 60
    assert 160 < max(firsts) <= 235
    assert all(np.diff(frames[0]).tolist() == [5, 5, 5] for frames in draws.values())
