"""The index through its public names, with a model that costs nothing."""

import datetime
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.inference.search import Index, Span
from actionclip.inference.search import index as index_module
from actionclip.inference.search import store as store_module
from actionclip.inference.search.changes import run as run_module
from inference.search.stub import StubEmbedder, brute_force, changes, found, unit


def test_the_answers_are_those_of_a_scan_by_hand(index):
    assert len(index) == sum(range(2, 8))
    assert found(index) == brute_force(index, "somebody")


def test_top_answers_are_the_first_of_all(index):
    everything = index.search("somebody", 1000)

    assert index.search("somebody", 3) == everything[:3]
    assert len({moment.source for moment in everything}) == 6


def test_more_windows_than_one_look_gives(index, monkeypatch):
    everything = index.search("somebody", 12)
    monkeypatch.setattr(index_module, "HITS", 1)

    assert index.search("somebody", 1) == everything[:1]
    assert {m.source for m in index.search("somebody", 6)} <= {m.source for m in everything}


class EvenFilms(StubEmbedder):
    """Films in which somebody is seen all the time, but for the window at 20 s."""

    def film(self, source, span):
        film = super().film(source, span)
        close = unit("somebody") + 0.02 * film.vectors
        close[film.starts == 20] = unit("nobody")
        return replace(film, vectors=close / np.linalg.norm(close, axis=1, keepdims=True))


@pytest.mark.parametrize("approximate", [False, True])
def test_a_moment_is_as_long_as_it_is_however_few_are_asked_for(
    place, tmp_path, monkeypatch, approximate
):
    monkeypatch.setattr(index_module, "HITS", 3)
    monkeypatch.setattr(store_module, "APPROXIMATE_FROM", 40 if approximate else 10_000)
    folder = tmp_path / "even"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.mp4").write_text(f"{40 + ord(name)}\n{name}")
    index = Index(place, EvenFilms())
    index.add(folder)

    assert index.is_approximate is approximate
    spans = {(m.start, m.end) for m in index.search("somebody", 6)}
    assert spans == {(0, 21), (21, 137), (21, 138), (21, 139)}  # without the window at 20 s
    everything = index.search("somebody", 1000)
    for top in (1, 2, 4, 6):
        answer = index.search("somebody", top)
        assert set(answer) <= set(everything)
        assert approximate or answer == everything[:top]


def test_a_long_film_that_fills_the_first_look_hides_no_other(place, tmp_path):
    class OneEven(EvenFilms):
        def film(self, source, span):
            kind = EvenFilms if source.path.stem == "even" else StubEmbedder
            return kind.film(self, source, span)

    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "even.mp4").write_text("400\neven")
    for name in "ab":
        (folder / f"{name}.mp4").write_text(f"4\n{name}")
    index = Index(place, OneEven())
    index.add(folder)

    everything = index.search("somebody", 1000)

    assert index.search("somebody", 4) == everything[:4]
    assert len({moment.source for moment in everything[:4]}) == 3


def test_a_folder_is_looked_into_however_near_others_are(index, films):
    for number in range(4):
        (films / f"room {number}").mkdir()
        (films / f"room {number}" / "a.mp4").write_text(f"4\nsomebody in room {number}")
    index.add(films)

    for number in range(4):
        room = films / f"room {number}"
        [best] = index.search("somebody", 1, folder=room, merge=False)
        assert best.source == str(room / "a.mp4")


def test_nothing_is_encoded_twice(index, embedder, films):
    report = index.add(films)

    assert set(changes(report).values()) == {"unchanged"}
    assert embedder.films == []


def test_a_new_file_is_added_and_found(index, embedder, films):
    (films / "new.mp4").write_text("3\nnew")

    assert changes(index.add(films))["new.mp4"] == "added"
    assert embedder.films == ["new.mp4"]
    assert found(index) == brute_force(index, "somebody")


