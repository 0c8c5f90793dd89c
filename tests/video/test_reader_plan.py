"""Plans for reading: whatever the video's structure, what is wanted is decoded, and little else."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actionclip.video.decode.pyav.plan import entry, nearest_entries, plan


@st.composite
def videos(draw):
    """Packets in file order: when each is shown, whether decoding may begin there.

    Groups begin with a keyframe; inside a group the order of showing is any, and an open group has
    some pictures shown before its keyframe.
    """
    shown, keys = [], []
    for size in draw(st.lists(st.integers(1, 9), min_size=1, max_size=8)):
        first = len(shown)
        order = draw(st.permutations(range(1, size)))
        leading = draw(st.integers(0, size - 1)) if first and draw(st.booleans()) else 0
        begin = first + leading  # the keyframe is shown after its leading pictures
        rest = [first + i for i in range(size) if first + i != begin]
        shown += [begin, *(rest[i - 1] for i in order)]
        keys += [True] + [False] * (size - 1)
    return np.array(shown), np.array(keys)


@st.composite
def requests(draw):
    shown, keys = draw(videos())
    wanted = draw(st.lists(st.integers(0, len(shown) - 1), min_size=1, max_size=12))
    return shown, keys, wanted


@given(requests())
def test_every_wanted_packet_is_in_one_stretch(request):
    shown, keys, wanted = request

    planned = [packet for stretch in plan(wanted, shown, keys) for packet in stretch.wanted]

    assert planned == sorted(set(wanted))


@given(requests())
def test_decoding_begins_at_a_keyframe_early_enough_for_every_packet(request):
    shown, keys, wanted = request

    for stretch in plan(wanted, shown, keys):
        assert keys[stretch.start]
        for packet in stretch.wanted:
            # Some keyframe on the way is not later than the packet, neither stored nor shown.
            before = np.flatnonzero(keys[: packet + 1])
            enough = before[shown[before] <= shown[packet]]
            assert not len(enough) or stretch.start <= enough[-1]
            assert stretch.start == 0 or shown[stretch.start] <= shown[packet]


@given(requests())
def test_stretches_do_not_overlap_and_skip_something_in_between(request):
    shown, keys, wanted = request

    stretches = plan(wanted, shown, keys)

    for one, next_one in pairwise(stretches):
        assert next_one.start > one.last + 1


@given(requests())
def test_nothing_is_decoded_that_needs_no_decoding(request):
    """Every packet decoded lies between a wanted one and the keyframe that leads to it."""
    shown, keys, wanted = request
    entries = np.flatnonzero(keys)
    needed = set()
    for packet in wanted:
        needed |= set(range(entry(packet, shown, entries), packet + 1))

    decoded = set()
    for stretch in plan(wanted, shown, keys):
        decoded |= set(range(stretch.start, stretch.last + 1))

    assert decoded == needed


def test_a_leading_picture_needs_the_keyframe_before():
    """I P B B, then an open group: I (shown 6), its leading B 4 and 5, P 7."""
    shown = np.array([0, 3, 1, 2, 6, 4, 5, 7])
    keys = np.array([1, 0, 0, 0, 1, 0, 0, 0], bool)

    starts = {int(shown[p]): plan([p], shown, keys)[0].start for p in range(8)}

    assert starts == {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 4, 7: 4}
    (both,) = plan([4, 5], shown, keys)  # the keyframe and a picture leading it
    assert both.start == 0


@given(requests())
def test_nearest_keyframes_are_keyframes_and_none_is_nearer(request):
    shown, keys, wanted = request
    packets = np.argsort(shown)
    frames = np.array([wanted])

    nearest = nearest_entries(frames, packets, keys)

    entries = np.flatnonzero(keys[packets])
    assert nearest.shape == frames.shape
    assert np.isin(nearest, entries).all()
    distance = np.abs(entries[:, None] - frames).min(axis=0)
    assert (np.abs(nearest - frames)[0] == distance).all()
