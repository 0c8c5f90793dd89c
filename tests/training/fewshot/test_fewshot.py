"""A few clips of each class become a model."""

import json
import shutil
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from actionclip.cli.app import app
from actionclip.data.layouts.recognise import read_data
from actionclip.data.manifest import Manifest, Row, write_manifest
from actionclip.data.splits import few_shot
from actionclip.encoding.questions import ask
from actionclip.errors import ActionCLIPError
from actionclip.evaluation import evaluate
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.text_cache import cache_folder
from actionclip.model.weights.folder import load_folder, save
from actionclip.training.fewshot import features, learning
from actionclip.training.fewshot.features import frame_embeddings
from actionclip.training.fewshot.heads import Shots, folds, train_probe
from actionclip.training.fewshot.learning import FewShotConfig, learn_few_shots
from actionclip.video.decode import DecodePool
from actionclip.video.settings import ReadRequest, Resize
from actionclip.video.transforms import to_input
from training_runs import ARCHITECTURE, fingerprint, small_model

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (50, 50, 220)}
QUICK = FewShotConfig(lr=1e-2, steps=(10, 60), folds=2)


def write_colour(path, colour, seed, frames=6):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(frames):
            noise = rng.integers(-35, 35, (32, 32, 3))
            picture = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    for number, (name, colour) in enumerate(COLOURS.items()):
        for clip in range(6):
            write_colour(folder / name / f"{clip}.mp4", colour, 10 * number + clip)
    return folder


def towers(seed=0, **prompts):
    model = small_model(seed, **prompts)
    preprocess = replace(model.config.preprocess, resize=Resize(size=16))
    model.config = replace(model.config, preprocess=preprocess)
    return model.eval()


def learn(data, folder=None, model=None, **more):
    model = towers() if model is None else model
    return learn_few_shots(data, model, folder, **{"settings": QUICK, "workers": 1} | more)


def test_a_class_whose_name_is_no_text_is_refused_before_anything_is_encoded(colours, tmp_path):
    data = tmp_path / "data"
    for name, source in (("red", "red"), ("caf\udce9", "green")):
        shutil.copytree(colours / source, data / name)
    seen = []

    with pytest.raises(ActionCLIPError, match=r"'caf.udce9', is not UTF-8"):
        learn(data, tmp_path / "model", seen=lambda: seen.append(1))

    assert not seen


def test_a_folder_of_clips_becomes_a_model(colours, tmp_path):
    before = {name: value.clone() for name, value in towers().state_dict().items()}

    found = learn(colours, tmp_path / "model", shots=4)

    assert (found.clips, found.test_clips, found.failed) == (12, 6, ())
    assert found.steps > 0
    assert found.tested["prompt"] == 1.0 > found.tested["zero-shot"]
    assert found.tested["probe"] >= 5 / 6
    assert found.validated["prompt"] >= found.validated["zero-shot"]
    model = load_folder(tmp_path / "model")
    assert fingerprint(model) == fingerprint(found.model)
    assert model.config.labels == ("blue", "green", "red")
    assert model.config.prompts.post == "transf"
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), name
    card = (tmp_path / "model" / "README.md").read_text()
    assert "12 clips of 3 labels" in card
    assert "in 6 other clips: zero-shot" in card


def test_the_same_seed_gives_the_same_model_and_no_clip_is_encoded_twice(colours, monkeypatch):
    quick = replace(QUICK, steps=(5,))
    first = learn(colours, shots=2, settings=quick)
    with monkeypatch.context() as patch:
        patch.setattr(features, "_encode", None)
        again = learn(colours, shots=2, settings=quick)
        other = learn(colours, shots=2, settings=replace(quick, seed=4))

    assert fingerprint(again.model) == fingerprint(first.model)
    assert (again.validated, again.tested) == (first.validated, first.tested)
    assert fingerprint(other.model) != fingerprint(first.model)


def manifest_of(*paths):
    return Manifest(tuple(Row(str(path), ("x",)) for path in paths))


