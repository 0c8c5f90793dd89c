"""What can be looked up: health, models, sets of labels, the reference."""

import asyncio
import time
from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from torch import nn

from actionclip import __version__
from actionclip.data import label_sets
from actionclip.errors import ActionCLIPError
from actionclip.model.zoo.catalogue import catalogue
from actionclip.serving.answers import RequestError
from actionclip.serving.engine.service import Service
from actionclip.serving.routes import reference

router = APIRouter()


def is_untrained(tower: nn.Module) -> bool:
    """Whether a tower is as it was drawn: its normalisations start even, and training ends that."""
    scales = [p for name, p in tower.named_parameters() if name.endswith("weight") and p.ndim == 1]
    return bool(scales) and all(bool((scale == scale[0]).all()) for scale in scales)


@router.get("/health")
async def health(request: Request) -> Response:
    """Whether the service answers, how busy it is, and what its limits are."""
    if not request.state.known:
        return JSONResponse({"status": "ok"})
    service: Service = request.app.state.service
    settings = service.settings
    row = {
        "status": "ok",
        "version": __version__,
        "model": service.name,
        "precision": service.recognizer.precision,
        "uptime": round(time.monotonic() - service.started, 1),
        "queue": {"busy": service.busy, "limit": settings.queue},
        "kept": {"videos": len(service.kept), "bytes": service.kept.nbytes},
        "passes": {"count": service.batcher.passes[0], "videos": service.batcher.passes[1]},
        "limits": {
            "upload": settings.max_upload,
            "labels": settings.max_labels,
            "frames": settings.max_frames,
            "keep_seconds": settings.keep_seconds,
        },
        "index": service.indexed,
        "index_opens": await service.index_opens(),
    }
    return JSONResponse(row)


@router.get("/models")
async def models(request: Request) -> Response:
    """The model that answers, and all that could be started with."""
    service: Service = request.app.state.service
    config = service.recognizer.config
    entries = await asyncio.to_thread(catalogue)
    row = {
        "name": service.name,
        "precision": service.recognizer.precision,
        "device": str(service.recognizer.device),
        "frames": config.sampling.frames,
        "windows": config.sampling.windows,
        "spacing": config.sampling.spacing,
        "crops": config.preprocess.crops,
        "size": config.preprocess.size,
        "embedding": service.recognizer.model.backbone.embed_dim,
        "labels": list(config.labels),
        "templates": list(config.templates),
        "random_weights": is_untrained(service.recognizer.model.backbone.visual),
    }
    return JSONResponse({"serving": row, "models": [asdict(entry) for entry in entries]})


@router.get("/labels")
async def labels() -> Response:
    """The built-in sets of labels, with their sizes."""
    sets = {one: len(label_sets.load(one)) for one in label_sets.names()}
    return JSONResponse({"sets": sets})


@router.get("/labels/{name}", responses={404: reference.ERRORS[404]})
async def label_set(name: str) -> Response:
    """The labels of a built-in set."""
    try:
        return JSONResponse({"name": name, "labels": label_sets.load(name)})
    except ActionCLIPError as error:
        hint = error.hint or error.expected
        raise RequestError(404, "not_found", error.what, hint=hint) from None


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The reference as a page to read."""
    return HTMLResponse(
        reference.page(request.app.openapi()),
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )
