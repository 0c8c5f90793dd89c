"""Why a video is classified as it is. Frames are not kept, so the file has to be there."""

from typing import Any

import numpy as np

from actionclip.encoding.encoder import Views
from actionclip.encoding.questions import Question
from actionclip.inference.explain.explaining import explain_clip
from actionclip.inference.explain.explanation import Explanation
from actionclip.inference.explain.picture import frames_to_show
from actionclip.inference.recognizer import Recognizer
from actionclip.serving.answers import RequestError
from actionclip.serving.asked import ExplainRequest
from actionclip.serving.engine.batching import Heed, heeding
from actionclip.serving.engine.service import Service
from actionclip.serving.engine.thumbnails import data_address, jpeg
from actionclip.serving.uploads.receive import Received
from actionclip.video.decode.clip import Clip
from actionclip.video.outcomes import Outcome, VideoError
from actionclip.video.sources import Source


async def explain(service: Service, received: Received, asked: ExplainRequest) -> dict[str, Any]:
    """Which frames, places in them and sentence carried the answer.

    Raises:
        RequestError: for what cannot be answered; 422 for a video without frames.
        ActionCLIPError: for maps that the tower cannot give.
    """
    if received.upload is None:
        raise RequestError(400, "request", "There is no video.", hint="Send the file itself.")
    views = asked.views(service.recognizer.config, service.settings)
    question, warnings = await service.question(service.words.wording(asked), None)
    source = Source(asked.source(received.name), received.upload.path)
    try:
        clip, why = await service.explain(
            lambda heed: _explain(service.recognizer, source, question, views, asked.maps, heed)
        )
    except VideoError as error:
        raise RequestError(422, str(error.code), error.what, hint=error.hint) from None
    damaged = {"code": str(clip.status), "message": clip.message, "hint": clip.hint}
    return {
        "source": source.name,
        "status": str(clip.status),
        **({} if clip.status is Outcome.OK else {"error": damaged}),
        "explanation": why.to_dict(maps=True),
        "pictures": [] if why.maps is None else _pictures(why),
        "warnings": warnings,
    }


def _explain(
    recognizer: Recognizer, source: Source, question: Question, views: Views, maps: str, heed: Heed
) -> tuple[Clip, Explanation]:
    clip = recognizer.encoder.read(source, views, heed=heed)
    with heeding(heed):
        return clip, explain_clip(recognizer.model, clip, question, views, maps=maps)


def _pictures(why: Explanation) -> list[dict[str, Any]]:
    """The frames that the answer rests on most, as the model saw them."""
    assert why.pixels is not None
    return [
        {
            "frame": frame,
            "time": round(why.frames[frame].time, 3),
            "image": data_address(jpeg(np.ascontiguousarray(why.pixels[frame]))),
        }
        for frame in frames_to_show(why).tolist()
    ]