def test_the_cache_knows_weights_content_settings_and_stretch(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTIONCLIP_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a.mp4"
    write_colour(path, COLOURS["red"], 0)
    encoded = []
    real = features._encode
    monkeypatch.setattr(features, "_encode", lambda *a: encoded.append(1) or real(*a))

    def count(model, manifest):
        encoded.clear()
        frame_embeddings(model, manifest, workers=1)
        return len(encoded)

    assert count(towers(), manifest_of(path)) == 1
    assert count(towers(), manifest_of(path)) == 0
    copy = tmp_path / "b.mp4"
    copy.write_bytes(path.read_bytes())
    assert count(towers(), manifest_of(copy)) == 0  # the same content under another name
    assert count(towers(post="transf"), manifest_of(path)) == 0  # not a matter of the head
    assert count(towers(1), manifest_of(path)) == 1
    assert count(towers(inner="shift"), manifest_of(path)) == 1
    part = Manifest((Row(str(path), ("x",), start=0.1, end=0.4),))
    assert count(towers(), part) == 1
    write_colour(path, COLOURS["blue"], 0)
    assert count(towers(), manifest_of(path)) == 1
    assert list((cache_folder() / "frames").glob("*.safetensors"))


def test_embeddings_are_those_of_the_tower(colours):
    path = colours / "red" / "0.mp4"
    model = towers()

    found = frame_embeddings(model, manifest_of(path, path), workers=1)

    config = model.config
    with DecodePool(1) as pool:
        request = ReadRequest(sampling=config.sampling, resize=config.preprocess.resize)
        clip = pool.read(manifest_of(path).source(Row(str(path))), request)
    with torch.no_grad():
        expected = model.encode_frames(to_input(clip.windows(), config.preprocess))
    assert found.embeddings.shape == (2, 1, 2, 16)
    for row in found.embeddings:
        torch.testing.assert_close(row, expected, rtol=1e-5, atol=1e-6)


def test_a_clip_that_cannot_be_read_is_left_out_and_named(colours, tmp_path):
    rows = [Row(str(path), (path.parent.name,)) for path in sorted(colours.rglob("*.mp4"))]
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")

    hasty = replace(QUICK, steps=(1,))

    found = learn(Manifest((*rows, Row(str(bad), ("red",)))), settings=hasty)

    assert found.clips == 18
    [(row, why)] = found.failed
    assert row.path == str(bad)
    assert why
    with pytest.raises(ActionCLIPError, match="Not one of 1 clips can be read"):
        frame_embeddings(towers(), manifest_of(bad), workers=1)


def test_a_clip_to_test_on_that_cannot_be_read_counts_as_wrong(colours, tmp_path):
    data = in_splits(colours, "train", "test")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    worse = Manifest((*data.rows, Row(str(broken), ("red",), split="test")))
    save(towers(), tmp_path / "start")
    write_manifest(worse, tmp_path / "worse.csv")

    whole, found = learn(data), learn(worse)
    words = ["fewshot", tmp_path / "worse.csv", "--model", tmp_path / "start", "--workers", 1]
    words += ["--out", tmp_path / "mine"]
    done = CliRunner().invoke(app, [*map(str, words)])

    assert (whole.test_clips, whole.unread, len(whole.failed)) == (6, 0, 0)
    assert (found.test_clips, found.unread, len(found.failed)) == (7, 1, 1)
    for name, share in whole.tested.items():
        assert found.tested[name] == pytest.approx(share * 6 / 7)
    assert "7 other clips, 1 of them not readable and counted as wrong: " in found.about
    assert done.exit_code == 3
    assert f"not read: {broken}: " in done.stderr
    assert (tmp_path / "mine" / "config.json").is_file()


def test_where_no_clip_to_test_on_can_be_read_the_first_is_named(colours, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 99)
    broken = Row(str(tmp_path / "broken.mp4"), ("red",), split="test")
    data = Manifest((*in_splits(colours, "train").rows, broken))

    with pytest.raises(ActionCLIPError, match=r"Not one of 1 clips .* the first: .*broken\.mp4: "):
        learn(data)


def test_with_one_clip_of_a_class_nothing_is_validated(colours):
    found = learn(colours, shots=1, settings=replace(QUICK, unsure=7))

    assert found.validated == {}
    assert found.steps == 7
    assert set(found.tested) == {"zero-shot", "prompt", "probe"}


def in_splits(colours, *splits):
    """Two clips of each colour in each split."""
    return Manifest(
        tuple(
            Row(str(colours / name / f"{2 * number + clip}.mp4"), (name,), split=split)
            for name in COLOURS
            for number, split in enumerate(splits)
            for clip in (0, 1)
        )
    )


@pytest.mark.parametrize("shots", [None, 1])
@pytest.mark.parametrize(
    ("splits", "learnt", "tested"),
    [
        (("train", "val", "test"), "train", "test"),
        (("train", "val"), "train", "val"),
        (("", "val"), "", "val"),
        (("", "test"), "", "test"),
    ],
)
def test_clips_to_test_on_are_not_learnt_from(colours, splits, learnt, tested, shots):
    train, test = learning._parts(in_splits(colours, *splits), shots, 0)

    data = in_splits(colours, *splits)
    mine = {row.path for row in train.rows}
    assert mine <= {row.path for row in data.rows if row.split == learnt}
    assert len(mine) == (6 if shots is None else 3)
    assert {row.path for row in test.rows} == {r.path for r in data.rows if r.split == tested}


@pytest.mark.parametrize("shots", [None, 1])
@pytest.mark.parametrize("splits", [("test",), ("val", "test")])
def test_a_data_set_of_clips_to_test_on_alone_is_refused(colours, splits, shots):
    with pytest.raises(ActionCLIPError, match="Clips with labels in train, or in no split"):
        learn(in_splits(colours, *splits), shots=shots)


def test_clips_without_a_label_are_left_out_and_counted(colours):
    data = in_splits(colours, "train", "test")
    bare = [replace(row, labels=()) for row in data.rows[:2]]

    found = learn(Manifest((*data.rows[2:], *bare)))

    assert (found.clips, found.test_clips, found.unlabelled) == (4, 6, 2)


def test_without_clips_to_test_on_no_accuracy_is_said_and_that_is_said(colours, tmp_path):
    save(towers(), tmp_path / "start")
    words = ["fewshot", tmp_path / "m.csv", "--model", tmp_path / "start", "--workers", 1]
    for splits, said in ((("train",), "no clip was set aside"), (("train", "test"), "")):
        rows = in_splits(colours, *splits).rows
        table = "".join(f"{row.path},{row.labels[0]},{row.split}\n" for row in rows)
        (tmp_path / "m.csv").write_text(f"path,label,split\n{table}")

        done = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "mine")])

        assert done.exit_code == 0, done.output
        assert ("no clip was set aside" in done.stderr) == bool(said)
        assert ("other clips" in done.stderr) != bool(said)
        shutil.rmtree(tmp_path / "mine")


