"""Why a video is classified as it is. Frames are not kept, so the file has to be there."""

import asyncio
from typing import Any

from actionclip.encoding.encoder import Views
from actionclip.encoding.questions import Question
from actionclip.inference.explain.explaining import explain_clip
from actionclip.inference.explain.explanation import Explanation
from actionclip.inference.recognizer import Recognizer
from actionclip.serving.answers import RequestError
from actionclip.serving.asked import ExplainRequest
from actionclip.serving.engine.service import Service
from actionclip.serving.uploads.receive import Received
from actionclip.video.outcomes import VideoError
from actionclip.video.sources import Source


async def explain(service: Service, received: Received, asked: ExplainRequest) -> dict[str, Any]:
    """Which frames and which sentence carried the answer; without maps of the places in them.

    Raises:
        RequestError: for what cannot be answered; 422 for a video without frames.
    """
    if received.upload is None:
        raise RequestError(400, "request", "There is no video.", hint="Send the file itself.")
    views = asked.views(service.recognizer.config, service.settings)
    question, warnings = await service.question(service.words.wording(asked), None)
    source = Source(asked.source(received.name), received.upload.path)
    try:
        async with service.place():
            why = await asyncio.to_thread(_explain, service.recognizer, source, question, views)
    except VideoError as error:
        raise RequestError(422, str(error.code), error.what, hint=error.hint) from None
    return {
        "source": source.name,
        "status": "ok",
        "explanation": why.to_dict(),
        "warnings": warnings,
    }


def _explain(
    recognizer: Recognizer, source: Source, question: Question, views: Views
) -> Explanation:
    clip = recognizer.encoder.read(source, views)
    return explain_clip(recognizer.model, clip, question, views, maps="none")
