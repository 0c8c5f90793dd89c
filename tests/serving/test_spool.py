"""Where uploads lie: how much may, and what becomes of folders whose process is gone."""

import os

import pytest

from actionclip.serving.answers import RequestError
from actionclip.serving.uploads.spool import LOCK, Spool, sweep


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path, limit=100)
    yield spool
    spool.close()


def test_all_uploads_together_have_a_limit_and_give_back_what_they_took(spool):
    one, two = spool.new(most=80), spool.new(most=80)
    one.take(b"x" * 60)
    with pytest.raises(RequestError) as caught:
        two.take(b"x" * 41)
    one.remove()
    two.take(b"x" * 41)

    assert (caught.value.status, caught.value.code) == (429, "busy")
    assert int(caught.value.headers["Retry-After"]) >= 1
    two.remove()
    assert spool.used == 0
    assert [path.name for path in spool.folder.iterdir()] == [LOCK]


def test_only_folders_that_nobody_holds_are_swept(spool, tmp_path):
    gone = Spool(tmp_path, limit=100)
    upload = gone.new(most=80)
    upload.take(b"x")
    upload.write()
    os.close(gone._lock)  # as when the process is killed
    strange = tmp_path / "actionclip-serve-strange"
    strange.symlink_to(spool.folder)

    assert sweep(tmp_path) == [gone.folder]
    assert not gone.folder.exists()
    assert spool.folder.exists()
    upload.remove()
