"""Windows become moments: by hand, and properties that hold for any windows."""

from hypothesis import given
from hypothesis import strategies as st

from actionclip.inference.search.moments import Hit, Moment, best_moments, moments_of


def hits_of(scores, *, source="a", window=2.0, stride=1.0):
    return [
        Hit(source, number * stride, number * stride + window, score)
        for number, score in enumerate(scores)
    ]


def spans(moments):
    return [(moment.start, moment.end) for moment in moments]


def test_neighbours_that_score_nearly_as_well_become_one_moment():
    moments = moments_of(hits_of([0.1, 0.28, 0.3, 0.29, 0.1, 0.1]), margin=0.05)

    assert spans(moments)[0] == (1, 5)
    assert moments[0].score == 0.3
    assert moments[0].best == 3.0


def test_windows_that_overlap_a_moment_are_not_moments_of_their_own():
    moments = moments_of(hits_of([0.0, 0.1, 0.9, 0.1, 0.0]), margin=0.05)

    assert spans(moments) == [(2, 4), (0, 2), (4, 6)]


def test_a_gap_ends_a_moment():
    hits = [Hit("a", 0, 2, 0.3), Hit("a", 5, 7, 0.3)]

    assert spans(moments_of(hits, margin=0.1)) == [(0, 2), (5, 7)]


def test_windows_that_touch_are_neighbours():
    assert spans(moments_of(hits_of([0.3, 0.3], stride=2.0), margin=0.1)) == [(0, 4)]


def test_videos_are_kept_apart():
    hits = hits_of([0.3, 0.3]) + hits_of([0.2, 0.2], source="b")

    assert [(m.source, m.start, m.end) for m in moments_of(hits, margin=0.05)] == [
        ("a", 0, 3),
        ("b", 0, 3),
    ]


def test_without_merging_every_window_is_an_answer():
    hits = hits_of([0.1, 0.3, 0.2])

    moments = moments_of(hits, margin=0.5, merge=False)

    assert [(m.start, m.score) for m in moments] == [(1, 0.3), (2, 0.2), (0, 0.1)]


some_hits = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.floats(-1, 1)),
    max_size=20,
    unique_by=lambda hit: hit[:2],
).map(lambda rows: [Hit(source, start, start + 2, score) for source, start, score in rows])


@given(hits=some_hits, margin=st.floats(0, 2))
def test_moments_are_disjoint_sorted_and_made_of_windows(hits, margin):
    moments = moments_of(hits, margin=margin)

    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)
    for number, one in enumerate(moments):
        inside = [h for h in hits if h.source == one.source]
        assert one.start in [h.start for h in inside]
        assert one.end in [h.end for h in inside]
        assert one.score in [h.score for h in inside]
        for other in moments[:number]:
            apart = one.start >= other.end - 1e-5 or other.start >= one.end - 1e-5
            assert one.source != other.source or apart


@given(hits=some_hits, margin=st.floats(0, 2), seed=st.randoms())
def test_the_order_of_windows_does_not_matter(hits, margin, seed):
    shuffled = list(hits)
    seed.shuffle(shuffled)

    assert moments_of(shuffled, margin=margin) == moments_of(hits, margin=margin)


@given(hits=some_hits)
def test_the_best_window_is_always_the_first_moment(hits):
    moments = moments_of(hits, margin=0.1)

    assert bool(moments) == bool(hits)
    if hits:
        assert moments[0].score == max(hit.score for hit in hits)


def test_a_moment_as_json_survives_names_that_are_no_text():
    row = Moment("/a/\udcff\n.mp4", 1.23456, 2, 0.5, 1.6).to_json()

    assert "\n" not in row
    assert '"start": 1.235' in row
    assert row.encode()


different = some_hits.filter(lambda hits: len({hit.score for hit in hits}) == len(hits))


@given(
    hits=different,
    margin=st.floats(0, 2),
    limit=st.integers(1, 6),
    top=st.integers(1, 8),
)
def test_the_best_moments_are_those_of_all_windows(hits, margin, limit, top):
    """However few windows are given at once."""

    def nearest(seen):
        others = sorted((h for h in hits if h.source not in seen), key=lambda h: -h.score)
        return others[:limit], len(others) < limit

    def films(sources):
        return [hit for hit in hits if hit.source in sources]

    answer = best_moments(nearest, films, top=top, margin=margin)

    assert answer == moments_of(hits, margin=margin)[:top]
