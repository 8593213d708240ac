"""Alerts, and the rules that make ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.model.alert import Alert, AlertRule, AlertState
from automation.model.identity import Identity
from automation.store.pages import LIMIT, Page

router = APIRouter(prefix="/api/v1", tags=["alerts"])

Viewer = Annotated[Identity, Depends(needs("alerts:view"))]
Acknowledger = Annotated[Identity, Depends(needs("alerts:acknowledge"))]
Creator = Annotated[Identity, Depends(needs("workflows:create"))]
Fingerprint = Annotated[str, Path(max_length=1100)]

EXAMPLE = {
    "name": "high_cpu_usage",
    "condition": "cpu_usage > 80 AND duration > 5m",
    "severity": "high",
    "actions": [
        {
            "type": "scale_infrastructure",
            "parameters": {"service_name": "recommendation-engine", "scale_factor": 1.5, "max_instances": 20},
        }
    ],
    "cooldown_period": 600,
}


@dataclass(frozen=True, slots=True)
class AlertRuleList:
    """All alert rules, by name."""

    items: tuple[AlertRule, ...]


@router.get("/alerts", responses=gives(Page[Alert]))
async def list_alerts(
    request: Request,
    caller: Viewer,
    state: AlertState | None = None,
    cursor: Annotated[str | None, Query(max_length=1200, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """Alerts, the last changed first."""
    return Json(await engine_of(request).queries.alerts(state=state, cursor=cursor, limit=limit))


@router.get("/alerts/{fingerprint}", responses=gives(Alert))
async def get_alert(request: Request, fingerprint: Fingerprint, caller: Viewer) -> Response:
    """One alert."""
    return Json(await engine_of(request).queries.alert(fingerprint))


@router.post("/alerts/{fingerprint}/acknowledge", responses=gives(Alert))
async def acknowledge_alert(request: Request, fingerprint: Fingerprint, caller: Acknowledger) -> Response:
    """Say that you take care of a firing alert."""
    return Json(await engine_of(request).alerts.acknowledge(fingerprint, caller.name))


@router.get("/alert-rules", responses=gives(AlertRuleList))
async def list_alert_rules(request: Request, caller: Viewer) -> Response:
    """All alert rules."""
    return Json(AlertRuleList(tuple(engine_of(request).alerts.rules())))


@router.post(
    "/alert-rules",
    status_code=201,
    responses=gives(AlertRule, "Registered", 201),
    openapi_extra=takes(AlertRule, EXAMPLE),
)
async def register_alert_rule(request: Request, caller: Creator) -> Response:
    """Register an alert rule, or a new version of one; its actions become a workflow of the same name."""
    engine = engine_of(request)
    rule = await read_model(request, AlertRule, "the alert rule")
    known = any(other.name == rule.name for other in engine.alerts.rules())
    engine.register_alert_workflow(rule)
    await engine.save(actor=caller.name, keep=True)
    return Json(rule, 200 if known else 201)
