"""From embeddings to the labels that are reported."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.prompts.text import AUTHORS_TEMPLATES, make_prompts
from actionclip.model.scoring import NONE_OF_THESE, Score, arrange, fold_rejected, rank, score
from processes_memory import peak_mib
from reference_weights import CONFIGS, reference_weights


def vectors(*degrees):
    """Unit vectors in the plane."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


@pytest.fixture(scope="module")
def text_tower():
    """The text tower whose numbers were recorded."""
    backbone = OpenClipBackbone.from_architecture(CONFIGS["s1"])
    backbone.clip.load_state_dict(reference_weights(backbone.clip, "model"))
    return backbone.eval()


@pytest.mark.parametrize(
    "case", ["meanP", "conv1d", "lstm", "transf", "transf_cls", "shift_meanP", "joint_meanP"]
)
def test_scores_agree_with_the_authors_code(golden, text_tower, case):
    recorded = golden(f"s1_{case}")
    labels = golden("prompt_tokens")["labels"].tolist()
    prompts = make_prompts(labels, AUTHORS_TEMPLATES, clean_labels=False)
    with torch.no_grad():
        texts = text_tower.encode_text(text_tower.tokenize(list(prompts.sentences)))
    videos = F.normalize(torch.tensor(recorded["video_embedding"]), dim=-1)

    scores = score(videos, arrange(F.normalize(texts, dim=-1), prompts, "scores"), scale=100.0)

    expected = torch.tensor(recorded["validate_probs"])
    torch.testing.assert_close(scores, expected, rtol=2e-5, atol=2e-5)
    if case == "joint_meanP":  # their test script cannot run it
        return
    right = torch.tensor([0, 2, 3, 5])  # the labels their validate() was given
    best = scores.argsort(dim=1, descending=True)
    assert 100 * (best[:, 0] == right).float().mean() == recorded["validate_top1"]
    assert 100 * (best[:, :5] == right[:, None]).any(1).float().mean() == recorded["validate_top5"]


def test_both_ensembles_by_hand():
    """Cosines of 0.5 and 1 under template 0, both 0.5 under template 1; scale 2."""
    videos, texts = vectors(0.0)[None], torch.stack([vectors(60.0, 0.0), vectors(60.0, -60.0)])

    by_scores = score(videos[0], texts, scale=2.0)
    by_embeddings = score(videos[0], texts, scale=2.0, ensemble="embeddings")

    e = math.e
    assert by_scores[0, 0].item() == pytest.approx((1 / (1 + e) + 1 / 2) / 2)
    # label 0: 60 degrees, label 1: the middle of 0 and -60
    a, b = math.exp(2 * 0.5), math.exp(2 * math.cos(math.radians(30)))
    assert by_embeddings[0].tolist() == pytest.approx([a / (a + b), b / (a + b)])


def test_sigmoid_by_hand():
    """SigLIP: sigmoid(scale * cosine + bias), each label for itself."""
    scores = score(
        vectors([0.0]), vectors(60.0, 0.0)[None], scale=2.0, bias=-1.5, activation="sigmoid"
    )

    assert scores[0].tolist() == pytest.approx([1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-0.5))])


def test_views_are_averaged_as_scores():
    views, texts = vectors([0.0, 40.0, 90.0]), torch.stack([vectors(10.0, 80.0)] * 2)

    together = score(views, texts, scale=10.0)

    alone = torch.cat([score(views[:, i], texts, scale=10.0) for i in range(3)])
    torch.testing.assert_close(together[0], alone.mean(0))


def test_descriptions_by_hand():
    """Two sentences at 60 and -60 degrees against one at 45: cosines 0.5, 0.5 and 0.707."""
    described = {"a": ["first", "second"], "b": ["third"]}
    prompts = make_prompts(["a", "b"], descriptions=described)
    texts = vectors(60.0, -60.0, 45.0)

    by_scores = arrange(texts, prompts, "scores")
    by_embeddings = arrange(texts, prompts, "embeddings")

    short = torch.tensor([[0.5, 0.0]])
    torch.testing.assert_close(by_scores, torch.cat([short, vectors(45.0)])[None])
    torch.testing.assert_close(by_embeddings, vectors(0.0, 45.0)[None])
    logits = [1.0, 2 * math.cos(math.radians(45))]
    best = math.exp(logits[1]) / (math.exp(logits[0]) + math.exp(logits[1]))
    assert score(vectors([0.0]), by_scores, scale=2.0)[0, 1].item() == pytest.approx(best)


def test_as_many_descriptions_for_each_label_as_templates_is_the_embedding_ensemble():
    """Under "embeddings" templates and the same sentences as descriptions are the same thing."""
    labels, templates = ["yoga", "surfing", "archery"], AUTHORS_TEMPLATES[:4]
    texts = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    by_template = make_prompts(labels, templates)
    own = {label: [t.replace("{}", label) for t in templates] for label in labels}
    by_label = make_prompts(labels, descriptions=own)
    order = [by_template.sentences.index(sentence) for sentence in by_label.sentences]
    videos = F.normalize(torch.ones(1, 8), dim=-1)

    ours = arrange(texts[order], by_label, "embeddings")
    theirs = arrange(texts, by_template, "embeddings")

    torch.testing.assert_close(
        score(videos, ours, scale=50.0, ensemble="embeddings"),
        score(videos, theirs, scale=50.0, ensemble="embeddings"),
    )


@pytest.mark.parametrize("ensemble", ["scores", "embeddings"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@given(seed=st.integers(0, 1000), data=st.data())
def test_permuting_labels_permutes_scores_and_keeps_the_answer(ensemble, activation, seed, data):
    numbers = torch.Generator().manual_seed(seed)
    labels = data.draw(st.integers(1, 9))
    order = data.draw(st.permutations(range(labels)))
    videos = F.normalize(torch.randn(2, 3, 5, generator=numbers), dim=-1)
    texts = F.normalize(torch.randn(4, labels, 5, generator=numbers), dim=-1)
    how = {"scale": 20.0, "ensemble": ensemble, "activation": activation}
    names = [f"label {i}" for i in range(labels)]

    scores = score(videos, texts, **how)
    permuted = score(videos, texts[:, order], **how)

    torch.testing.assert_close(permuted, scores[:, order])
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()
    if activation == "softmax":
        torch.testing.assert_close(scores.sum(1), torch.ones(2))
    answer = rank(scores[0], names, top_k=None)
    shuffled = rank(permuted[0], [names[i] for i in order], top_k=None)
    assert {s.label: pytest.approx(s.score, abs=1e-6) for s in answer} == {
        s.label: s.score for s in shuffled
    }


def test_half_precision_embeddings_are_scored_in_float32():
    videos, texts = vectors([0.0]).bfloat16(), vectors(1.0, 2.0)[None].bfloat16()

    scores = score(videos, texts, scale=100.0)

    assert scores.dtype == torch.float32
    assert scores.sum().item() == pytest.approx(1, abs=1e-6)


def test_the_best_comes_first_and_equal_scores_in_the_order_of_the_labels():
    answer = rank(torch.tensor([0.25, 0.4, 0.25, 0.1]), ["d", "c", "b", "a"])

    assert [entry.label for entry in answer] == ["c", "d", "b", "a"]
    assert answer[0] == Score("c", torch.tensor(0.4).item())


def test_top_k():
    scores, labels = torch.tensor([0.2, 0.5, 0.3]), ["a", "b", "c"]

    assert [s.label for s in rank(scores, labels, top_k=2)] == ["b", "c"]
    assert len(rank(scores, labels, top_k=9)) == 3
    assert len(rank(torch.full((7,), 1 / 7), list("abcdefg"))) == 5
    assert len(rank(torch.full((7,), 1 / 7), list("abcdefg"), top_k=None)) == 7
    with pytest.raises(ActionCLIPError, match="top_k is 0"):
        rank(scores, labels, top_k=0)


def test_rejected_labels_are_one_entry_with_all_their_probability():
    scores = torch.tensor([[0.3, 0.2, 0.15, 0.35]])

    folded = fold_rejected(scores, 2, "softmax")

    answer = rank(folded[0], ["a", "b"])
    assert [entry.label for entry in answer] == [NONE_OF_THESE, "a", "b"]
    assert answer[0].score == pytest.approx(0.5)
    torch.testing.assert_close(
        fold_rejected(scores, 2, "sigmoid"), torch.tensor([[0.3, 0.2, 0.35]])
    )
    assert fold_rejected(scores, 4, "softmax") is scores


def test_the_threshold_leaves_out_and_may_leave_nothing():
    labels, scores = ["a", "b"], torch.tensor([0.75, 0.25])
    with_rejected = torch.tensor([0.375, 0.375, 0.25])

    assert [s.label for s in rank(scores, labels, threshold=0.5)] == ["a"]
    assert [s.label for s in rank(scores, labels, threshold=0.0)] == ["a", "b"]
    assert rank(scores, labels, threshold=0.9) == [Score(NONE_OF_THESE, 0.25)]
    assert rank(with_rejected, labels, threshold=0.9) == [Score(NONE_OF_THESE, 0.25)]
    assert [s.label for s in rank(with_rejected, labels, threshold=0.32)] == ["a", "b"]
    with pytest.raises(ActionCLIPError, match="threshold is 50"):
        rank(scores, labels, threshold=50.0)


def test_scores_that_do_not_belong_to_the_labels_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        rank(torch.tensor([0.5, 0.5]), ["a", "b", "c"])


def test_many_labels_and_views_are_scored_in_little_memory():
    """256 clips in 10x3 views against a thousand labels are 490 MB of logits alone."""
    draw = torch.Generator().manual_seed(1)
    videos = F.normalize(torch.randn(256, 30, 8, generator=draw), dim=-1)
    texts = F.normalize(torch.randn(16, 1000, 8, generator=draw), dim=-1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = peak_mib("self")

    found = score(videos, texts, scale=100.0)

    assert peak_mib("self") - before < 400
    for place in (0, 100, 255):
        alone = score(videos[place, None], texts, scale=100.0)[0]
        torch.testing.assert_close(found[place], alone)
