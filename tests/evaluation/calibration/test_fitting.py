"""Temperature, threshold and what is measured, on answers made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from actionclip.data.manifest import Row
from actionclip.encoding.questions import Question
from actionclip.evaluation import metrics
from actionclip.evaluation.calibration.answers import Answers
from actionclip.evaluation.calibration.conformal import fit_floor
from actionclip.evaluation.calibration.fitting import (
    Wanted,
    cost,
    fit,
    fit_temperature,
    fit_threshold,
    in_part,
    mean_loss,
)
from actionclip.evaluation.calibration.measures import (
    calibration_error,
    interval,
    mean_of,
    share,
    telling_apart,
)
from actionclip.evaluation.calibration.report import deal, measure
from actionclip.model.config import CalibrationConfig

LABELS = 6
BOTH = ("known", "unknown")


def made_up(count, temperature, *, unknown=0, seed=0, activation="softmax"):
    """Clips whose right label is drawn from the scores at a temperature: that is the honest one."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(count + unknown, 1, LABELS + 2)).astype(np.float32)
    views /= np.linalg.norm(views, axis=-1, keepdims=True)
    question = Question(
        labels=tuple("abcdef"),
        texts=torch.eye(LABELS + 2)[None, :LABELS],
        scale=20.0,
        bias=0.0,
        ensemble="scores",
        activation=activation,
        threshold=None,
    )
    groups = tuple(f"r{n // 2}" for n in range(count + unknown))
    blank = Answers(question, views, np.zeros(count + unknown, np.int64), groups)
    chances = blank.scores(temperature).astype(np.float64)
    truth = [rng.choice(LABELS, p=row / row.sum()) for row in chances[:count]]
    return replace(blank, truth=np.array(truth + [-1] * unknown, np.int64))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_clips_is_found(temperature):
    found = fit_temperature(made_up(2000, temperature))

    assert found == pytest.approx(temperature, rel=0.1)


def test_no_other_temperature_is_better():
    answers = made_up(300, 2.0)
    best = cost(answers, fit_temperature(answers))

    assert all(cost(answers, t) >= best - 1e-6 for t in np.geomspace(0.05, 20, 200))


def test_the_loss_is_the_cross_entropy():
    answers = made_up(50, 1.0)
    logits = 20.0 / 1.7 * torch.from_numpy(answers.views[:, 0]) @ answers.question.texts[0].T

    expected = F.cross_entropy(logits, torch.from_numpy(answers.truth))
    assert mean_loss(answers, 1.7) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_under_sigmoid_is_that_of_every_label():
    answers = made_up(50, 1.0, activation="sigmoid")
    logits = 20.0 * torch.from_numpy(answers.views[:, 0]) @ answers.question.texts[0].T

    truth = F.one_hot(torch.from_numpy(answers.truth), LABELS).float()
    expected = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1).mean()
    assert mean_loss(answers, 1.0) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("count", [1, 5, 15])
def test_a_few_clips_that_are_all_right_move_the_temperature_little(count):
    answers = made_up(count, 1.0)
    sure = replace(answers, truth=answers.scores().argmax(axis=1).astype(np.int64))

    assert 0.3 < fit_temperature(sure) < 1
    assert mean_loss(sure, 0.05) < mean_loss(sure, 0.3)  # colder would be better, for these


def test_the_order_of_labels_and_clips_does_not_matter():
    answers, mixed = made_up(80, 2.0, unknown=20), np.random.default_rng(1).permutation(100)
    labels = np.array([3, 1, 5, 0, 2, 4])
    turned = answers.only(mixed)
    turned = replace(
        turned,
        question=replace(turned.question, texts=turned.question.texts[:, labels]),
        truth=np.where(turned.truth < 0, -1, np.argsort(labels)[turned.truth]),
    )

    one, other = fit(answers, Wanted()), fit(turned, Wanted())
    assert one.temperature == pytest.approx(other.temperature, rel=1e-3)
    assert one.threshold == pytest.approx(other.threshold, abs=1e-3)
    assert one.floor == pytest.approx(other.floor, abs=1e-3)


@given(
    known=arrays(np.float64, 40, elements=st.floats(0, 1)),
    keep=st.sampled_from([0.5, 0.8, 0.95]),
)
def test_without_unknown_clips_the_share_asked_for_is_kept(known, keep):
    threshold = fit_threshold(known, np.zeros(0), keep)

    assert (known >= threshold).mean() >= keep - 1e-9


@given(
    known=arrays(np.float64, 20, elements=st.floats(0, 1)),
    unknown=arrays(np.float64, 15, elements=st.floats(0, 1)),
)
def test_no_other_threshold_tells_better(known, unknown):
    def balanced(threshold):
        return (known >= threshold).mean() + (unknown < threshold).mean()

    best = balanced(fit_threshold(known, unknown, None))
    assert all(balanced(t) <= best + 1e-9 for t in [0, 1, *known, *unknown])


