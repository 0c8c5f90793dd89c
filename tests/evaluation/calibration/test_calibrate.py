"""A model is calibrated on files, and whoever loads its folder gets what was found."""

import csv
import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch

import actionclip
from actionclip.data.manifest import Manifest, Row
from actionclip.data.synthetic.actions import ACTIONS
from actionclip.data.synthetic.source import People, PeopleConfig
from actionclip.encoding.questions import ask
from actionclip.errors import ActionCLIPError
from actionclip.evaluation import evaluate
from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.calibrating import calibrate, rows_of
from actionclip.evaluation.calibration.fitting import Wanted, fit
from actionclip.evaluation.calibration.measures import covered
from actionclip.evaluation.report.folder import write_results
from actionclip.model.config import CalibrationConfig
from actionclip.model.scoring import NONE_OF_THESE, in_set
from actionclip.training.recipes.models import configured
from actionclip.training.recipes.settings import ModelSettings
from actionclip.video.transforms import normalise
from evaluation.data_sets import CLASSES, make_clips, two_layers

READING = {"workers": 1}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"), count=24)


@pytest.fixture(scope="module")
def calibrated(clips):
    model = two_layers()
    others = [clips.path_of(row) for row in clips.only("train").rows]
    found = calibrate(model, clips, unknown=others, coverage=0.8, reading=READING, draws=50)
    return model, found


def views_of(model, path):
    with actionclip.Recognizer(model, workers=1) as recognizer:
        return recognizer.embed_video(path)[None]


def test_what_was_found_is_in_the_model_and_its_folder(calibrated, tmp_path):
    model, found = calibrated

    assert model.config.calibration == found.calibration
    assert (found.calibration.labels, found.calibration.clips) == (4, 16)
    assert found.calibration.coverage == 0.8
    assert any("test split" in note for note in found.notes)
    assert any("rough" in note for note in found.notes)
    json.dumps(found.to_dict())
    actionclip.save(model, tmp_path / "m")
    with actionclip.load(tmp_path / "m", device="cpu") as again:
        assert again.config == model.config


def test_scores_are_divided_sets_made_and_others_rejected(calibrated, clips):
    model, found = calibrated
    known = found.calibration
    raw = ask(model, CLASSES, calibrated=False, look_alikes=False)
    asked = ask(model, CLASSES[::-1], look_alikes=False)  # the order is no matter
    views = views_of(model, clips.path_of(clips.rows[1]))

    assert asked.scale == pytest.approx(raw.scale / known.temperature)
    scores = dict(zip(CLASSES[::-1], asked.matrix(views[None])[0].tolist(), strict=True))
    best = max(scores, key=scores.__getitem__)
    answer, sure = asked.scores(views), asked.label_set(views)
    assert sure.coverage == 0.8
    assert sure.labels[0] == best
    assert set(sure.labels) == {best} | {n for n, s in scores.items() if s >= known.floor}
    nearest = float((views @ asked.texts.mean(dim=0).T).max())
    assert (answer[0].label == NONE_OF_THESE) == (nearest < known.threshold)
    strict = dataclasses.replace(asked, calibration=dataclasses.replace(known, threshold=1.0))
    assert [s.label for s in strict.scores(views)] == [NONE_OF_THESE]
    assert raw.label_set(views) is None
    assert raw.scores(views)[0].label == best


def test_a_threshold_of_ones_own_takes_the_place_of_the_calibrated_one(calibrated, clips):
    model, found = calibrated
    raised = dataclasses.replace(found.calibration, threshold=1.0)
    views = views_of(model, clips.path_of(clips.rows[1]))
    config = model.config
    try:
        model.config = dataclasses.replace(config, calibration=raised)
        default = ask(model, CLASSES, look_alikes=False)
        none = ask(model, CLASSES, threshold=0.0, look_alikes=False)
    finally:
        model.config = config

    assert default.scores(views)[0].label == NONE_OF_THESE
    assert len(none.scores(views)) == 4
    assert none.label_set(views) is not None


SAME_SENTENCES = {label: [f"a video of {label}", label] for label in CLASSES}


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (("hop", "run"), {}),
        (CLASSES, {"descriptions": SAME_SENTENCES}),
        (CLASSES, {"templates": ["someone who does {}"]}),
        (CLASSES, {"reject": "nothing"}),
        (CLASSES, {"ensemble": "embeddings"}),
    ],
)
def test_other_labels_get_the_temperature_and_a_warning(calibrated, labels, options):
    model, found = calibrated

    with pytest.warns(UserWarning, match="calibrated for 4 labels"):
        asked = ask(model, labels, look_alikes=False, **options)

    assert asked.calibration is None
    raw = ask(model, labels, look_alikes=False, calibrated=False, **options)
    assert asked.scale == pytest.approx(raw.scale / found.calibration.temperature)


