"""The application: routes put together, and what every error becomes.

Importing this needs the packages of `pip install 'actionclip[serve]'`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from actionclip import __version__
from actionclip.errors import ActionCLIPError
from actionclip.inference.recognizer import Recognizer
from actionclip.serving.answers import RequestError, wrong
from actionclip.serving.engine.service import Service
from actionclip.serving.routes import facts, page, questions, reference
from actionclip.serving.settings import ServeConfig
from actionclip.serving.uploads.receive import Arrivals

if TYPE_CHECKING:
    from actionclip.serving.engine.library import Library

DESCRIPTION = "Says what people do in a video, in words you choose."
CODES = {404: "not_found", 405: "method"}


def create_app(
    recognizer: Recognizer,
    name: str,
    settings: ServeConfig,
    library: "Library | None" = None,
) -> FastAPI:
    """The service as an ASGI application, without its guard (`routes.guard`).

    Args:
        recognizer: the model, which belongs to the application from now on.
        name: what it was loaded by.
        settings: limits.
        library: what can be searched.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(recognizer, name, settings, library)
        try:
            yield
        finally:
            await asyncio.to_thread(service.close)

    app = FastAPI(
        title="actionclip",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy the address would be another
        lifespan=lifespan,
    )
    app.state.arrivals = Arrivals()
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(ActionCLIPError, _mistake)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameter)
    app.add_exception_handler(Exception, _bug)
    for routes in (questions.router, facts.router, page.routes()):
        app.include_router(routes)
        app.include_router(_heads(routes))
    reference.correct(app.openapi(), token=settings.token is not None)
    return app


def _heads(router: APIRouter) -> APIRouter:
    """HEAD for the addresses of a router: what GET answers; the server leaves the body out."""
    heads = APIRouter()
    for route in router.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            heads.add_api_route(
                route.path, route.endpoint, methods=["HEAD"], include_in_schema=False
            )
    return heads


def _refused(_: Request, error: Any) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


def _mistake(request: Request, error: Any) -> Response:
    return _refused(request, wrong(error))


def _http(request: Request, error: Any) -> Response:
    hint = "The reference is at /docs."
    code = CODES.get(error.status_code, "request")
    refused = RequestError(error.status_code, code, str(error.detail), hint=hint)
    if (allowed := (error.headers or {}).get("Allow")) is not None:
        refused.headers["Allow"] = "GET, HEAD" if allowed == "GET" else allowed
    return _refused(request, refused)


def _parameter(request: Request, error: Any) -> Response:
    lines = [f"{e['loc'][-1]}: {e['msg']}" for e in error.errors()[:5]]
    return _refused(request, RequestError(400, "request", f"{'; '.join(lines)}."))


def _bug(request: Request, _: Any) -> Response:
    """What we did not foresee; the log of the service has the traceback."""
    hint = "Whoever runs the service finds the reason in its log."
    return _refused(request, RequestError(500, "internal", "Something went wrong here.", hint=hint))