def test_when_training_does_not_help_the_model_stays_as_it_is(colours):
    hopeless = replace(QUICK, lr=1e-12, steps=(1,))

    found = learn(colours, settings=hopeless)

    assert found.validated["prompt"] == found.validated["zero-shot"]
    frames = torch.rand(2, 2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            found.model.encode_video(frames), towers().encode_video(frames), rtol=0, atol=1e-5
        )


def test_a_model_with_a_bias_is_measured_as_it_answers(colours):
    """Without the bias every score is nearly 1; with it all are near 0, and the best counts."""
    architecture, scale = ARCHITECTURE | {"init_logit_bias": -10}, 50.0
    backbone = OpenClipBackbone.from_architecture(architecture)
    missing, _ = backbone.load_state_dict(towers().backbone.state_dict(), strict=False)
    assert missing == ["clip.logit_bias"]
    model = ActionCLIP(backbone, replace(towers().config, activation="sigmoid", scale=scale)).eval()
    [data] = few_shot(read_data(colours).manifest, shots=[2]).manifests.values()
    with torch.no_grad():
        videos = unit(frame_embeddings(model, data, workers=1).embeddings.mean(dim=(1, 2)))
        texts = ask(model, data.classes, look_alikes=False).texts
        model.logit_bias.fill_(-40 - scale * torch.einsum("nd,kcd->nkc", videos, texts).mean())

    before = evaluate(model, data, draws=0, reading={"workers": 1})
    found = learn(data, model=model)

    after = evaluate(found.model, data, draws=0, reading={"workers": 1})
    assert found.tested["zero-shot"] == before.value
    assert found.tested["prompt"] == after.value