def test_a_test_obeys_and_counts_how_often_sets_hold_the_label(calibrated, clips):
    model, _ = calibrated

    result = evaluate(model, clips, draws=50, reading=READING)
    raw = evaluate(model, clips, draws=50, reading=READING, calibrated=False)

    [part] = result.parts
    sets = part.sheet.sets
    hits = sets[np.arange(len(sets)), part.sheet.truth]
    assert result.summary["coverage"].value == pytest.approx(hits.mean())
    assert any("80%" in note and "labels on average" in note for note in part.numbers.notes)
    assert result.settings["calibration"]["coverage"] == 0.8
    assert "coverage" not in raw.summary
    assert raw.settings["calibration"] is None


@pytest.fixture
def half_rejecting(calibrated, clips):
    """The calibrated model with the threshold in the middle of the clips that are tested."""
    model, found = calibrated
    raw = ask(model, CLASSES, calibrated=False, look_alikes=False)
    with actionclip.Recognizer(model, workers=1) as recognizer:
        rows = clips.only("test").rows
        videos = [clips.path_of(row) for row in rows]
        near = [float(raw.nearness(v[None, None])) for v in recognizer.embed_video(videos)]
    low, high = sorted(near)[len(near) // 2 - 1 :][:2]
    known = dataclasses.replace(found.calibration, threshold=(low + high) / 2)
    before = model.config
    model.config = dataclasses.replace(before, calibration=known)
    yield model, rows
    model.config = before


def test_a_test_decides_about_every_clip_as_classify_does(half_rejecting, clips, tmp_path):
    model, rows = half_rejecting
    result = evaluate(model, clips, draws=50, reading=READING)
    write_results(result, tmp_path)
    lines = list(csv.DictReader((tmp_path / "clips.csv").read_text().splitlines()))
    [part] = result.parts

    with actionclip.Recognizer(model, workers=1) as recognizer:
        answers = list(recognizer.results([clips.path_of(row) for row in rows], CLASSES))

    assert [line["path"] for line in lines] == [row.path for row in rows]
    for line, inside, answer in zip(lines, part.sheet.sets, answers, strict=True):
        said = line["answer"] if line["kept"] == "1" else NONE_OF_THESE
        assert said == answer.scores[0].label
        assert {CLASSES[n] for n in np.flatnonzero(inside)} == set(answer.label_set.labels)
    assert [line["kept"] for line in lines].count("1") == 8
    assert result.summary["kept"].value == 0.5
    assert result.summary["kept"].low < 0.5 < result.summary["kept"].high
    assert any("8 of 16 clips are answered with none of these" in n for n in part.numbers.notes)


def test_a_test_by_another_activation_knows_nothing_of_sets_and_threshold(calibrated, clips):
    model, _ = calibrated

    result = evaluate(model, clips, draws=0, activation="sigmoid", reading=READING)

    assert not {"coverage", "kept"} & set(result.summary)
    assert result.settings["calibration"] is None


def test_a_threshold_that_meant_a_score_is_not_obeyed(calibrated, clips):
    """A folder that was calibrated when the threshold was compared with the best score."""
    model, found = calibrated
    sentences = sorted(sorted([f"a video of {label}", label]) for label in CLASSES)
    key = hashlib.sha256(json.dumps([sentences, "scores", "softmax", 0]).encode()).hexdigest()[:16]
    old = dataclasses.replace(found.calibration, key=key, threshold=0.9)
    config = model.config
    try:
        model.config = dataclasses.replace(config, calibration=old)
        with pytest.warns(UserWarning, match="an older version"):
            asked = ask(model, CLASSES, look_alikes=False)
    finally:
        model.config = config

    views = views_of(model, clips.path_of(clips.rows[1]))
    assert len(asked.scores(views)) == 4
    assert asked.label_set(views) is None


def test_calibrating_again_finds_the_same(calibrated, clips):
    model, found = calibrated
    config = model.config
    others = [clips.path_of(row) for row in clips.only("train").rows]
    try:
        again = calibrate(model, clips, unknown=others, coverage=0.8, reading=READING, draws=50)
    finally:
        model.config = config

    assert again.to_dict() == found.to_dict()


def test_training_from_a_calibrated_model_forgets_it(calibrated):
    model, _ = calibrated

    assert configured(model.config, ModelSettings(name="x")).calibration is None


def test_too_few_clips_are_an_error_that_counts_them(clips):
    few = Manifest(clips.only("test").rows[:8], clips.classes, clips.root)
    with pytest.raises(ActionCLIPError, match="8 clips of 8 recordings"):
        calibrate(two_layers(), few, reading=READING)
    with pytest.raises(ActionCLIPError, match=r"11 of the 16 clips .* coverage of 95%"):
        calibrate(two_layers(), clips, coverage=0.95, reading=READING)
    lost = [Row(f"lost{n}.mp4", ("hop",), split="test") for n in range(20)]
    with pytest.raises(ActionCLIPError, match="8 clips of 8 recordings") as caught:
        calibrate(
            two_layers(), Manifest((*few.rows, *lost), clips.classes, clips.root), reading=READING
        )
    assert "20 clips could not be read; " in caught.value.hint
    assert "lost0.mp4" in caught.value.hint
    with pytest.raises(ActionCLIPError, match="'val'"):
        calibrate(two_layers(), clips, split="val", reading=READING)


def test_a_split_without_labels_is_not_the_one_that_is_calibrated_on(clips):
    """As in Kinetics: `val` may be there without its labels."""
    bare = Row("secret.mp4", split="val")
    whole = Manifest((bare, *clips.only("test").rows), clips.classes, clips.root)

    assert rows_of(whole, None) == (clips.only("test").rows, "test")
    with pytest.raises(ActionCLIPError, match="no clip to calibrate on in 'val'"):
        rows_of(whole, "val")


def test_a_clip_is_not_known_and_unknown(clips):
    both = [clips.path_of(row) for row in clips.rows[:3]]

    with pytest.raises(ActionCLIPError, match=r"data too: 2, first .*01\.mp4"):
        calibrate(two_layers(), clips, unknown=both, reading=READING)


def test_one_label_has_nothing_to_compare(clips):
    rows = tuple(dataclasses.replace(row, labels=("hop",)) for row in clips.rows)

    found = calibrate(
        two_layers(), Manifest(rows, ("hop",), clips.root), coverage=0.8, reading=READING, draws=0
    )

    assert found.calibration.temperature == pytest.approx(1)
    assert found.report.sets["set_size"].value == 1
    assert any("one label" in note for note in found.notes)


def test_two_recordings_are_fitted_and_not_measured(clips):
    rows = clips.only("test").rows
    rows = tuple(dataclasses.replace(row, group=f"r{n % 2}") for n, row in enumerate(rows))

    found = calibrate(
        two_layers(), Manifest(rows, CLASSES, clips.root), coverage=0.8, reading=READING
    )

    assert found.report is None
    assert any("three recordings" in note for note in found.notes)
    json.dumps(found.to_dict())


def test_sets_that_folds_have_too_few_clips_for_are_not_measured(clips):
    few = Manifest(clips.only("test").rows[:14], CLASSES, clips.root)

    found = calibrate(two_layers(), few, coverage=0.9, reading=READING, draws=0)

    assert found.calibration.floor > 0
    assert found.report.sets == {}
    assert any("Label sets were not measured" in note for note in found.notes)


def test_no_sets_and_other_labels_may_be_asked_for(clips):
    found = calibrate(
        two_layers(),
        clips,
        labels=(*CLASSES, "fly"),
        coverage=None,
        keep=0.75,
        reading=READING,
        draws=0,
    )

    assert (found.calibration.floor, found.calibration.coverage) == (None, None)
    assert found.calibration.labels == 5
    assert found.report.sets == {}
    assert not any("Label sets" in note for note in found.notes)
    assert any("75%" in note for note in found.notes)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"threshold": 2.0}, {"coverage": 0.9}, {"floor": 0.1}]
)
def test_a_calibration_that_could_only_be_a_mistake_is_refused(wrong):
    with pytest.raises(ActionCLIPError, match="calibration"):
        CalibrationConfig(key="", labels=2, clips=20, **wrong)


