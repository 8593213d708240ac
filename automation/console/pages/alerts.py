"""Alerts: conditions with a life, ours and those of other systems."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import address, choice, desk_of
from automation.console.gate import PageRoute
from automation.model.alert import AlertState
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50


@router.get("/alerts")
async def list_alerts(
    request: Request,
    caller: Annotated[Identity, Depends(needs("alerts:view"))],
    state: Annotated[str, Query(max_length=20)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Alerts, the last changed first."""
    queries = engine_of(request).queries
    page = await queries.alerts(state=choice(AlertState, state, "state"), cursor=cursor, limit=PER_PAGE)
    return desk_of(request).page(
        request,
        "alerts.html",
        identity=caller,
        section="alerts",
        watch=None if cursor else "/console/stream?kinds=alert",
        rows=page.items,
        counts=await queries.alert_counts(),
        states=AlertState,
        state=state,
        newest=address("/alerts", {"state": state}) if cursor else None,
        older=address("/alerts", {"state": state, "cursor": page.next_cursor}) if page.next_cursor else None,
    )
