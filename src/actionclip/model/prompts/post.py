"""Post-network visual prompts: one video embedding from T frame embeddings (paper section 3.3).

B videos, T frames, D embedding width. All but `transf_cls` end in the mean over time of the
frames plus a change that starts at zero: an untrained head returns the average frame, once
(`meanp`, `conv1d`, `lstm`) or twice (`transf`), and unit length makes these the same. The two
forms that do harm until trained are the authors' own: `conv1d_authors`, whose kernel starts as a
shift, and `transf_cls`, which puts a token of its own in the place of the frames.

Parameters are named as in the authors' checkpoints. Their unused `frame_position_embeddings` of
three heads are not kept.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from open_clip.transformer import QuickGELU, Transformer
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError


@dataclass(frozen=True)
class HeadSize:
    """What the heads need to know; each takes what concerns it."""

    embed_dim: int
    heads: int = 8
    """Attention heads of `transf`."""
    rows: int | None = None
    """Rows of the position table of `transf` (None: 77); frames of `transf_cls`."""
    norm_eps: float = 1e-12
    """LayerNorm epsilon of `transf`."""
    position_std: float = 0.0
    """Deviation with which the positions of `transf` start."""


class MeanPool(nn.Module):
    """The average frame ("MeanP"). No parameters: what zero-shot CLIP uses. Blind to order."""

    def __init__(self, size: HeadSize) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Average over time."""
        return x.mean(dim=1)


class TemporalConv(nn.Module):
    """A convolution over three neighbouring frames, each channel for itself ("Conv1D").

    This is the head as the paper means it. Its kernel starts at zero.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        width = size.embed_dim
        self.shift = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Convolve over time, add, average."""
        return (x + self.shift(x.transpose(1, 2)).transpose(1, 2)).mean(dim=1)


class AuthorsConv(nn.Module):
    """The convolution as the authors' code has it, for their checkpoints ("Conv_1D").

    It reads the memory of [T, D] as if it were [D, T]: what the kernel sees of channel c at time t
    is number c * T + t of the T * D values, a mix of times and channels. Its kernel starts as
    theirs does: a quarter of the channels taken from before, a quarter from after.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        width, quarter = size.embed_dim, size.embed_dim // 4
        self.shift = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        with torch.no_grad():
            self.shift.weight.zero_()
            self.shift.weight[:quarter, 0, 0] = 1
            self.shift.weight[quarter : width - quarter, 0, 1] = 1
            self.shift.weight[width - quarter :, 0, 2] = 1

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Convolve the scrambled frames, add, average."""
        scrambled = x.reshape(x.shape[0], x.shape[2], x.shape[1])
        return (x + self.shift(scrambled).transpose(1, 2)).mean(dim=1)


class RecurrentHead(nn.Module):
    """A recurrent network reads the frames in order ("LSTM"): one layer, forwards.

    The rows of the cell's candidate start at zero, so the cell is empty until training fills it.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        width = size.embed_dim
        self.lstm_visual = nn.LSTM(width, width, batch_first=True)
        candidate = slice(2 * width, 3 * width)  # torch's order of gates: i, f, g, o
        with torch.no_grad():
            for parameter in self.lstm_visual.parameters():
                parameter[candidate] = 0

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Read, add, average."""
        return (x + self.lstm_visual(x)[0]).mean(dim=1)


class TemporalTransformer(nn.Module):
    """Six CLIP blocks let the frames look at each other ("Transf"): the paper's best.

    The table of positions has 77 rows in the authors' code, the text tower's context length; rows
    past the number of frames are not used. Positions and the last layer of each branch start at
    zero, so the head starts as twice the average frame (the authors draw them with deviation 0.02).

    Raises:
        ActionCLIPError: if the width cannot be split into the heads, or for more frames than rows.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        width = size.embed_dim
        if size.heads < 1 or width % size.heads:
            raise ActionCLIPError(
                f"The head 'transf' cannot split a width of {width} into {size.heads} heads.",
                expected="The embedding width must be a multiple of the number of heads.",
                hint="Set prompts.heads.",
            )
        self.frame_position_embeddings = nn.Embedding(size.rows or 77, width)
        norm: Any = partial(nn.LayerNorm, eps=size.norm_eps)
        self.transformer = Transformer(
            width, layers=6, heads=size.heads, act_layer=QuickGELU, norm_layer=norm
        )
        nn.init.normal_(self.frame_position_embeddings.weight, std=size.position_std)
        for name, parameter in self.transformer.named_parameters():
            if name.endswith(("out_proj.weight", "c_proj.weight", "bias")):
                nn.init.zeros_(parameter)
            elif name.endswith("c_fc.weight"):
                nn.init.normal_(parameter, std=0.02)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Attend over time, add, average."""
        frames, rows = x.shape[1], self.frame_position_embeddings.num_embeddings
        if frames > rows:
            raise ActionCLIPError(
                f"The head 'transf' got {frames} frames.",
                expected=f"Its table of positions has {rows} rows, so {rows} frames at most.",
                hint="Sample fewer frames, or more windows of fewer frames.",
            )
        positions = self.frame_position_embeddings.weight[:frames]
        return (x + self.transformer(x + positions)).mean(dim=1)


class ClassTokenTransformer(nn.Module):
    """Six post-norm blocks over the frames and a learned token, which is the result ("Transf_cls").

    Nothing ties the result to the frames before training: an untrained head answers at random. Its
    table of positions is added to all frames at once, so the number of frames is fixed. Eight
    heads, 2048 hidden units and a dropout of 0.1 while training, as in the authors' code.

    Raises:
        ActionCLIPError: for a width that is no multiple of 8, or another number of frames.
    """

    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        if size.embed_dim % 8 or size.rows is None:
            raise ActionCLIPError(
                f"The head 'transf_cls' got width {size.embed_dim} and {size.rows} frames.",
                expected="A width that is a multiple of 8, and a fixed number of frames.",
                hint="Set prompts.positions to the number of frames.",
            )
        self.transformer = ClassTokenEncoder(size.embed_dim, size.rows)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Attend over time, take the learned token."""
        return self.transformer(x)


class ClassTokenEncoder(nn.Module):
    """The inside of `ClassTokenTransformer`, so that parameters are named as the authors' are."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, frames + 1, width))
        layer = nn.TransformerEncoderLayer(width, nhead=8, batch_first=True)
        self.transformer_enc = nn.TransformerEncoder(
            layer, num_layers=6, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """Prepend the token, add positions, attend, return the token."""
        expected = self.pos_embed.shape[1] - 1
        if x.shape[1] != expected:
            raise ActionCLIPError(
                f"The head 'transf_cls' got {x.shape[1]} frames.",
                expected=f"It was built for {expected} frames and takes no other number.",
                hint=f"Sample {expected} frames, or choose 'transf'.",
            )
        token = self.cls_token.expand(x.shape[0], -1, -1)
        return self.transformer_enc(torch.cat([token, x], dim=1) + self.pos_embed)[:, 0]


POST: dict[str, type[nn.Module]] = {
    "meanp": MeanPool,
    "conv1d": TemporalConv,
    "conv1d_authors": AuthorsConv,
    "lstm": RecurrentHead,
    "transf": TemporalTransformer,
    "transf_cls": ClassTokenTransformer,
}