def test_a_changed_file_is_encoded_again(index, embedder, films):
    (films / "2.mp4").write_text("9\nanother film")

    assert changes(index.add(films))["2.mp4"] == "changed"
    assert embedder.films == ["2.mp4"]
    assert found(index) == brute_force(index, "somebody")


def test_a_new_date_alone_is_no_change(index, embedder, films):
    os.utime(films / "2.mp4", (10**9, 10**9))

    assert changes(index.add(films))["2.mp4"] == "unchanged"
    assert embedder.films == []
    old = {m.source for m in index.search("somebody", 100, until=datetime.date(2001, 9, 10))}
    assert old == {str(films / "2.mp4")}


def test_a_renamed_file_is_noticed_and_not_encoded(index, embedder, films):
    (films / "2.mp4").rename(films / "two.mp4")

    report = index.add(films)

    assert changes(report)["two.mp4"] == "renamed"
    [line] = [one for one in report.files if one.change == "renamed"]
    assert line.before == str(films / "2.mp4")
    assert embedder.films == []
    assert found(index) == brute_force(index, "somebody")
    assert str(films / "2.mp4") not in {entry.path for entry in index.files()}


def test_a_whole_folder_renamed_is_not_encoded(index, embedder, films):
    moved = films.rename(films.parent / "moved")

    report = index.add(moved)

    assert set(changes(report).values()) == {"renamed"}
    assert embedder.films == []
    assert len(index) == report.windows == sum(range(2, 8))


def test_two_files_that_change_places(index, embedder, films):
    (films / "1.mp4").rename(films / "x")
    (films / "2.mp4").rename(films / "1.mp4")
    (films / "x").rename(films / "2.mp4")

    index.add(films)

    assert embedder.films == []
    assert found(index) == brute_force(index, "somebody")


def test_a_copy_is_not_encoded(index, embedder, films):
    (films / "copy.mp4").write_bytes((films / "3.mp4").read_bytes())

    assert changes(index.add(films))["copy.mp4"] == "copied"
    assert embedder.films == []
    assert found(index) == brute_force(index, "somebody")


def test_files_with_the_same_content_are_encoded_once(place, embedder, films):
    for number in range(3):
        (films / f"twin{number}.mp4").write_text("4\ntwins")
    index = Index(place, embedder)

    lines = changes(index.add(films))

    assert sorted(lines[f"twin{n}.mp4"] for n in range(3)) == ["added", "copied", "copied"]
    assert len([name for name in embedder.films if "twin" in name]) == 1
    assert found(index) == brute_force(index, "somebody")


def test_a_file_that_is_gone_leaves_the_index(index, films):
    (films / "2.mp4").unlink()

    assert changes(index.add(films))["2.mp4"] == "removed"
    assert found(index) == brute_force(index, "somebody")
    assert len(index.files()) == 5


@pytest.fixture
def links(index, films):
    """A folder with a file of its own and links to three of the store, which is not indexed."""
    store, folder = films.parent / "store", films.parent / "links"
    store.mkdir()
    folder.mkdir()
    for name in ("one.mp4", "two.mp4", "three.mp4"):
        (store / name).write_text(f"3\n{name}")
        (folder / name).symlink_to(store / name)
    (folder / "own.mp4").write_text("3\nown")
    index.add(folder)
    return folder


def names_in(index, folder):
    """The files that a search in a folder finds."""
    return {Path(m.source).name for m in index.search("somebody", 100, folder=folder)}


def test_files_behind_links_are_found_in_the_folder_of_the_links(index, links):
    names = {"one.mp4", "two.mp4", "three.mp4", "own.mp4"}

    assert names_in(index, links) == names
    assert names_in(index, links.parent / "store") == names - {"own.mp4"}
    assert names_in(index, links.parent) >= names
    assert names_in(index, links.parent / "link") == set()


