"""An index while the world around it changes: other writers, files, folders, silly questions."""

import datetime
import os
import shutil
from pathlib import Path

import pytest

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.inference.search import Index, Span
from actionclip.inference.search import index as index_module
from actionclip.inference.search import store as store_module
from actionclip.inference.search.changes import run as run_module
from actionclip.inference.search.changes.files import content_of
from actionclip.video.sources import Source, find_videos
from inference.search.stub import StubEmbedder, brute_force, changes, found


def test_a_file_that_was_renamed_and_copied_at_once(index, films):
    old = films / "5.mp4"
    shutil.copy(old, films / "copy.mp4")
    old.rename(films / "new.mp4")

    lines = changes(index.add(films))

    assert sorted(lines.values()) == ["copied", "renamed", *["unchanged"] * (len(lines) - 2)]
    assert {"copy.mp4", "new.mp4"} == {name for name, how in lines.items() if how != "unchanged"}
    assert found(index) == brute_force(index, "somebody")


@pytest.mark.parametrize("names", [("one.mp4", "two.mp4"), ("two.mp4", "a.mp4")])
def test_a_folder_with_twins_moves_without_a_trace(index, embedder, films, names):
    """Each file that is gone is the origin of one; the rest would stay in the answers for ever."""
    old, new = films.parent / "old", films.parent / "new"
    old.mkdir()
    for name in ("one.mp4", "two.mp4"):
        (old / name).write_text("4\ntwins")
    index.add(old)
    embedder.films.clear()
    old.rename(new)
    (new / "one.mp4").rename(new / f"{names[0]}.moving")
    (new / "two.mp4").rename(new / names[1])
    (new / f"{names[0]}.moving").rename(new / names[0])

    report = index.add(new)

    assert set(changes(report).values()) == {"renamed"}
    before = {Path(one.source).name: Path(one.before).name for one in report.files}
    assert before["two.mp4"] == "two.mp4"
    assert sorted(before.values()) == ["one.mp4", "two.mp4"]
    assert embedder.films == []
    assert {e.path for e in index.files() if "film" not in e.path} == {str(new / n) for n in names}
    assert found(index) == brute_force(index, "somebody")


def test_more_copies_than_files_that_are_gone(index, embedder, films):
    kept = films / "copy.mp4"
    shutil.copy(films / "5.mp4", kept)
    index.add(films)
    shutil.copy(kept, films / "x.mp4")
    (films / "5.mp4").rename(films / "y.mp4")

    lines = changes(index.add(films))

    assert sorted((lines["x.mp4"], lines["y.mp4"])) == ["copied", "renamed"]
    assert embedder.films == []
    assert found(index) == brute_force(index, "somebody")


def test_the_content_of_a_folder_of_frames_is_names_and_pictures(tmp_path):
    def content(**frames):
        folder = tmp_path / "frames"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in frames.items():
            (folder / f"{name}.png").write_bytes(data)
        return content_of(Source("frames", folder, "frames"))

    one = content(a=b"1", b=b"2")

    assert one == content(b=b"2", a=b"1")
    assert (
        len({one, content(a=b"1", b=b"3"), content(a=b"1", c=b"2"), content(a=b"2", b=b"1")}) == 4
    )


