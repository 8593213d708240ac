"""The first page: what runs, what failed, what fires, what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.console.desk import desk_of
from automation.console.gate import PageRoute
from automation.console.icons import tone
from automation.console.pages.guardrails import may_hold
from automation.console.services import service_rows
from automation.engine import AutomationEngine
from automation.model.alert import AlertState
from automation.model.execution import Execution, WorkflowStatus
from automation.model.identity import Identity
from automation.queries import COUNTED
from automation.store.events import StoredEvent

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LATELY_SECONDS = 86_400.0

_FAILED = (WorkflowStatus.FAILED, WorkflowStatus.TIMED_OUT)
_WAITING = (WorkflowStatus.PROPOSED, WorkflowStatus.WAITING, WorkflowStatus.PAUSED)
_ALWAYS = (WorkflowStatus.RUNNING, WorkflowStatus.WAITING, WorkflowStatus.FAILED, WorkflowStatus.SUCCEEDED)
_IF_ANY = tuple(status for status in WorkflowStatus if status not in _ALWAYS)


@dataclass(frozen=True, slots=True)
class Stat:
    """A number on a card. It has its tone only where it is not zero."""

    label: str
    value: int
    icon: str
    tone: str
    path: str

    @property
    def shown(self) -> str:
        """The number, or that there are more than are counted."""
        return f"{COUNTED:,}+" if self.value > COUNTED else f"{self.value:,}"


@router.get("/")
async def overview(request: Request, caller: Annotated[Identity, Depends(needs(None))]) -> Response:
    """All of it, as far as the reader may see it."""
    engine = engine_of(request)
    values: dict[str, Any] = {
        "stats": [],
        "waiting": (),
        "failed": (),
        "recent": (),
        "alerts": (),
        "events": (),
        "services": (),
        "hindrances": engine.hindrances,
        "level": engine.config.level.value,
        "stop": engine.guardrails.stopped if caller.may("workflows:view") else None,
        "circuits": len(engine.breakers.all()) if caller.may("workflows:view") else 0,
        "may_hold": may_hold(caller),
    }
    if caller.may("workflows:view"):
        values |= await _executions(engine)
    if caller.may("alerts:view"):
        counts = await engine.queries.alert_counts()
        values["alerts"] = (await engine.queries.alerts(state=AlertState.FIRING, limit=6)).items
        firing = counts.get(AlertState.FIRING, 0)
        values["stats"].append(Stat("alerts firing", firing, "firing", "bad", "/alerts?state=firing"))
    if caller.may("events:view"):
        values["events"] = await _events(engine, started=caller.may("workflows:view"))
    if caller.may("workflows:view"):
        values["services"] = await service_rows(engine)
    return desk_of(request).page(
        request,
        "overview.html",
        identity=caller,
        section="overview",
        watch="/console/stream?kinds=execution,event,alert,definitions,guardrails",
        **values,
    )


async def _executions(engine: AutomationEngine) -> dict[str, Any]:
    counts = await engine.queries.execution_counts()

    async def newest(*statuses: WorkflowStatus) -> list[Execution]:
        found = [row for status in statuses for row in (await engine.queries.executions(status=status, limit=5)).items]
        return sorted(found, key=lambda row: row.finished_at or row.created_at, reverse=True)[:5]

    numbers = [(status, counts.get(status, 0)) for status in _ALWAYS]
    numbers += [(status, counts[status]) for status in _IF_ANY if counts.get(status)]
    stats = [
        Stat(status.value, number, status.value, tone(status.value), f"/executions?status={status.value}")
        for status, number in numbers
    ]
    pending = await engine.approvals.pending_count()
    if pending:
        stats.append(Stat("approvals", pending, "approvals", "wait", "/approvals"))
    stats.append(Stat("workflows", len(engine.workflow_manager.list_workflows()), "workflows", "", "/workflows"))
    since = engine.clock.now() - LATELY_SECONDS
    return {
        "stats": stats,
        "waiting": await newest(*_WAITING),
        "failed": [row for row in await newest(*_FAILED) if (row.finished_at or 0.0) >= since],
        "recent": (await engine.queries.executions(limit=10)).items,
    }


async def _events(engine: AutomationEngine, *, started: bool) -> list[tuple[StoredEvent, tuple[Execution, ...]]]:
    """The latest events, each with what it started."""
    rows: list[tuple[StoredEvent, tuple[Execution, ...]]] = []
    for stored in (await engine.queries.events(limit=8)).items:
        led_to: tuple[Execution, ...] = ()
        if started and stored.matched:
            led_to = (await engine.queries.event(stored.event.id, stored.event.source)).executions
        rows.append((stored, led_to))
    return rows
