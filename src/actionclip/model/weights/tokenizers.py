"""The tokenizer of a text tower that does not read CLIP's vocabulary: files, and never code.

open_clip names it by a repository on the Hugging Face Hub. Its files are taken from the Hub's cache
or the Hub and put into the model folder, which then needs neither.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionclip.errors import ActionCLIPError
from actionclip.model.weights import hub
from actionclip.model.weights.files import Content, copied, read_json

TOKENIZER = "tokenizer"
"""The folder of a model folder that holds the tokenizer's files."""

SUFFIXES = (".json", ".txt", ".model")

_SETTINGS, _KIND = "tokenizer_config.json", "config.json"
_NEEDED = (("tokenizer.json", "sentencepiece.bpe.model"), (_SETTINGS,))


def wanted(towers: Mapping[str, Any]) -> list[hub.Wanted]:
    """The files that a text tower needs from the Hub besides its weights.

    A tokenizer whose settings do not name its class is known by the model it was made for, which
    the repository's `config.json` names: then that is wanted too.
    """
    text = towers["text_cfg"]
    files = []
    if model := text.get("hf_model_name"):
        files += [hub.Wanted(model, (_KIND,))]
    if name := text.get("hf_tokenizer_name"):
        files += [hub.Wanted(name, names) for names in _NEEDED]
        settings = hub.cached(hub.Wanted(name, (_SETTINGS,)))
        if settings is not None and "tokenizer_class" not in read_json(settings):
            files += [hub.Wanted(name, (_KIND,))]
    return list(dict.fromkeys(files))


def fetch(towers: Mapping[str, Any], *, model: str) -> Path | None:
    """Get what is `wanted` of towers, and say in which folder it is; None: their words are CLIP's.

    Raises:
        ActionCLIPError: when a file is neither here nor to be had.
    """
    for _ in range(2):  # what is there tells what else is wanted
        for item in wanted(towers):
            hub.fetch(item, model=model)
    return kept(towers)


def kept(towers: Mapping[str, Any]) -> Path | None:
    """The folder of the Hub's cache that holds the tokenizer of towers; None: there is none."""
    name = towers["text_cfg"].get("hf_tokenizer_name")
    found = hub.cached(hub.Wanted(name, (_SETTINGS,))) if name else None
    return None if found is None else found.parent


def contents(folder: Path) -> dict[str, Content]:
    """The files of a tokenizer by their path below a model folder. Weights may lie beside them."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {f"{TOKENIZER}/{path.name}": copied(path) for path in files if path.suffix in SUFFIXES}


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that comes with code or names code elsewhere: it is data.

    Raises:
        ActionCLIPError: naming what is not data.
    """
    code = [path.name for path in folder.glob("**/*") if path.suffix not in SUFFIXES]
    if code:
        raise ActionCLIPError(
            f"The tokenizer in {folder} comes with {', '.join(sorted(code)[:5])}.",
            expected="It may hold only tokenizer files: .json, .txt and .model.",
            hint="Remove what does not belong to it, if you trust the rest.",
        )
    check_no_code(folder)


def check_no_code(folder: Path) -> None:
    """Refuse a folder whose tokenizer names code to run.

    Raises:
        ActionCLIPError: naming the file.
    """
    for path in folder.glob("*config.json"):
        if _names_code(read_json(path)):
            raise ActionCLIPError(
                f"{path} asks for code to be run (auto_map).",
                expected="A tokenizer is data.",
                hint="Remove that entry if the tokenizer works without.",
            )


def _names_code(value: Any) -> bool:
    """Whether `auto_map` is a key anywhere in it, however its letters were written in the file."""
    if isinstance(value, Mapping):
        return "auto_map" in value or any(map(_names_code, value.values()))
    return isinstance(value, list) and any(map(_names_code, value))
