"""The routes that take a question: about a video that is sent or kept, or about the index."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from actionclip.serving.answers import RequestError
from actionclip.serving.asked import (
    ClassifyRequest,
    EmbedRequest,
    ExplainRequest,
    SearchRequest,
    TimelineRequest,
    parse,
)
from actionclip.serving.engine.explaining import explain as explain_video
from actionclip.serving.engine.service import Service
from actionclip.serving.engine.thumbnails import data_address
from actionclip.serving.routes import reference
from actionclip.serving.uploads.receive import Received, receive, receive_fields

T = TypeVar("T")
router = APIRouter()


@router.post(
    "/classify",
    responses=reference.answers(reference.ClassifyAnswer, reference.ClassifyAnswer),
    openapi_extra=reference.video_request(ClassifyRequest),
)
async def classify(request: Request) -> Response:
    """Which of the labels a video shows. The video is sent, or named by `video`."""
    return await _ask(request, lambda s, r: s.classify(r, parse(ClassifyRequest, r.fields)))


@router.post(
    "/embed",
    responses=reference.answers(reference.EmbedAnswer, reference.EmbedAnswer),
    openapi_extra=reference.video_request(EmbedRequest),
)
async def embed(request: Request) -> Response:
    """The unit vector of a video."""
    return await _ask(request, lambda s, r: s.embed(r, parse(EmbedRequest, r.fields)))


@router.post(
    "/timeline",
    responses=reference.answers(reference.TimelineAnswer, reference.TimelineAnswer),
    openapi_extra=reference.video_request(TimelineRequest),
)
async def timeline(request: Request) -> Response:
    """When each of the labels happens in a video. A kept video is asked again without sending."""
    return await _ask(request, lambda s, r: s.timeline(r, parse(TimelineRequest, r.fields)))


@router.post(
    "/explain",
    responses=reference.answers(reference.ExplainAnswer, reference.Refused),
    openapi_extra=reference.video_request(ExplainRequest),
)
async def explain(request: Request) -> Response:
    """Which frames, places and sentence carried the answer. The video has to be sent."""
    return await _ask(request, lambda s, r: explain_video(s, r, parse(ExplainRequest, r.fields)))


@router.post("/search", responses=reference.ERRORS, openapi_extra=reference.SEARCH)
async def search(request: Request) -> Response:
    """Moments in the index of this service, by words."""
    service: Service = request.app.state.service
    asked = parse(SearchRequest, await receive_fields(request, service.settings))
    return JSONResponse(await service.search(asked))


@router.get("/index/{file}", response_class=FileResponse, responses=reference.binary("video/*"))
async def indexed(request: Request, file: str) -> Response:
    """A video of the index, by the `file` of a moment; parts of it with a header `Range`."""
    service: Service = request.app.state.service
    path = await asyncio.to_thread(service.library.file, file)
    return FileResponse(path)


@router.get(
    "/index/{file}/frame",
    response_class=Response,
    responses=reference.binary("image/jpeg")
    | {422: {"model": reference.Refused, "description": "There is no frame: an outcome code."}},
)
async def indexed_frame(request: Request, file: str, time: float = 0.0) -> Response:
    """A frame of a video of the index as JPEG, at a time in seconds."""
    service: Service = request.app.state.service
    if not 0 <= time < 10**6:
        raise RequestError(400, "request", f"time is {time}.", hint="Seconds, 0 or more.")
    picture = await _while_there(request, service.picture(file, time))
    return Response(picture, media_type="image/jpeg")


@router.get("/videos/{id}/frames", responses=reference.ERRORS)
async def frames(request: Request, id: str) -> Response:
    """Small pictures of the frames that the model saw of a kept video."""
    service: Service = request.app.state.service
    rows = [
        {
            "time": round(one.time, 3),
            "number": one.number,
            "image": data_address(one.jpeg),
        }
        for one in service.frames(id)
    ]
    return JSONResponse({"video": id, "frames": rows})


async def _ask(
    request: Request, answer: Callable[[Service, Received], Awaitable[dict[str, Any]]]
) -> Response:
    """Take what is sent, answer, and remove the file in any case."""
    service: Service = request.app.state.service
    if not request.headers.get("content-type", "").startswith("application/json"):
        service.check_room()  # before a large body is on its way
    received = await receive(request, service.spool, service.settings)
    try:
        row = await _while_there(request, answer(service, received))
    finally:
        await asyncio.shield(asyncio.to_thread(received.remove))
    usable = row["status"] in ("ok", "degraded")
    return JSONResponse(row, 200 if usable else 422)


async def _while_there(request: Request, work: Awaitable[T]) -> T:
    """Work for a client, and stop when it goes away."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, RequestError):
                await task
    raise RequestError(400, "disconnected", "The client went away.")


async def _gone(request: Request) -> None:
    """Wait until the client goes away; what it sends meanwhile is not looked at."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
