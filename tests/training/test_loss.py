import math

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import actionclip.training
from actionclip.errors import ActionCLIPError
from actionclip.training.loss import contrastive_loss, info_nce, kl_loss, match_matrix, targets
from actionclip.training.ranks import average_gradients, gather, join
from training_runs import on_ranks


def unit(rows, width=8, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, width, generator=generator, dtype=dtype), dim=1)


@pytest.mark.parametrize("case", ["b1", "b4", "b5_distinct", "b6_all_same"])
def test_the_kl_divergence_and_its_gradient_agree_with_the_authors_code(golden, case):
    recorded = golden("klloss")
    logits = torch.tensor(recorded[f"{case}/logits"], requires_grad=True)
    matches = match_matrix(torch.tensor(recorded[f"{case}/labels"]))

    loss = kl_loss(logits, targets(matches))
    loss.backward()

    assert torch.equal(matches, torch.tensor(recorded[f"{case}/gt"]))
    torch.testing.assert_close(loss.detach(), torch.tensor(recorded[f"{case}/loss"]))
    torch.testing.assert_close(logits.grad, torch.tensor(recorded[f"{case}/grad"]))


def test_the_loss_of_two_indifferent_pairs_by_hand():
    """Equal logits, two labels: log 2 minus the entropy of softmax([10, 0])."""
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])

    loss = contrastive_loss(same, same, torch.tensor([0, 1]), 3.0)

    p = 1 / (1 + math.exp(-10))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert loss.item() == pytest.approx(math.log(2) - entropy)
    assert loss.item() == pytest.approx(0.692648, abs=1e-6)


def test_a_batch_of_one_label_wants_equal_similarities():
    video, text = torch.eye(2), torch.tensor([[0.6, 0.8], [0.6, 0.8]])

    assert contrastive_loss(video, text, torch.tensor([7, 7]), 0.0).item() == pytest.approx(0)


def test_videos_with_several_labels_share_the_row_by_hand():
    """Video 0 shows labels a and b, video 1 shows b; the texts name a and b."""
    video, text = torch.eye(2), torch.eye(2)
    labels = torch.tensor([[1, 1], [0, 1]])
    scale = math.log(3)  # logits: log 3 on the diagonal, 0 elsewhere

    loss = contrastive_loss(video, text, labels, scale, text_labels=torch.tensor([0, 1]))

    # softmax of a row or column: 3/4 and 1/4 (own, other)
    halves = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    alone = -math.log(0.75)
    rows = (halves + alone) / 2  # video 0: both texts; video 1: text b
    columns = (alone + halves) / 2  # text a: video 0; text b: both videos
    assert loss.item() == pytest.approx((rows + columns) / 2, rel=1e-6)


def test_without_text_labels_videos_that_share_a_label_belong_together():
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]])

    assert match_matrix(labels).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert targets(match_matrix(labels), None)[0].tolist() == [0.5, 0.5, 0]


def test_texts_that_no_video_shows_do_not_count():
    video, labels = unit(2), torch.tensor([[1, 0, 0], [0, 1, 0]])
    text = unit(3, seed=1)

    loss = contrastive_loss(video, text, labels, 5.0, text_labels=torch.arange(3))

    rows = F.cross_entropy(5 * video @ text.T, torch.tensor([0, 1]))
    columns = F.cross_entropy(5 * text[:2] @ video.T, torch.tensor([0, 1]))
    torch.testing.assert_close(loss, (rows + columns) / 2)


def test_pre_training_is_the_symmetric_cross_entropy():
    video, text = unit(5), unit(5, seed=1)
    logits, right = 14 * video @ text.T, torch.arange(5)

    loss = info_nce(video, text, 14.0)

    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    torch.testing.assert_close(loss, expected)


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    scale=st.floats(0, 100),
    seed=st.integers(0, 1000),
)
def test_the_loss_is_a_divergence_and_does_not_depend_on_order(labels, scale, seed):
    rows = len(labels)
    video, text, numbers = unit(rows, seed=seed), unit(rows, seed=seed + 1), torch.tensor(labels)

    loss = contrastive_loss(video, text, numbers, scale)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    shuffled = contrastive_loss(video[order], text[order], numbers[order], scale)

    assert loss.item() >= -1e-6
    torch.testing.assert_close(loss, shuffled, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        loss, contrastive_loss(text, video, numbers, scale), rtol=1e-4, atol=1e-5
    )


def test_rows_that_do_not_go_together_are_refused():
    with pytest.raises(ActionCLIPError, match="3 videos, 2 rows of labels and 3 texts"):
        contrastive_loss(unit(3), unit(3), torch.tensor([0, 1]), 1.0)
    with pytest.raises(ActionCLIPError, match="text_labels"):
        contrastive_loss(unit(3), unit(5), torch.tensor([0, 1, 1]), 1.0)


@pytest.mark.parametrize("labels", [[0, 1, 1], (0, 1, 1)])
def test_labels_may_be_a_list(labels):
    given = contrastive_loss(unit(3), unit(3, seed=1), labels, 10.0)

    assert given == contrastive_loss(unit(3), unit(3, seed=1), torch.tensor(labels), 10.0)


def test_the_loss_is_public():
    assert actionclip.training.contrastive_loss is contrastive_loss


LABELS = {
    "one each": torch.tensor([0, 2, 0, 1]),
    "several": torch.tensor([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]]),
}
INPUTS = unit(4, 6, seed=1, dtype=torch.float64), unit(4, 6, seed=2, dtype=torch.float64)


def gradients(labels, own):
    """What a little model learns from some rows of the batch, and the loss."""
    layer = torch.nn.Linear(6, 5, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(unit(5, 6, seed=3, dtype=torch.float64))
    scale = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    video, text = (gather(F.normalize(layer(rows[own]), dim=1)) for rows in INPUTS)
    loss = contrastive_loss(video, text, gather(labels[own]), scale.exp())
    loss.backward()
    parameters = [*layer.parameters(), scale]
    average_gradients(parameters)
    return loss.item(), [parameter.grad.tolist() for parameter in parameters]


def all_gradients_on_a_rank():
    assert join(torch.device("cpu"))
    rank = dist.get_rank()
    answers = {
        name: gradients(labels, slice(2 * rank, 2 * rank + 2)) for name, labels in LABELS.items()
    }
    dist.destroy_process_group()
    return answers


def test_two_processes_have_the_gradient_of_one_with_the_whole_batch():
    ranks = on_ranks(2, all_gradients_on_a_rank)

    for name, labels in LABELS.items():
        loss, expected = gradients(labels, slice(0, 4))
        for answers in ranks:
            assert answers[name][0] == pytest.approx(loss, rel=1e-6)
            for ours, alone in zip(answers[name][1], expected, strict=True):
                torch.testing.assert_close(
                    torch.tensor(ours), torch.tensor(alone), rtol=1e-6, atol=1e-9
                )
