"""What happens when in a film: through `Recognizer.timeline`."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from timelines import timeline_of

import actionclip
from actionclip.encoding.film import FilmEncoder
from actionclip.errors import ActionCLIPError
from actionclip.inference.timeline.segments import Rules, Segment, smooth
from actionclip.video.decode import DecodePool
from actionclip.video.outcomes import VideoError
from actionclip.video.settings import ReadRequest, Sampling
from actionclip.video.sources import find_videos
from film_of_actions import ACTIONS, EACH, shared_film


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return shared_film(tmp_path_factory)


@pytest.fixture(scope="module")
def found(recognizer, film):
    return recognizer.timeline(film, [*ACTIONS, "crawling"])


def test_one_action_after_the_other_is_found(found):
    assert [one.label for one in found.segments] == list(ACTIONS)
    for number, one in enumerate(found.segments):
        assert one.start == pytest.approx(number * EACH, abs=0.8)
        assert one.end == pytest.approx((number + 1) * EACH, abs=0.8)
        assert one.score > 0.5
    assert found.status is actionclip.Outcome.OK
    assert found.seconds == pytest.approx(9.0, abs=0.05)
    assert found.scores.shape == (len(found.times), 4)
    assert found.frames == 72  # eight a second


def test_the_result_is_json_with_stable_keys(found):
    row = json.loads(found.to_json())

    assert set(row) == {
        *("source", "status", "segments", "labels", "seconds", "frames", "window", "stride"),
        *("multi_label", "precision", "notes", "begins"),
    }
    assert set(row["segments"][0]) == {"start", "end", "label", "score"}
    more = found.to_dict(scores=True)
    assert len(more["scores"]) == len(more["times"]) == len(found.times)


def test_what_is_shorter_than_the_least_length_has_its_label(recognizer):
    blink = np.full((3, 64, 64, 3), 99, np.uint8)  # 0.12 s
    found = recognizer.timeline(blink, ["running", "waving one hand"])

    [one] = found.segments
    assert (one.start, one.end) == (0.0, pytest.approx(0.12))
    assert one.score == found.scores.max() > 0.5


def test_labels_change_without_reading_the_film_again(recognizer, film, found):
    watched = recognizer.watch(film)
    film_is_gone = recognizer.timeline(watched, [*ACTIONS, "crawling"])
    other = recognizer.timeline(watched, ["crawling", "waving one hand"], threshold=0.9)

    assert film_is_gone.segments == found.segments
    assert {one.label for one in other.segments} <= {"crawling", "waving one hand"}


def test_with_its_labels_known_a_film_leaves_only_scores(recognizer, film, found, monkeypatch):
    windows, encode = [], FilmEncoder.encode

    def encode_and_tell(self, parts):
        windows.append(encode(self, parts))
        return windows[-1]

    monkeypatch.setattr(FilmEncoder, "encode", encode_and_tell)
    result = recognizer.timeline(film, [*ACTIONS, "crawling"])
    recognizer.watch(film)

    scores, vectors = windows
    assert scores.nbytes == result.scores.size * 4
    assert vectors.nbytes == len(result.times) * 2 * recognizer.model.backbone.embed_dim * 4
    assert result.segments == found.segments


def test_what_is_rejected_leaves_gaps(recognizer, film):
    result = recognizer.timeline(film, [ACTIONS[0], ACTIONS[2]], reject=[ACTIONS[1]])

    assert [one.label for one in result.segments] == [ACTIONS[0], ACTIONS[2]]
    assert result.segments[1].start - result.segments[0].end > 1.5
    assert result.labels == (ACTIONS[0], ACTIONS[2])


def overlapping(result):
    return [
        (before.label, after.label)
        for before, after in itertools.pairwise(result.segments)
        if after.start < before.end
    ]


def test_several_labels_hold_at_once_only_where_asked(recognizer, film):
    watched = recognizer.watch(film)
    rules = Rules(enter=0.1, leave=0.02)

    alone = recognizer.timeline(watched, list(ACTIONS), rules=rules)
    together = recognizer.timeline(watched, list(ACTIONS), rules=rules, multi_label=True)

    assert [one.label for one in alone.segments] == list(ACTIONS)
    assert not overlapping(alone)
    assert overlapping(together)
    assert (alone.multi_label, together.multi_label) == (False, True)


def test_scores_are_those_of_the_windows_smoothed(recognizer, film):
    watched = recognizer.watch(film)

    bare = recognizer.timeline(watched, list(ACTIONS), rules=Rules(smooth=0))
    smoothed = recognizer.timeline(watched, list(ACTIONS), rules=Rules(smooth=1.25))

    expected = smooth(bare.scores, bare.times, 1.25)
    np.testing.assert_allclose(smoothed.scores, expected, atol=1e-12)
    assert np.abs(smoothed.scores - bare.scores).max() > 0.1
    np.testing.assert_allclose(bare.scores.sum(axis=1), 1, atol=1e-5)


def test_a_threshold_nothing_reaches_leaves_nothing(recognizer, film):
    result = recognizer.timeline(film, ["crawling", "kicking", "walking"], threshold=1.0)

    assert result.segments == []
    assert result.status is actionclip.Outcome.OK


def test_a_threshold_of_zero_is_a_threshold(recognizer, film):
    watched = recognizer.watch(film)
    labels = ["crawling", "kicking", "walking"]

    given = recognizer.timeline(watched, labels, threshold=0.0)
    ruled = recognizer.timeline(watched, labels, rules=Rules().entering_at(0.0))

    assert (given.rules.enter, given.rules.leave) == (0, 0)
    assert given.segments == ruled.segments
    assert recognizer.timeline(watched, labels).rules == Rules()


def test_the_order_of_the_labels_changes_nothing(recognizer, film, found):
    labels = ["crawling", *reversed(ACTIONS)]

    for multi_label in (False, True):
        first = recognizer.timeline(film, [*ACTIONS, "crawling"], multi_label=multi_label)
        second = recognizer.timeline(film, labels, multi_label=multi_label)
        assert [s[:3] for s in second.segments] == [s[:3] for s in first.segments]
        np.testing.assert_allclose(second.scores[:, ::-1][:, :3], first.scores[:, :3], atol=1e-5)


def test_frames_in_memory_are_a_film_too(recognizer):
    frames = np.random.default_rng(0).integers(0, 256, (100, 90, 120, 3), np.uint8)

    result = recognizer.timeline(frames, ["walking", "running"], stride=1.0)

    assert result.source == "frames in memory"
    assert result.seconds == 4.0


def test_a_film_that_cannot_be_read_is_a_result(recognizer, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no film")

    result = recognizer.timeline(bad, ["walking", "running"])

    assert result.segments == []
    assert result.seconds is None
    assert result.to_dict()["error"]["code"] == "unreadable"
    with pytest.raises(VideoError):
        result.raise_for_status()


def test_a_damaged_film_is_judged_by_what_decodes(recognizer, film, tmp_path):
    data = bytearray(film.read_bytes())
    half, end = len(data) // 2, len(data) * 3 // 4
    data[half:end] = np.random.default_rng(0).bytes(end - half)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)

    result = recognizer.timeline(path, list(ACTIONS))

    assert result.status is actionclip.Outcome.DEGRADED
    assert result.segments[0].label == ACTIONS[0]
    assert result.to_dict()["error"]["code"] == "degraded"


def test_progress_is_told(recognizer, film):
    told = []

    recognizer.timeline(film, list(ACTIONS), seen=lambda at, of: told.append((at, of)))

    assert told[-1][0] == pytest.approx(9.0, abs=0.1)
    assert [of for _, of in told] == pytest.approx([9.0] * len(told))


def test_options_that_make_no_sense_are_refused_before_the_film_is_read(recognizer, tmp_path):
    missing = tmp_path / "missing.mp4"
    for options in ({"window": 0}, {"stride": -1.0}, {"labels": []}, {"threshold": 2.0}):
        with pytest.raises(ActionCLIPError):
            recognizer.timeline(missing, **{"labels": ["walking", "running"], **options})


def test_rules_decide_what_is_a_segment(recognizer, film):
    watched = recognizer.watch(film)

    long = recognizer.timeline(watched, list(ACTIONS), rules=Rules(min_length=60))

    assert long.segments == []
    assert long.rules.min_length == 60


def test_a_segment_is_explained_by_the_window_where_it_scores_most(recognizer, film, found):
    for segment in found.segments:
        start, end = found.peak(segment)
        why = recognizer.explain(film, ACTIONS, label=segment.label, between=(start, end))
        [alone] = recognizer.results([cut_out(film, start, end)], ACTIONS, windows=2, top_k=None)
        column = found.labels.index(segment.label)
        window = np.abs(found.times - (start + end) / 2).argmin()
        inside = (found.times >= segment.start) & (found.times <= segment.end)

        assert end - start == pytest.approx(found.window)
        assert found.scores[window, column] == found.scores[inside, column].max()
        assert why.label == segment.label
        assert all(start - 0.01 <= frame.time <= end + 0.01 for frame in why.frames)
        assert why.frames[-1].time - why.frames[0].time > 1.7  # 1.4 in one window of the model
        labels, scores = zip(*((one.label, one.score) for one in why.answer), strict=True)
        assert labels == tuple(one.label for one in alone.scores)
        # Not to the last bit: how many frames are encoded at once decides how sums are rounded.
        assert scores == pytest.approx([one.score for one in alone.scores], rel=5e-6)


def test_the_peak_of_a_segment_lies_in_it():
    first, later = Segment(0.0, 3.0, "jump", 0.5), Segment(5.0, 9.0, "jump", 0.8)
    short = Segment(4.1, 4.2, "run", 0.3)
    result = timeline_of(
        [first, later, short],
        times=np.arange(1.0, 10.0),
        scores=np.array([[4, 6, 5, 0, 7, 9, 8, 7, 6], [0, 0, 0, 3, 9, 0, 0, 0, 0]]).T / 10,
        seconds=9.5,
    )

    assert result.peak(first) == (1.0, 3.0)
    assert result.peak(later) == (5.0, 7.0)
    assert result.peak(short) == (3.0, 5.0)  # shorter than from window to window
    assert result.peak(Segment(8.5, 9.5, "jump", 0.6)) == (8.0, 9.5)  # not beyond the end


def test_frames_in_memory_are_explained_in_part(recognizer, film):
    with DecodePool(1) as pool:
        clip = pool.read(find_videos([film])[0], ReadRequest(sampling=Sampling(frames=225)))
    frames = clip.frames[clip.index[0]]
    why = recognizer.explain(frames, ACTIONS, between=(6.5, 8.5), maps="none")

    assert why.label == ACTIONS[2]
    assert all(6.5 <= frame.time <= 8.5 for frame in why.frames)


@pytest.mark.parametrize("between", [(2.0, 2.0), (3.0, 1.0), (-1.0, 2.0), (0.0, float("nan"))])
def test_a_part_must_end_after_it_begins(recognizer, film, between):
    for windows in (None, 2):
        with pytest.raises(ActionCLIPError, match="ends after it begins"):
            recognizer.explain(film, ACTIONS, between=between, windows=windows)


def test_a_part_beyond_the_end_has_no_frames(recognizer, film):
    with pytest.raises(VideoError, match=r"beyond its end.*Begin the clip earlier"):
        recognizer.explain(film, ACTIONS, between=(60.0, 62.0))


def cut_out(film, start, end):
    """A stretch of a film as a video."""
    return dataclasses.replace(find_videos([film])[0], start=start, end=end)
