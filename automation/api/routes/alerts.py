"""Alerts, and the rules that make ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from automation.alerts.backtest import AlertBacktest
from automation.api.access import demand, engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_definition, read_model
from automation.api.render import Json
from automation.api.routes.events import Value, values_of
from automation.engine import AutomationEngine
from automation.hindsight import Question
from automation.model.alert import Alert, AlertRule, AlertState
from automation.model.base import Definition
from automation.model.guardrail import Moment
from automation.model.identity import Identity
from automation.monitoring.tape import Figure
from automation.store.pages import LIMIT, Page

router = APIRouter(prefix="/api/v1", tags=["alerts"])

Viewer = Annotated[Identity, Depends(needs("alerts:view"))]
Acknowledger = Annotated[Identity, Depends(needs("alerts:acknowledge"))]
Creator = Annotated[Identity, Depends(needs("workflows:create"))]
RuleName = Annotated[str, Path(max_length=200)]
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


@dataclass(frozen=True, slots=True)
class SeriesReadingView:
    """What a rule says of one series now."""

    subject: str
    labels: Mapping[str, str]
    state: str
    """`inactive`, `pending`, `firing` or `acknowledged`."""
    holds: bool | None
    """Whether the condition holds now; null when that is unknown."""
    since: float | None
    """Since when it is in that state; null if it is inactive."""
    reason: str
    """Why it is in that state, and what would have to come for it to fire."""
    fingerprint: str
    """Of the alert that it has, or would have."""
    values: tuple[Value, ...]
    """What the parts of the condition are worth."""
    resolve_values: tuple[Value, ...]
    """The same of `resolve_when`."""


@dataclass(frozen=True, slots=True)
class AlertRuleView:
    """An alert rule, and what it says of the series that it looks at."""

    rule: AlertRule
    reason: str
    """Why it fires for none of them, where that has one reason."""
    series: tuple[SeriesReadingView, ...]
    """Those with an alert first, then by subject."""
    more: int
    """How many series are left out."""


@router.get("/alert-rules/{name}", responses=gives(AlertRuleView))
async def explain_alert_rule(
    request: Request, name: RuleName, caller: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> Response:
    """One alert rule: for each series its state, since when, what the parts of its condition are worth, and why it
    fires or does not."""
    return Json(rule_view(engine_of(request), name, limit))


def rule_view(engine: AutomationEngine, name: str, limit: int = 50) -> AlertRuleView:
    """What a rule says of its series; raises NotFound."""
    found = engine.alerts.explain(name, limit)
    series = tuple(
        SeriesReadingView(
            each.subject,
            each.labels,
            each.state,
            each.holds,
            each.since,
            each.reason,
            each.fingerprint,
            tuple(values_of((each.condition,))),
            tuple(values_of((each.resolve,))) if each.resolve is not None else (),
        )
        for each in found.series
    )
    return AlertRuleView(found.rule, found.reason, series, found.more)


@router.post(
    "/alert-rules",
    status_code=201,
    responses=gives(AlertRule, "Registered", 201),
    openapi_extra=takes(AlertRule, EXAMPLE),
)
async def register_alert_rule(request: Request, caller: Creator) -> Response:
    """Register an alert rule, or a new version of one; its actions become a workflow of the same name."""
    engine = engine_of(request)
    rule = await read_definition(request, AlertRule, "alerts", "the alert rule")
    known = any(other.name == rule.name for other in engine.alerts.rules())
    engine.register_alert_workflow(rule)
    await engine.save(actor=caller.name, keep=True)
    return Json(rule, 200 if known else 201)


class AlertBacktestRequest(Definition):
    """Which version of an alert rule is tried, and on which past."""

    since: Moment
    """From when on, such as `2026-11-20T08:00:00Z`; without a zone it is UTC."""
    definition: AlertRule | None = None
    """The version to try; by default the one in force."""
    step: Annotated[int, Field(ge=1)] | None = None
    """Seconds between two moments at which it is evaluated, one of the lengths of buckets that are kept; by default the
    shortest that are kept for so long. Of a Prometheus, any; by default a minute or more."""
    figure: Figure = "last"
    """What of the samples within a step stands for them."""
    prometheus: Annotated[str, Field(max_length=2000)] | None = None
    """The address of a Prometheus to ask instead of the history; needs `workflows:create`, for the engine calls it."""


@router.post(
    "/alert-rules/{name}/backtest",
    responses=gives(AlertBacktest, "Tried"),
    openapi_extra=takes(AlertBacktestRequest, {"since": "2026-11-20T08:00:00Z"}),
)
async def backtest_alert_rule(request: Request, name: RuleName, caller: Viewer) -> Response:
    """Say when an alert rule would have fired, for how long, and what it would have started; beside the one in force.

    It is evaluated once a step, with one value of each series: what happened within a step is not seen, and the answer
    says how long a step was. Nothing is started and nothing written.
    """
    order = await read_model(request, AlertBacktestRequest)
    if order.prometheus is not None:
        await demand(request, caller, "workflows:create")
    question = Question(order.since.timestamp(), order.step, order.figure, order.prometheus)
    return Json(await engine_of(request).hindsight.alert(name, question, order.definition))
