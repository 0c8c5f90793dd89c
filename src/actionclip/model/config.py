"""Everything that decides what a model answers: the content of a model folder's config.json."""

import math
from typing import Any, Literal

from actionclip.config import config
from actionclip.errors import ActionCLIPError
from actionclip.video.settings import Preprocess, Sampling


@config
class BackboneConfig:
    """The towers, in open_clip's words."""

    name: str
    """Where the towers come from, e.g. `ViT-B-16/datacomp_xl_s13b_b90k`."""
    architecture: dict[str, Any]
    """open_clip's model configuration: embed_dim, vision_cfg, text_cfg, quick_gelu, ..."""
    tokenizer: str = "clip"
    """`clip`: the vocabulary inside open_clip. Otherwise a folder below the model folder or a
    Hugging Face name."""
    motion: bool = False
    """The image tower sees each frame's brightness and its change from and to the neighbouring
    frames instead of colours; for towers trained so. See `actionclip.model.towers.motion`."""
    licence: str = "unknown"


@config
class PromptConfig:
    """The visual prompts (paper section 3.3) around the image tower."""

    pre: Literal["none", "joint"] = "none"
    inner: Literal["none", "shift"] = "none"
    post: Literal["meanp", "conv1d", "conv1d_authors", "lstm", "transf", "transf_cls"] = "meanp"
    heads: int | None = None
    """Attention heads of `transf`; None: the text tower's width / 64, as in the authors' code."""
    norm_eps: float = 1e-12
    """LayerNorm epsilon of `transf`: 1e-12 in the authors' code, 1e-5 in mmaction2's."""
    position_std: float = 0.0
    """Deviation with which the positions of `transf` start. 0 keeps trained towers as they are;
    with towers that are themselves new the head learns the order of frames sooner from above 0."""
    positions: int | None = None
    """Rows of the table of `joint` (frames), of `transf` (77 in the authors' code) or frames of
    `transf_cls`; None: the number of frames sampled (77 for `transf`)."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        for name in ("norm_eps", "position_std"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ActionCLIPError(f"prompts.{name} is {value}.", expected="0 or more.")


@config
class CalibrationConfig:
    """What labelled clips have told about the scores for one set of labels."""

    key: str
    """A hash of the labels, their sentences and the ensemble; see `encoding.questions.key_of`."""
    labels: int
    """How many labels that were."""
    clips: int
    """How many labelled clips it was learned from."""
    temperature: float = 1.0
    """What logits are divided by."""
    threshold: float | None = None
    """Where no label's cosine to the video reaches it, the answer is `none of these`."""
    coverage: float | None = None
    """The share of clips whose label set holds the right label."""
    floor: float | None = None
    """The score that a label needs to be in the set."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        shares = (self.coverage, self.floor)
        known = [value for value in shares if value is not None]
        if not all(0 <= value <= 1 for value in known) or not -1 <= (self.threshold or 0) <= 1:
            raise ActionCLIPError(
                f"calibration has the threshold {self.threshold}, coverage and floor {shares}.",
                expected="A cosine, and two shares from 0 to 1; or null.",
            )
        if not 1e-3 <= self.temperature <= 1e3 or (self.coverage is None) != (self.floor is None):
            raise ActionCLIPError(
                f"calibration has the temperature {self.temperature}, the coverage "
                f"{self.coverage} and the floor {self.floor}.",
                expected="A temperature from 0.001 to 1000; coverage and floor go together.",
            )


@config
class ModelConfig:
    """All that a model folder decides; whatever runs the model obeys it."""

    backbone: BackboneConfig
    prompts: PromptConfig = PromptConfig()
    sampling: Sampling = Sampling()
    preprocess: Preprocess = Preprocess()
    templates: tuple[str, ...] = ("{}",)
    ensemble: Literal["scores", "embeddings"] = "scores"
    """`scores`: a softmax for each template, then their mean, as the authors do. `embeddings`: the
    mean of the templates' embeddings, as CLIP does."""
    scale: float | None = None
    """What multiplies the cosine; None: the backbone's own exp(logit_scale). The authors: 100."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: scores sum to one over the labels. `sigmoid`: each label for itself, for towers
    trained so (SigLIP)."""
    clean_labels: bool = True
    """Whether `ApplyEyeMakeup` becomes words first; underscores become spaces in any case."""
    labels: tuple[str, ...] = ()
    """The labels it was trained on; used when the user names none."""
    calibration: CalibrationConfig | None = None
    """What `actionclip calibrate` found."""
    format: int = 1
    """Version of this file's layout."""

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if not self.templates or any(t.count("{}") != 1 for t in self.templates):
            raise ActionCLIPError(
                f"templates is {list(self.templates)}.",
                expected="At least one template, each with {} once, where the label goes.",
            )
        check_scale(self.scale)


def check_scale(scale: float | None) -> None:
    """Refuse what no cosine can be multiplied by.

    Raises:
        ActionCLIPError: when it is not above 0, or not finite.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise ActionCLIPError(
            f"scale is {scale}.",
            expected="A number above 0; without it the model's own is used.",
        )
