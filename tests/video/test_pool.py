"""The pool of decoding workers: order, bad videos, dying and hanging workers, clean ends."""

import gc
import itertools
import os
import pickle
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from clips import number_in, render
from processes import children, gone, wait_until

from actionclip.errors import ActionCLIPError
from actionclip.video.decode import DecodePool
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

FOUR = ReadRequest(sampling=Sampling(frames=4))


def source(path):
    return Source(str(path), Path(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def good(folder):
    """Five videos of 8, 16, 24, 32 and 40 frames."""
    return [source(render(folder / f"{n}.mp4", n)) for n in (8, 16, 24, 32, 40)]


@pytest.fixture(scope="module")
def bad(folder):
    (folder / "bad.mp4").write_bytes(b"this is not a video" * 100)
    return source(folder / "bad.mp4")


@pytest.fixture(scope="module")
def pool():
    with DecodePool(2) as pool:
        yield pool


def numbers(clip):
    """The numbers written in a clip's pictures, frame by frame of its first window."""
    return [number_in(frame) for frame in clip.windows()[0]]


def test_a_clip_shows_the_frames_it_says(pool, good):
    clip = pool.read(good[2], FOUR)

    assert clip.status is Outcome.OK, clip.message
    assert clip.source is good[2]
    assert clip.frame_numbers.tolist() == [[2, 8, 14, 20]]
    assert numbers(clip) == [2, 8, 14, 20]
    assert clip.windows().shape == (1, 4, 64, 96, 3)
    np.testing.assert_allclose(clip.times, clip.frame_numbers / 25)
    assert clip.seconds == pytest.approx(24 / 25)
    assert clip.decoder.startswith("PyAV ")


def test_frames_are_resized_before_they_travel(pool, good):
    request = ReadRequest(sampling=Sampling(frames=4), resize=Resize(size=32))

    assert pool.read(good[2], request).frames.shape == (4, 32, 48, 3)


def test_a_frame_wanted_twice_is_held_once(pool, good):
    clip = pool.read(good[0], ReadRequest(sampling=Sampling(frames=16, windows=2)))

    assert clip.index.shape == (2, 16)
    assert len(clip.frames) == 8
    assert clip.windows().shape[:2] == (2, 16)


def test_order_is_kept_and_a_bad_video_becomes_a_row(pool, good, bad):
    sources = [good[4], good[0], bad, good[3], good[1], bad, good[2]] * 3

    clips = list(pool.read_all(sources, FOUR))

    assert [clip.source for clip in clips] == sources
    for clip in clips:
        assert clip.status is (Outcome.UNREADABLE if clip.source is bad else Outcome.OK)
        assert clip.status.usable == (clip.frames is not None)
        assert bool(clip.message) == (clip.source is bad)


def test_sources_are_pulled_as_they_are_needed(pool, good):
    pulled = 0

    def endless():
        nonlocal pulled
        for item in itertools.cycle(good):
            pulled += 1
            yield item

    clips = pool.read_all(endless(), FOUR)
    assert pulled == 0
    taken = [next(clips) for _ in range(7)]
    clips.close()

    assert [clip.source for clip in taken] == [*good, *good[:2]]
    assert pulled <= 7 + 2 * pool.workers


def test_what_the_iterable_raises_reaches_the_caller_and_the_pool_goes_on(pool, good):
    def broken():
        yield good[0]
        raise OSError("the list has a hole")

    with pytest.raises(OSError, match="hole"):
        list(pool.read_all(broken(), FOUR))

    assert pool.read(good[0], FOUR).status is Outcome.OK


def test_several_threads_may_ask(pool, good):
    seen = {}

    def ask(place):
        seen[place] = [clip.status for clip in pool.read_all(good, FOUR)]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == {place: [Outcome.OK] * 5 for place in range(4)}


def test_a_worker_outlives_the_thread_that_asked_first(good):
    """Linux ends a child with the *thread* that started it, if asked to end it with its parent."""
    with DecodePool(1) as pool:
        thread = threading.Thread(target=lambda: pool.read(good[0], FOUR))
        thread.start()
        thread.join()
        before = pool.pids

        assert pool.read(good[1], FOUR).status is Outcome.OK
        assert pool.pids == before


def kill_while_reading(good, kills, clips, seed):
    """Read `clips` videos while `kills` workers are killed, each at a random moment."""
    chance = random.Random(seed)
    with DecodePool(2) as pool:
        read = []
        killed = 0
        for clip in pool.read_all(itertools.islice(itertools.cycle(good), clips), FOUR):
            read.append(clip)
            due = killed < kills and len(read) * kills >= (killed + chance.random()) * clips
            if due and pool.pids:
                time.sleep(chance.uniform(0, 0.02))
                os.kill(chance.choice(pool.pids), signal.SIGKILL)
                killed += 1
    return read, killed


def test_killed_workers_cost_nothing(good):
    read, killed = kill_while_reading(good, kills=3, clips=40, seed=0)

    assert killed == 3
    assert [clip.source for clip in read] == list(itertools.islice(itertools.cycle(good), 40))
    assert {clip.status for clip in read} == {Outcome.OK}


@pytest.mark.slow
def test_a_hundred_killed_workers_cost_nothing(good):
    read, killed = kill_while_reading(good, kills=100, clips=2000, seed=1)

    assert killed == 100
    assert [clip.source for clip in read] == list(itertools.islice(itertools.cycle(good), 2000))
    assert {clip.status for clip in read} <= {Outcome.OK, Outcome.CRASHED}
    assert sum(clip.status is Outcome.CRASHED for clip in read) <= 2  # killed twice on one clip


def test_a_video_on_which_the_decoder_dies_twice_gets_the_blame(good, folder):
    """Whenever a worker has the file in hand, it is killed: what a decoder's crash looks like."""
    long = source(render(folder / "long.mp4", 1000))
    sampling = Sampling(frames=100, windows=10)
    seconds_in_hand = ReadRequest(sampling=sampling, resize=Resize(size=480))
    with DecodePool(1) as pool:
        pool.read(good[0], FOUR)
        stop = threading.Event()

        def assassin():
            while not stop.is_set():
                for pid in pool.pids:
                    if holds_file(pid, long.path):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.0005)  # on one core, a loop without a pause lets nobody else work

        thread = threading.Thread(target=assassin)
        thread.start()
        clip = pool.read(long, seconds_in_hand)  # the assassin may be late on a busy machine
        stop.set()
        thread.join()

        assert clip.status is Outcome.CRASHED
        assert clip.hint
        assert pool.read(good[0], FOUR).status is Outcome.OK


def holds_file(pid, path):
    try:
        return any(fd.readlink() == path for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_a_worker_that_hangs_is_given_up_in_time(good):
    limits = Limits(seconds=0.5, seconds_per_frame=0.05)
    with DecodePool(1, limits) as pool:
        assert pool.read(good[0], FOUR).status is Outcome.OK
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()

        clip = pool.read(good[1], FOUR)

        assert clip.status is Outcome.TIMEOUT
        assert "0.7 seconds" in clip.message
        assert 0.6 < time.monotonic() - start < 3
        assert gone(pid)
        assert pool.read(good[1], FOUR).status is Outcome.OK


def test_a_video_that_nobody_waits_for_any_more_frees_its_worker(good):
    class GoneAwayError(Exception):
        pass

    def leave():
        raise GoneAwayError

    with DecodePool(1) as pool:
        assert pool.read(good[0], FOUR, heed=lambda: None).status is Outcome.OK
        [pid] = pool.pids
        os.kill(pid, signal.SIGSTOP)  # as with a video that takes ten seconds
        waiting = threading.Thread(target=lambda: pool.read(good[1], FOUR, heed=lambda: None))
        with pytest.raises(GoneAwayError):
            pool.read(good[2], FOUR, heed=leave)
        waiting.start()
        start = time.monotonic()

        assert pool.read(good[3], FOUR).status is Outcome.OK
        assert time.monotonic() - start < 8
        assert gone(pid)
        waiting.join()


def test_a_worker_is_replaced_after_its_share(good):
    with DecodePool(1, Limits(recycle=2)) as pool:
        seen = []
        for item in [*good, good[0]]:
            assert pool.read(item, FOUR).status is Outcome.OK
            seen += [pid for pid in pool.pids if pid not in seen]
        assert len(seen) == 3
        assert all(gone(pid) for pid in seen if pid not in pool.pids)


def test_a_worker_knows_no_secrets(good, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with DecodePool(1) as pool:
        pool.read(good[0], FOUR)
        [pid] = pool.pids
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        files = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}

    assert b"hf_secret" not in environment
    assert b"OMP_NUM_THREADS=1" in environment
    assert {name.split(":")[0] for name in files} == {"/dev/null", "socket"}


def test_closing_leaves_no_child_and_refuses_more_work(good):
    pool = DecodePool(2)
    list(pool.read_all(good, FOUR))
    pids = pool.pids
    pool.close()
    pool.close()

    assert pids
    assert all(gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        pool.read(good[0], FOUR)


def test_closing_while_videos_are_read_ends_the_iteration(good):
    pool = DecodePool(2)
    clips = pool.read_all(itertools.cycle(good), FOUR)
    next(clips)
    pool.close()

    with pytest.raises(RuntimeError, match="closed"):
        list(clips)


def test_a_forgotten_pool_leaves_no_child(good):
    pool = DecodePool(1)
    pool.read(good[0], FOUR)
    pids = pool.pids
    threads = threading.active_count()
    del pool
    gc.collect()

    assert wait_until(lambda: all(gone(pid) for pid in pids))
    assert wait_until(lambda: threading.active_count() < threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork_both_processes_can_read(good):
    with DecodePool(1) as pool:
        pool.read(good[0], FOUR)
        before = pool.pids
        child = os.fork()
        if child == 0:
            try:
                status = pool.read(good[1], FOUR).status
                mine = pool.pids
                pool.close()
                os._exit(0 if status is Outcome.OK and mine != before else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        assert pool.pids == before
        assert pool.read(good[1], FOUR).status is Outcome.OK
        assert pool.pids == before


def test_a_pool_sent_to_another_process_is_a_new_one(good):
    with DecodePool(1, Limits(recycle=7)) as pool:
        copy = pickle.loads(pickle.dumps(pool))
        with copy:
            assert (copy.workers, copy.limits, copy.decoder) == (1, Limits(recycle=7), "pyav")
            assert copy.read(good[0], FOUR).status is Outcome.OK
        assert pool.read(good[0], FOUR).status is Outcome.OK


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_videos(folder):
    large = source(render(folder / "large.mp4", 8, size=(640, 480)))
    with DecodePool(2) as pool:

        def most_memory_after(count):
            for clip in pool.read_all(itertools.repeat(large, count)):
                assert clip.status is Outcome.OK
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        before = most_memory_after(50)
        assert most_memory_after(500) - before < 20 * 1024  # kilobytes; a clip has 7,200


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ActionCLIPError, match="Did you mean 'pyav'"):
        DecodePool(decoder="pyavi")
    for workers in (0, -1):
        with pytest.raises(ActionCLIPError, match=f"workers is {workers}"):
            DecodePool(workers)


def test_an_installation_that_cannot_decode_is_an_error_and_not_a_row(good, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with DecodePool(1) as pool, pytest.raises(ActionCLIPError, match="ended with code 1"):
        pool.read(good[0], FOUR)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with DecodePool(1) as pool, pytest.raises(ActionCLIPError, match="cannot be started"):
        pool.read(good[0], FOUR)


def test_nothing_is_started_before_there_is_work():
    before = children(os.getpid())
    with DecodePool(4) as pool:
        assert pool.pids == []
        assert children(os.getpid()) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"seconds": 1e12},
        {"seconds": 0.0},
        {"seconds_per_frame": float("inf")},
        {"seconds_per_frame": -1.0},
        {"memory": 0},
        {"recycle": 0},
    ],
    ids=str,
)
def test_limits_that_no_clock_can_keep_are_refused(wrong):
    with pytest.raises(ActionCLIPError, match=next(iter(wrong))):
        Limits(**wrong)
