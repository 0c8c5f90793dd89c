"""Who wrote a checkpoint, and what its tensors are called here.

Every tensor is given a name of ours, or is dropped by name and reported, or stays a leftover, for
which the conversion is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from actionclip.errors import ActionCLIPError
from actionclip.model.convert.reading import tensors_in
from actionclip.model.convert.towers import OPENAI_NUMBERS
from actionclip.model.weights.files import some

TRAINING_STATE = (
    "optimizer_state_dict",
    "optimizer",
    "optimizer_states",
    "scheduler_state_dict",
    "scheduler",
    "lr_scheduler",
    "lr_schedulers",
    "callbacks",
    "param_schedulers",
    "scaler",
    "ema_state_dict",
)
"""What training saves beside the weights."""

AUTHORS_HEAD = "fusion_model_state_dict"
"""The authors' own beside `model_state_dict`; empty for a mean over the frames."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Where others keep the weights."""

AROUND = ("module.", "_orig_mod.", "model.")
"""What parallel training, torch.compile and Lightning put in front of all names."""

INSIDE = "clip."
"""In front of a CLIP that another module keeps as `self.clip`: mmaction2's, and anyone's."""

_MMACTION2 = ("adapter.", "data_preprocessor.")
_MMENGINE = re.compile(r"mm\w+_version")
"""What tells mmaction2's: names beside the CLIP's, or its version beside the state dict."""

_REMOVE = "Remove these entries where you know what they are, and save it again."

_NET = re.compile(r"^(visual\.transformer\.resblocks\.\d+)\.net\.")
_POSITIONS = "frame_position_embeddings.weight"


@dataclass
class Layout:
    """A checkpoint understood."""

    writer: str
    """`authors`, `mmaction2` or `clip`."""
    towers: dict[str, Tensor]
    """The towers' tensors, by OpenAI's names."""
    prompts: dict[str, Any] = field(default_factory=dict)
    """Settings of `PromptConfig`."""
    prompt_tensors: dict[str, Tensor] = field(default_factory=dict)
    """The prompts' tensors, by our names (`pre.*`, `post.*`)."""
    frames: int | None = None
    """Frames the checkpoint was made for; None when it does not say."""
    ignored: list[str] = field(default_factory=list)
    """What was dropped, by name."""


def recognise(loaded: Mapping[str, Any], path: Path) -> Layout:
    """What a checkpoint is.

    Args:
        loaded: its top level, as `read_checkpoint` returns it.
        path: the file, for errors.

    Raises:
        ActionCLIPError: for an unknown head, or entries with tensors nobody knows.
    """
    wrapped = [key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)]
    if AUTHORS_HEAD in loaded:
        model = _table(loaded, "model_state_dict", path)
        layout = _authors(model, _table(loaded, AUTHORS_HEAD, path), path)
        used = {"model_state_dict", AUTHORS_HEAD}
    elif wrapped:
        state = _table(loaded, wrapped[0], path)
        layout = _one_table(state, path, marked=_is_mmengines(loaded))
        used = {wrapped[0]}
    else:
        state = without_module({k: v for k, v in loaded.items() if isinstance(v, Tensor)})
        layout = _one_table(state, path, marked=False)
        used = {key for key, value in loaded.items() if isinstance(value, Tensor)}
    _account_for_rest({k: v for k, v in loaded.items() if k not in used}, layout, path)
    return layout


def _is_mmengines(loaded: Mapping[str, Any]) -> bool:
    """Whether MMEngine saved it; others have a `meta`, too."""
    meta = loaded.get("meta")
    told = isinstance(meta, Mapping) and any(_MMENGINE.fullmatch(str(key)) for key in meta)
    return told or "message_hub" in loaded


def _account_for_rest(rest: Mapping[str, Any], layout: Layout, path: Path) -> None:
    leftovers = [
        name
        for key, value in rest.items()
        if key not in TRAINING_STATE
        for name, _ in tensors_in(value, key)
    ]
    if leftovers:
        raise ActionCLIPError(
            f"{path} also holds tensors nobody knows: {some(leftovers)}.",
            expected="Weights, and the state of their training.",
            hint=_REMOVE,
        )
    layout.ignored += sorted(rest)


def _table(loaded: Mapping[str, Any], key: str, path: Path) -> dict[str, Tensor]:
    value = loaded.get(key)
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    ):
        raise ActionCLIPError(
            f"{path} has {key!r}, which is not a table of named tensors.",
            expected="A state dict.",
        )
    return without_module(dict(value))


def without_module(state: dict[str, Tensor], around: tuple[str, ...] = AROUND) -> dict[str, Tensor]:
    """Names without what stands in front of all of them."""
    while state:
        front = next((a for a in around if all(name.startswith(a) for name in state)), None)
        if front is None:
            break
        state = {name.removeprefix(front): value for name, value in state.items()}
    return state


