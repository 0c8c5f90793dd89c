"""Every animal of the zoo ends as it should, and a folder run over all of them goes on."""

import os
import time
from pathlib import Path

import pytest
from zoo import ZOO
from zoo_videos import growing

from actionclip.video.decode import DecodePool
from actionclip.video.outcomes import Outcome
from actionclip.video.settings import Limits, ReadRequest, Resize, Sampling
from actionclip.video.sources import Source

REQUEST = ReadRequest(sampling=Sampling(frames=8), resize=Resize(mode="squash", size=32))


@pytest.fixture(scope="module")
def pool():
    with DecodePool(1) as pool:
        yield pool


def caught(name, folder):
    """An animal of the zoo as a source; skips, by name, what cannot be made here."""
    if name == "no_permission" and os.geteuid() == 0:
        pytest.skip("no_permission: the system administrator may read every file")
    path = ZOO[name].build(folder)
    return Source(str(path), path, "frames" if path == folder else "file")


def test_the_zoo_is_large():
    assert len(ZOO) >= 40
    assert {animal.ends for animal in ZOO.values()} >= {
        Outcome.OK,
        Outcome.DEGRADED,
        Outcome.UNREADABLE,
        Outcome.NO_VIDEO,
        Outcome.UNSUPPORTED_CODEC,
        Outcome.EMPTY,
        Outcome.TOO_LARGE,
    }


@pytest.mark.parametrize("name", ZOO)
def test_an_animal_ends_as_it_should(name, tmp_path, pool):
    source = caught(name, tmp_path)
    start = time.monotonic()

    clip = pool.read(source, REQUEST)

    assert clip.status is ZOO[name].ends, clip.message
    assert ZOO[name].said in clip.message
    assert time.monotonic() - start < 10
    assert "Errno" not in clip.message
    assert "Error" not in clip.message
    if clip.status is Outcome.OK:
        assert clip.message == clip.hint == ""
    else:
        assert clip.message.endswith(".") or clip.message.endswith("?")
        assert clip.hint
    if clip.status.usable:
        assert clip.windows().shape == (1, 8, 32, 32, 3)
        assert (clip.times >= 0).all()
        assert clip.seconds > 0
    else:
        assert clip.frames is None


def test_a_file_that_grows_while_it_is_read_ends_once(tmp_path, pool):
    path = growing(tmp_path)
    clips = list(pool.read_all([Source("v", path)] * 20, REQUEST))

    assert {clip.status for clip in clips} <= {Outcome.OK, Outcome.DEGRADED}


def test_a_run_over_the_whole_zoo_goes_on_to_its_end(tmp_path, pool):
    sources = []
    for name in ("nothing", "one_frame", "named_pipe", "hole_in_the_middle", "noise", "ten_bits"):
        (tmp_path / name).mkdir()
        sources.append(caught(name, tmp_path / name))

    clips = list(pool.read_all(sources * 5, REQUEST))

    assert [clip.source for clip in clips] == sources * 5
    assert [clip.status.usable for clip in clips] == [False, True, False, True, False, True] * 5


def test_a_worker_without_memory_says_so(tmp_path):
    """What is left after the imports is not enough for one picture."""
    (tmp_path / "huge").mkdir()
    huge, good = caught("huge_grey_picture", tmp_path / "huge"), caught("one_frame", tmp_path)
    limits = Limits(memory=280 * 2**20, pixels=6144 * 6144)
    with DecodePool(1, limits) as pool:
        clip = pool.read(huge, REQUEST)
        assert pool.read(good, REQUEST).status is Outcome.OK

    assert clip.status is Outcome.MEMORY, clip.message
    assert clip.hint


def test_the_command_line_names_of_outcomes_are_all_reachable():
    """Timeout and crash are shown in test_pool, memory above, the others by the zoo."""
    shown = {animal.ends for animal in ZOO.values()}
    assert shown | {Outcome.TIMEOUT, Outcome.CRASHED, Outcome.MEMORY} == set(Outcome)


def test_paths_may_be_relative_and_folders_may_change(tmp_path, pool, monkeypatch):
    caught("one_frame", tmp_path)
    monkeypatch.chdir(tmp_path)

    assert pool.read(Source("v.mp4", Path("v.mp4")), REQUEST).status is Outcome.OK
