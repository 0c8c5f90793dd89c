"""The manifest keeps what it is given, and names the line of every mistake."""

import csv
import io
import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import (
    Manifest,
    Row,
    classes_file,
    read_manifest,
    write_manifest,
)
from actionclip.data.tables import join_labels, split_labels
from actionclip.errors import ActionCLIPError, StorageError

LABELS = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), min_size=1).filter(
    lambda text: text == text.strip()
)
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
SECONDS = st.none() | st.floats(0, 1e6)


@st.composite
def rows(draw):
    start, end = draw(SECONDS), draw(SECONDS)
    if end is not None and end <= (start or 0):
        end = None
    return {
        "path": draw(PATHS),
        "labels": tuple(draw(st.lists(LABELS, max_size=3, unique=True))),
        "start": start,
        "end": end,
        "split": draw(st.sampled_from(["", "train", "val", "test", "holdout"])),
        "group": draw(st.sampled_from(["", "person 1"])),
        "caption": draw(st.sampled_from(["", 'says "hello",\nthen leaves'])),
    }


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(max_examples=60)
@given(cells=st.lists(rows(), max_size=5), alphabetical=st.booleans())
def test_what_is_written_is_read_again(tmp_path_factory, suffix, cells, alphabetical):
    folder = tmp_path_factory.mktemp("round")
    given_rows = tuple(Row(**each) for each in cells)
    found = sorted({label for row in given_rows for label in row.labels})
    classes = () if alphabetical else tuple(reversed(found))
    manifest = Manifest(given_rows, classes, folder)

    write_manifest(manifest, folder / f"all{suffix}")

    assert read_manifest(folder / f"all{suffix}") == manifest


@given(st.lists(LABELS, max_size=4))
def test_labels_survive_in_one_cell(labels):
    assert list(split_labels(join_labels(labels))) == labels


