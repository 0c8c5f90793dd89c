"""The files of the page, each by its name; nothing else of the disk can be reached."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse, Response

from actionclip.serving.answers import RequestError

PAGE = Path(__file__).parents[1] / "page"
PAGE_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Files of the page that are given out, and what they are."""


def routes() -> APIRouter:
    """The routes of the files that are there now."""
    router = APIRouter()
    files = {
        path.relative_to(PAGE).as_posix(): path
        for path in sorted(PAGE.rglob("*"))
        if path.is_file() and path.suffix in PAGE_TYPES
    }

    def give(name: str) -> Response:
        if name not in files:
            raise RequestError(404, "not_found", "There is nothing at this address.")
        kind = PAGE_TYPES[files[name].suffix]
        return FileResponse(files[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    @router.get("/", include_in_schema=False)
    async def start() -> Response:
        return give("index.html") if "index.html" in files else RedirectResponse("/docs")

    @router.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return give("favicon.svg" if "favicon.svg" in files else "favicon.ico")

    @router.get("/page/{name:path}", include_in_schema=False)
    async def page(name: str) -> Response:
        return give(name)

    return router
