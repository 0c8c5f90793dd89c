"""Where in the frames a label is: what the image tower has for each place on its way.

M frames in a pass, T frames of a window, P patches, w width of the tower, D embedding width, C
labels (the chosen one and the runner-up).
"""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError, unknown
from actionclip.inference.explain.explanation import MEANS, MapKind
from actionclip.model.actionclip import ActionCLIP, unit

KINDS = ("auto", "none", *MEANS)
AVERAGES = ("meanp",)
"""Post-network prompts in which a frame's vector counts by itself."""
EXACT = 1e-2
"""How far, relative to its length, the mean over places may be from the frame's embedding."""

Reader = Callable[[Float[Tensor, "M D"], Float[Tensor, "C D"]], Float[Tensor, "M rows columns C"]]
"""Makes the maps of the pass that was watched, from its embeddings and the labels."""


def choose_kind(model: ActionCLIP, wanted: str) -> MapKind | None:
    """The kind of map to make; None for none.

    `auto` takes `patches` for OpenAI's kind of ViT, where they cost nothing, else `occlusion`,
    which takes a pass for each place and points best (benchmarks/explain.py). A tower of
    convolutions that ends in a mean and linear layers can also give `locations` and `gradient`, at
    no cost.

    Raises:
        ActionCLIPError: for a kind that is not one, or that this tower cannot give.
    """
    if wanted not in KINDS:
        raise unknown("kind of map", wanted, KINDS)
    if wanted == "none":
        return None
    visual = model.backbone.visual
    possible: list[MapKind] = ["occlusion"]
    if _is_plain_vit(visual):
        possible = ["patches", "occlusion", "rollout"]
    elif _ends_in_a_mean(visual):
        possible = ["occlusion", "gradient", "locations"]
    if wanted == "auto":
        return possible[0]
    for kind in possible:
        if kind == wanted:
            return kind
    raise ActionCLIPError(
        f"This image tower cannot give maps of the kind {wanted!r}.",
        expected=f"It can give {', '.join(possible)}.",
        hint="Occlusion works for every tower, and takes a pass for each place.",
    )


def mixes_frames(model: ActionCLIP) -> bool:
    """Whether a frame's vector counts only together with those of the others."""
    return model.config.prompts.post not in AVERAGES


@contextmanager
def watching(model: ActionCLIP, kind: MapKind) -> Generator[Reader, None, None]:
    """Watch one pass through the image tower; the reader then makes its maps.

    Only passes of this thread are watched: others may use the same tower meanwhile.
    """
    visual: Any = model.backbone.visual
    # a tower may compute no more of its last block than what leaves it
    every_token = getattr(model.backbone, "all_tokens", nullcontext)
    with ExitStack() as stack:
        stack.enter_context(every_token())
        if kind == "locations":
            seen = stack.enter_context(_inputs(visual.trunk.head))
            yield lambda embeddings, labels: _locations(visual, seen.pop(), embeddings, labels)
        elif kind == "gradient":
            seen = stack.enter_context(_inputs(visual.trunk.head))
            yield lambda embeddings, labels: _gradient(model, seen.pop(), embeddings, labels)
        elif kind == "patches":
            seen = stack.enter_context(_outputs(visual.transformer))
            yield lambda embeddings, labels: _patches(model, seen.pop(), labels)
        else:
            seen = stack.enter_context(_attention(visual))
            yield lambda embeddings, labels: _rollout(model, seen, len(labels))


def _is_plain_vit(visual: nn.Module) -> bool:
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None:
        return False
    attentions = [getattr(block, "attn", None) for block in _blocks(visual)]
    return all(isinstance(each, nn.MultiheadAttention) for each in attentions)


def _blocks(visual: nn.Module) -> list[Any]:
    assert isinstance(visual, VisionTransformer)
    return list(visual.transformer.resblocks)


def _ends_in_a_mean(visual: nn.Module) -> bool:
    """Whether what lies behind the feature map is a mean over places and linear layers.

    It is tried: a random map must give the mean of what its places give one by one.
    """
    trunk: Any = getattr(visual, "trunk", None)
    head = getattr(trunk, "head", None)
    width = getattr(trunk, "num_features", 0)
    if not isinstance(head, nn.Module) or not width:
        return False
    weight = next(visual.parameters())
    places = torch.linspace(-1, 2, width * 4).sin().reshape(1, width, 2, 2)
    places = places.to(weight.device, weight.dtype)
    try:
        with torch.no_grad():
            whole = _behind(visual, places)
            mean = _at_places(visual, places).mean(dim=(1, 2))
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return False
    return whole.shape == mean.shape and _is_near(mean, whole)


def _behind(visual: Any, features: Float[Tensor, "M w rows columns"]) -> Float[Tensor, "M D"]:
    """From a feature map to the embedding."""
    return visual.head(nn.Module.__call__(visual.trunk.head, features))