@given(count=st.integers(2, 40), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_recordings_are_never_torn_apart(count, share, seed):
    groups = tuple(f"r{n % count}" for n in range(3 * count))
    for place in (in_part(groups, share, seed), deal(groups, 2, seed)):
        assert len(set(place.tolist())) > 1
        assert all(
            len({p for g, p in zip(groups, place, strict=True) if g == one}) == 1
            for one in set(groups)
        )


def test_telling_apart_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    known, unknown = rng.beta(4, 2, 60).round(2), rng.beta(2, 3, 40).round(2)
    names = tuple(map(str, range(60))), tuple(map(str, range(40)))

    found = telling_apart(known, unknown, names)

    truth, scores = [1] * 60 + [0] * 40, [*known, *unknown]
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, scores))
    assert found["auroc"].low < found["auroc"].value < found["auroc"].high
    least = np.sort(known)[3]  # 57 of 60 are kept
    assert found["fpr95"].value == pytest.approx((unknown >= least).mean())


def test_the_calibration_error_is_that_of_the_test():
    answers = made_up(120, 2.0)
    scores = answers.scores()
    rows = tuple(Row(f"{n}.mp4", ("abcdef"[t],)) for n, t in enumerate(answers.truth))
    sheet = metrics.Sheet("all", tuple("abcdef"), rows, scores)

    ours = interval(calibration_error(scores, answers.truth), answers.groups, draws=0)
    assert ours.value == pytest.approx(metrics.calibration_error(sheet), abs=1e-5)


def test_a_mean_has_an_interval_around_it():
    found = interval(mean_of(np.array([0.0, 1.0] * 30)), tuple(map(str, range(60))))

    assert found.low < found.value == 0.5 < found.high


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_calibration_error_holds_it(seed):
    """Of few clips whose scores are honest the percentiles lie wholly above it."""
    answers = made_up(60, 1.0, seed=seed)
    groups = tuple(map(str, range(60)))
    error = calibration_error(answers.scores(), answers.truth)
    plain = interval(error, groups, draws=300)

    found = interval(error, groups, draws=300, about=True)
    told = measure(replace(answers, groups=groups), Wanted(coverage=None), draws=300)

    assert plain.value == found.value
    assert 0 <= found.low < found.value < found.high < plain.high
    for each in (told.before["ece"], told.after["ece"]):
        assert 0 <= each.low < each.value < each.high


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_a_share_of_all_or_none_is_not_certain(hit):
    found = share(np.full(20, hit), tuple(str(n // 2) for n in range(20)))

    assert found.value == hit
    assert found.high - found.low == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-3)


def test_what_is_measured_comes_from_clips_held_out():
    answers = made_up(400, 3.0, unknown=60)

    report = measure(answers, Wanted(), draws=200)

    assert (report.clips, report.unknown, report.folds) == (400, 60, 5)
    assert report.after["nll"].value < report.before["nll"].value
    assert report.after["ece"].value < report.before["ece"].value
    assert report.after["top1"].value == report.before["top1"].value
    assert report.sets["coverage"].value == pytest.approx(0.9, abs=0.05)
    assert 1 <= report.sets["set_size"].value <= LABELS
    assert 0 <= report.rejection["auroc"].value <= 1
    named = report.to_dict()
    assert set(named["rejection"]) == {"kept", "rejected", "auroc", "fpr95"}
    for few in (1, 2):
        groups = tuple(f"r{n % few}" for n in range(460))
        assert measure(replace(answers, groups=groups), Wanted()) is None
    three = measure(replace(answers, groups=tuple(f"r{n % 3}" for n in range(460))), Wanted())
    assert three.folds == 3
    assert three.after["nll"].value < three.before["nll"].value


@pytest.mark.parametrize("strangers", [0, 30])
def test_no_clip_is_measured_by_what_it_helped_to_fit(strangers):
    """Each fold is taken out by hand, and tested with what is fitted on all others."""
    answers, wanted = made_up(60, 2.0, unknown=strangers, seed=3), Wanted(coverage=0.8, seed=5)
    known, unknown = answers.known, answers.unknown
    fold_of, fold_of_unknown = (deal(each.groups, 5, wanted.seed) for each in (known, unknown))
    losses, kept, held, rejected = [], [], [], []
    for fold in range(5):
        out = {known.groups[n] for n in np.flatnonzero(fold_of == fold)}
        out |= {unknown.groups[n] for n in np.flatnonzero(fold_of_unknown == fold)}
        away = np.array([group in out for group in answers.groups])
        found = fit(answers.only(np.flatnonzero(~away)), wanted)
        tested, others = (getattr(answers.only(np.flatnonzero(away)), which) for which in BOTH)
        scores = tested.scores(found.temperature)
        right = scores[np.arange(len(tested)), tested.truth]
        losses += (-np.log(right.astype(float))).tolist()
        held += ((right >= found.floor) | (right == scores.max(axis=1))).tolist()
        kept += (tested.nearness() >= found.threshold).tolist()
        rejected += (others.nearness() < found.threshold).tolist()

    report = measure(answers, wanted, draws=0)

    assert report.after["nll"].value == pytest.approx(np.mean(losses), rel=1e-6)
    assert report.sets["coverage"].value == pytest.approx(np.mean(held))
    assert report.rejection["kept"].value == pytest.approx(np.mean(kept))
    assert len(kept) == 60
    if strangers:
        assert report.rejection["rejected"].value == pytest.approx(np.mean(rejected))


def test_threshold_and_sets_are_fitted_on_other_recordings_than_the_temperature():
    answers = made_up(90, 2.0)
    first = in_part(answers.groups, 1 / 3, 0)
    found = fit(answers, Wanted())

    rest = answers.only(np.flatnonzero(~first))
    scores = rest.scores(found.temperature)  # as it is kept, six digits
    assert found.temperature == round(fit_temperature(answers.only(np.flatnonzero(first))), 6)
    floor = fit_floor(scores[np.arange(len(rest)), rest.truth], 0.9)
    threshold = fit_threshold(rest.nearness(), np.zeros(0), 0.95)
    assert floor * 0.9998 < found.floor < floor
    assert threshold - 2e-6 < found.threshold < threshold


@pytest.mark.parametrize("seed", range(6))
def test_clips_that_set_the_limits_are_within_them_when_they_come_alone(seed):
    """Their numbers differ a little when they are computed by themselves."""
    answers, rng = made_up(12, 2.0, seed=seed), np.random.default_rng(seed)
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(512, 8)).astype(np.float32)))[0].T
    texts = answers.question.texts @ turn  # of many numbers, whose sums are rounded
    answers = replace(
        answers,
        views=(torch.from_numpy(answers.views) @ turn).numpy(),
        question=replace(answers.question, texts=texts, scale=100.0),
    )

    found = fit(answers, Wanted(coverage=0.8, keep=1.0, seed=seed))

    rest = answers.only(np.flatnonzero(~in_part(answers.groups, 1 / 3, seed)))
    alone = [rest.only([n]) for n in range(len(rest))]
    assert all(one.nearness()[0] >= found.threshold for one in alone)
    right = [one.scores(found.temperature)[0, one.truth[0]] for one in alone]
    together = rest.scores(found.temperature)[np.arange(len(rest)), rest.truth]
    wanted = np.sort(together)[-math.floor(0.8 * len(rest)) :]
    assert sum(score >= found.floor for score in right) >= len(wanted)


