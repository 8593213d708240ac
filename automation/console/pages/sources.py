"""Sources: whether what the engine reads by itself is read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import desk_of
from automation.console.gate import PageRoute
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sources")
async def list_sources(request: Request, caller: Annotated[Identity, Depends(needs("events:view"))]) -> Response:
    """All sources, and how each is doing."""
    states = engine_of(request).watching.sources.states
    return desk_of(request).page(
        request,
        "sources.html",
        identity=caller,
        section="events",
        watch="/console/stream?kinds=event,source",
        sources=[states[name] for name in sorted(states)],
    )
