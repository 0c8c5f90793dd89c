"""`actionclip calibrate`, and the verbs that obey it, on real files."""

import json

import pytest

from actionclip.errors import ActionCLIPError
from sample_videos import write_video

LABELS = ("running", "waving one hand")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number in range(14):
        place = folder / "known" / LABELS[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        write_video(place / f"{number}.mp4", seed=number, frames=16)
    (folder / "others" / "strange").mkdir(parents=True)
    for number in range(4):
        write_video(folder / "others" / "strange" / f"{number}.mp4", seed=50 + number, frames=16)
    return folder


@pytest.fixture
def run(command_line):
    def run(*arguments, **options):
        return command_line(*arguments, "--workers", "1", **options)

    return run


def test_a_calibrated_folder_is_obeyed(run, data, tmp_path):
    done = run(
        *("calibrate", "tiny", "--data", data / "known", "--unknown", data / "others"),
        *("--coverage", "0.8", "--out", "mine", "--draws", "20", "--json"),
    )

    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["folder"] == "mine"
    assert row["calibration"]["clips"] == 14
    assert row["report"]["unknown"] == 4
    settings = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert settings["calibration"] == row["calibration"]
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == [
        *("README.md", "config.json", "labels.txt", "model.safetensors"),
    ]

    clip = data / "known" / LABELS[0] / "0.mp4"
    classify = ("classify", clip, "--labels", ", ".join(LABELS), "--model", "mine")
    answer = json.loads(run(*classify, "--json").stdout)
    assert answer["label_set"]["coverage"] == 0.8
    assert set(answer["label_set"]["labels"]) <= set(LABELS)
    plain = run(*classify)
    assert "with 80% coverage one of: " in plain.stdout
    without = json.loads(run(*classify, "--json", "--no-calibration").stdout)
    assert "label_set" not in without
    kept = json.loads(run(*classify, "--json", "--threshold", "0").stdout)
    assert {s["label"] for s in kept["scores"]} == set(LABELS)
    other = run("classify", clip, "--labels", "running, jumping", "--model", "mine", "--json")
    assert "label_set" not in json.loads(other.stdout)
    assert "calibrated for 2 labels" in other.stderr

    tested = run("eval", "mine", "--data", data / "known", "--draws", "20")
    assert "label set coverage" in tested.stdout
    assert "answered with a label" in tested.stdout


def test_a_folder_is_calibrated_in_place_and_says_what_it_did(run, data, tmp_path):
    run("calibrate", "tiny", "--data", data / "known", "--out", "m", "--draws", "0")
    weights = (tmp_path / "m" / "model.safetensors").read_bytes()

    done = run("calibrate", "m", "--data", data / "known", "--coverage", "0", "--draws", "0")

    settings = json.loads((tmp_path / "m" / "config.json").read_text())
    assert settings["calibration"]["coverage"] is None
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == weights
    for words in ("temperature", "threshold", "calibration error", "known clips kept", "note:"):
        assert words in done.stdout
    assert "labels in a set" not in done.stdout
    assert "nan" not in done.stdout  # no draws, no intervals


def test_a_model_without_a_folder_needs_a_place(run, data):
    with pytest.raises(ActionCLIPError, match="not a model folder"):
        run("calibrate", "tiny", "--data", data / "known")


def test_a_folder_called_tiny_is_not_written_over_with_the_built_in_model(run, data, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("mine")

    with pytest.raises(ActionCLIPError, match="tiny is not a model folder"):
        run("calibrate", "tiny", "--data", data / "known")

    assert {path.read_text() for path in folder.iterdir()} == {"mine"}


def test_what_could_only_be_a_mistake_is_said_before_anything_is_read(run, data, tmp_path):
    calibrate = ("calibrate", "tiny", "--data", data / "known")

    with pytest.raises(ActionCLIPError, match="data too: 14"):
        run(*calibrate, "--out", "m", "--unknown", data / "known")
    assert not (tmp_path / "m").exists()


def test_a_list_of_numbers_is_calibrated_with_its_names_and_fold(run, data, tmp_path):
    """The advice of the error is what helps."""
    lists, names = tmp_path / "lists", tmp_path / "names.txt"
    lists.mkdir()
    files = sorted((data / "known").rglob("*.mp4"))
    lines = [f"{n}.mp4 {LABELS.index(file.parent.name)}\n" for n, file in enumerate(files)]
    for number, file in enumerate(files):
        (lists / f"{number}.mp4").symlink_to(file)
    (lists / "val_split1.txt").write_text("".join(lines[:12]))
    (lists / "val_split2.txt").write_text("".join(lines))
    names.write_text("\n".join(LABELS))
    asked = ("calibrate", "tiny", "--data", lists, "--out", "mine", "--coverage", "0.8")
    with pytest.raises(ActionCLIPError, match="as numbers only") as caught:
        run(*asked)
    assert "--class-names FILE" in caught.value.hint

    done = run(*asked, "--fold", "2", "--class-names", names, "--draws", "0", "--json")

    assert json.loads(done.stdout)["calibration"]["clips"] == 14