@pytest.mark.parametrize("ensemble", ["scores", "embeddings"])
def test_nearness_is_the_mean_cosine_to_the_nearest_label(ensemble):
    rng = np.random.default_rng(0)
    views, texts = (
        F.normalize(torch.from_numpy(rng.normal(size=size).astype(np.float32)), dim=-1)
        for size in ((7, 3, 9), (2, 5, 9))
    )
    question = Question(tuple("abcde"), texts, 20.0, 3.0, ensemble, "sigmoid", None)

    means = texts.mean(dim=0)
    if ensemble == "embeddings":
        means = means / means.norm(dim=-1, keepdim=True)
    cosines = torch.stack([(video @ means.T).mean(dim=0) for video in views])
    np.testing.assert_allclose(question.nearness(views), cosines.amax(dim=1), atol=1e-6)
    near = question.nearness(views)
    known = CalibrationConfig(key="", labels=5, clips=20, threshold=float(near[3]))
    rejecting = replace(question, calibration=known)
    assert rejecting.rejects(views).equal(near < near[3])  # as near is near enough
    assert not question.rejects(views).any()
    alone = replace(question, scale=1.0, bias=0.0, texts=texts[:, 2:3])
    assert not torch.allclose(alone.nearness(views), question.nearness(views))


def test_scale_and_bias_are_divided_under_sigmoid():
    answers = made_up(20, 1.0, activation="sigmoid")
    biased = replace(answers, question=replace(answers.question, bias=-7.0))

    logits = (20.0 * answers.views[:, 0] @ answers.question.texts[0].numpy().T - 7.0) / 2.5
    np.testing.assert_allclose(biased.scores(2.5), 1 / (1 + np.exp(-logits)), rtol=1e-4)
