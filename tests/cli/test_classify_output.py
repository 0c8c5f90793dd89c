"""`classify --output`: results of many videos in one file, and shares of a list."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.inference.bulk.shares import share_of
from actionclip.video.outcomes import Outcome
from actionclip.video.sources import Source
from sample_videos import write_video

LABELS = "running, waving one hand, jumping jacks"
TINY = ("--labels", LABELS, "--model", "tiny", "--workers", "1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        write_video(folder / f"{seed}.mp4", frames=12, size=(64, 64), seed=seed)
    (folder / "broken, \u2028 \n.mp4").write_bytes(b"this is no video")
    return folder


@pytest.fixture
def printed(command_line, clips):
    """What goes to stdout without a file, as JSON."""
    lines = command_line("classify", clips, *TINY, "--json").stdout.split("\n")
    return [json.loads(line) for line in lines if line]


def test_a_file_of_lines_holds_what_is_printed(command_line, tmp_path, clips, printed):
    run = command_line("classify", clips, *TINY, "-o", "all.jsonl")

    assert run.exit_code == 3
    assert run.stdout == ""
    assert "4 results in all.jsonl: 3 ok, 1 failed" in run.stderr
    lines = (tmp_path / "all.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines if line] == printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "failures.csv"]


def test_a_table_has_a_line_for_each_label(command_line, tmp_path, clips, printed):
    command_line("classify", clips, *TINY, "-o", "all.csv", "--top-k", "2")

    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (row["source"], row["status"], each.get("label", ""), each.get("score", ""))
        for row in printed
        for each in row["scores"][:2] or [{}]
    ]
    found = [(r["source"], r["status"], r["label"], r["score"] and float(r["score"])) for r in rows]
    assert found == expected


def test_a_parquet_file_has_the_best_label_and_all(command_line, tmp_path, clips, printed):
    command_line("classify", clips, *TINY, "-o", "all.parquet")

    rows = pyarrow.parquet.read_table(tmp_path / "all.parquet").to_pylist()
    for row, expected in zip(rows, printed, strict=True):
        scores, error = expected["scores"], expected.get("error", {})
        best = scores[0] if scores else {"label": None, "score": None}
        assert row == {
            **{key: expected[key] for key in ("source", "status", "seconds", "frames")},
            "precision": expected["precision"],
            **best,
            "labels": [each["label"] for each in scores],
            "scores": [each["score"] for each in scores],
            "message": error.get("message", ""),
            "hint": error.get("hint", ""),
        }


@pytest.fixture
def stopped(command_line, clips, monkeypatch):
    """A run that could not write its file in the end: all is kept."""
    with monkeypatch.context() as full:

        def no_space(*given):
            raise OSError(28, "No space left on device")

        full.setattr("actionclip.inference.bulk.unfinished.write_results", no_space)
        with pytest.raises(StorageError):
            command_line("classify", clips, *TINY, "-o", "all.jsonl")


def test_a_full_disk_in_the_end_costs_no_work(
    command_line, tmp_path, clips, stopped, encoded, printed
):
    encoded.clear()

    command_line("classify", clips, *TINY, "-o", "all.jsonl")

    assert encoded == []
    lines = (tmp_path / "all.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines if line] == printed


def test_answers_to_another_question_are_not_taken_over(command_line, clips, stopped):
    for other in (("--reject", "nothing"), ("--template", "look, {}"), ("--threshold", "0.9")):
        with pytest.raises(ActionCLIPError, match=r"made otherwise \(question: 3 labels, "):
            command_line("classify", clips, *TINY, *other, "-o", "all.jsonl")
    with pytest.raises(ActionCLIPError, match=r"made otherwise \(labels shown: 5 there, 1 now\)"):
        command_line("classify", clips, *TINY, "--top-k", "1", "-o", "all.jsonl")


@pytest.mark.parametrize("text", ["", "{", '{"file": "0"}\n', '{"file": "00", "result": []}\n'])
def test_a_damaged_part_is_done_again(
    command_line, tmp_path, clips, stopped, encoded, printed, text
):
    [part] = (tmp_path / "all.jsonl.unfinished").glob("part-*")
    part.write_text(text)
    encoded.clear()

    command_line("classify", clips, *TINY, "-o", "all.jsonl")

    assert len(encoded) == 4
    assert len((tmp_path / "all.jsonl").read_text().strip("\n").split("\n")) == 4


def test_what_may_do_better_is_tried_again(command_line, tmp_path, clips, stopped, encoded):
    [part] = (tmp_path / "all.jsonl.unfinished").glob("part-*")
    rows = [json.loads(line) for line in part.read_text().split("\n") if line]
    rows[1]["result"] |= {"status": str(Outcome.TIMEOUT), "scores": []}
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoded.clear()

    run = command_line("classify", clips, *TINY, "-o", "all.jsonl")

    assert encoded == [Path(rows[1]["result"]["source"]).name]
    assert "3 ok, 1 failed" in run.stderr


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("all.txt", "must end in .jsonl, .csv or .parquet"),
        ("nowhere/all.csv", "there is no folder"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_at_once(command_line, clips, output, said):
    with pytest.raises(ActionCLIPError) as refused:
        command_line("classify", clips, *TINY, "-o", output)

    assert said in str(refused.value)


@pytest.mark.parametrize("option", ["--save-plot", "--explain"])
def test_pictures_are_for_a_few_videos(command_line, clips, option):
    with pytest.raises(ActionCLIPError, match="--output came with pictures"):
        command_line("classify", clips, *TINY, "-o", "all.jsonl", option, "pictures")


@pytest.mark.parametrize("verb", ["classify", "embed"])
def test_shares_together_are_the_whole(command_line, tmp_path, clips, verb):
    words = TINY if verb == "classify" else TINY[2:]
    kind = ".jsonl" if verb == "classify" else ".npz"

    told = [
        command_line(verb, clips, *words, "-o", f"{i}{kind}", "--json", "--share", f"{i}/2").stdout
        for i in (1, 2)
    ]

    names = [json.loads(line)["source"] for part in told for line in part.split("\n") if line]
    assert sorted(names) == sorted(str(path) for path in clips.iterdir())
    assert all(told)


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ActionCLIPError, match="The share is"):
        share_of([], share)


def test_a_share_without_videos_says_so(command_line, clips):
    video = clips / "0.mp4"
    empty = next(f"{i}/2" for i in (1, 2) if not share_of([Source("0", video)], f"{i}/2"))

    with pytest.raises(ActionCLIPError, match=f"None of the 1 videos is in share {empty}"):
        command_line("classify", video, *TINY, "--share", empty)


NAMES = st.lists(st.text("abcdef0123456789/", min_size=1), min_size=1, unique=True)


@given(names=NAMES, count=st.integers(1, 5), more=NAMES)
def test_each_video_is_in_one_share_whatever_else_is_there(names, count, more):
    def sources(root, names):
        return [Source(name, Path(root) / "clips" / f"{name}.mp4") for name in names]

    here = sources("/disk", names)
    shares = [share_of(here, f"{i}/{count}") for i in range(1, count + 1)]
    assert sorted(s.name for share in shares for s in share) == sorted(names)

    there = sources("/mnt/other", dict.fromkeys([*more, *names]))
    for i, share in enumerate(shares, start=1):
        found = {source.name for source in share_of(there, f"{i}/{count}")}
        assert {source.name for source in share} == found & set(names)


def test_stretches_of_a_film_are_shared_out():
    film = Source("film", Path("/films/film.mp4"))
    stretches = [replace(film, start=float(i), end=i + 1.0) for i in range(64)]

    sizes = [len(share_of(stretches, f"{i}/4")) for i in (1, 2, 3, 4)]

    assert sum(sizes) == 64
    assert min(sizes) > 4
