"""The OpenAPI document, and a page that shows it: Swagger UI, served from here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from automation.api.access import admit
from automation.api.operations import JSON, Operation, RawRoute
from automation.api.render import Json

router = APIRouter()

_STATIC = Path(__file__).parent.parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


async def openapi(request: Request) -> Response:
    """This interface as an OpenAPI document."""
    await admit(request, None)
    return Json(request.app.openapi())


async def docs(request: Request) -> Response:
    """The page that shows it."""
    await admit(request, None)
    return FileResponse(_STATIC / "docs.html", media_type="text/html", headers={"Cache-Control": "no-cache"})


async def asset(request: Request) -> Response:
    """A script, style or picture of that page."""
    await admit(request, None)
    file = _assets().get(request.path_params["file"])
    if file is None:
        raise HTTPException(404)
    return FileResponse(file, media_type=_TYPES[file.suffix], headers={"Cache-Control": "private, max-age=3600"})


@cache
def _assets() -> dict[str, Path]:
    files = [*_STATIC.glob("docs.*"), *(_STATIC / "swagger").iterdir()]
    return {file.name: file for file in files if file.suffix in _TYPES}


def _operation(media: str, description: str) -> Operation:
    return Operation("GET", "documentation", "any token", {200: {"description": description, "content": {media: {}}}})


router.routes.extend(
    (
        RawRoute("/openapi.json", openapi, _operation(JSON, "OpenAPI 3.1")),
        RawRoute("/docs", docs, _operation("text/html", "A page")),
        RawRoute("/docs/{file}", asset, _operation("*/*", "A file")),
    )
)
