"""Events: what happened, what it started, and what it did not start and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.render import event_mapping
from automation.api.routes.events import explained
from automation.console.desk import address, desk_of
from automation.console.gate import PageRoute
from automation.model.event import as_mapping
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50
Viewer = Annotated[Identity, Depends(needs("events:view"))]


@router.get("/events")
async def list_events(
    request: Request,
    caller: Viewer,
    type: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Events, newest first."""
    type = type.strip()
    page = await engine_of(request).queries.events(type=type or None, cursor=cursor, limit=PER_PAGE)
    return desk_of(request).page(
        request,
        "events.html",
        identity=caller,
        section="events",
        watch=None if cursor else "/console/stream?kinds=event",
        rows=page.items,
        type=type,
        newest=address("/events", {"type": type}) if cursor else None,
        older=address("/events", {"type": type, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.get("/events/{event_id:path}")
async def show_event(
    request: Request, event_id: str, caller: Viewer, source: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """One event and what became of it."""
    engine = engine_of(request)
    detail = await engine.queries.event(event_id, source)
    return desk_of(request).page(
        request,
        "event.html",
        identity=caller,
        section="events",
        stored=detail.stored,
        event=detail.stored.event,
        whole=event_mapping(as_mapping(detail.stored.event)),
        executions=detail.executions if caller.may("workflows:view") else (),
        decisions=detail.decisions,
        considered=explained(engine, detail.stored.event) if caller.may("workflows:view") else (),
    )
