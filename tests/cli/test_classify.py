"""`actionclip classify`, run in this process on real files."""

import csv
import io
import json
import os
import shutil
import threading
import time

import pytest
from huggingface_hub import constants
from PIL import Image

from actionclip.errors import ActionCLIPError
from actionclip.inference.recognizer import Recognizer
from actionclip.model.weights import hub
from actionclip.model.zoo.pretrained import DEFAULT
from film_of_actions import ACTIONS, EACH, shared_film
from sample_videos import write_video

LABELS = "waving one hand, jumping jacks, running"
FEW = ("--windows", "1", "--frames", "4")
"""What is explained is looked at 37 times; 36 frames of `tiny` take a while."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        write_video(folder / f"{seed}.mp4", seed=seed)
    return folder


@pytest.fixture
def run(command_line):
    def run(*arguments, **options):
        return command_line(*arguments, "--model", "tiny", "--workers", "1", **options)

    return run


def test_json_is_one_object_for_each_video(run, folder):
    result = run("classify", folder, "--labels", LABELS, "--json")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [row["source"] for row in rows] == [str(folder / f"{i}.mp4") for i in range(3)]
    for row in rows:
        assert set(row) == {"source", "status", "scores", "frames", "seconds", "precision"}
        assert (row["status"], row["frames"], row["precision"]) == ("ok", 36, "fp32")
        assert row["seconds"] == pytest.approx(2.0, abs=0.01)
        values = [score["score"] for score in row["scores"]]
        assert values == sorted(values, reverse=True)
        assert {score["label"] for score in row["scores"]} == set(LABELS.split(", "))


def test_csv_is_a_table(run, folder):
    result = run("classify", folder, "--labels", LABELS, "--csv", "--top-k", "2")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 6
    assert rows[0]["source"] == str(folder / "0.mp4")
    assert [row["rank"] for row in rows] == ["1", "2"] * 3


def test_a_table_of_stretches_is_asked_about_these(run, tmp_path_factory, tmp_path):
    film = shared_film(tmp_path_factory)
    rows = [f'"{film}",{start},{start + EACH}' for start in (0, EACH, 2 * EACH)]
    (tmp_path / "parts.csv").write_text("\n".join(["path,start,end", *rows]))

    result = run("classify", tmp_path / "parts.csv", "--labels", ", ".join(ACTIONS), "--json")

    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["source"] for row in found] == [
        f"{film}#t=0,3",
        f"{film}#t=3,6",
        f"{film}#t=6,9",
    ]
    assert [row["scores"][0]["label"] for row in found] == list(ACTIONS)


def test_plain_lines_in_a_pipe(run, folder):
    result = run("classify", folder / "0.mp4", "--labels", LABELS)

    heading, *lines = result.stdout.splitlines()
    assert heading == str(folder / "0.mp4")
    assert len(lines) == 3
    assert all("%" in line and "━" not in line for line in lines)


def test_a_bad_file_is_a_row_a_list_and_exit_code_3(run, folder, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video")

    result = run("classify", folder, bad, "--labels", LABELS, "--json")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 3
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["unreadable"]
    assert rows[3]["scores"] == []
    assert set(rows[3]["error"]) == {"code", "message", "hint"}
    assert rows[3]["error"]["code"] == "unreadable"
    (failure,) = csv.DictReader(io.StringIO((tmp_path / "failures.csv").read_text()))
    assert (failure["path"], failure["code"]) == (str(bad), "unreadable")
    assert failure["hint"]
    assert "3 ok, 1 failed" in result.stderr


def test_a_missing_file_says_so(run):
    result = run("classify", "nowhere.mp4", "--labels", LABELS)

    assert result.exit_code == 3
    assert "nowhere.mp4" in result.stdout + result.stderr


@pytest.mark.parametrize("verb", ["classify", "timeline"])
def test_a_single_video_that_fails_is_listed_where_a_place_is_named(command_line, tmp_path, verb):
    asked = (verb, "nowhere.mp4", "--labels", LABELS, "--model", "tiny")

    assert command_line(*asked).exit_code == 3
    assert list(tmp_path.iterdir()) == []
    assert command_line(*asked, "--failures", "gone.csv").exit_code == 3
    assert "nowhere.mp4,unreadable" in (tmp_path / "gone.csv").read_text()


def test_names_on_standard_input_are_told_how_to_be_given(tmp_path, command_line):
    names = "".join(f"clips/été {number}.mp4\n" for number in range(100))

    with pytest.raises(ActionCLIPError, match=r"is text.*'clips/été 0\.mp4'") as refused:
        command_line("classify", "-", "--labels", LABELS, "--model", "tiny", input=names)

    assert "ls *.mp4 > clips.txt" in refused.value.hint


@pytest.mark.parametrize("name", ["clips.csv", "failures.csv"])
@pytest.mark.parametrize("verb", ["classify", "timeline", "embed", "index"])
def test_a_list_of_videos_is_not_written_over_by_those_that_failed(
    command_line, tmp_path, verb, name
):
    (tmp_path / name).write_text("path\n1.mp4\n2.mp4\n")
    what = {"embed": ["--output", "out.npz"], "index": []}.get(verb, ["--labels", LABELS])
    named = [] if name == "failures.csv" else ["--failures", f"./{name}"]

    with pytest.raises(ActionCLIPError, match=r"written over.*--failures FILE"):
        command_line(verb, name, *what, *named, "--model", "tiny")
    assert (tmp_path / name).read_text() == "path\n1.mp4\n2.mp4\n"


@pytest.mark.parametrize("model", [None, "ViT-B-32/openai", "hf-hub:somebody/model"])
@pytest.mark.parametrize("verb", ["classify", "timeline", "embed", "index"])
def test_a_mistyped_path_is_said_before_a_model_is_downloaded(
    command_line, monkeypatch, tmp_path, model, verb
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "offline_reason", lambda: pytest.fail("the network was asked"))
    write_video(tmp_path / "holiday.mp4")
    named = [] if model is None else ["--model", model]
    what = {"embed": ["--output", "out.npz"], "index": []}.get(verb, ["--labels", LABELS])

    with pytest.raises(ActionCLIPError) as error:
        command_line(verb, tmp_path / "holday.mp4", tmp_path / "2.mp4", *what, *named)

    assert "Did you mean 'holiday.mp4'?" in str(error.value)
    assert "None of the 2 videos" in str(error.value)
    assert f"{model or DEFAULT} was not downloaded yet" in str(error.value)


def test_one_video_that_is_there_is_worth_a_download(command_line, monkeypatch, folder, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "offline_reason", lambda: "the cable is cut")

    with pytest.raises(ActionCLIPError, match="the cable is cut"):
        command_line("classify", "nowhere.mp4", folder / "0.mp4", "--labels", LABELS)


WORDS = {
    "no label": (["--labels", " , "], "holds no label"),
    "none at all": ([], "No labels were given"),
    "a mistyped set": (["--labels", "kinetics4000"], "Did you mean 'kinetics400'"),
    "no such file": (["--labels", "words.txt"], "Cannot read words.txt"),
    "a template": (["--labels", LABELS, "--template", "a video"], "A template has {} once"),
    "descriptions": (["--labels", LABELS, "--descriptions", "no.json"], "Cannot read no.json"),
    "an ensemble": (["--labels", LABELS, "--ensemble", "votes"], "No ensemble is called 'votes'"),
    "a label for nothing": (["--labels", "None of these, a", "--reject", "b"], "is no label"),
    "to reject": (["--labels", LABELS, "--reject", ","], "holds no label"),
}


@pytest.mark.parametrize("verb", ["classify", "timeline", "stream"])
@pytest.mark.parametrize("case", WORDS)
def test_words_that_cannot_be_used_are_said_before_a_model_is_downloaded(
    command_line, monkeypatch, folder, tmp_path, verb, case
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "offline_reason", lambda: pytest.fail("the network was asked"))
    words, complaint = WORDS[case]

    with pytest.raises(ActionCLIPError) as error:
        command_line(verb, folder / "0.mp4", *words)

    assert complaint in str(error.value)


def test_descriptions_are_read_once(run, folder, tmp_path):
    pipe = tmp_path / "told.json"
    os.mkfifo(pipe)
    told = {"waving one hand": ["somebody greets"], "running": ["somebody is in a hurry"]}

    def write():
        pipe.write_text(json.dumps(told))
        time.sleep(5)  # until the first reader has surely gone
        pipe.write_text("read a second time")  # waits for ever where nobody reads

    threading.Thread(target=write, daemon=True).start()

    result = run(
        "classify", folder / "0.mp4", "--labels", ",".join(told), "--descriptions", pipe, "--json"
    )

    assert {score["label"] for score in json.loads(result.stdout)["scores"]} == set(told)


@pytest.mark.parametrize("option", ["--labels", "--template"])
@pytest.mark.parametrize("verb", ["classify", "timeline"])
def test_words_may_come_through_a_pipe(command_line, folder, pipe, verb, option):
    words = pipe("{}\na man {}\n" if option == "--template" else "running\nwalking\n")
    labels = [] if option == "--labels" else ["--labels", "running, walking"]
    asked = (folder / "0.mp4", *labels, "--model", "tiny", "--json")
    row = json.loads(command_line(verb, *asked, option, words).stdout)

    found = row["labels"] if verb == "timeline" else [one["label"] for one in row["scores"]]
    assert set(found) == {"running", "walking"}


def test_labels_come_from_a_file_or_a_built_in_set(run, folder, tmp_path):
    (tmp_path / "words.txt").write_text("walking\nrunning\n")

    from_file = run("classify", folder / "0.mp4", "--labels", "words.txt", "--json")
    built_in = run("classify", folder / "0.mp4", "--labels", "ucf101", "--json", "--top-k", "101")

    assert len(json.loads(from_file.stdout)["scores"]) == 2
    assert len(json.loads(built_in.stdout)["scores"]) == 101


def test_duplicate_labels_are_named(run, folder):
    with pytest.raises(ActionCLIPError, match="'BrushHair' = 'brush_hair'"):
        run("classify", folder / "0.mp4", "--labels", "BrushHair, brush_hair, yoga")


def test_json_and_csv_do_not_go_together(run, folder):
    with pytest.raises(ActionCLIPError, match="Choose one"):
        run("classify", folder / "0.mp4", "--labels", LABELS, "--json", "--csv")


def test_a_plot_is_a_picture_of_frames_and_bars(run, folder, tmp_path):
    run("classify", folder / "0.mp4", "--labels", LABELS, "--save-plot", "one.png")
    run("classify", folder, "--labels", LABELS, "--save-plot", "many")

    picture = Image.open(tmp_path / "one.png")
    assert picture.width > 800
    assert len(picture.convert("RGB").getcolors(maxcolors=10**6) or []) > 100
    assert len(list((tmp_path / "many").glob("*.png"))) == 3


def test_a_picture_may_end_in_capitals(run, folder, tmp_path):
    run("classify", folder / "0.mp4", "--labels", LABELS, "--save-plot", "a.PNG")

    assert (tmp_path / "a.PNG").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--save-plot", "a.png", "--explain", "./a.png"), "same name"),
        (("--save-plot", "many", "--explain", "many"), "same name"),
        (("--save-plot", "a.png", "--failures", "a.png"), "same name"),
        (("--save-plot", "a.jpg"), r"no \.png.*--save-plot a\.png"),
        (("--explain", "a.PDF"), r"no \.png.*--explain a\.png"),
        (("--explain", "photo.png"), "written over"),
    ],
)
def test_pictures_that_would_be_lost_are_refused(run, tmp_path, options, words):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64)).save(photo)
    before = photo.read_bytes()

    with pytest.raises(ActionCLIPError, match=words):
        run("classify", "photo.png", "--labels", LABELS, *options)
    assert photo.read_bytes() == before
    assert list(tmp_path.iterdir()) == [photo]


def test_a_frame_of_a_folder_of_frames_is_not_written_over(run, tmp_path):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "frames" / "1.png")

    with pytest.raises(ActionCLIPError, match="written over"):
        run("classify", "frames", "--labels", LABELS, "--explain", "frames/1.png")


def test_dollars_and_strange_letters_are_words_in_every_picture(run, folder, tmp_path):
    (tmp_path / "a$\\frac$\nb.mp4").symlink_to(folder / "0.mp4")
    video, labels = tmp_path / "a$\\frac$\nb.mp4", "costs $\\frac$ a lot, \u8dd1\u6b65, running"
    done = run(
        "classify", video, "--labels", labels, "--save-plot", "p.png", "--explain", "w.png", *FEW
    )

    assert done.exit_code == 0
    assert (tmp_path / "p.png").is_file()
    assert (tmp_path / "w.png").is_file()
    assert done.stdout.splitlines()[0].endswith("a$\\frac$ b.mp4")  # a name is one line
    assert "Glyph" not in done.stderr


def test_a_name_as_long_as_names_may_be_leaves_room_for_its_pictures(run, folder, tmp_path):
    for name in ("a" * 251, "b"):
        (tmp_path / f"{name}.mp4").symlink_to(folder / "0.mp4")

    done = run(
        "classify", ".", "--labels", LABELS, "--save-plot", "plots", "--explain", "why", *FEW
    )

    assert done.exit_code == 0, done.stderr
    for place in ("plots", "why"):
        names = sorted(path.name for path in (tmp_path / place).iterdir())
        assert names == [f"0000-{'a' * 200}.png", "0001-b.png"]


def test_explain_says_what_carried_the_answer(run, folder, tmp_path):
    options = ("--labels", LABELS, "--template", "{}", "--template", "a person {}", *FEW)
    rows = run("classify", folder, *options, "--explain", "why", "--json").stdout.splitlines()
    told = run("classify", folder / "0.mp4", *options, "--explain", "why.png")

    assert len(list((tmp_path / "why").glob("*.png"))) == 3
    assert (tmp_path / "why.png").is_file()
    for row in map(json.loads, rows):
        why = row["explanation"]
        assert (why["label"], why["runner_up"]) == tuple(s["label"] for s in row["scores"][:2])
        assert sum(each["share"] for each in why["sentences"]) == pytest.approx(1, abs=1e-5)
        assert "maps" not in why
    first = json.loads(rows[0])["explanation"]
    frame = max(first["frames"], key=lambda frame: frame["margin_drop"])
    assert f"{frame['time']:.2f} s" in told.stdout
    assert f"{first['sentences'][0]['sentence']!r} gave" in told.stdout
    assert told.stderr.count("stand-in") == 1
    with pytest.raises(ActionCLIPError, match=r"why\.png, and there are 3 videos"):
        run("classify", folder, "--labels", LABELS, "--explain", "why.png")


@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_a_clip_that_is_gone_keeps_its_scores_and_stops_nobody(
    run, folder, tmp_path, monkeypatch, form
):
    """A recorder may clear a clip away once it was classified."""
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        shutil.copy(folder / name, tmp_path / name)
    classify = Recognizer.results

    def classify_and_remove(self, *args, **options):
        for result in classify(self, *args, **options):
            if result.source == "1.mp4":
                (tmp_path / "1.mp4").unlink()
            yield result

    monkeypatch.setattr(Recognizer, "results", classify_and_remove)
    named = ("0.mp4", "1.mp4", "2.mp4", *([form] if form else []))
    done = run("classify", *named, "--labels", LABELS, "--explain", "why", *FEW)

    assert done.exit_code == 0
    assert "  the answer is not explained: 1.mp4: There is no file '1.mp4'" in done.stderr
    assert done.stderr.count("is not explained") == 1
    assert "3 videos: 3 ok" in done.stderr
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == [
        "0000-0.png",
        "0002-2.png",
    ]
    assert not (tmp_path / "failures.csv").exists()
    if form == "--json":
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [len(row["scores"]) for row in rows] == [3, 3, 3]
        assert [row["explanation"] is None for row in rows] == [False, True, False]
    else:
        assert all(done.stdout.count(name) for name in ("0.mp4", "1.mp4", "2.mp4"))


def test_a_video_that_was_never_read_has_no_explanation_to_miss(run, folder):
    done = run("classify", "gone.mp4", "--labels", LABELS, "--explain", "why.png", "--json")

    assert done.exit_code == 3
    assert "explanation" not in json.loads(done.stdout)
    assert "not explained" not in done.stderr


def test_reject_and_threshold(run, folder):
    result = run(
        "classify", folder / "0.mp4", "--labels", LABELS, "--reject", "nothing happens", "--json"
    )
    none = run("classify", folder / "0.mp4", "--labels", LABELS, "--threshold", "1", "--json")

    assert "none of these" in {s["label"] for s in json.loads(result.stdout)["scores"]}
    assert [s["label"] for s in json.loads(none.stdout)["scores"]] == ["none of these"]


def test_a_video_can_come_through_a_pipe(run, folder):
    data = (folder / "0.mp4").read_bytes()
    result = run("classify", "-", "--labels", LABELS, "--json", input=data)

    assert json.loads(result.stdout)["status"] == "ok"