def test_a_file_is_no_place_for_an_index(films, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")

    with pytest.raises(ActionCLIPError, match=r"notes\.txt is a file") as refused:
        Index(tmp_path / "notes.txt", StubEmbedder()).add(films)

    assert "remove" not in refused.value.hint
    assert (tmp_path / "notes.txt").read_text() == "keep me"


def test_a_file_that_changes_while_others_are_encoded(place, films):
    """Its hash was taken with the plan, as another file has its size."""

    class Slow(StubEmbedder):
        def windows(self, sources, span):
            for film in super().windows(sources, span):
                (films / "5.mp4").write_text("4\nfilm 9")
                yield film

    (films / "5.mp4").write_text("3\nfilm 8")
    index = Index(place, Slow())

    index.add(films)

    [last] = [entry for entry in index.files() if entry.path == str(films / "5.mp4")]
    assert last.content == content_of(find_videos([films / "5.mp4"])[0])
    assert found(index) == brute_force(index, "somebody")
    (films / "old.mp4").write_text("3\nfilm 8")
    assert changes(index.add(films))["old.mp4"] == "added"


def test_a_file_that_changes_while_it_is_encoded_is_looked_at_again(place, films):
    class Late(StubEmbedder):
        def film(self, source, span):
            film = super().film(source, span)
            if source.path.name == "5.mp4":
                source.path.write_text("9\nlater")
            return film

    Index(place, Late()).add(films)

    index = Index(place, StubEmbedder())
    assert changes(index.add(films))["5.mp4"] == "changed"
    assert found(index) == brute_force(index, "somebody")


def test_a_folder_without_videos_is_refused_and_nothing_is_lost(index, films, tmp_path):
    """A disk that is not mounted looks like that."""
    away = films.rename(tmp_path / "away")
    films.mkdir()

    with pytest.raises(ActionCLIPError, match="There is no video"):
        index.add(films)

    assert len(index.files()) == 6
    films.rmdir()
    assert changes(index.add(films)) == {"films": "failed"}
    assert len(index.files()) == 6
    (tmp_path / "other.mp4").write_text("3\nother")
    away.rename(films.with_suffix(".elsewhere"))
    lines = changes(index.add(tmp_path))
    assert set(lines.values()) == {"added", "renamed"}


def test_what_lies_in_a_folder_that_cannot_be_looked_into_stays(index, films):
    below = films / "below"
    below.mkdir()
    (films / "0.mp4").rename(below / "0.mp4")
    index.add(films)
    below.rename(films / "away")
    below.symlink_to(below)  # whoever looks gets an error, and not that there is nothing

    report = index.add(films)

    assert str(below / "0.mp4") in {entry.path for entry in index.files()}
    assert report.counts == {"unchanged": 5, "copied": 1}
    below.unlink()
    assert changes(index.add(films))["0.mp4"] == "removed"


@pytest.fixture
def disk(index, films):
    """A disk with a film, indexed through a link in a folder with another film."""
    disk, links = films.parent / "disk", films.parent / "links"
    disk.mkdir()
    links.mkdir()
    (disk / "far.mp4").write_text("3\nfar")
    (links / "own.mp4").write_text("3\nown")
    (links / "disk").symlink_to(disk)
    index.add(links)
    return disk


def test_a_disk_behind_a_link_that_is_not_there_keeps_its_files(index, disk):
    links = disk.with_name("links")
    disk.rename(disk.with_name("away"))

    assert changes(index.add(links)) == {"own.mp4": "unchanged"}
    disk.with_name("away").rename(disk)
    assert changes(index.add(links)) == {"own.mp4": "unchanged", "far.mp4": "unchanged"}
    (disk / "far.mp4").unlink()
    assert changes(index.add(links)) == {"own.mp4": "unchanged", "far.mp4": "removed"}


def test_a_folder_of_links_that_is_gone_as_a_whole_keeps_its_files(index, disk):
    """Unless the folder above it is named, and what it led to is gone as well."""
    links = disk.with_name("links")
    links.rename(disk.with_name("away"))
    assert changes(index.add(links)) == {"links": "failed"}
    links.mkdir()
    with pytest.raises(ActionCLIPError, match="There is no video"):
        index.add(links)
    assert len(index.files()) == 8

    links.rmdir()
    shutil.rmtree(disk.with_name("away"))
    shutil.rmtree(disk)
    lines = changes(index.add(disk.parent))
    assert {lines.pop("own.mp4"), lines.pop("far.mp4")} == {"removed"}
    assert set(lines.values()) == {"unchanged"}


def test_a_film_behind_a_link_of_another_folder_that_was_named_stays(index, disk):
    links = disk.with_name("links")
    (disk / "new.mp4").write_text("3\nnew")
    index.add(disk)
    (links / "disk").unlink()

    assert changes(index.add(links)) == {"own.mp4": "unchanged"}
    assert str(disk / "far.mp4") in {entry.path for entry in index.files()}
    (disk / "far.mp4").unlink()
    assert changes(index.add(disk)) == {"new.mp4": "unchanged", "far.mp4": "removed"}


def test_a_link_in_a_folder_that_cannot_be_looked_into_keeps_its_film(index, disk, monkeypatch):
    links = disk.with_name("links")
    closed = links / "closed"
    closed.mkdir()
    (links / "disk").rename(closed / "disk")
    scandir = os.scandir

    def refuse(place):
        if str(place) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        lines = changes(index.add(links))

    assert lines == {"own.mp4": "unchanged", "closed": "failed"}
    assert changes(index.add(links))["far.mp4"] == "unchanged"


def test_a_folder_of_frames_behind_a_link_stays_beside_a_film(index, tmp_path):
    """A folder with films is not searched for pictures, and yet the link leads to them."""
    frames, links = tmp_path / "frames", tmp_path / "links"
    frames.mkdir()
    links.mkdir()
    (frames / "1.png").write_bytes(b"a picture")
    (links / "dance").symlink_to(frames)
    index.add(links)
    (links / "new.mp4").write_text("3\nnew")

    assert changes(index.add(links)) == {"new.mp4": "added"}
    assert str(frames) in {entry.path for entry in index.files()}
    (links / "dance").unlink()
    assert changes(index.add(links)) == {"new.mp4": "unchanged", "frames": "removed"}


def test_a_date_that_no_column_holds(index, films):
    os.utime(films / "2.mp4", (2**34, 2**34))  # the year 2514, or what the disk makes of it

    assert changes(index.add(films))["2.mp4"] == "unchanged"
    assert changes(index.add(films))["2.mp4"] == "unchanged"
    assert found(index, since=datetime.date(2100, 1, 1)) != []


def test_the_first_and_the_last_days_there_are(index):
    first, last = datetime.date.min, datetime.date.max
    everything = found(index)

    assert found(index, since=first, until=last) == everything
    assert found(index, since=last) == []
    assert found(index, until=first) == []


def test_more_answers_than_there_are(index):
    everything = index.search("somebody", 1000)

    assert index.search("somebody", 10**20) == everything
    assert len(index.search("somebody", 10**20, merge=False)) == len(index)


def test_a_filter_finds_all_in_an_approximate_index(place, embedder, tmp_path, monkeypatch):
    """However few windows are left, and wherever they lie in the approximate index."""
    for name, value in {"APPROXIMATE_FROM": 500, "PARTITION": 16, "PROBES": 1}.items():
        monkeypatch.setattr(store_module, name, value)
    folder = tmp_path / "many"
    for number in range(60):
        below = folder / str(number % 20)
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}.mp4").write_text(f"11\nfilm {number}")
    index = Index(place, embedder)
    index.add(folder)
    assert index.is_approximate

    for number in range(20):
        here = folder / str(number)
        rows = found(index, folder=here)
        assert sorted(row[:2] for row in rows) == sorted(
            row[:2] for row in brute_force(index, "somebody") if row[0].startswith(f"{here}/")
        )


