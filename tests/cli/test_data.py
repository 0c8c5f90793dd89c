"""`actionclip data`, run in this process on small files."""

import json
import shutil
from functools import partial

import pytest

from actionclip.data.manifest import read_manifest
from actionclip.errors import ActionCLIPError
from sample_videos import write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set with a folder for each class."""
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("run/a.mp4", "run/b.mp4", "hop, skip/c.mp4", "hop, skip/d.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, frames=6, size=(48, 64), seed=seed)
    return folder


@pytest.fixture
def run(command_line):
    return partial(command_line, "data")


def test_inspect_says_what_it_saw(run, folder):
    result = run("inspect", folder, "--workers", "1")

    assert result.exit_code == 0, result.output
    assert "layout     folders: 2 folders with videos, one for each class" in result.stdout
    assert "clips      4 in 4 videos" in result.stdout
    assert "hop, skip  2" in result.stdout
    assert result.stdout.rstrip().endswith("No problem was found.")


def test_inspect_ends_with_3_and_writes_what_is_good(run, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / "run" / "bad.mp4").write_bytes(b"this is no video")

    result = run(
        "inspect", "data", "--json", "--workers", "1", "--sheet", "s.png", "--write", "good.csv"
    )

    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert found["layout"] == "folders"
    assert [bad["path"] for bad in found["bad"]] == ["run/bad.mp4"]
    assert found["problems"] == ["1 file not readable (1 unreadable)."]
    assert "4 of 5 clips are in good.csv" in result.stderr
    manifest = read_manifest(tmp_path / "good.csv")
    assert manifest.rows[0].path == "data/hop, skip/c.mp4"
    assert all(manifest.path_of(row).is_file() for row in manifest.rows)
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_inspect_takes_built_in_names_for_numbers(run, folder, tmp_path):
    (tmp_path / "train_list.txt").write_text("a.mp4 0\nc.mp4 50\n")

    with pytest.raises(ActionCLIPError, match="numbers only"):
        run("inspect", "train_list.txt", "--root", folder)
    result = run(
        "inspect", "train_list.txt", "--root", folder, "--labels", "hmdb51", "--workers", "1"
    )

    assert result.exit_code == 0, result.output
    assert "layout     mmaction2" in result.stdout
    assert "classes    51" in result.stdout
    assert "and 31 more classes" in result.stdout


def test_split_writes_manifests_that_work(run, folder, tmp_path):
    result = run("split", folder, "few-shot", "--shots", "1", "--output", "splits", "--json")

    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row == {"file": "splits/few-shot-k1-seed0.csv", "classes": 2, "train": 2, "test": 2}
    manifest = read_manifest(tmp_path / row["file"])
    assert all(manifest.path_of(row).is_file() for row in manifest.rows)
    assert json.loads((tmp_path / "splits" / "splits.json").read_text())["seed"] == 0
    checked = run("inspect", row["file"], "--workers", "1")
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    ("protocol", "options", "files"),
    [
        ("half-classes", ["--draws", "2"], ["half-0-seed0.csv", "half-1-seed0.csv"]),
        ("lists", ["--train-list", "names.txt", "--test-list", "others.txt"], ["names-others.csv"]),
    ],
)
def test_split_knows_the_protocols(run, folder, tmp_path, protocol, options, files):
    (tmp_path / "names.txt").write_text("a.avi 1\nc.avi 0\n")
    (tmp_path / "others.txt").write_text("b.avi 1\n")

    result = run("split", folder, protocol, *options, "-o", "splits")

    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in (tmp_path / "splits").glob("*.csv"))
    assert written == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["few-shots"], "Did you mean 'few-shot'"),
        (["lists"], "--train-list or --test-list"),
        (["few-shot", "--shots", "one"], "--shots is 'one'"),
        (["base-to-novel"], "in train and in test"),
        (["k600-zero-shot"], "matched by name"),
    ],
)
def test_split_refuses_what_cannot_be_drawn(run, folder, arguments, message):
    with pytest.raises(ActionCLIPError, match=message):
        run("split", folder, *arguments, "-o", "splits")


@pytest.mark.parametrize("verb", ["inspect", "split"])
def test_help_shows_an_example(run, verb):
    result = run(verb, "--help")

    assert result.exit_code == 0
    assert f"actionclip data {verb}" in result.stdout.partition("Examples:")[2]


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    """Two official splits, in the second of which other clips are tested on."""
    folder = tmp_path_factory.mktemp("ucf101")
    (folder / "classInd.txt").write_text("1 Archery\n2 Bowling\n")
    for fold, tested in ((1, 1), (2, 3)):
        clips = [f"{name}/v_{name}_g0{g}_c01.avi" for name in ("Archery", "Bowling") for g in "123"]
        test = [clip for clip in clips if f"_g0{tested}_" in clip]
        train = [f"{clip} {1 + ('Bowling' in clip)}" for clip in clips if clip not in test]
        (folder / f"testlist0{fold}.txt").write_text("\n".join([*test, "Archery/gone.avi"]))
        (folder / f"trainlist0{fold}.txt").write_text("\n".join(train))
    for seed, clip in enumerate(clips):
        (folder / clip).parent.mkdir(exist_ok=True)
        write_video(folder / clip, frames=6, size=(48, 64), seed=seed)
    return folder


def test_few_shots_obey_what_an_error_tells_to_say(command_line, ucf101):
    learn = ("fewshot", ucf101 / "testlist02.txt", "--model", "tiny", "--workers", "1")
    with pytest.raises(ActionCLIPError, match="--fold 2"):
        command_line(*learn, "--out", "mine")

    done = command_line(*learn, "--out", "mine", "--fold", "2", "--json")

    assert done.exit_code == 3, done.output  # one clip of the list is gone, as eval has it
    row = json.loads(done.stdout)
    assert (row["clips"], row["test_clips"], row["labels"]) == (4, 3, ["Archery", "Bowling"])
    assert row["unread"] == 1
    assert "note: 1 clip of the list is not below" in done.stderr


def test_few_shots_take_names_for_numbers_and_a_root(command_line, ucf101, tmp_path):
    lines = [f"{clip.relative_to(ucf101)} 0" for clip in sorted(ucf101.glob("Archery/*"))]
    lines += [f"{clip.relative_to(ucf101)} 2" for clip in sorted(ucf101.glob("Bowling/*"))]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train_list.txt").write_text("\n".join(lines))
    (tmp_path / "mine.txt").write_text("Archery\nSurfing\nBowling\n")
    learn = ("fewshot", "lists/train_list.txt", "--model", "tiny", "--workers", "1", "--out", "new")
    with pytest.raises(ActionCLIPError, match="--labels FILE"):
        command_line(*learn)

    done = command_line(*learn, "--labels", "mine.txt", "--root", ucf101, "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["labels"] == ["Archery", "Surfing", "Bowling"]
    assert json.loads(done.stdout)["clips"] == 6


def test_split_tells_what_is_not_there(run, ucf101):
    done = run("split", ucf101, "few-shot", "--shots", "1", "--output", "drawn")

    assert done.exit_code == 0, done.output
    assert "note: 1 clip of the list is not below" in done.stderr
