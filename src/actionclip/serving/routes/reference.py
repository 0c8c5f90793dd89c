"""What the service says about itself: the pieces of `/openapi.json`, and `/docs` made of it.

FastAPI's own page for this loads its scripts from a CDN; ours is one page of plain HTML.
"""

import html
from typing import Any

from pydantic import BaseModel, Field

from actionclip.serving.asked import SearchRequest

FILE = {"type": "string", "format": "binary", "description": "The video."}


class ErrorAnswer(BaseModel):
    """What was wrong."""

    code: str = Field(description="One word, which stays: an outcome code, or what was refused.")
    message: str = Field(description="What happened, in a sentence.")
    hint: str = Field(description="What to do about it.")


class Refused(BaseModel):
    """A request that could not be answered."""

    error: ErrorAnswer


class ScoreAnswer(BaseModel):
    """A label and how well it fits."""

    label: str
    score: float


class LabelSetAnswer(BaseModel):
    """Labels of which one is right in a stated share of cases."""

    coverage: float
    labels: list[str]


class VideoAnswer(BaseModel):
    """What was found out about a video: the keys of `--json`, and what it is kept by."""

    source: str
    status: str = Field(description="An outcome code; `ok` and `degraded` have scores.")
    scores: list[ScoreAnswer] = Field(description="Best first.")
    frames: int = Field(description="How many frames the model saw.")
    seconds: float | None = Field(description="Duration of the video.")
    precision: str
    error: ErrorAnswer | None = Field(None, description="Only when `status` is not `ok`.")
    video: str | None = Field(description="Send this in place of the file to ask again.")


class ClassifyAnswer(VideoAnswer):
    """Scores for the labels."""

    label_set: LabelSetAnswer | None = Field(None, description="Only of a calibrated model.")
    warnings: list[str] = Field(description="Sentences about labels that are hard to tell apart.")


class EmbedAnswer(VideoAnswer):
    """A unit vector."""

    embedding: list[float] | None


class PictureAnswer(BaseModel):
    """A frame as the model saw it."""

    frame: int = Field(description="Its place among the frames of the explanation, from 0.")
    time: float = Field(description="Seconds after the first frame of the video.")
    image: str = Field(description="The centre crop, as a `data:` address.")


class ExplainAnswer(BaseModel):
    """What carried the answer."""

    source: str
    status: str = Field(description="An outcome code: `ok` or `degraded`.")
    error: ErrorAnswer | None = Field(None, description="Only when `status` is not `ok`.")
    explanation: dict[str, Any] = Field(
        description="The keys of `Explanation.to_dict()`; with `maps` their numbers too."
    )
    pictures: list[PictureAnswer] = Field(
        description="With `maps`: the frames that the answer rests on most, to lay the maps over."
    )
    warnings: list[str]


class SegmentAnswer(BaseModel):
    """A stretch of the video."""

    start: float
    end: float
    label: str
    score: float


class TimelineAnswer(BaseModel):
    """The segments, and the scores of every window they were made from."""

    source: str
    status: str
    segments: list[SegmentAnswer] = Field(description="Sorted by time.")
    labels: list[str]
    times: list[float] = Field(description="The middle of each window, seconds.")
    scores: list[list[float]] = Field(description="For each window a score for each label.")
    seconds: float | None
    frames: int
    begins: float = Field(description="Where the first frame is on a player's clock, seconds.")
    window: float
    stride: float
    multi_label: bool
    precision: str
    notes: list[str]
    error: ErrorAnswer | None = None
    video: str | None
    warnings: list[str]


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "Something asked is wrong (labels, options, body)."},
    401: {"model": Refused, "description": "The token is missing or wrong."},
    404: {"model": Refused, "description": "A video that is not kept (any more)."},
    408: {"model": Refused, "description": "The sender was too slow."},
    409: {"model": Refused, "description": "Of a kept video other frames were looked at."},
    413: {"model": Refused, "description": "The body is too large."},
    415: {"model": Refused, "description": "A content type that is not understood."},
    429: {"model": Refused, "description": "The queue is full; see the header Retry-After."},
    503: {"model": Refused, "description": "The index cannot be read, or the service ends."},
    507: {"model": Refused, "description": "The video cannot be kept while it is worked on."},
}


