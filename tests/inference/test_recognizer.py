"""The public calls, on real files, with the model that is always there."""

import dataclasses
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import actionclip
import forked
from actionclip.errors import ActionCLIPError
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest
from actionclip.video.sources import find_videos
from actionclip.video.transforms import to_input
from sample_videos import write_video

LABELS = ["waving one hand", "jumping jacks", "running"]


def as_dict(scores):
    return {score.label: score.score for score in scores}


def test_classify_gives_every_label_a_score_best_first(recognizer, folder):
    scores = recognizer.classify(folder / "0.mp4", LABELS)

    assert [type(score) for score in scores] == [actionclip.Score] * 3
    assert {score.label for score in scores} == set(LABELS)
    assert sum(score.score for score in scores) == pytest.approx(1, abs=1e-5)
    values = [score.score for score in scores]
    assert values == sorted(values, reverse=True)


def test_a_list_in_gives_a_list_of_lists(recognizer, folder):
    paths = [folder / "0.mp4", str(folder / "1.mp4")]

    answers = recognizer.classify(paths, LABELS, top_k=2)

    assert [len(scores) for scores in answers] == [2, 2]
    for path, scores in zip(paths, answers, strict=True):
        alone = as_dict(recognizer.classify(path, LABELS))
        assert as_dict(scores) == pytest.approx({s.label: alone[s.label] for s in scores}, abs=1e-5)


@pytest.mark.parametrize("kind", [str, Path, lambda path: find_videos([path])[0], "frames"])
def test_one_video_alone_is_as_good_as_a_list_of_one(recognizer, folder, kind):
    path = folder / "0.mp4"
    if kind == "frames":
        with av.open(str(path)) as container:
            frames = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
        video = np.stack(frames)
    else:
        video = kind(path)

    [alone] = recognizer.results(video, LABELS)
    [listed] = recognizer.results([video], LABELS)
    assert (alone.status, alone.scores) == ("ok", listed.scores)
    [vector] = recognizer.embeddings(video)
    assert torch.equal(vector.embedding, recognizer.embed_video(video))


