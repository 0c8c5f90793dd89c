"""From sentences to embeddings: tokens without silent truncation, and no work on empty positions.

K sentences, L tokens of each (the tower's context length, 77 for CLIP), D embedding width.
"""

import importlib.util
from functools import cache
from typing import Any

import regex
import torch
from jaxtyping import Float, Int
from open_clip import SimpleTokenizer
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

from actionclip.errors import ActionCLIPError

START, END = "<|startoftext|>", "<|endoftext|>"
BATCH = 128
"""Sentences in one pass of the tower."""


@cache
def clip_tokenizer() -> SimpleTokenizer:
    """OpenAI's tokenizer: open_clip's, with the two marks spelled as OpenAI spells them.

    A label that contains a mark then gets the same tokens as in the authors' code.
    """
    tokenizer = SimpleTokenizer()
    theirs = ("<start_of_text>", "<end_of_text>")
    pattern: str = tokenizer.pat.pattern
    tokenizer.pat = regex.compile(
        pattern.replace("|".join(theirs), rf"{regex.escape(START)}|{regex.escape(END)}"),
        regex.IGNORECASE,
    )
    for old, new in zip(theirs, (START, END), strict=True):
        tokenizer.encoder[new] = tokenizer.encoder.pop(old)
        tokenizer.decoder[tokenizer.encoder[new]] = new
        del tokenizer.cache[old]
        tokenizer.cache[new] = new
    return tokenizer


def tokenize_clip(texts: list[str], context: int) -> Int[Tensor, "K L"]:
    """CLIP's tokens: start, the sentence, end, zeros.

    Raises:
        ActionCLIPError: naming the first sentence that is longer than the context.
    """
    tokenizer = clip_tokenizer()
    tokens = torch.zeros(len(texts), context, dtype=torch.int64)
    for row, text in enumerate(texts):
        ids = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
        if len(ids) > context:
            raise too_long(text, len(ids), context)
        tokens[row, : len(ids)] = torch.tensor(ids)
    return tokens


@cache
def hub_tokenizer(source: str, context: int, settings: tuple[tuple[str, Any], ...]) -> Any:
    """open_clip's wrapper of a Hugging Face tokenizer, from a folder or the Hub's name.

    Raises:
        ActionCLIPError: if a package is missing or the files cannot be had or read.
    """
    from open_clip.tokenizer import HFTokenizer

    try:
        safe = {**dict(settings), "trust_remote_code": False}
        return HFTokenizer(source, context_length=context, **safe)
    except ImportError as error:
        without = importlib.util.find_spec("transformers") is None
        why = "transformers, which is not installed" if without else _first_line(error)
        raise ActionCLIPError(
            f"The tokenizer {source!r} needs a package: {why}.",
            hint='pip install "actionclip[siglip]"',
        ) from None
    except Exception as error:  # of a file by somebody else: Rust panics and KeyErrors among them
        raise _unusable(source, error) from None


def _first_line(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0].rstrip(".")
    return said[:300] or type(error).__name__


def _unusable(source: str, error: Exception) -> ActionCLIPError:
    return ActionCLIPError(
        f"The tokenizer {source!r} could not be loaded: {_first_line(error)}.",
        expected="A folder with the tokenizer's files, or a name on the Hugging Face Hub.",
        hint="Check the connection, or put the tokenizer's files into the model folder.",
    )


def tokenize_hub(
    texts: list[str], source: str, context: int, settings: dict[str, Any]
) -> Int[Tensor, "K L"]:
    """Tokens of a Hugging Face tokenizer.

    Raises:
        ActionCLIPError: naming the first sentence that is longer than the context, or as
            `hub_tokenizer`.
    """
    tokenizer = hub_tokenizer(source, context, tuple(sorted(settings.items())))
    clips = settings.get("tokenizer_mode") == "clips"  # three marks, added after the tokens
    cleaned = [tokenizer.clean_fn(text) for text in texts]
    try:
        ids = tokenizer.tokenizer(cleaned, add_special_tokens=not clips, truncation=False).input_ids
        for text, sentence in zip(texts, ids, strict=True):
            if len(sentence) + 3 * clips > context:
                raise too_long(text, len(sentence) + 3 * clips, context)
        return tokenizer(texts).to(torch.int64)
    except ActionCLIPError:
        raise
    except Exception as error:  # one that was loaded may still lack what it needs
        raise _unusable(source, error) from None