def _authors(model: dict[str, Tensor], head: dict[str, Tensor], path: Path) -> Layout:
    layout = _clip(model)
    layout.writer = "authors"
    post, dead = _authors_head(head, path)
    layout.prompts["post"] = post
    layout.ignored += [f"fusion_model_state_dict.{name} (unused by this head)" for name in dead]
    layout.prompt_tensors |= {f"post.{n}": v for n, v in head.items() if n not in dead}
    if post == "transf":
        layout.prompts["positions"] = head[_POSITIONS].shape[0]
    if post == "transf_cls":
        rows = head["transformer.pos_embed"].shape[1] - 1
        layout.prompts["positions"] = layout.frames = rows
    if post == "transf" and "ln_final.weight" in layout.towers:
        layout.prompts["heads"] = max(1, layout.towers["ln_final.weight"].numel() // 64)
    return layout


def _authors_head(head: Mapping[str, Tensor], path: Path) -> tuple[str, list[str]]:
    """The post-network prompt that has these tensors, and those it never uses."""
    marks = {
        "transformer.cls_token": "transf_cls",
        "transformer.resblocks.0.attn.in_proj_weight": "transf",
        "lstm_visual.weight_ih_l0": "lstm",
        "shift.weight": "conv1d_authors",
    }
    found = [name for mark, name in marks.items() if mark in head]
    if not head:
        return "meanp", []
    if len(found) != 1:
        raise ActionCLIPError(
            f"{path} has a head nobody knows: {some(sorted(head))}.",
            expected="meanP, Conv_1D, LSTM, Transf or Transf_cls of the authors' code.",
        )
    expected = {"transf": (_POSITIONS, 2), "transf_cls": ("transformer.pos_embed", 3)}
    name, dimensions = expected.get(found[0], ("", 0))
    if name and (name not in head or head[name].ndim != dimensions or not head[name].numel()):
        raise ActionCLIPError(f"{path} has a head without a table {name!r}.")
    dead = [_POSITIONS] if found[0] != "transf" and _POSITIONS in head else []
    return found[0], dead


def _is_table(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and tensor.numel() > 0


def _one_table(state: dict[str, Tensor], path: Path, *, marked: bool) -> Layout:
    """A state dict of mmaction2, or a plain one, which may have been inside another module."""
    if any("vision_model." in name for name in state):
        raise ActionCLIPError(
            f"{path} has the names that the package transformers gives to CLIP's tensors.",
            expected="Tensors named as in OpenAI's and open_clip's ViT models.",
            hint="OpenAI's own weights are ViT-B-32/openai and so on: `actionclip models openai`. "
            "Weights you trained yourself have to be renamed first.",
        )
    inside = [name for name in state if name.startswith(INSIDE)]
    if inside and (marked or any(name.startswith(_MMACTION2) for name in state)):
        return _mmaction2(state, path)
    if inside and len(inside) < len(state):
        others = sorted(set(state) - set(inside))
        raise ActionCLIPError(
            f"{path} also holds tensors nobody knows: {some(others)}.",
            expected=f"Names that begin with {INSIDE}, as {len(inside)} others do.",
            hint=_REMOVE,
        )
    return _clip(without_module(state, (*AROUND, INSIDE)))


def _mmaction2(state: dict[str, Tensor], path: Path) -> Layout:
    layout = _clip({n.removeprefix("clip."): v for n, v in state.items() if n.startswith("clip.")})
    layout.writer = "mmaction2"
    rest = {name: value for name, value in state.items() if not name.startswith("clip.")}
    for name in [
        name for name in rest if name in ("data_preprocessor.mean", "data_preprocessor.std")
    ]:
        del rest[name]
        layout.ignored.append(name)
    head = {n.removeprefix("adapter."): v for n, v in rest.items() if n.startswith("adapter.")}
    unknown = [name for name in rest if not name.startswith("adapter.")]
    if unknown or (head and (_POSITIONS not in head or not _is_table(head[_POSITIONS]))):
        raise ActionCLIPError(
            f"{path} holds tensors that mmaction2's ActionCLIP does not have: "
            f"{some(sorted(unknown or head))}.",
            expected="Names that begin with clip. and adapter.",
        )
    if head:
        rows = head[_POSITIONS].shape[0]
        width = layout.towers.get("ln_final.weight", head[_POSITIONS][0]).numel()
        layout.frames = rows
        layout.prompts |= {"post": "transf", "positions": rows, "norm_eps": 1e-5}
        layout.prompts["heads"] = max(1, width // 64)
        layout.prompt_tensors = {f"post.{name}": value for name, value in head.items()}
    return layout


def _clip(state: dict[str, Tensor]) -> Layout:
    """Towers by OpenAI's names, with the authors' additions inside them taken out."""
    layout = Layout("clip", {})
    wrapped = [name for name in state if _NET.match(name)]
    if wrapped:
        layout.writer = "authors"
        layout.prompts["inner"] = "shift"
    for name, value in state.items():
        if name in OPENAI_NUMBERS:
            layout.ignored.append(name)
        elif name == "visual.time_embedding" and value.ndim == 2:
            layout.writer = "authors"
            layout.prompts["pre"] = "joint"
            layout.prompts["positions"] = layout.frames = value.shape[0]
            layout.prompt_tensors["pre.time_embedding"] = value
        else:
            layout.towers[_NET.sub(r"\1.", name)] = value
    return layout
