"""Triggers: switching them off and on, what could not be taken in, and replaying what was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.engine import AutomationEngine
from automation.errors import InputError, NotFound
from automation.model.base import Definition
from automation.model.guardrail import Moment
from automation.model.identity import Identity
from automation.model.trigger import ManualTrigger, trigger_name
from automation.model.workflow import WorkflowDefinition
from automation.store.dead_letters import DeadLetter
from automation.store.pages import LIMIT, Page
from automation.triggers.backtest import Backtest
from automation.triggers.replay import Report
from automation.workflows.compiler import compile_workflow

router = APIRouter(prefix="/api/v1", tags=["triggers"])

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Creator = Annotated[Identity, Depends(needs("workflows:create"))]
EventViewer = Annotated[Identity, Depends(needs("events:view"))]
Publisher = Annotated[Identity, Depends(needs("events:publish"))]
Name = Annotated[str, Path(max_length=200)]


@dataclass(frozen=True, slots=True)
class TriggerView:
    """A trigger of a workflow, and what it remembers."""

    index: int
    name: str
    type: str
    enabled: bool
    reason: str
    """Why it starts nothing, if it does not."""
    open_keys: int
    """How many partial matches, throttled keys, pending or passed series it remembers."""
    next_due_at: float | None
    """When the first of them is over."""


@dataclass(frozen=True, slots=True)
class TriggerList:
    """The triggers of a workflow, in the order of its definition."""

    workflow: str
    enabled: bool
    reason: str
    """Why none of them starts it, if none does."""
    items: tuple[TriggerView, ...]


class Switch(Definition):
    """What is switched, and why."""

    trigger: Annotated[int, Field(ge=0)] | None = None
    """The place of one trigger in the definition, from 0; by default the whole workflow."""
    reason: Annotated[str, Field(max_length=1000)] = ""


class ReplayRequest(Definition):
    """Which events are replayed."""

    since: Moment
    """Those that were received from this time on, such as `2026-11-20T08:00:00Z`; without a zone it is UTC."""
    type: Annotated[str, Field(max_length=200)] | None = None
    """Only those of this type."""
    after: Annotated[int, Field(ge=0)] = 0
    """`after` of the portion before."""
    dry_run: bool = False
    """Only say what would be started."""


@router.get("/workflows/{name}/triggers", responses=gives(TriggerList))
async def list_triggers(request: Request, name: Name, caller: Viewer) -> Response:
    """The triggers of a workflow: whether they start anything, and what they remember between events."""
    return Json(triggers_of(engine_of(request), name))


@router.post(
    "/workflows/{name}/disable",
    responses=gives(TriggerList, "Off"),
    openapi_extra=takes(Switch, {"reason": "it restarts the wrong service"}, required=False),
)
async def disable(request: Request, name: Name, caller: Creator) -> Response:
    """Let no trigger start a workflow any more, or not this one; people still can. It outlives new versions."""
    engine = engine_of(request)
    await switch(engine, name, await read_model(request, Switch), on=False, actor=caller.name)
    return Json(triggers_of(engine, name))


@router.post(
    "/workflows/{name}/enable",
    responses=gives(TriggerList, "On"),
    openapi_extra=takes(Switch, {"reason": "it is corrected"}, required=False),
)
async def enable(request: Request, name: Name, caller: Creator) -> Response:
    """Take that back. What the definition has disabled stays so."""
    engine = engine_of(request)
    await switch(engine, name, await read_model(request, Switch), on=True, actor=caller.name)
    return Json(triggers_of(engine, name))


class BacktestRequest(Definition):
    """Which version of a workflow is tried, and on which events."""

    since: Moment
    """Those that were received from this time on, such as `2026-11-20T08:00:00Z`; without a zone it is UTC."""
    definition: WorkflowDefinition | None = None
    """The version to try; by default the one in force."""


@router.post(
    "/workflows/{name}/backtest",
    responses=gives(Backtest, "Tried"),
    openapi_extra=takes(BacktestRequest, {"since": "2026-11-20T08:00:00Z"}),
)
async def backtest_workflow(request: Request, name: Name, caller: Viewer) -> Response:
    """Say what a workflow's triggers would have started with stored events, beside those of the version in force.

    Nothing is started and nothing written. Metric samples, and inputs that would not have fitted, are not looked at.
    """
    order = await read_model(request, BacktestRequest)
    return Json(await tried(engine_of(request), name, order.definition, order.since.timestamp()))


@router.get("/dead-letters", responses=gives(Page[DeadLetter]))
async def list_dead_letters(
    request: Request,
    caller: EventViewer,
    source: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """What sources gave and could not be taken in, with what was wrong with it, newest first."""
    found = await engine_of(request).triggers.replay.dead(source=source, cursor=cursor, limit=limit)
    return Json(found)


@router.post(
    "/events/replay",
    responses=gives(Report, "Replayed"),
    openapi_extra=takes(ReplayRequest, {"since": "2026-11-20T08:00:00Z", "dry_run": True}),
)
async def replay_events(request: Request, caller: Publisher) -> Response:
    """Start what stored events would start now and have neither started nor been held back from on purpose.

    Portion by portion: ask again with `after` of the answer until that is null. An event starts a workflow once, so
    that a replay may be repeated. Patterns, throttles and cooldowns are left alone.
    """
    order = await read_model(request, ReplayRequest)
    engine = engine_of(request)
    found = await engine.triggers.replay.run(
        order.since.timestamp(), type=order.type, after=order.after, dry_run=order.dry_run, actor=caller.name
    )
    return Json(found)


async def switch(engine: AutomationEngine, name: str, order: Switch, *, on: bool, actor: str) -> None:
    """Switch a workflow or one of its triggers; raises NotFound, Conflict."""
    definition = engine.workflow_manager.plan(name).definition
    if order.trigger is not None:
        if order.trigger >= len(definition.triggers):
            raise NotFound(kind="trigger", name=trigger_name(name, order.trigger))
        if isinstance(definition.triggers[order.trigger], ManualTrigger):
            raise InputError("trigger: a manual trigger starts nothing by itself", path="trigger")
    target = name if order.trigger is None else trigger_name(name, order.trigger)
    await engine.triggers.switches.turn(target, on=on, actor=actor, reason=order.reason)


def triggers_of(engine: AutomationEngine, name: str) -> TriggerList:
    """The triggers of a workflow; raises NotFound."""
    definition = engine.workflow_manager.plan(name).definition
    switches = engine.triggers.switches
    whole = switches.off(name, None) or ("" if definition.enabled else "its definition says enabled: false")
    items = []
    for index, trigger in enumerate(definition.triggers):
        known = trigger_name(name, index)
        reason = switches.off(name, known) or ""
        if isinstance(trigger, ManualTrigger):
            reason = ""
        elif not reason and not (definition.enabled and trigger.enabled):
            reason = "its definition says enabled: false"
        open_keys, due = engine.triggers.remembered(known)
        items.append(TriggerView(index, known, trigger.type, not reason, reason, open_keys, due))
    return TriggerList(name, not whole, whole, tuple(items))


async def tried(engine: AutomationEngine, name: str, definition: WorkflowDefinition | None, since: float) -> Backtest:
    """A backtest; raises NotFound, DefinitionError, InputError."""
    current = engine.workflow_manager.plan(name) if engine.workflow_manager.get_workflow(name) is not None else None
    if definition is None:
        return await engine.triggers.backtest(engine.workflow_manager.plan(name), current, since)
    if definition.name != name:
        raise InputError(f"definition.name: is {definition.name!r}, not {name!r}", path="definition.name")
    return await engine.triggers.backtest(compile_workflow(definition), current, since)