def test_a_bad_file_in_a_list_costs_only_itself(recognizer, folder, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video")

    with pytest.warns(UserWarning, match=r"bad\.mp4"):
        answers = recognizer.classify([folder / "0.mp4", bad, folder / "1.mp4"], LABELS)

    assert [len(scores) for scores in answers] == [3, 0, 3]


def test_a_single_bad_file_is_an_error_with_a_code(recognizer, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video")

    with pytest.raises(actionclip.VideoError) as caught:
        recognizer.classify(bad, LABELS)

    assert caught.value.code is actionclip.Outcome.UNREADABLE
    assert "bad.mp4" in str(caught.value)


def test_scores_do_not_depend_on_the_order_of_the_labels(recognizer, folder):
    there = as_dict(recognizer.classify(folder / "2.mp4", LABELS))
    back = as_dict(recognizer.classify(folder / "2.mp4", LABELS[::-1]))

    assert back == pytest.approx(there, abs=1e-6)


def test_scores_do_not_depend_on_the_size_of_the_batch(recognizer, folder):
    paths = sorted(folder.glob("*.mp4"))

    singly = recognizer.results(paths, LABELS, batch_size=1)
    together = recognizer.results(paths, LABELS, batch_size=4)

    for one, other in zip(singly, together, strict=True):
        assert one.source == other.source
        assert as_dict(one.scores) == pytest.approx(as_dict(other.scores), abs=1e-5)


def test_an_embedding_is_what_the_model_says_of_the_frames(recognizer, folder):
    config = recognizer.config
    request = ReadRequest(sampling=config.sampling, resize=config.preprocess.resize)
    with DecodePool(1) as pool:
        clip = pool.read(find_videos([folder / "3.mp4"])[0], request)

    with torch.inference_mode():
        windows = recognizer.model.encode_video(to_input(clip.windows(), config.preprocess))
    expected = torch.nn.functional.normalize(windows.mean(dim=0), dim=0)

    found = recognizer.embed_video(folder / "3.mp4")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.norm().item() == pytest.approx(1, abs=1e-5)


def test_views_are_averaged(recognizer, folder):
    frames = {"frames": 4}
    one = recognizer.embed_video(folder / "3.mp4", **frames)
    six = recognizer.embed_video(folder / "3.mp4", windows=2, crops=3, **frames)
    result = next(recognizer.results([folder / "3.mp4"], LABELS, windows=2, crops=3, **frames))

    assert result.frames == 8
    assert six.shape == one.shape
    assert six.norm().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(one, six, atol=1e-4)


def test_frames_in_memory_answer_like_a_file_of_their_rate(recognizer, tmp_path):
    path = tmp_path / "25.mp4"
    write_video(path, seed=1, frames=50, fps=25)
    with av.open(str(path)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])

    from_file = as_dict(recognizer.classify(path, LABELS))

    assert as_dict(recognizer.classify(frames, LABELS)) == pytest.approx(from_file, abs=1e-4)
    tensor = torch.from_numpy(frames)
    assert as_dict(recognizer.classify(tensor, LABELS)) == pytest.approx(from_file, abs=1e-4)


@pytest.mark.parametrize(
    ("frames", "hint"),
    [
        (np.zeros((4, 8, 9, 3)), "(np.asarray(frames) * 255).round().astype(np.uint8)"),
        ([np.zeros((8, 9, 3), np.uint8)] * 4, "np.stack(frames)"),
        (np.zeros((4, 3, 8, 9), np.uint8), "np.asarray(frames).transpose(0, 2, 3, 1)"),
        (torch.zeros((3, 4, 8, 9), dtype=torch.uint8), "np.asarray(frames).transpose(1, 2, 3, 0)"),
        (np.zeros((4, 8, 9), np.uint8), ""),
        (np.zeros((0, 8, 9, 3), np.uint8), ""),
    ],
)
def test_frames_in_memory_of_another_form_are_refused(recognizer, frames, hint):
    with pytest.raises(actionclip.ActionCLIPError, match="uint8 of shape") as caught:
        recognizer.classify(frames, LABELS)

    code = caught.value.hint.partition(": ")[2].removesuffix(".")
    assert code == hint
    if hint:  # what is advised gives frames that can be used
        turned = eval(code, {"np": np, "frames": frames})
        assert turned.shape == (4, 8, 9, 3)
        assert recognizer.classify(turned, LABELS)


def test_videos_are_taken_as_they_are_needed(recognizer, folder):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield folder / "0.mp4"

    results = recognizer.results(endless(), LABELS, batch_size=1)
    for _ in range(3):
        next(results)
    results.close()

    assert len(taken) < 20


def test_reject_and_threshold(recognizer, folder):
    with_reject = recognizer.classify(
        folder / "0.mp4", LABELS, reject="standing still, sitting down"
    )
    assert {score.label for score in with_reject} == {*LABELS, "none of these"}
    assert sum(score.score for score in with_reject) == pytest.approx(1, abs=1e-5)

    (nothing,) = recognizer.classify(folder / "0.mp4", LABELS, threshold=1.0)
    assert nothing.label == "none of these"


@pytest.mark.parametrize("name", ["none of these", "None  of\tThese"])
@pytest.mark.parametrize("options", [{"reject": ["running"]}, {"threshold": 0.3}])
def test_a_label_is_not_called_as_the_answer_where_nothing_fits(recognizer, name, options):
    with pytest.raises(actionclip.ActionCLIPError, match=r"A label is called .*'none of these'"):
        recognizer.question([name, "walking"], **options)
    assert recognizer.question([name, "walking"]).labels == (name, "walking")


def test_a_threshold_of_zero_rejects_nothing(recognizer):
    question = recognizer.question(LABELS, threshold=0.0)
    opposite = -question.texts.mean(dim=(0, 1))[None]

    for activation in ("softmax", "none"):
        asked = dataclasses.replace(question, activation=activation)
        assert {score.label for score in asked.scores(opposite)} == set(LABELS)


def test_a_saved_model_gives_the_same_scores(recognizer, folder, tmp_path):
    actionclip.save(recognizer, tmp_path / "model")

    with actionclip.load(tmp_path / "model", device="cpu", workers=1) as loaded:
        again = as_dict(loaded.classify(folder / "4.mp4", LABELS))

    expected = as_dict(recognizer.classify(folder / "4.mp4", LABELS))
    assert again == pytest.approx(expected, abs=1e-6)


def test_bf16_is_close_and_said(recognizer, folder):
    half = actionclip.load("tiny", device="cpu", precision="bf16", workers=1)
    with half:
        result = next(half.results([folder / "0.mp4"], LABELS))
        cosine = half.embed_video(folder / "0.mp4") @ recognizer.embed_video(folder / "0.mp4")

    assert result.precision == "bf16"
    assert cosine.item() > 0.999


def test_what_bf16_rounded_is_saved_as_it_was_loaded(tmp_path):
    before = actionclip.load("tiny", device="cpu").model.state_dict()

    actionclip.save(actionclip.load("tiny", device="cpu", precision="bf16"), tmp_path / "again")

    after = actionclip.load(tmp_path / "again", device="cpu").model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_rounded_weights_that_are_not_those_loaded_are_not_saved(tmp_path):
    changed = actionclip.load("tiny", device="cpu", precision="bf16")
    changed.model.logit_scale.data += 1
    raised = actionclip.Recognizer(changed.model, precision="fp32")
    for model in (changed, changed.model, raised):
        with pytest.raises(ActionCLIPError, match=r"rounded to bfloat16.*precision='fp32'"):
            actionclip.save(model, tmp_path / "again")


def test_vectors_of_many_videos_do_not_keep_their_frames(recognizer, folder, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"this is no video")

    rows = list(recognizer.embeddings([folder / "0.mp4", tmp_path / "bad.mp4"]))

    assert [row.result.clip is None for row in rows] == [True, False]
    assert [row.embedding is None for row in rows] == [False, True]


def test_options_beside_a_question_that_was_made_are_refused(recognizer, folder):
    question, film = recognizer.question(LABELS), recognizer.watch(folder / "0.mp4")
    asked = {
        "classify": lambda **options: recognizer.classify(folder / "0.mp4", question, **options),
        "explain": lambda **options: recognizer.explain(folder / "0.mp4", question, **options),
        "timeline": lambda **options: recognizer.timeline(film, question, **options),
    }
    for ask in asked.values():
        ask()
        for options in ({"threshold": 0.9}, {"nonsense": 1}):
            with pytest.raises(ActionCLIPError, match="came with a question that was made already"):
                ask(**options)


@pytest.mark.parametrize(
    ("name", "meant"), [("topk", "top_k"), ("template", "templates"), ("num_frames", "frames")]
)
def test_an_option_that_is_misspelt_is_named_with_what_was_meant(recognizer, folder, name, meant):
    with pytest.raises(ActionCLIPError, match=f"No option is called '{name}'") as refused:
        recognizer.classify(folder / "0.mp4", LABELS, **{name: 3})

    assert refused.value.hint == f"Did you mean '{meant}'?"


def test_a_film_that_was_seen_is_not_asked_about_other_windows(recognizer, folder):
    film = recognizer.watch(folder / "0.mp4", window=2.0, stride=0.25)

    assert recognizer.timeline(film, LABELS, window=2.0).stride == 0.25
    with pytest.raises(ActionCLIPError, match=r"A window of 4 s was asked.*seen with 2 s"):
        recognizer.timeline(film, LABELS, window=4.0)
    with pytest.raises(ActionCLIPError, match=r"A stride of 0\.5 s"):
        recognizer.timeline(film, LABELS, stride=0.5)


def test_auto_precision_leaves_a_small_model_in_fp32():
    assert actionclip.load("tiny", precision="auto").precision == "fp32"


def test_unknown_options_are_refused_with_the_nearest_name(recognizer, folder):
    with pytest.raises(actionclip.ActionCLIPError, match="Did you mean 'embeddings'"):
        recognizer.classify(folder / "0.mp4", LABELS, ensemble="embedings")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"workers": workers}, f"workers is {workers}") for workers in (0, -1, 1.5, "2", True)),
        ({"decoder": "pyavi"}, "Did you mean 'pyav'"),
        ({"precision": "fp23"}, "Did you mean 'fp32'"),
        ({"device": "gpu"}, "cpu"),
    ],
)
def test_what_no_model_can_be_loaded_with_is_told_before_one_is(options, words, tmp_path):
    with pytest.raises(actionclip.ActionCLIPError, match=words):
        actionclip.load(tmp_path / "no-model", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"threshold": 2.0}, "threshold is 2"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"frames": 0}, "frames is 0"),
        ({"spacing": 1e300}, "a day"),
        ({"spacing": float("nan")}, "a day"),
    ],
)
def test_options_are_refused_before_a_video_is_opened(recognizer, options, words):
    videos = (pytest.fail("a video was taken") for _ in range(1))
    with pytest.raises(actionclip.ActionCLIPError, match=words):
        recognizer.results(videos, LABELS, **options)
    if options.keys() & {"batch_size", "frames", "spacing"}:
        with pytest.raises(actionclip.ActionCLIPError, match=words):
            recognizer.embeddings(videos, **options)