def test_a_prompt_that_has_learnt_goes_on_from_what_it_knows(colours):
    model = towers(post="conv1d")
    torch.nn.init.normal_(model.post.shift.weight)
    before = model.post.shift.weight.detach().clone()

    found = learn(colours, model=model, settings=replace(QUICK, lr=1e-12, steps=(1,)))

    assert found.model.config.prompts.post == "conv1d"
    torch.testing.assert_close(found.model.post.shift.weight.detach(), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "model", "message"),
    [
        ([Row("a.mp4", ("red",))], {}, "There are 1 classes"),
        ([Row("a.mp4", ("red", "blue"))], {}, r"a\.mp4 has 2 labels"),
        ([Row("a.mp4", ("red",)), Row("b.mp4", ("blue",))], {"pre": "joint"}, "'joint' leaves one"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(rows, model, message):
    with pytest.raises(ActionCLIPError, match=message):
        learn(Manifest(tuple(rows)), model=towers(**model))


def test_a_probe_starts_as_the_text_embeddings_and_may_be_held_there():
    torch.manual_seed(0)
    start = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
    labels = torch.arange(3).repeat(5)
    other = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
    videos = torch.nn.functional.normalize(other[labels] + 0.1 * torch.randn(15, 8), dim=1)

    free = train_probe(videos, labels, start, 10.0, pull=1e-3)
    held = train_probe(videos, labels, start, 10.0, pull=1e6)

    assert ((videos @ free.T).argmax(1) == labels).all()
    torch.testing.assert_close(held, start, rtol=0, atol=1e-3)


@given(
    counts=st.lists(st.integers(2, 9), min_size=2, max_size=5),
    parts=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_folds_hold_out_every_clip_once_and_spread_the_classes(counts, parts, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))

    found = folds(Shots(torch.zeros(len(labels), 1, 1, 1), labels), parts, seed)

    assert sorted(np.concatenate(found).tolist()) == list(range(len(labels)))
    for rows in found:
        held = np.bincount(labels[rows], minlength=len(counts))
        assert (held <= np.ceil(np.array(counts) / parts)).all()
        assert (held < counts).all()


@given(
    counts=st.lists(st.integers(2, 6), min_size=2, max_size=4),
    clips=st.integers(1, 4),
    parts=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_folds_never_tear_a_recording_apart(counts, clips, parts, seed):
    recordings = [(label, f"{label}/{n}") for label, own in enumerate(counts) for n in range(own)]
    told = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(recordings)), clips))
    labels = torch.tensor([recordings[n][0] for n in told])
    groups = tuple(recordings[n][1] for n in told)

    found = folds(Shots(torch.zeros(len(labels), 1, 1, 1), labels, groups), parts, seed)

    assert sorted(np.concatenate(found).tolist()) == list(range(len(labels)))
    fold_of = [{groups[row] for row in rows} for rows in found]
    assert sum(map(len, fold_of)) == len(recordings)
    for held in fold_of:
        for label, count in enumerate(counts):
            assert sum(name.startswith(f"{label}/") for name in held) < count


def test_clips_of_a_recording_are_not_learnt_from_and_validated_on(colours):
    """Each colour's clips are of two recordings, of which one looks like another colour's."""
    looks = {"red": ("red", "green"), "green": ("green", "blue"), "blue": ("blue", "red")}
    rows = tuple(
        Row(str(colours / look / f"{2 * name_of + clip}.mp4"), (name,), group=f"{name}/{look}")
        for name, both in looks.items()
        for name_of, look in enumerate(both)
        for clip in (0, 1)
    )

    apart = learn(Manifest(rows))
    torn = learn(Manifest(tuple(replace(row, group="") for row in rows)))

    assert apart.validated["probe"] < torn.validated["probe"]
    alone = learn(Manifest(tuple(replace(row, group=row.labels[0]) for row in rows)))
    assert alone.validated == {}


def test_the_verb_writes_a_model_and_says_how_good_it_is(colours, tmp_path):
    save(towers(), tmp_path / "start")
    words = ["fewshot", colours, "--model", tmp_path / "start", "--out", tmp_path / "mine"]
    words += ["--shots", 3, "--seed", 2, "--workers", 1]

    done = CliRunner().invoke(app, [*map(str, words), "--json"])

    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["clips"], row["test_clips"], row["failed"]) == (9, 9, 0)
    assert set(row["tested"]) == {"zero-shot", "prompt", "probe"}
    assert load_folder(tmp_path / "mine").config.labels == ("blue", "green", "red")
    wrong = CliRunner().invoke(app, [*map(str, words), "--prompt", "meanp"])
    assert isinstance(wrong.exception, ActionCLIPError)