def _at_places(
    visual: Any, features: Float[Tensor, "M w rows columns"]
) -> Float[Tensor, "M rows columns D"]:
    """The embedding of each place by itself."""
    frames, _, rows, columns = features.shape
    alone = features.permute(0, 2, 3, 1).flatten(0, 2)[..., None, None]
    return _behind(visual, alone).unflatten(0, (frames, rows, columns))


def _is_near(one: Tensor, other: Tensor) -> bool:
    gap = (one.float() - other.float()).norm()
    return bool(gap <= EXACT * other.float().norm())


def _locations(
    visual: Any,
    features: Float[Tensor, "M w rows columns"],
    embeddings: Float[Tensor, "M D"],
    labels: Float[Tensor, "C D"],
) -> Float[Tensor, "M rows columns C"]:
    """Parts of the frame's cosine: their mean over the places is the cosine itself."""
    places = _at_places(visual, features).float()
    length = embeddings.float().norm(dim=-1).clamp(min=1e-12)
    return places @ labels.T / length[:, None, None, None]


def _gradient(
    model: ActionCLIP,
    features: Float[Tensor, "M w rows columns"],
    embeddings: Float[Tensor, "M D"],
    labels: Float[Tensor, "C D"],
) -> Float[Tensor, "M rows columns C"]:
    """Each place's vector times the gradient of the window's similarity, for M frames of a window.

    The length of the window's vector is held fixed, so that for a head that averages the mean over
    all places and frames is the similarity itself.
    """
    places = _at_places(model.backbone.visual, features).float()
    with torch.enable_grad():
        frames = embeddings.detach().clone().requires_grad_()
        window = model.fuse(frames[None], normalize=False)[0].float()
        similarities = window @ labels.T / window.detach().norm().clamp(min=1e-12)
        gradients = [
            torch.autograd.grad(each, frames, retain_graph=True)[0].float() for each in similarities
        ]
    gradient = torch.stack(gradients, dim=-1) * len(embeddings)
    return torch.einsum("mrcd,mdl->mrcl", places, gradient)


def _patches(
    model: ActionCLIP, tokens: Float[Tensor, "B S w"], labels: Float[Tensor, "C D"]
) -> Float[Tensor, "M rows columns C"]:
    """Cosines of the patches' tokens to the labels, seen through the tower's last layers."""
    visual: Any = model.backbone.visual
    vectors = visual.ln_post(tokens[:, 1:])
    if visual.proj is not None:
        vectors = vectors @ visual.proj
    return _by_frame(model, unit(vectors) @ labels.T)


def _rollout(
    model: ActionCLIP, seen: list[Float[Tensor, "B S S"]], labels: int
) -> Float[Tensor, "M rows columns C"]:
    """How much of each patch can have reached the class token (Abnar and Zuidema, 2020)."""
    flow = None
    for attention in seen:
        eye = torch.eye(attention.shape[-1], device=attention.device)
        mixed = (attention.float() + eye) / 2  # half of what leaves a block went past it
        flow = mixed if flow is None else mixed @ flow
    seen.clear()
    assert flow is not None
    reached = flow[:, 0, 1:, None].expand(-1, -1, labels)
    return _by_frame(model, reached)


def _by_frame(
    model: ActionCLIP, values: Float[Tensor, "B P C"]
) -> Float[Tensor, "M rows columns C"]:
    """A number for each token as a map for each frame; `joint` has all frames in one sequence."""
    visual: Any = model.backbone.visual
    rows, columns = visual.grid_size
    if model.pre is None:
        return values.unflatten(1, (rows, columns))
    frames = values.shape[1] // (rows * columns)
    each = values.unflatten(1, (rows, columns, frames))  # patch by patch, in a patch by frame
    return each.permute(0, 3, 1, 2, 4).flatten(0, 1)


def _of_this_thread() -> Callable[[], bool]:
    """Tells later whether it is called in the thread of now."""
    watched = threading.get_ident()
    return lambda: threading.get_ident() == watched


@contextmanager
def _inputs(module: nn.Module) -> Generator[list[Tensor], None, None]:
    seen: list[Tensor] = []
    is_mine = _of_this_thread()

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if is_mine():
            seen.append(args[0])

    hook = module.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def _outputs(module: nn.Module) -> Generator[list[Tensor], None, None]:
    seen: list[Tensor] = []
    is_mine = _of_this_thread()

    def look(module: nn.Module, args: Any, output: Tensor) -> None:
        if is_mine():
            seen.append(output)

    hook = module.register_forward_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def _attention(visual: nn.Module) -> Generator[list[Tensor], None, None]:
    """The attention of every block, first to last, the mean over heads."""
    seen: list[Tensor] = []
    is_mine = _of_this_thread()

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any) -> None:
        if not is_mine():
            return
        settings = {**kwargs, "need_weights": True, "average_attn_weights": True}
        forward: Any = type(module).forward
        seen.append(forward(module, *args, **settings)[1])

    hooks = [block.attn.register_forward_hook(look, with_kwargs=True) for block in _blocks(visual)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