def test_two_that_write_to_an_address_see_each_other(films, tmp_path):
    place = f"file://{tmp_path}/index"
    one, other = Index(place, StubEmbedder()), Index(place, StubEmbedder())

    one.add(films)

    assert set(changes(other.add(films)).values()) == {"unchanged"}
    (films / "new.mp4").write_text("3\nnew")
    assert changes(one.add(films))["new.mp4"] == "added"
    assert changes(other.add(films))["new.mp4"] == "unchanged"
    assert found(other) == brute_force(other, "somebody")


def test_whoever_searches_an_index_that_was_made_anew(index, place, films):
    reader, same = Index(place, StubEmbedder()), Index(place, StubEmbedder("again"))
    reader.search("somebody", 1)
    same.search("somebody", 1)

    longer = Index(place, StubEmbedder("again"), Span(3, 2), rebuild=True)
    longer.add(films)
    assert found(same) == found(longer) == brute_force(longer, "somebody")
    assert len(same) == len(longer)
    assert same.files() == longer.files()

    Index(place, StubEmbedder("other", "stub-2"), rebuild=True).add(films)
    with pytest.raises(ActionCLIPError, match="the model 'other'"):
        reader.search("somebody", 1)


def test_an_index_of_another_format_is_refused(index, place, embedder, films, monkeypatch):
    monkeypatch.setattr(index_module, "FORMAT", 2)

    with pytest.raises(ActionCLIPError, match=r"has format 1, .* makes format 2"):
        Index(place, embedder)
    assert changes(Index(place, embedder, rebuild=True).add(films))["0.mp4"] == "added"
    assert Index(place, embedder).search("somebody", 1)


