"""Alerts: conditions with a life, ours and those of other systems."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.routes.alerts import rule_view
from automation.console.desk import address, choice, desk_of
from automation.console.gate import PageRoute, see_other
from automation.model.alert import AlertState
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50
ACKNOWLEDGE = "alerts:acknowledge"
Viewer = Annotated[Identity, Depends(needs("alerts:view"))]
Acknowledger = Annotated[Identity, Depends(needs(ACKNOWLEDGE))]


@router.get("/alerts")
async def list_alerts(
    request: Request,
    caller: Viewer,
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
        may_acknowledge=caller.may(ACKNOWLEDGE),
        newest=address("/alerts", {"state": state}) if cursor else None,
        older=address("/alerts", {"state": state, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.post("/alerts/acknowledge")
async def acknowledge_alert(
    request: Request,
    caller: Acknowledger,
    fingerprint: Annotated[str, Form(max_length=500)],
    state: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Say that one takes care of a firing alert."""
    await engine_of(request).alerts.acknowledge(fingerprint, caller.name)
    return see_other(address("/alerts", {"state": state}))


@router.get("/alert-rules")
async def list_rules(request: Request, caller: Viewer) -> Response:
    """Alert rules, and how many alerts each has."""
    alerts = engine_of(request).alerts
    return desk_of(request).page(
        request,
        "rules.html",
        identity=caller,
        section="alerts",
        watch="/console/stream?kinds=alert",
        rows=[(rule, alerts.states_of(rule.name)) for rule in alerts.rules()],
    )


@router.get("/alert-rules/{name}")
async def show_rule(request: Request, name: str, caller: Viewer) -> Response:
    """One alert rule: what it says of each series now, and why it fires or does not."""
    view = rule_view(engine_of(request), name)
    return desk_of(request).page(
        request,
        "rule.html",
        identity=caller,
        section="alerts",
        watch="/console/stream?kinds=alert",
        rule=view.rule,
        series=view.series,
        reason=view.reason,
        more=view.more,
    )