def table(folder, *lines, name="all.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_names_with_spaces_commas_and_other_letters(tmp_path):
    path = table(
        tmp_path,
        "path,label,split",
        '"a b/c, d.mp4","playing, loudly",train',
        "видео/窓 を開ける.mp4,open|close,Validation",
    )

    one, other = read_manifest(path).rows

    assert one == Row("a b/c, d.mp4", ("playing, loudly",), split="train")
    assert other == Row("видео/窓 を開ける.mp4", ("open|close",), split="val")


def test_a_file_name_that_is_not_unicode_survives(tmp_path):
    name = os.fsdecode(b"caf\xe9.avi")

    write_manifest(Manifest((Row(name, ("a",)),), root=tmp_path), tmp_path / "all.csv")

    assert read_manifest(tmp_path / "all.csv").rows[0].path == name
    with pytest.raises(ActionCLIPError, match="not text, which Parquet cannot hold"):
        write_manifest(Manifest((Row(name, ("a",)),), root=tmp_path), tmp_path / "all.parquet")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,run,soon,,train", r"all.csv:3: The start is 'soon'"),
        ("a.mp4,run,2,1,train", r"all.csv:3: The clip starts at 2 s and ends at 1 s"),
        ("a.mp4,run,-1,,train", r"all.csv:3: The start is -1.0"),
        ("a.mp4,run,nan,,train", r"all.csv:3: The start is nan"),
        (",run,,,train", r"all.csv:3: The path is ''"),
        ("a.mp4,run|run,,,train", r"all.csv:3: The labels are 'run', 'run'"),
        ("a, b.mp4,run,,,train", r"all.csv:3: this line has 6 cells"),
        ('"a.mp4,run,,,train', r"all.csv:3: "),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, line, message):
    path = table(tmp_path, "path,labels,start,end,split", "b.mp4,run,,,", line)

    with pytest.raises(ActionCLIPError, match=message):
        read_manifest(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,spilt", "Did you mean 'split'"),
        ("file,label", "has a column path"),
        ("path,label,labels", "not both"),
        ("path,path", "the column 'path' twice"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path, header, message):
    path = table(tmp_path, header, ",".join("x" for _ in header.split(",")))

    with pytest.raises(ActionCLIPError, match=message):
        read_manifest(path)


@pytest.mark.parametrize("between", [",", "\t", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tables_as_spreadsheets_write_them(tmp_path, between, encoding, suffix):
    table = [["Path", "LABEL", "Start", "end", "Ours"], ["día 1.mp4", "A, b; c", "0.5", "2", "x"]]
    text = io.StringIO()
    csv.writer(text, delimiter=between, lineterminator="\r\n").writerows(table)
    file = tmp_path / f"all{suffix}"
    file.write_bytes(text.getvalue().encode(encoding))

    data = read_data(file)

    assert data.layout == "manifest"
    assert data.manifest.rows == (Row("día 1.mp4", ("A, b; c",), 0.5, 2.0),)
    assert read_manifest(file) == data.manifest


def test_columns_of_one_name_in_other_capitals_are_refused(tmp_path):
    file = tmp_path / "all.csv"
    file.write_text("Path,path\na.mp4,b.mp4\n")

    with pytest.raises(ActionCLIPError, match="has the column 'path' twice"):
        read_data(file)


def test_utf16_that_was_cut_off_is_refused(tmp_path):
    file = tmp_path / "all.csv"
    file.write_bytes("path,label\na.mp4,run\n".encode("utf-16")[:-1])

    with pytest.raises(ActionCLIPError, match="begins as UTF-16 and is not"):
        read_data(file)


def test_no_manifest_is_written_with_tabs(tmp_path):
    with pytest.raises(ActionCLIPError, match="Cannot tell the format of"):
        write_manifest(Manifest((Row("a.mp4"),)), tmp_path / "all.tsv")


def test_other_columns_are_left_alone(tmp_path):
    path = table(tmp_path, "path,label,camera", "a.mp4,run,left")

    assert read_manifest(path).rows == (Row("a.mp4", ("run",)),)


@pytest.mark.parametrize("name", ["all.txt", "missing.csv"])
def test_what_is_no_manifest_is_refused(tmp_path, name):
    with pytest.raises(ActionCLIPError, match=name):
        read_manifest(tmp_path / name)


def test_a_broken_parquet_file_is_refused(tmp_path):
    (tmp_path / "all.parquet").write_bytes(b"PAR1 no")

    with pytest.raises(ActionCLIPError, match=r"Cannot read .*all.parquet"):
        read_manifest(tmp_path / "all.parquet")


def test_classes_are_in_the_order_of_their_file(tmp_path):
    path = table(tmp_path, "path,label", "a.mp4,run", "b.mp4,hop")
    assert read_manifest(path).classes == ("hop", "run")

    classes_file(path).write_text("run\nhop\nswim\n")
    manifest = read_manifest(path)
    assert manifest.classes == ("run", "hop", "swim")
    assert manifest.numbers == {"run": 0, "hop": 1, "swim": 2}

    classes_file(path).write_text("runn\nhop\n")
    with pytest.raises(ActionCLIPError, match=r"'run' is not among the 2 classes.*Did you mean"):
        read_manifest(path)


def test_a_file_of_classes_that_is_no_longer_true_is_taken_away(tmp_path):
    rows = (Row("a.mp4", ("run",)), Row("b.mp4", ("hop",)))
    path = tmp_path / "all.csv"

    write_manifest(Manifest(rows, ("run", "hop"), tmp_path), path)
    assert classes_file(path).read_text() == "run\nhop\n"
    write_manifest(Manifest(rows, root=tmp_path), path)

    assert read_manifest(path).classes == ("hop", "run")


def test_a_file_of_classes_may_come_from_another_editor(tmp_path):
    path = table(tmp_path, "path,label", "a.mp4,run", "b.mp4,hop")
    classes_file(path).write_bytes(b"run \r\n\r\nhop\r\n")

    assert read_manifest(path).classes == ("run", "hop")


@pytest.mark.parametrize("missing", [[], [None]])
def test_numbers_in_parquet_are_names(tmp_path, missing):
    """Without a value they are whole numbers, with one they may have become decimal ones."""
    columns = {
        "path": ["a.mp4", "b.mp4", "c.mp4"],
        "label": [0, 1, *(missing or [1])],
        "split": [1, 1, 2],
        "group": [0, 7, 7],
    }
    kind = pa.float64() if missing else pa.int64()
    table = pa.table(columns | {"label": pa.array(columns["label"], kind)})
    parquet.write_table(table, tmp_path / "all.parquet")

    manifest = read_manifest(tmp_path / "all.parquet")

    assert manifest.classes == ("0", "1")
    assert [row.labels for row in manifest.rows] == [("0",), ("1",), () if missing else ("1",)]
    assert [(row.split, row.group) for row in manifest.rows] == [("1", "0"), ("1", "7"), ("2", "7")]


def test_lists_of_numbers_in_parquet_are_lists_of_names(tmp_path):
    table = pa.table({"path": ["a.mp4", "b.mp4"], "labels": [[0, 2], []]})
    parquet.write_table(table, tmp_path / "all.parquet")

    rows = read_manifest(tmp_path / "all.parquet").rows

    assert [row.labels for row in rows] == [("0", "2"), ()]


def test_paths_follow_when_a_manifest_is_written_elsewhere(tmp_path):
    manifest = Manifest((Row("clips/a.mp4", ("run",)), Row("/b.mp4", ("run",))), root=tmp_path)

    write_manifest(manifest, tmp_path / "splits" / "few.csv")
    moved = read_manifest(tmp_path / "splits" / "few.csv")

    assert [row.path for row in moved.rows] == ["../clips/a.mp4", "/b.mp4"]
    assert moved.path_of(moved.rows[0]) == tmp_path / "clips" / "a.mp4"
    write_manifest(manifest, tmp_path / "splits" / "few.csv", root=tmp_path / "clips")
    with (tmp_path / "splits" / "few.csv").open() as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["a.mp4", "/b.mp4"]


def test_a_folder_of_images_becomes_a_source_of_frames(tmp_path):
    (tmp_path / "walk").mkdir()
    manifest = Manifest((Row("walk"), Row("gone.mp4")), root=tmp_path)

    walk, gone = (manifest.source(row) for row in manifest.rows)

    assert (walk.kind, walk.path) == ("frames", tmp_path / "walk")
    assert (gone.kind, gone.path) == ("file", tmp_path / "gone.mp4")


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "all.csv"
    write_manifest(Manifest((Row("a.mp4", ("run",)),), root=tmp_path), path)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="could not be written"):
        write_manifest(Manifest((Row("b.mp4", ("hop",)),), root=tmp_path), path)
    monkeypatch.undo()

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["all.csv"]


def test_parquet_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ActionCLIPError, match=r"actionclip\[parquet\]"):
        read_manifest(tmp_path / "all.parquet")
