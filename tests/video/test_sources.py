"""What users name becomes a list of videos, whatever lies in their folders."""

import csv
import io
import os
from pathlib import Path

import pytest

from actionclip.errors import ActionCLIPError
from actionclip.video.sources import Source, find_videos, frame_files, spool, stem_of


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(sources):
    return [source.path.name for source in sources]


def test_a_file_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path, "holiday.dat")

    assert find_videos([tmp_path / "holiday.dat"]) == [
        Source(str(tmp_path / "holiday.dat"), tmp_path / "holiday.dat", "file")
    ]


def test_one_name_alone_is_not_taken_for_a_list_of_letters(tmp_path, monkeypatch):
    touch(tmp_path, "films/clip9.mp4", "films/clip10.mp4")
    monkeypatch.chdir(tmp_path)

    for alone in ("films", Path("films"), "films/*.mp4"):
        assert names(find_videos(alone)) == ["clip9.mp4", "clip10.mp4"]


def test_a_missing_file_stays_in_the_list_and_says_what_was_meant(tmp_path):
    touch(tmp_path, "holiday.mp4")

    (source,) = find_videos([str(tmp_path / "hoilday.mp4")])

    assert source.path == tmp_path / "hoilday.mp4"
    assert "Did you mean 'holiday.mp4'?" in source.explain_missing()


@pytest.mark.parametrize("target", ["gone.mp4", "gone/film.mp4"])
def test_a_link_that_leads_nowhere_is_told_as_one(tmp_path, target):
    """Not what is called like the file it led to, nor a folder that the user never named."""
    touch(tmp_path, "gone1.mp4")
    (tmp_path / "film.mp4").symlink_to(target)

    (source,) = find_videos([tmp_path / "film.mp4"])

    assert source.explain_missing() == (
        f"'{tmp_path}/film.mp4' is a link to '{tmp_path / target}', and there is no such file."
    )


def test_a_folder_is_searched_in_natural_order_and_without_hidden_files(tmp_path):
    touch(
        tmp_path, "clip10.mp4", "clip9.MP4", "b/clip1.avi", "notes.md", ".hidden.mp4", ".git/x.mp4"
    )

    found = find_videos([tmp_path])

    assert names(found) == ["clip1.avi", "clip9.MP4", "clip10.mp4"]
    assert {source.kind for source in found} == {"file"}
    assert names(find_videos([tmp_path], recursive=False)) == ["clip9.MP4", "clip10.mp4"]


def test_a_folder_of_images_is_one_video(tmp_path):
    touch(tmp_path, "run/frame10.jpg", "run/frame9.jpg", "run/Thumbs.db", "walk/1.png")

    assert names(find_videos([tmp_path])) == ["run", "walk"]
    (run,) = find_videos([tmp_path / "run"])
    assert run.kind == "frames"
    assert [path.name for path in frame_files(run.path)] == ["frame9.jpg", "frame10.jpg"]


@pytest.mark.parametrize("flow", ["flow_x_00001.jpg", "flow_y_2.png", "x_00001.jpg", "Y_0001.JPG"])
def test_optical_flow_beside_frames_is_none_of_them(tmp_path, flow):
    """As mmaction2 and TSN lay it: in the same folder, under other names."""
    touch(tmp_path, f"run/{flow}", "run/img_00001.jpg", "run/img_00002.jpg", "flow/x_1.jpg")
    touch(tmp_path, "flow/y_1.jpg", "sth/00001.jpg", f"sth/{flow}", "sth/boxy_1.jpg")

    def frames(name):
        return [path.name for path in frame_files(tmp_path / name)]

    assert frames("run") == ["img_00001.jpg", "img_00002.jpg"]
    assert frames("sth") == ["00001.jpg", "boxy_1.jpg"]
    assert frames("flow") == ["x_1.jpg", "y_1.jpg"]  # nothing else is there


def test_images_beside_videos_are_no_video(tmp_path):
    touch(tmp_path, "a.mp4", "cover.jpg", "stills/1.png")

    assert names(find_videos([tmp_path])) == ["a.mp4"]


