"""Damaged videos by the hundred: each ends in exactly one way, and the parent notices nothing."""

import collections
import resource
import time

import pytest
from mutants import MUTATORS, SEEDS, make_seeds, mutants

from actionclip.video.decode import DecodePool
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

REQUEST = ReadRequest(sampling=Sampling(frames=4, windows=2), resize=Resize(mode="squash", size=32))
LIMITS = Limits(seconds=8.0, seconds_per_frame=0.25, memory=2**30)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def campaign(seeds, folder, count, start=0):
    """Read `count` mutants. What dies or hangs is kept in `folder`, for whoever looks into it."""

    def sources():
        for name, data in mutants(seeds, count, start=start):
            path = folder / name
            path.write_bytes(data)
            yield Source(name, path)

    clips = []
    with DecodePool(2, LIMITS) as pool:
        for clip in pool.read_all(sources(), REQUEST):
            clips.append((clip.source.name, clip.status, clip.message))
            check(clip)
            if clip.status not in (Outcome.CRASHED, Outcome.TIMEOUT):
                clip.source.path.unlink()
    return clips


def check(clip):
    """What holds for every clip, however it ended."""
    assert clip.status in Outcome
    assert bool(clip.message) == (clip.status is not Outcome.OK)
    assert clip.status.usable == (clip.frames is not None)
    if clip.status.usable:
        assert clip.windows().shape == (2, 4, 32, 32, 3)
        assert (clip.frame_numbers >= 0).all()
        assert (clip.times >= 0).all()


def judge(clips, count, folder):
    assert len({name for name, _, _ in clips}) == len(clips) == count
    seen = collections.Counter(status for _, status, _ in clips)
    assert seen[Outcome.TIMEOUT] == 0, f"kept in {folder}"
    assert seen[Outcome.CRASHED] <= count // 200, f"kept in {folder}"
    assert not any("decoder gave up" in message for _, _, message in clips)
    assert not any("Permission denied" in message for _, _, message in clips)
    return seen


def test_the_seeds_themselves_are_fine(seeds, tmp_path):
    with DecodePool(1, LIMITS) as pool:
        for name, data in seeds.items():
            (tmp_path / name).write_bytes(data)
            clip = pool.read(Source(name, tmp_path / name), REQUEST)
            assert clip.status is Outcome.OK, f"{name}: {clip.message}"


def test_mutants_are_the_same_every_time_and_none_is_its_seed(seeds):
    assert len(SEEDS) == len(MUTATORS) == 9
    made = list(mutants(seeds, 81))

    assert made == list(mutants(seeds, 81))
    assert made[30:40] == list(mutants(seeds, 10, start=30))
    same = [
        name for name, data in made if data == seeds[name.split("-")[1] + "." + name.split(".")[1]]
    ]
    assert len(same) <= 2  # clearing zeros changes nothing


def test_two_hundred_mutants(seeds, tmp_path):
    clips = campaign(seeds, tmp_path, 200)

    seen = judge(clips, 200, tmp_path)
    assert seen[Outcome.OK] + seen[Outcome.DEGRADED] > 50
    assert seen[Outcome.UNREADABLE] > 10


@pytest.mark.slow
def test_a_thousand_mutants_in_time_and_memory(seeds, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()

    clips = campaign(seeds, tmp_path, 1000, start=200)

    judge(clips, 1000, tmp_path)
    assert time.monotonic() - start < 600
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200 * 1024  # kilobytes
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest * 1024 < LIMITS.memory * 1.1


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_what_is_cut_off_is_never_called_whole(seeds, tmp_path, suffix):
    """Containers that say how long they are. The last frames may still all be there."""
    with DecodePool(1, LIMITS) as pool:
        for name, data in seeds.items():
            if not name.endswith(suffix):
                continue
            for tenth in range(1, 10):
                path = tmp_path / name
                path.write_bytes(data[: len(data) * tenth // 10])
                clip = pool.read(Source(name, path), REQUEST)
                assert clip.status is not Outcome.OK, f"{name} cut to {tenth} tenths"