def test_links_are_followed_in_folders_below_the_one_that_was_indexed(index, films, tmp_path):
    store, tree = tmp_path / "store", tmp_path / "tree"
    (store / "inner").mkdir(parents=True)
    (tree / "files").mkdir(parents=True)
    (tree / "empty").mkdir()
    for name in ("one.mp4", "two.mp4", "inner/three.mp4"):
        (store / name).write_text(f"3\n{name}")
    (tree / "files" / "other name.mp4").symlink_to(store / "one.mp4")
    (tree / "files" / "own.mp4").write_text("3\nown")
    (tree / "folder").symlink_to(store / "inner")
    index.add([films, tree])

    assert names_in(index, tree / "files") == {"one.mp4", "own.mp4"}
    assert names_in(index, tree / "folder") == {"three.mp4"}
    assert names_in(index, tree) == {"one.mp4", "own.mp4", "three.mp4"}
    assert names_in(index, tree / "empty") == set()


def test_what_a_list_names_is_not_in_the_folder_of_the_list(index, films, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (films / "new.mp4").write_text("3\nnew")
    (lists / "wanted.TXT").write_text(f"{films / 'new.mp4'}\n")
    index.add(lists / "wanted.TXT")

    assert names_in(index, lists) == set()
    assert "new.mp4" in names_in(index, films)


def test_files_behind_links_leave_the_index(index, links):
    """One with its link, of another only the link; the third has another link and stays."""
    for name in ("one.mp4", "two.mp4", "three.mp4"):
        (links / name).unlink()
    store = links.parent / "store"
    (store / "one.mp4").unlink()
    (links / "again.mp4").symlink_to(store / "three.mp4")

    kept = changes(index.add(links, prune=False))
    lines = changes(index.add(links))

    assert kept == {"own.mp4": "unchanged", "three.mp4": "unchanged"}
    assert lines == kept | {"one.mp4": "removed", "two.mp4": "removed"}
    assert found(index) == brute_force(index, "somebody")
    assert names_in(index, links) == {"own.mp4", "three.mp4"}


def test_files_on_a_disk_that_is_not_there_stay(index, embedder, links):
    """However they were named: through links to them, in a list; and a deleted one leaves."""
    store = links.parent / "store"
    (links.parent / "list.txt").write_text("".join(f"{file}\n" for file in store.iterdir()))
    before = found(index)
    store.rename(links.parent / "elsewhere")
    embedder.films.clear()

    for inputs in (links, links.parent / "list.txt"):
        report = index.add(inputs)
        away = [line for line in report.failed if Path(line.source).parent == store]
        assert [line.windows for line in away] == [2, 2, 2]
        assert all(line.hint == "What the index holds of it stays." for line in away)
        assert found(index) == before

    (links.parent / "elsewhere").rename(store)
    (store / "one.mp4").unlink()
    lines = changes(index.add(links))
    assert (lines["one.mp4"], lines["two.mp4"]) == ("failed", "unchanged")
    assert names_in(index, links) == {"two.mp4", "three.mp4", "own.mp4"}


def test_files_of_a_folder_that_cannot_be_reached_stay(index, films, tmp_path):
    """A link to itself stands in the place of their folder, which says nothing of the files."""
    (tmp_path / "list.txt").write_text(f"{films / '2.mp4'}\n")
    before = found(index)
    films.rename(tmp_path / "elsewhere")
    films.symlink_to(films)

    [line] = index.add(tmp_path / "list.txt").failed

    assert line.windows == sum(row[0] == line.source for row in before) > 0
    assert found(index) == before


def test_a_file_that_is_gone_stays_if_asked(index, films):
    (films / "2.mp4").unlink()

    assert "2.mp4" not in changes(index.add(films, prune=False))
    assert len(index.files()) == 6


def test_files_of_another_folder_are_left_alone(index, films, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "o.mp4").write_text("3\nother")
    (films / "2.mp4").unlink()

    assert changes(index.add(other)) == {"o.mp4": "added"}
    assert len(index.files()) == 7


def test_a_bad_file_is_a_line_and_not_tried_again_until_it_changes(place, embedder, films):
    bad = films / "bad.mp4"
    bad.write_text("bad")
    index = Index(place, embedder)

    [line] = index.add(films).failed

    assert (line.source, str(line.status), line.message) == (str(bad), "unreadable", "Bad.")
    assert line.to_dict()["error"]["code"] == "unreadable"
    assert "bad.mp4" in embedder.films
    embedder.films.clear()
    assert [one.message for one in index.add(films).failed] == ["Bad."]
    os.utime(bad, (10**9, 10**9))
    assert changes(index.add(films))["bad.mp4"] == "failed"
    assert embedder.films == []
    assert changes(index.add(films, retry=True))["bad.mp4"] == "failed"
    assert embedder.films == ["bad.mp4"]
    bad.write_text("5\nmended")
    assert changes(index.add(films))["bad.mp4"] == "changed"
    assert index.add(films).failed == []
    assert found(index) == brute_force(index, "somebody")


def test_a_good_file_that_becomes_bad_is_not_found_any_more(index, films):
    (films / "2.mp4").write_text("bad now")

    assert changes(index.add(films))["2.mp4"] == "failed"
    assert found(index) == brute_force(index, "somebody")
    (films / "2.mp4").unlink()
    assert changes(index.add(films))["2.mp4"] == "removed"
    assert len(index.files()) == 5


def test_good_files_that_become_bad_in_the_same_way(index, embedder, films):
    (films / "2.mp4").write_text("bad now")
    (films / "3.mp4").write_text("bad now")

    lines = changes(index.add(films))

    assert (lines["2.mp4"], lines["3.mp4"]) == ("failed", "failed")
    assert len(embedder.films) == 1
    assert found(index) == brute_force(index, "somebody")
    assert len([entry for entry in index.files() if entry.windows]) == 4


def test_a_file_that_does_not_exist_is_a_line(index, films):
    report = index.add([films, films / "nothing.mp4"])

    assert changes(report)["nothing.mp4"] == "failed"
    assert len(index.files()) == 6


def test_names_from_strangers(place, embedder, tmp_path):
    folder = tmp_path / "it's 100% [odd]_\udcff\n;--"
    folder.mkdir()
    names = ["' OR 1=1 --.mp4", "\udcfe\udcff.mp4", "a\tb\nc.mp4", "<img src=x>.mp4", "ü😀.mp4"]
    for name in names:
        (folder / name).write_text(f"3\n{names.index(name)}")
    index = Index(place, embedder)

    index.add(tmp_path)

    assert {entry.path for entry in index.files()} == {str(folder / name) for name in names}
    assert found(index) == brute_force(index, "somebody")
    assert found(index, folder=folder) == brute_force(index, "somebody")
    assert found(index, folder=tmp_path / "it") == []
    embedder.films.clear()
    assert set(changes(index.add(tmp_path)).values()) == {"unchanged"}
    assert embedder.films == []


def test_only_below_a_folder(index, films, tmp_path):
    below = films / "below"
    below.mkdir()
    (films / "0.mp4").rename(below / "0.mp4")
    (films / "below2").mkdir()
    (films / "1.mp4").rename(films / "below2" / "1.mp4")
    index.add(films)

    assert {m.source for m in index.search("somebody", 100, folder=below)} == {str(below / "0.mp4")}


def test_only_from_some_days(index, films):
    for number in range(6):
        noon = datetime.datetime(2026, 1, 1 + number, 12).timestamp()
        os.utime(films / f"{number}.mp4", (noon, noon))
    index.add(films)

    def names(**options):
        moments = index.search("somebody", 100, **options)
        return sorted({int(m.source[-5]) for m in moments})

    assert names(since=datetime.date(2026, 1, 3)) == [2, 3, 4, 5]
    assert names(until=datetime.date(2026, 1, 3)) == [0, 1, 2]
    assert names(until=datetime.datetime(2026, 1, 3)) == [0, 1]
    assert names(since=datetime.date(2026, 1, 2), until=datetime.date(2026, 1, 2)) == [1]


def test_an_example_finds_what_is_like_it(index, films):
    [best] = index.search(films / "4.mp4", 1)

    assert (best.source, best.start) == (str(films / "4.mp4"), 0)
    assert best.score == pytest.approx(1, abs=1e-5)


def test_templates_change_the_query(index):
    assert found(index, templates=["a film of {}"]) == brute_force(index, "a film of somebody")


def test_the_index_of_another_model_is_refused_with_the_command_that_makes_it_anew(
    index, place, films
):
    with pytest.raises(ActionCLIPError) as caught:
        Index(place, StubEmbedder("other/model", "stub-2"))

    assert "the model 'stub'" in caught.value.what
    command = f"actionclip index {films} --index {place} --model other/model --rebuild"
    assert caught.value.hint.endswith(command)


def test_the_same_name_with_other_weights_is_refused(index, place):
    with pytest.raises(ActionCLIPError, match="weights or settings have changed"):
        Index(place, StubEmbedder("stub", "stub-2"))


def test_other_windows_are_refused(index, place, embedder):
    with pytest.raises(ActionCLIPError, match="2 s every 1 s") as caught:
        Index(place, embedder, Span(4, 2))

    assert "--window 4 --stride 2 --rebuild" in caught.value.hint


def test_rebuilding_takes_the_new_model(index, place, films):
    other = StubEmbedder("other", "stub-2")
    index = Index(place, other, Span(3, 3), rebuild=True)

    assert set(changes(index.add(films)).values()) == {"added"}
    assert Index.info(place).model == "other"
    assert Index(place, other).span == Span(3, 3)
    assert found(index) == brute_force(index, "somebody")


def test_what_cannot_be_searched(place, embedder, films, index, tmp_path):
    nowhere = Index(tmp_path / "nowhere", embedder)
    with pytest.raises(ActionCLIPError, match="There is no index") as caught:
        nowhere.search("somebody")
    assert caught.value.hint == f"Make one: actionclip index FOLDER --index {tmp_path / 'nowhere'}"
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ActionCLIPError, match="query is empty"):
        index.search("  ")
    with pytest.raises(ActionCLIPError, match="top is 0"):
        index.search("somebody", 0)
    with pytest.raises(ActionCLIPError, match="Templates are for words"):
        index.search(films / "0.mp4", templates=["a video of {}"])
    with pytest.raises(ActionCLIPError, match="no video"):
        index.add(tmp_path / "index")
    with pytest.raises(ActionCLIPError, match="stride"):
        Span(1, 2)
    with pytest.raises(ActionCLIPError, match="window is 0"):
        Span(0, 1)


