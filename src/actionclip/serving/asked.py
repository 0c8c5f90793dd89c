"""What a request may ask: the same names as in Python, checked before anything is done.

Fields come from the address, from a form or from JSON; in the first two everything is text. Labels
and templates are words here and never the name of a file: a client must not be able to have the
service read one.
"""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from actionclip.data import label_sets
from actionclip.encoding.encoder import Views
from actionclip.errors import ActionCLIPError
from actionclip.figures import printable
from actionclip.inference.explain.explanation import MapKind
from actionclip.inference.timeline.segments import Rules
from actionclip.model.config import ModelConfig
from actionclip.model.prompts.label_files import between_commas
from actionclip.model.prompts.text import TEMPLATE_SETS
from actionclip.serving.answers import RequestError, wrong
from actionclip.serving.settings import ServeConfig

M = TypeVar("M", bound=BaseModel)
LONGEST_NAME = 255


def _listed(value: Any) -> Any:
    """A list that a program wrote into a form or an address as JSON; anything else as it is.

    >>> _listed('["running", "walking"]'), _listed("[unknown]")
    (['running', 'walking'], '[unknown]')
    """
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def words(value: Any) -> Any:
    """Labels as a list: a list, also as JSON; the name of a built-in set; words between commas.

    >>> words('running, "ready, steady, go"')
    ['running', 'ready, steady, go']
    >>> len(words("ucf101"))
    101
    """
    value = _listed(value)
    if not isinstance(value, str):
        return value
    if value.strip() in label_sets.names():
        return label_sets.load(value.strip())
    return between_commas(value)


def _sentences(value: Any) -> Any:
    """A list of templates; one alone, or the name of a set, may stand without a list."""
    value = _listed(value)
    if isinstance(value, str):
        return list(TEMPLATE_SETS[value]) if value in TEMPLATE_SETS else [value]
    return value


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value in ("1", "3") else value


Words = Annotated[list[str], BeforeValidator(words)]
Sentences = Annotated[list[str], BeforeValidator(_sentences)]
Count = Annotated[int, Field(ge=1, le=100_000)] | None
Share = Annotated[float, Field(ge=0, le=1)] | None
Pace = Annotated[float, Field(gt=0, le=3600)] | None
Seconds = Annotated[float, Field(ge=0, le=3600)] | None


class Asked(BaseModel):
    """What all questions about a video share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: str | None = Field(
        None, description="A video that was sent before, by the `video` of its answer."
    )
    name: str | None = Field(None, description="What to call the video: `source` in the answer.")
    keep: bool = Field(
        True, description="Whether to keep what the model saw, for asking again without sending."
    )

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """An empty field of a form counts as not there; an empty `top_k` asks for all."""
        known = {name for name, value in fields.items() if value == ""} & cls.model_fields.keys()
        filled = {name: value for name, value in fields.items() if name not in known}
        return filled | ({"top_k": None} if "top_k" in known else {})

    def source(self, name: str) -> str:
        """What the answer calls a video: as asked, or as the client calls the file.

        It is shown and never used as a path; what cannot be shown is left out.
        """
        text = self.name or name
        return printable(text, "")[:LONGEST_NAME] or "video"


class Frames(Asked):
    """Which frames the model sees; what is not said is as the model folder says."""

    frames: Count = Field(None, description="Frames in a window.")
    windows: Count = Field(None, description="Temporal views of a video.")
    spacing: Pace = Field(None, description="Seconds between frames.")
    crops: Annotated[Literal[1, 3] | None, BeforeValidator(_number)] = Field(
        None, description="Spatial views: 1 or 3."
    )

    def views(self, config: ModelConfig, settings: ServeConfig) -> Views:
        """The views asked for.

        Raises:
            RequestError: for more frames than the service allows.
        """
        try:
            views = Views.of(
                config,
                frames=self.frames,
                windows=self.windows,
                spacing=self.spacing,
                crops=self.crops,
            )
        except ActionCLIPError as error:
            raise wrong(error) from None
        if views.frames > settings.max_frames:
            raise RequestError(
                400,
                "request",
                f"frames x windows x crops is {views.frames}.",
                hint=f"The service looks at {settings.max_frames} frames of a video at most.",
            )
        return views


class Labelled(BaseModel):
    """The labels, and how they become sentences."""

    labels: Words | None = Field(
        None,
        description="Words to choose from: a list, words between commas, or the name of a built-in "
        "set. Left out: the labels the model was trained on.",
    )
    templates: Sentences | None = Field(
        None, description="Sentences with {} for the label; or the name of a set."
    )
    ensemble: Literal["scores", "embeddings"] | None = Field(
        None, description="Where to average over templates: `scores` (the paper's), `embeddings`."
    )
    reject: Words = Field(
        default_factory=list, description="Competing labels, reported as `none of these`."
    )
    clean_labels: bool | None = Field(None, description="Whether `ApplyEyeMakeup` becomes words.")


class ClassifyRequest(Labelled, Frames):
    """Which of the labels a video shows."""

    top_k: Count = Field(5, description="How many labels to report; null for all.")
    threshold: Share = Field(None, description="Labels that score below it are left out.")


class EmbedRequest(Frames):
    """A video's unit vector."""


class ExplainRequest(Labelled, Frames):
    """Which frames, which places in them and which sentence carried an answer."""

    maps: Literal["none", "auto", MapKind] = Field(
        "none",
        description="Where in the frames: one of the kinds of maps; `auto`: what suits the tower.",
    )


class TimelineRequest(Labelled, Asked):
    """When each of the labels happens in a video."""

    window: float = Field(2.0, ge=0.1, le=600, description="Seconds that are judged together.")
    stride: float = Field(0.5, ge=0.05, le=600, description="Seconds from one window to the next.")
    multi_label: bool = Field(False, description="Whether several labels may hold at once.")
    threshold: Share = Field(None, description="What a label must reach somewhere in a segment.")
    leave: Share = Field(None, description="A segment ends where the score falls below.")
    smooth: Seconds = Field(None, description="Seconds over which scores are averaged.")
    min_length: Seconds = Field(None, description="Shorter segments are dropped, seconds.")
    merge_gap: Seconds = Field(None, description="Gaps within a label that are closed, seconds.")

    @property
    def rules(self) -> Rules:
        """How scores become segments.

        Raises:
            RequestError: for thresholds that do not go together.
        """
        given = {name: getattr(self, name) for name in ("smooth", "min_length", "merge_gap")}
        try:
            rules = Rules(**{name: value for name, value in given.items() if value is not None})
            if self.threshold is not None:
                rules = rules.entering_at(self.threshold)
            return rules.leaving_at(self.leave)
        except ActionCLIPError as error:
            raise wrong(error) from None


class SearchRequest(BaseModel):
    """Moments in the index of this service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(min_length=1, max_length=500, description="What to look for, in words.")
    top: int = Field(10, ge=1, le=200, description="How many moments to report.")


def parse(kind: type[M], fields: dict[str, Any]) -> M:
    """The fields of a request as one of the classes above.

    Raises:
        RequestError: 400, naming every field that is unknown or wrong.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors()[:5]]
        raise RequestError(
            400,
            "request",
            f"There is something wrong with {'; '.join(lines)}.",
            hint=f"Fields: {', '.join(kind.model_fields)}.",
        ) from None
