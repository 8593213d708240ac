"""`POST /-/reload`, for programs that keep definitions in files: they say how those are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import admit
from automation.api.operations import Operation, RawRoute
from automation.api.render import Json
from automation.definitions import Definitions


def offer_reload(app: FastAPI, read: Callable[[str], Awaitable[Definitions]]) -> None:
    """Let administrators have the definitions read again; `read` is called with who asks."""

    async def reload(request: Request) -> Response:
        """Read the definition files again; answers once they are in force, or 400 with what is wrong."""
        identity = await admit(request, "system:admin")
        definitions = await read(identity.name)
        return Json({"definitions": {kind: len(places) for kind, places in definitions.places.items()}})

    app.router.routes.append(RawRoute("/-/reload", reload, Operation("POST", "health", "system:admin", {})))