def test_what_is_of_another_type_is_refused_in_words(folder):
    """Without the annotations being checked, as where the package is used."""
    script = textwrap.dedent(f"""
        import actionclip
        model = actionclip.load("tiny", workers=1)
        video, labels = {str(folder / "0.mp4")!r}, {LABELS!r}
        for asked in (
            lambda: model.results([video], labels, crops=2),
            lambda: model.results([video], labels, frames=1.5),
            lambda: model.results([video], labels, top_k=1.5),
            lambda: model.results([video], labels, batch_size=0.5),
            lambda: model.classify(None, labels),
            lambda: model.timeline(7, labels),
        ):
            try:
                asked()
            except actionclip.ActionCLIPError as error:
                print(error)
    """)
    told = forked.run(program=script).stdout.decode().splitlines()

    beginnings = ["crops is 2.", "frames is 1.5.", "top_k is 1.5.", "batch_size is 0.5."]
    beginnings += ["A video is None.", "A video is 7."]
    assert [line[: len(words)] for line, words in zip(told, beginnings, strict=True)] == beginnings


def test_of_no_videos_there_are_no_embeddings(recognizer, folder):
    width = len(recognizer.embed_video(folder / "0.mp4"))

    assert recognizer.embed_video([]).shape == (0, width)
    assert recognizer.classify([], LABELS) == []


def test_no_labels_and_none_in_the_model_is_an_error(recognizer, folder, monkeypatch):
    unnamed = dataclasses.replace(recognizer.config, labels=())
    monkeypatch.setattr(recognizer.model, "config", unnamed)
    with pytest.raises(actionclip.ActionCLIPError, match="No labels were given"):
        recognizer.classify(folder / "0.mp4", None)


def test_it_works_in_a_script_without_a_main_guard(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import actionclip
            model = actionclip.load("tiny", workers=1)
            print(len(model.classify({str(folder / "0.mp4")!r}, {LABELS!r})))
        """)
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", script], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "3\n", "")


def test_a_model_is_pushed_as_the_folder_that_save_writes(recognizer, monkeypatch):
    seen = {}

    def upload(folder, repo, *, private):
        seen.update(repo=repo, private=private, files={p.name for p in Path(folder).iterdir()})
        return f"hf-hub:{repo}"

    monkeypatch.setattr("actionclip.inference.loading.push_folder", upload)

    assert actionclip.push_to_hub(recognizer, "someone/waving") == "hf-hub:someone/waving"
    assert seen["private"] is True
    assert {"config.json", "model.safetensors", "README.md"} <= seen["files"]