def too_long(text: str, length: int, context: int) -> ActionCLIPError:
    """The error for a sentence that does not fit into the text tower."""
    return ActionCLIPError(
        f"The text {text!r} has {length} tokens, with the marks for its start and end.",
        expected=f"This model's text tower reads {context} tokens at most.",
        hint="Shorten it: nothing is cut off silently.",
    )


def text_parts(clip: nn.Module) -> nn.Module:
    """The module that owns the text tower's parts: open_clip's CLIP has them itself."""
    return getattr(clip, "text", clip)


def width(clip: nn.Module) -> int:
    """Width of the text tower."""
    parts: Any = text_parts(clip)
    if hasattr(parts, "positional_embedding"):
        return int(parts.positional_embedding.shape[-1])
    return int(parts.config.hidden_size)


def output_width(clip: nn.Module) -> int:
    """Width of the embeddings, the same for both towers."""
    parts: Any = text_parts(clip)
    if hasattr(parts, "output_dim"):
        return int(parts.output_dim)
    projection = parts.text_projection
    if isinstance(projection, nn.Linear):
        return projection.out_features
    return width(clip) if projection is None else int(projection.shape[1])


def pooling(parts: Any) -> str:
    """How open_clip's tower gets from tokens to an embedding; Hugging Face's have other words."""
    return getattr(parts, "text_pool_type", None) or getattr(parts, "pool_type", "other")


def is_causal(clip: nn.Module) -> bool:
    """Whether tokens behind the end mark cannot change the embedding, so may be left out.

    True for CLIP's own kind of text tower; false for SigLIP, CLIPA, CoCa and Hugging Face towers.
    """
    parts = text_parts(clip)
    return (
        getattr(parts, "attn_mask", None) is not None
        and getattr(parts, "cls_emb", None) is None
        and pooling(parts) in ("argmax", "eos")
    )


def encode_causal(clip: Any, tokens: Int[Tensor, "K L"]) -> Float[Tensor, "K D"]:
    """Embeddings of sentences, each batch run only as far as its longest sentence.

    Exact: attention is causal and the embedding is read at the end mark, so what lies behind it
    has no effect. Sentences are sorted by length first, which makes short batches.
    """
    parts = text_parts(clip)
    pool = pooling(parts)
    if torch.compiler.is_compiling() or not len(tokens):  # a graph cannot depend on lengths
        return encode_batch(parts, tokens, pool)
    end = tokens.argmax(dim=1) if pool == "argmax" else (tokens == end_id(parts)).int().argmax(1)
    length, order = end.sort()
    batches = [
        encode_batch(parts, tokens[rows, : int(last[-1]) + 1], pool)
        for rows, last in zip(order.split(BATCH), length.split(BATCH), strict=True)
    ]
    return torch.cat(batches)[order.argsort()]


def end_id(parts: Any) -> int:
    """The end mark of a tower that reads the embedding at it."""
    return parts.text_eos_id if hasattr(parts, "text_eos_id") else parts.eos_id


def encode_batch(parts: Any, tokens: Int[Tensor, "K L"], pool: str) -> Float[Tensor, "K D"]:
    """One pass of a causal text tower over the positions given."""
    length = tokens.shape[1]
    dtype = parts.transformer.get_cast_dtype()
    x = parts.token_embedding(tokens).to(dtype) + parts.positional_embedding[:length].to(dtype)
    x = parts.transformer(x, attn_mask=parts.attn_mask[:length, :length])
    x = text_global_pool(parts.ln_final(x), tokens, pool, eos_token_id=end_id(parts))
    projection = parts.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection
