"""Where uploads lie: how much may, and what becomes of folders whose process is gone."""

import os
import resource
import shutil
import tempfile

import pytest

from actionclip.errors import StorageError
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


def test_a_folder_that_somebody_cleaned_away_is_made_anew(tmp_path):
    """As programs do that keep `/tmp` small; the service may run for months."""
    spool = Spool(tmp_path, limit=100)
    early = spool.new(most=80)
    shutil.rmtree(spool.folder)

    late = spool.new(most=80)
    late.take(b"x")
    late.write()
    early.remove()

    assert late.path.read_bytes() == b"x"
    assert sweep(tmp_path) == []  # the new folder is held
    late.remove()
    assert [path.name for path in spool.folder.iterdir()] == [LOCK]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_kept_the_answer_says_so(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    spool = Spool(place, limit=100)
    shutil.rmtree(place)

    with pytest.raises(RequestError, match="cannot be kept") as caught:
        spool.new(most=80)

    assert (caught.value.status, caught.value.code) == (507, "storage")
    place.mkdir()
    spool.new(most=80).remove()
    spool.close()
    assert list(place.iterdir()) == []


def test_a_machine_without_any_folder_to_write_to_is_told_how_to_name_one(monkeypatch, tmp_path):
    """As a container whose disk is read-only, without a place for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])

    with pytest.raises(StorageError, match="Uploads cannot be kept in any") as caught:
        Spool(None, limit=100)
    assert "--uploads FOLDER" in caught.value.hint


def test_uploads_at_once_leave_files_for_everything_else(tmp_path, monkeypatch):
    """Each of them is a file and a connection, and those of silent senders may be many."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 1000))
    spool = Spool(tmp_path, limit=100)
    uploads = []

    def fill():
        for _ in range(41):
            uploads.append(spool.new(most=80))

    with pytest.raises(RequestError, match="Too many videos") as caught:
        fill()

    assert 4 <= len(uploads) <= 40
    assert (caught.value.status, caught.value.code) == (429, "busy")
    uploads[0].remove()
    uploads[0].remove()
    uploads[0] = spool.new(most=80)
    with pytest.raises(RequestError, match="Too many videos"):
        spool.new(most=80)
    for upload in uploads:
        upload.remove()
    spool.close()


def test_too_many_open_files_are_a_reason_to_come_again(spool):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fewest = os.dup(0)
    os.close(fewest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fewest, hard))
    try:
        with pytest.raises(RequestError) as caught:
            spool.new(most=80)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (caught.value.status, caught.value.code) == (429, "busy")
    assert int(caught.value.headers["Retry-After"]) >= 1
