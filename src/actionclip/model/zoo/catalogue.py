"""Which models there are, told without importing any of the heavy packages.

open_clip knows 170 pairs of architecture and weights. Asking it takes seconds of imports, and
counting parameters means building every architecture, so what it says is kept in `catalogue.json`
for the release named there. With another release open_clip itself is asked, and only architectures
that are new are built (without memory).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from actionclip.model.weights import hub
from actionclip.model.weights.hub import Wanted

FRAMES = 8
"""Frames of a window for towers that were not trained on videos."""

_SNAPSHOT = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class ModelEntry:
    """A model that `--model` takes."""

    name: str
    parameters: int | None
    """None where the text tower's shape is known to the Hugging Face Hub alone."""
    frames: int
    size: int
    """Height and width of the input in pixels."""
    source: str
    """The repository on the Hugging Face Hub."""
    licence: str
    """Of the weights; `unknown` where it is not known for sure."""
    cached: bool
    """Whether the weights are on this machine."""


def catalogue() -> list[ModelEntry]:
    """Every model by name: `tiny` first, then open_clip's.

    Names ending in `-quickgelu` are left out: they are the same weights as without, and the right
    activation is chosen here in any case.
    """
    snapshot = _read_snapshot()
    if metadata.version("open_clip_torch") == snapshot["open_clip"]:
        rows = snapshot["models"]
    else:
        rows = survey(known=_parameters_by_architecture(snapshot))
    return [_entry(row) for row in rows]


def _entry(row: dict[str, Any]) -> ModelEntry:
    repo, _, file = row["place"].rpartition("/")
    names = tuple(row["files"]) or (file,)
    return ModelEntry(
        name=row["name"],
        parameters=row["parameters"],
        frames=row.get("frames", FRAMES),
        size=row["size"],
        source=repo or "built in",
        licence=row["licence"],
        cached=not repo or hub.cached(Wanted(repo, names)) is not None,
    )


@cache
def _read_snapshot() -> dict[str, Any]:
    return json.loads(_SNAPSHOT.read_text("utf-8"))


def _parameters_by_architecture(snapshot: dict[str, Any]) -> dict[str, int | None]:
    return {row["name"].rpartition("/")[0]: row["parameters"] for row in snapshot["models"]}


def survey(known: dict[str, int | None] | None = None) -> list[dict[str, Any]]:
    """The rows of `catalogue.json`, asked of open_clip.

    Args:
        known: parameters by architecture that need not be counted again.
    """
    import open_clip

    from actionclip.model.zoo.pretrained import tag_config, wanted_files
    from actionclip.model.zoo.tiny import tiny_config

    counts = dict(known or {})
    tiny = tiny_config()
    rows = [
        {
            "name": "tiny",
            "parameters": count_parameters(tiny.backbone.architecture),
            "frames": tiny.sampling.frames,
            "size": tiny.preprocess.size,
            "place": "",
            "files": [],
            "licence": "Apache-2.0",
        }
    ]
    for architecture, tag in open_clip.list_pretrained():
        if architecture.endswith("-quickgelu"):
            continue
        config = tag_config(architecture, tag)
        weights, _ = wanted_files(config)
        if architecture not in counts:
            counts[architecture] = count_parameters(config.backbone.architecture)
        rows.append(
            {
                "name": config.backbone.name,
                "parameters": counts[architecture],
                "size": config.preprocess.size,
                "place": f"{weights.repo}/",
                "files": list(weights.names),
                "licence": config.backbone.licence,
            }
        )
    return rows


def count_parameters(architecture: dict[str, Any]) -> int | None:
    """How many numbers the weights of an architecture are; None when the Hub would be needed."""
    import torch

    from actionclip.model.backbone import OpenClipBackbone
    from actionclip.model.zoo.architecture import without_drawing

    if architecture["text_cfg"].get("hf_model_name"):
        return None
    with torch.device("meta"), without_drawing():
        towers = OpenClipBackbone.from_architecture(architecture)
    return sum(parameter.numel() for parameter in towers.parameters())


def write_snapshot() -> None:
    """Write `catalogue.json` anew, for the release of open_clip that is installed."""
    rows = ",\n".join(json.dumps(row) for row in survey())
    version = json.dumps(metadata.version("open_clip_torch"))
    _SNAPSHOT.write_text(f'{{"open_clip": {version}, "models": [\n{rows}\n]}}\n', "utf-8")