def test_patterns(tmp_path, monkeypatch):
    touch(tmp_path, "a2.mp4", "a10.mp4", "a.txt", "deep/er/c.mkv", "odd.dat")
    monkeypatch.chdir(tmp_path)

    assert names(find_videos(["a*"])) == ["a2.mp4", "a10.mp4"]
    assert names(find_videos(["**/*.mkv"])) == ["c.mkv"]
    assert names(find_videos(["*.dat"])) == ["odd.dat"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    touch(tmp_path, "clip [1080p].mp4")

    assert names(find_videos([tmp_path / "clip [1080p].mp4"])) == ["clip [1080p].mp4"]


def test_a_list_names_one_video_a_line(tmp_path, monkeypatch):
    touch(tmp_path, "lists/beside.mp4", "here/frames/1.jpg", "here/from here.mp4")
    monkeypatch.chdir(tmp_path / "here")
    file = tmp_path / "lists" / "all.txt"
    file.write_text("\ufeff# a comment\nbeside.mp4\n\nfrom here.mp4\nframes\nnowhere.mp4\n")

    found = find_videos([file])

    assert [source.name for source in found] == [
        "beside.mp4",
        "from here.mp4",
        "frames",
        "nowhere.mp4",
    ]
    assert found[1].path == tmp_path / "here" / "from here.mp4"
    assert found[2].kind == "frames"
    assert found[3].path == tmp_path / "lists" / "nowhere.mp4"


def test_a_table_has_a_column_path(tmp_path):
    touch(tmp_path, "a, b.mp4")
    table = tmp_path / "clips.csv"
    table.write_text('label, path\nrun,"a, b.mp4"\nwalk,\nwalk,c.mp4\n')

    assert names(find_videos([table])) == ["a, b.mp4", "c.mp4"]

    table.write_text("label,paht\nrun,a.mp4\n")
    with pytest.raises(ActionCLIPError, match=r"called 'path'.*Did you mean 'paht'"):
        find_videos([table])


def test_a_table_may_name_stretches(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("path,start,end\na.mp4,1.5,4\na.mp4,,2\na.mp4,7,\nb.mp4,,\nc.mp4\n")

    found = find_videos([table])

    assert [(s.name, s.start, s.end) for s in found] == [
        ("a.mp4#t=1.5,4", 1.5, 4.0),
        ("a.mp4#t=0,2", None, 2.0),
        ("a.mp4#t=7", 7.0, None),
        ("b.mp4", None, None),
        ("c.mp4", None, None),
    ]
    assert {s.path for s in found[:3]} == {tmp_path / "a.mp4"}


@pytest.mark.parametrize("times", ["4,1", "1,1", "-1,2", "nan,2", "0,inf", "early,2"])
def test_a_stretch_that_is_none_is_refused_with_its_line(tmp_path, times):
    table = tmp_path / "clips.csv"
    table.write_text(f"path,start,end\na.mp4,1,2\na.mp4,{times}\n")

    with pytest.raises(ActionCLIPError, match=r"clips\.csv, line 3 has a clip from"):
        find_videos([table])


def test_a_list_of_names_that_are_not_utf8(tmp_path):
    name = b"caf\xe9.mp4"
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / "list.txt").write_bytes(name + b"\n")

    (source,) = find_videos([tmp_path / "list.txt"])

    assert source.path.is_file()


def test_a_list_ends_lines_where_its_writer_did(tmp_path):
    odd = ("a\nb.mp4", "c\u2028d.mp4", "e\x0cf.mp4")
    touch(tmp_path, *odd)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([name] for name in odd)])
    (tmp_path / "list.txt").write_text("\r\n".join(odd[1:]) + "\r\n", newline="")

    assert [s.path.name for s in find_videos([tmp_path / "table.csv"])] == list(odd)
    assert [s.path.name for s in find_videos([tmp_path / "list.txt"])] == list(odd[1:])


@pytest.mark.parametrize("empty", ["folder", "*.mp4", "list.txt", "table.csv"])
def test_finding_nothing_is_an_error_that_names_the_input(tmp_path, empty, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "list.txt").write_text("# nothing yet\n")
    (tmp_path / "table.csv").write_text("path\n")

    with pytest.raises(ActionCLIPError, match=f"no video in '{empty}'".replace("*", r"\*")):
        find_videos([empty])


def test_giving_nothing_is_an_error():
    with pytest.raises(ActionCLIPError, match="No videos were given"):
        find_videos([])