def test_the_command_that_makes_it_anew_names_the_list(place, embedder, films, tmp_path):
    wanted = tmp_path / "it's wanted.txt"
    wanted.write_text("films/1.mp4\nfilms/2.mp4\n")
    Index(place, embedder).add(wanted)

    with pytest.raises(ActionCLIPError) as caught:
        Index(place, StubEmbedder("other", "stub-2"))

    assert "index '" + str(wanted).replace("'", "'\"'\"'") + "' --index" in caught.value.hint


@pytest.mark.parametrize(("windows", "files"), [(4, 500), (50_000, 2)])
def test_many_files_move_in_several_commits(index, embedder, films, monkeypatch, windows, files):
    monkeypatch.setattr(run_module, "MOVED_AT_ONCE", windows)
    monkeypatch.setattr(run_module, "AT_ONCE", files)
    commits = []
    replace = store_module.Store.replace
    monkeypatch.setattr(
        store_module.Store,
        "replace",
        lambda self, rows, paths: (commits.append(len(rows)), replace(self, rows, paths)),
    )

    lines = changes(index.add(films.rename(films.with_name("moved"))))

    assert set(lines.values()) == {"renamed"}
    assert embedder.films == []
    assert found(index) == brute_force(index, "somebody")
    assert len(commits) > 2
    assert sum(commits) == len(index)


def empty_versions(place, table):
    for file in (place / f"{table}.lance" / "_versions").iterdir():
        file.write_bytes(b"")


def zero_versions(place, table):
    """It then opens as a table without columns."""
    for file in (place / f"{table}.lance" / "_versions").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


def break_versions(place, table):
    """Over such a length LanceDB panics."""
    for file in (place / f"{table}.lance" / "_versions").iterdir():
        data = bytearray(file.read_bytes())
        data[1] ^= 0x55
        file.write_bytes(data)


def cut_data(place, table):
    for file in (place / f"{table}.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:100])


def overwrite_data(place, table):
    for file in (place / f"{table}.lance" / "data").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("table", ["windows", "failures"])
@pytest.mark.parametrize(
    "damage", [empty_versions, zero_versions, break_versions, cut_data, overwrite_data]
)
def test_a_damaged_index(place, films, damage, table):
    (films / "bad.mp4").write_text("bad")
    Index(place, StubEmbedder()).add(films)
    damage(place, table)

    with pytest.raises(StorageError, match=r"cannot be used|is damaged") as caught:
        Index(place, StubEmbedder()).add(films)
    assert "damaged" in str(caught.value)
    assert f"actionclip index FOLDER --index {place} --rebuild" in caught.value.hint
    assert ".rs:" not in caught.value.what
    if table == "windows":
        with pytest.raises(StorageError, match=r"cannot be used|is damaged"):
            Index(place, StubEmbedder()).search("somebody")
    index = Index(place, StubEmbedder(), rebuild=True)
    index.add(films)
    assert found(index) == brute_force(index, "somebody")
    assert found(Index(place, StubEmbedder())) == found(index)


@pytest.mark.parametrize("place", ["x" * 300, "http://localhost/x", "no-such-store://bucket/x"])
def test_a_place_that_is_none(place, films, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StorageError, match="cannot be used"):
        Index(place, StubEmbedder()).add(films)
    with pytest.raises(ActionCLIPError, match=r"cannot be used|There is no index"):
        Index(place, StubEmbedder()).search("somebody")