def people(count, seed, **which):
    """Rendered clips as `tiny` sees them: vectors [N, 1, D] and the numbers of their actions."""
    model = actionclip.load("tiny", device="cpu").model
    sampling, size = model.config.sampling, model.config.preprocess.size
    settings = PeopleConfig(
        **{"clips": count, "frames": sampling.frames, "size": size},
        **{"spacing": sampling.spacing, "seed": seed, **which},
    )
    source = People(settings)
    vectors, truth = [], []
    for number in range(count):
        example = source[number, 0]
        with torch.no_grad():
            frames = normalise(example.frames[None], model.config.preprocess)
            vectors.append(model.encode_video(frames).numpy())
        truth.append(example.label)
    question = ask(model, source.labels, look_alikes=False)
    groups = tuple(map(str, range(count)))
    return Answers(question, np.stack(vectors), np.array(truth), groups)


def coverage_of(answers, clips, promised):
    fitting, testing = answers.only(range(clips)), answers.only(range(clips, len(answers)))
    found = fit(fitting, Wanted(coverage=promised))
    sets = in_set(torch.from_numpy(testing.scores(found.temperature)), found.floor).numpy()
    return covered(sets, testing.truth).mean(), sets.sum(axis=1).mean()


def test_sets_hold_the_right_label_of_rendered_people():
    answers = people(60, seed=31, actions=tuple(ACTIONS)[:12], easy=1.0)

    share, size = coverage_of(answers, 30, 0.8)

    # 20 clips set the floor, 30 are tested: three deviations of that are 0.35
    assert share >= 0.8 - 0.35
    assert size < 12


@pytest.mark.slow
def test_sets_hold_the_right_label_of_many_rendered_people():
    answers = people(1200, seed=32)

    share, size = coverage_of(answers, 450, 0.9)

    # 300 clips set the floor, 750 are tested: three deviations of that are 0.061
    assert abs(share - 0.9) <= 0.061
    assert size < 59