def test_whoever_searches_sees_what_another_has_added(index, place, films):
    reader = Index(place, StubEmbedder())
    assert len(reader.search("somebody", 1000, merge=False)) == len(index)

    (films / "new.mp4").write_text("3\nnew")
    index.add(films)

    assert len(reader.search("somebody", 1000, merge=False)) == len(index)


def test_an_index_that_is_made_later_is_seen(tmp_path, embedder, films):
    reader = Index(tmp_path / "later", embedder)

    Index(tmp_path / "later", StubEmbedder()).add(films)

    assert reader.search("somebody", 1)


def test_only_one_writes_at_a_time(index, place, films):
    class Busy(StubEmbedder):
        def windows(self, sources, span):
            with pytest.raises(ActionCLIPError, match=f"Process {os.getpid()} on") as caught:
                Index(place, StubEmbedder()).add(films)
            assert "One at a time" in caught.value.expected
            yield from super().windows(sources, span)

    (films / "new.mp4").write_text("3\nnew")

    assert Index(place, Busy()).add(films).adds_up
    assert Index(place, StubEmbedder()).add(films).adds_up


def test_small_pieces_are_put_together(place, embedder, films, monkeypatch):
    monkeypatch.setattr(run_module, "BATCH", 1)
    monkeypatch.setattr(store_module, "SMALL_PARTS", 4)
    index = Index(place, embedder)

    index.add(films)

    pieces = list((place / "windows.lance" / "data").iterdir())
    assert len(pieces) > 6  # one for each file, kept for readers for a while, and the whole
    index.tidy()
    assert found(index) == brute_force(index, "somebody")


