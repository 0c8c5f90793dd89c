"""The contrastive objective: which videos and texts of a batch belong together (paper section 3.1).

B videos, K texts (usually one for each video), C labels, D embedding width.

Several videos of a batch may share a label, and a video may have several: a row can have several
right answers. That is why the loss is a KL divergence to a distribution and not a cross-entropy to
an index. With one right answer in each row and no softening it is the cross-entropy after all: the
symmetric InfoNCE that CLIP was trained with.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from actionclip.errors import ActionCLIPError

SHARPNESS = 10.0
"""What the authors multiply the match matrix by before its softmax."""


def match_matrix(
    labels: Shaped[Tensor, " B"] | Shaped[Tensor, "B C"],
    text_labels: Int[Tensor, " K"] | None = None,
) -> Float[Tensor, "B K"]:
    """1 where a video and a text belong together, else 0.

    Args:
        labels: of each video: its number [B], or a matrix of zeros and ones [B, C] where a video
            may have several.
        text_labels: the number of the label that each text names. None: text j was made of all the
            labels of video j, and belongs to every video that shares one of them.

    >>> match_matrix(torch.tensor([0, 2, 0])).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    if labels.ndim == 1:
        others = labels if text_labels is None else text_labels
        return (labels[:, None] == others[None, :]).float()
    present = (labels != 0).float()
    if text_labels is not None:
        return present[:, text_labels]
    return (present @ present.T > 0).float()


def targets(
    matches: Float[Tensor, "B K"], sharpness: float | None = SHARPNESS
) -> Float[Tensor, "B K"]:
    """What the softmax over each row should be.

    Args:
        matches: 1 or 0.
        sharpness: softmax(sharpness * matches): at the authors' 10 a lone match among K texts is
            to get e^10 / (e^10 + K - 1). None: the matches share the row equally and nothing else
            gets any; a row without a match is all zeros.
    """
    if sharpness is not None:
        return F.softmax(sharpness * matches, dim=1)
    return matches / matches.sum(dim=1, keepdim=True).clamp(min=1)


def kl_loss(logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """KL divergence from softmax(logits) to the target, averaged over the rows that have one."""
    divergence = F.kl_div(F.log_softmax(logits, dim=1), target, reduction="sum")
    return divergence / (target.sum(dim=1) > 0).sum().clamp(min=1)


def contrastive_loss(
    video: Float[Tensor, "B D"],
    text: Float[Tensor, "K D"],
    labels: Shaped[Tensor, " rows"] | Shaped[Tensor, "rows C"] | Sequence[int],
    scale: float | Float[Tensor, ""],
    *,
    text_labels: Int[Tensor, " names"] | None = None,
    sharpness: float | None = SHARPNESS,
) -> Float[Tensor, ""]:
    """The authors' loss: mean of the video-to-text and the text-to-video KL divergence.

    Args:
        video: embeddings of unit length.
        text: embeddings of unit length; text i is about video i unless `text_labels` says else.
        labels: of the videos: numbers [B], as a tensor or a list; or a matrix of zeros and ones
            [B, C] where a video may have several labels. With a matrix the target of each row is
            shared equally by its matches and `sharpness` is not used.
        scale: what multiplies the cosine: exp(logit_scale).
        text_labels: the label that each text names, where texts do not go with the videos one by
            one, or are about one of several labels.
        sharpness: see `targets`.

    Raises:
        ActionCLIPError: when rows do not go together.
    """
    labels = torch.as_tensor(labels, device=video.device)
    if len(labels) != len(video) or len(text) != len(
        labels if text_labels is None else text_labels
    ):
        raise ActionCLIPError(
            f"The loss got {len(video)} videos, {len(labels)} rows of labels and {len(text)} texts"
            + ("." if text_labels is None else f" with {len(text_labels)} labels."),
            expected="One row of labels for each video, and one text for each video.",
            hint="Texts that do not go with the videos one by one need text_labels.",
        )
    matches = match_matrix(labels, text_labels)
    soft = sharpness if labels.ndim == 1 else None
    logits = scale * video @ text.T
    rows = kl_loss(logits, targets(matches, soft))
    columns = kl_loss(logits.T, targets(matches.T, soft))
    return (rows + columns) / 2


def info_nce(
    video: Float[Tensor, "B D"], text: Float[Tensor, "B D"], scale: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """CLIP's loss, for pre-training: every pair is a label of its own and has to win outright."""
    own = torch.arange(len(video), device=video.device)
    return contrastive_loss(video, text, own, scale, sharpness=None)
