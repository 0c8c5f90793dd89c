"""The card of a model folder: what the model is, for people and for the Hugging Face Hub."""

from actionclip.model.config import ModelConfig

HUB_LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0", "CC-BY-NC-4.0": "cc-by-nc-4.0"}
"""Our names of licences to the Hub's; any other is `other` there."""


def model_card(config: ModelConfig, parameters: int, about: str = "") -> str:
    """README.md of a model folder.

    Args:
        config: the model's configuration.
        parameters: how many numbers its weights are.
        about: a paragraph of what it was trained on and how well it does.
    """
    table = "\n".join(f"| {name} | {value} |" for name, value in _rows(config, parameters).items())
    backbone = config.backbone
    return f"""---
library_name: actionclip
license: {HUB_LICENCES.get(backbone.licence, "other")}
pipeline_tag: video-classification
tags:
- actionclip
- video
- action-recognition
- zero-shot
---

# {backbone.name.replace("/", " / ")}

Says what people do in a video, in words you choose: a model of
[ActionCLIP](https://arxiv.org/abs/2109.08472) for the package `actionclip`.
{f"{chr(10)}{about.strip()}{chr(10)}" if about.strip() else ""}
| | |
|---|---|
{table}

## Use

    actionclip classify video.mp4 --labels "washing dishes, juggling balls" --model FOLDER

    import actionclip

    model = actionclip.load("FOLDER")
    scores = model.classify("video.mp4", ["washing dishes", "juggling balls"])

`FOLDER` is this folder, or `hf-hub:owner/repo` when it is on the Hugging Face Hub. `config.json`
decides how frames are chosen and how scores are made; options of the command override it.
"""


def _rows(config: ModelConfig, parameters: int) -> dict[str, str]:
    """What the card's table says."""
    backbone, prompts, sampling = config.backbone, config.prompts, config.sampling
    preprocess, resize = config.preprocess, config.preprocess.resize
    in_use = [
        f"{name} `{value}`"
        for name, value in (("pre", prompts.pre), ("inner", prompts.inner), ("post", prompts.post))
        if value != "none"
    ]
    spacing = "" if sampling.spacing is None else f", {sampling.spacing} s apart"
    scale = "the towers' own" if config.scale is None else f"{config.scale:g}"
    return {
        "backbone": f"`{backbone.name}`",
        "parameters": f"{parameters / 1e6:.1f} million",
        "visual prompts": ", ".join(in_use),
        "frames": f"{sampling.frames} x {sampling.windows} (`{sampling.rule}`{spacing})",
        "input": f"{preprocess.size} pixels; resize `{resize.mode}` {resize.size} "
        f"`{resize.interpolation}`, {preprocess.crops} crop(s)",
        "templates": f"{len(config.templates)}, ensemble of `{config.ensemble}`",
        "scores": f"`{config.activation}`, scale {scale}",
        "labels": f"{len(config.labels)} (labels.txt)" if config.labels else "any you name",
        "licence of the weights": backbone.licence,
    }