def test_a_large_index_is_approximate_and_exact_when_asked(place, embedder, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "APPROXIMATE_FROM", 500)
    monkeypatch.setattr(store_module, "PARTITION", 64)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.mp4").write_text(f"11\nfilm {number}")
    index = Index(place, embedder)

    index.add(folder)

    assert index.is_approximate
    assert found(index, exact=True) == brute_force(index, "somebody")
    near = {m.source for m in index.search("somebody", 10)}
    assert near & {m.source for m in index.search("somebody", 10, exact=True)}
    (folder / "new.mp4").write_text("3\nnew")
    with monkeypatch.context() as patch:
        patch.setattr(store_module.Store, "approximate", lambda _: pytest.fail("built anew"))
        index.add(folder)
    [new] = index.search(folder / "new.mp4", 1)
    assert new.source == str(folder / "new.mp4")  # not in the approximate index yet

    (folder / "0.mp4").write_text("9\nchanged")
    (folder / "1.mp4").rename(folder / "other.mp4")
    (folder / "2.mp4").unlink()
    index.add(folder)
    assert found(index, exact=True) == brute_force(index, "somebody")
    index.tidy(reindex=True)
    assert found(index, exact=True) == brute_force(index, "somebody")


def test_an_index_in_memory_and_one_with_an_address(embedder, films, tmp_path):
    memory = Index("memory://films", embedder)
    memory.add(films)
    assert found(memory) == brute_force(memory, "somebody")

    addressed = Index(f"file://{tmp_path}/addressed", embedder)
    addressed.add(films)
    again = Index(f"file://{tmp_path}/addressed", StubEmbedder())
    assert found(again) == brute_force(again, "somebody")
    assert (tmp_path / "addressed").is_dir()


