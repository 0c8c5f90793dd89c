"""Files whose names are bytes that are no UTF-8, through every verb that writes names down."""

import json
import os

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pyarrow import parquet

from actionclip.errors import ActionCLIPError
from actionclip.figures import png_of
from actionclip.inference import EMBEDDING_FORMATS
from actionclip.inference.bulk.tables import check_output
from sample_videos import write_video

BYTES = b"caf\xe9"
NAME = os.fsdecode(BYTES + b".mp4")
LABELS = "waving one hand, running"
TINY = ("--model", "tiny", "--workers", "1")


@pytest.fixture
def odd(tmp_path):
    """A video with such a name."""
    write_video(tmp_path / "a.mp4")
    return (tmp_path / "a.mp4").rename(tmp_path / NAME)


def test_classify_writes_json_that_is_text(command_line, odd):
    write_video(odd.with_name("día.mp4"))

    done = command_line("classify", odd, "día.mp4", "--labels", LABELS, "--json", *TINY)

    first, second = done.stdout_bytes.decode("utf-8").splitlines()
    assert json.loads(first)["source"] == str(odd)
    assert json.loads(second)["source"] == "día.mp4"
    assert "día.mp4" in second


def test_timeline_writes_json_that_is_text(command_line, odd, tmp_path):
    command_line("timeline", odd, "--labels", LABELS, "--model", "tiny", "--save-all", "all")

    [path] = (tmp_path / "all").glob("*.json")
    assert json.loads(path.read_text(encoding="utf-8"))["source"] == str(odd)


@pytest.mark.parametrize(
    "words",
    [
        ("classify", NAME, "--save-plot", "p.png"),
        ("classify", NAME, "--explain", "p.png", "--windows", "1", "--frames", "4"),
        ("timeline", NAME, "--explain", "parts", "--threshold", "0"),
        ("timeline", NAME, "--save-plot", "p.png"),
    ],
)
def test_pictures_are_drawn(command_line, odd, tmp_path, words):
    command_line(*words, "--labels", LABELS, "--model", "tiny")

    pictures = [*tmp_path.glob("p.png"), *(tmp_path / "parts").glob("*.png")]
    assert pictures
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width > 500


@pytest.mark.parametrize("tight", [False, True])
def test_words_at_an_axis_are_drawn_with_marks(tight):
    pictures = []
    for name in ("caf\udce9", "caf\N{REPLACEMENT CHARACTER}"):
        figure = Figure(figsize=(2, 2))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_yticks([0, 1], [name, "día"])
        axes.set_xlabel(f"{name}\nrunning")
        pictures.append(png_of(figure, tight=tight))

    assert pictures[0] == pictures[1]


@pytest.mark.usefixtures("odd")
def test_parquet_is_refused_and_nothing_is_left(command_line, tmp_path):
    (tmp_path / "e.parquet").write_bytes(b"mine")

    with pytest.raises(ActionCLIPError, match=r"caf\\udce9.mp4' is not text.*Write \.npz"):
        command_line("embed", NAME, "-o", "e.parquet", *TINY)

    assert {path.name for path in tmp_path.iterdir()} == {NAME, "e.parquet"}
    assert (tmp_path / "e.parquet").read_bytes() == b"mine"


def test_names_that_parquet_cannot_hold_are_known_before_any_work(tmp_path):
    check_output(tmp_path / "e.npz", [NAME], EMBEDDING_FORMATS)
    check_output(tmp_path / "e.parquet", ["día.mp4"], EMBEDDING_FORMATS)
    with pytest.raises(ActionCLIPError, match="which Parquet cannot hold"):
        check_output(tmp_path / "e.parquet", ["día.mp4", NAME], EMBEDDING_FORMATS)


def test_npz_holds_the_name(command_line, odd, tmp_path):
    command_line("embed", odd, "-o", "e.npz", *TINY)

    assert np.load(tmp_path / "e.npz")["source"].tolist() == [str(odd)]


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_embed_writes_files_with_the_mode_of_any_other(command_line, tmp_path, name):
    write_video(tmp_path / "a.mp4")
    before = os.umask(0o027)
    try:
        command_line("embed", "a.mp4", "-o", name, *TINY)
    finally:
        os.umask(before)

    assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", name}
    if name == "e.parquet":
        assert parquet.read_table(tmp_path / name)["source"].to_pylist() == ["a.mp4"]


def test_the_results_of_a_test_can_be_read_again(command_line, tmp_path):
    for seed, name in enumerate(("hop/a.mp4", "run/b.mp4")):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        write_video(tmp_path / "set" / name, frames=6, size=(48, 64), seed=seed)
    clip = tmp_path / "set" / "hop" / "a.mp4"
    clip.rename(clip.with_name(os.fsdecode(BYTES + b".avi")))
    folder = (tmp_path / "set").rename(tmp_path / os.fsdecode(b"s\xe9t"))

    done = command_line("eval", "tiny", "--data", folder, "--workers", "1", "--out", "X")
    compared = command_line("eval", "--compare", "X", "X")

    assert done.exit_code == compared.exit_code == 0
    found = json.loads((tmp_path / "X" / "results.json").read_text(encoding="utf-8"))
    assert found["data"] == f"tiny on {folder}"
    page = (tmp_path / "X" / "mistakes.html").read_text(encoding="utf-8")
    assert "s\N{REPLACEMENT CHARACTER}t</h1>" in page


@pytest.mark.parametrize("verb", ["classify", "timeline"])
def test_what_is_explained_is_json_that_is_text(command_line, odd, verb):
    done = command_line(
        *(verb, odd, "--labels", LABELS, "--model", "tiny", "--json", "--explain", "pictures")
    )

    assert json.loads(done.stdout_bytes.decode("utf-8"))["source"] == str(odd)


@pytest.mark.usefixtures("odd")
def test_parquet_is_refused_before_a_video_is_encoded(command_line, monkeypatch):
    monkeypatch.setattr("actionclip.cli.options.open_model", None)

    with pytest.raises(ActionCLIPError, match="which Parquet cannot hold"):
        command_line("embed", ".", "-o", "e.parquet", *TINY)