@pytest.mark.parametrize(
    "name",
    [
        "http://localhost/a.mp4",
        "concat:a.mp4|b.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
        "data:video/mp4;base64,AAAA",
        "file:a.mp4",
        "pipe:0",
        "fd:3",
    ],
)
def test_what_ffmpeg_takes_for_an_address_is_the_name_of_a_file(name, tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "b.mp4")
    monkeypatch.chdir(tmp_path)

    (source,) = find_videos([name])

    assert source.path.is_relative_to(tmp_path)
    assert not source.path.exists()
    assert "There is no file" in source.explain_missing()


def test_an_address_is_told_from_a_misspelt_name():
    (source,) = find_videos(["https://example.org/a.mp4"])

    assert "addresses are not fetched" in source.explain_missing()


@pytest.mark.parametrize("name", ["a\0b.mp4", "x" * 5000, "new\nline.mp4", "😀 'quoted'; rm.mp4"])
def test_strange_names_become_sources_too(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    (source,) = find_videos([name])

    assert source.name == name
    assert "There is no file" in source.explain_missing()


def test_symbolic_links_are_resolved_and_loops_end(tmp_path):
    touch(tmp_path, "real/a.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "real" / "up").symlink_to(tmp_path)

    assert find_videos([tmp_path / "link.mp4"])[0].path == tmp_path / "real" / "a.mp4"
    assert names(find_videos([tmp_path / "real"])) == ["a.mp4"]
    assert not find_videos([tmp_path / "loop.mp4"])[0].path.is_file()


def test_folders_that_are_links_are_searched_once_and_never_upwards(tmp_path):
    touch(tmp_path, "stores/a/1.mp4", "stores/b/2.mp4", "stores/b/c/3.mp4", "set/0.mp4")
    for name, leads_to in (
        *(("a", "stores/a"), ("again", "stores/a"), ("b", "stores/b"), ("inner", "stores/b/c")),
        *(("up", ""), ("gone", "nowhere"), (".hidden", "stores")),
    ):
        (tmp_path / "set" / name).symlink_to(tmp_path / leads_to)
    (tmp_path / "stores" / "b" / "back").symlink_to(tmp_path / "set")

    found = [source.name for source in find_videos([tmp_path / "set"])]

    wanted = ("0.mp4", "a/1.mp4", "b/2.mp4", "b/c/3.mp4")
    assert found == [f"{tmp_path}/set/{name}" for name in wanted]
    assert names(find_videos([tmp_path / "set"], recursive=False)) == ["0.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_must_not_be_read_becomes_a_source(tmp_path):
    touch(tmp_path, "a.mp4", "closed/b.mp4")
    (tmp_path / "closed").chmod(0)

    assert names(find_videos([tmp_path])) == ["a.mp4", "closed"]


class Pipe(io.BytesIO):
    """Standard input that nobody types on."""


def test_standard_input_is_spooled_to_a_file():
    source = spool(Pipe(b"video" * 1000))

    assert source.name == "-"
    assert source.path.read_bytes() == b"video" * 1000


def test_a_dash_means_standard_input(monkeypatch):
    class Stdin:
        buffer = Pipe(b"bytes")

    monkeypatch.setattr("sys.stdin", Stdin())

    assert find_videos(["-"])[0].path.read_bytes() == b"bytes"


@pytest.mark.parametrize(("content", "what"), [(b"", "is empty"), (b"x" * 11, "more than 10")])
def test_standard_input_is_bounded_and_not_empty(content, what):
    with pytest.raises(ActionCLIPError, match=what):
        spool(Pipe(content), limit=10)


def test_a_terminal_is_no_video():
    class Terminal(io.BytesIO):
        def isatty(self):
            return True

    with pytest.raises(ActionCLIPError, match="is a terminal"):
        spool(Terminal())


@pytest.mark.parametrize(
    ("letter", "kept"),
    [("x", 200), ("\N{LATIN SMALL LETTER E WITH ACUTE}", 100), ("\u6f14", 66), ("\udce9", 200)],
)
def test_what_files_about_a_video_are_called_leaves_room_for_a_number_and_an_ending(letter, kept):
    """A name may have 255 bytes; a letter is not cut apart, and a byte that is no text is one."""
    longest = letter * (251 // len(os.fsencode(letter)))

    assert stem_of(f"clips/{longest}.avi", None) == letter * kept
    assert stem_of(f"clips/{letter}.avi", None) == letter


def test_files_about_a_video_from_standard_input_have_a_name():
    assert stem_of("-", Path("/tmp/actionclip-1/stdin")) == "stdin"