def test_a_table_of_somebody_else_is_left_alone(tmp_path, embedder, films):
    import lancedb

    lancedb.connect(tmp_path / "theirs").create_table("windows", [{"a": 1}])

    with pytest.raises(ActionCLIPError, match="no index of this program"):
        Index(tmp_path / "theirs", embedder)


def test_a_place_that_cannot_be_written(embedder, films, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot be used"):
        Index(tmp_path / "file" / "index", embedder).add(films)


def test_without_lancedb_the_command_that_installs_it(monkeypatch, tmp_path, embedder, films):
    monkeypatch.setitem(sys.modules, "lancedb", None)

    with pytest.raises(ActionCLIPError, match="LanceDB") as caught:
        Index(tmp_path / "index", embedder).add(films)
    assert caught.value.hint == "Install it with: pip install 'actionclip[search]'"


def test_nothing_is_written_outside_the_index_and_nobody_is_called(films, tmp_path):
    """The home folder is forbidden, and every socket but local ones is an error."""
    code = """
import socket, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(refuse)
from actionclip.inference.search import Index
from inference.search.stub import StubEmbedder
index = Index("index", StubEmbedder())
index.add(sys.argv[1])
index.tidy()
assert index.search("somebody", 3)
"""
    home = tmp_path / "home"
    desk = tmp_path / "desk"
    home.mkdir(mode=0o500)
    desk.mkdir()
    environment = os.environ | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(films)],
        cwd=desk,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    assert [path.name for path in desk.iterdir()] == ["index"]


def test_a_vector_is_what_the_model_said(index, films):
    [best] = index.search(films / "0.mp4", 1, exact=True)

    assert best.score == pytest.approx(
        float(np.dot(unit("3\nfilm 0 0"), unit("3\nfilm 0 0"))), abs=1e-6
    )