def answers(model: type[BaseModel], unusable: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """What a route about a video answers: with a `model`, or that the video gave no frames."""
    return ERRORS | {
        200: {"model": model},
        422: {"model": unusable, "description": "The video gave no frames: an outcome code."},
    }


def binary(kind: str) -> dict[int | str, dict[str, Any]]:
    """What a route answers with bytes of a media type."""
    return ERRORS | {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def correct(api: dict[str, Any], *, token: bool) -> None:
    """Take out what FastAPI says that it answers to wrong parameters: here that is a 400.

    Args:
        api: changed in place.
        token: whether clients have to know one: then it is said how they send it.
    """
    for methods in api["paths"].values():
        for what in methods.values():
            if "HTTPValidationError" in str(what["responses"].get("422")):
                del what["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        api["components"]["schemas"].pop(name, None)
    if token:
        api["components"]["securitySchemes"] = {"token": TOKEN}
        api["security"] = [{"token": []}]
        for what in (what for path in api["paths"].values() for what in path.values()):
            what["responses"].setdefault("401", WITHOUT_TOKEN)
        del api["paths"]["/health"]["get"]["responses"]["401"]
        api["paths"]["/health"]["get"]["security"] = [{}, {"token": []}]


TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "The header `Authorization: Bearer TOKEN`. Without it `/health` says less.",
}
WITHOUT_TOKEN = {
    "description": ERRORS[401]["description"],
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}},
}
SEARCH = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SearchRequest.model_json_schema()}},
    }
}


def video_request(asked: type[BaseModel]) -> dict[str, Any]:
    """How OpenAPI describes a request with a video and the fields of a class."""
    schema = asked.model_json_schema()
    fields = schema["properties"]
    parameters = [
        {"name": name, "in": "query", "schema": field, "description": field.get("description", "")}
        for name, field in fields.items()
    ]
    form = {"type": "object", "properties": {"file": FILE, **fields}, "required": ["file"]}
    content = {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": FILE},
        "video/*": {"schema": FILE},
        "application/json": {"schema": schema},
    }
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}


def page(api: dict[str, Any]) -> str:
    """`/openapi.json` as a page to read."""
    parts = [
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
        f"<p>{html.escape(what.get('description') or what.get('summary', ''))}</p>"
        f"{_fields(what)}{_answers(what)}</section>"
        for path, methods in api["paths"].items()
        for method, what in methods.items()
    ]
    title = html.escape(f"{api['info']['title']} {api['info']['version']}")
    about = html.escape(api["info"].get("description", ""))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><main><h1>{title}</h1><p>{about}</p>"
        f"{_token(api)}"
        '<p><a href="openapi.json">openapi.json</a> has the same for programs.</p>'
        f"{''.join(parts)}</main></html>"
    )


STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0}"
    "main{max-width:60rem;margin:auto;padding:1rem}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
    "section{border-top:1px solid #8888;margin-top:1.5rem}h2{font-size:1.1rem}"
)


def _token(api: dict[str, Any]) -> str:
    schemes = api["components"].get("securitySchemes", {})
    return "".join(f"<p>{html.escape(one['description'])}</p>" for one in schemes.values())


def _fields(what: dict[str, Any]) -> str:
    body = what.get("requestBody", {}).get("content", {})
    rows = [(field["name"], field.get("description", "")) for field in what.get("parameters", [])]
    in_json = body.get("application/json", {}).get("schema", {}).get("properties", {})
    rows = rows or [(name, field.get("description", "")) for name, field in in_json.items()]
    kinds = "".join(f"<li><code>{html.escape(kind)}</code></li>" for kind in body)
    table = _table("field", rows) if rows else ""
    return table + (f"<p>Body:</p><ul>{kinds}</ul>" if kinds else "")


def _answers(what: dict[str, Any]) -> str:
    rows = [(code, answer["description"]) for code, answer in what["responses"].items()]
    return _table("status", rows)


def _table(head: str, rows: list[tuple[str, str]]) -> str:
    lines = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(meaning)}</td></tr>"
        for name, meaning in rows
    )
    return f"<table><tr><th>{head}</th><th>meaning</th></tr>{lines}</table>"
