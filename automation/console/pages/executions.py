"""Executions: what was and is done, step by step, and what a person may ask of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import admit, engine_of, needs
from automation.console.desk import address, choice, desk_of
from automation.console.detail import actions_of, journal_of, waits_for_person
from automation.console.drawing import draw_execution
from automation.console.gate import PageRoute, see_other
from automation.console.pages.control import possible
from automation.errors import Conflict, DefinitionError, NotFound
from automation.model.execution import ExecutionDetail, WorkflowStatus
from automation.model.identity import Identity
from automation.workflows.compiler import compile_workflow

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50
_STANDARD, _CRITICAL = "actions:execute_standard", "actions:execute_critical"

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Starter = Annotated[Identity, Depends(needs("workflows:execute"))]
Reason = Annotated[str, Form(max_length=2000)]


@router.get("/executions")
async def list_executions(
    request: Request,
    caller: Viewer,
    status: Annotated[str, Query(max_length=20)] = "",
    workflow: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Executions, newest first."""
    engine = engine_of(request)
    wanted = choice(WorkflowStatus, status, "status")
    page = await engine.queries.executions(workflow=workflow or None, status=wanted, cursor=cursor, limit=PER_PAGE)
    filters = {"status": status, "workflow": workflow}
    known = engine.workflow_manager.list_workflows()
    return desk_of(request).page(
        request,
        "executions.html",
        identity=caller,
        section="executions",
        watch=None if cursor else "/console/stream?kinds=execution",
        rows=page.items,
        status=status,
        workflow=workflow,
        statuses=WorkflowStatus,
        workflows=known if not workflow or workflow in known else [workflow, *known],
        newest=address("/executions", filters) if cursor else None,
        older=address("/executions", {**filters, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.get("/executions/{execution_id}")
async def show_execution(request: Request, execution_id: str, caller: Viewer) -> Response:
    """One execution, live: its graph, its actions, its journal."""
    engine = engine_of(request)
    detail = await engine.queries.execution_detail(execution_id)
    now = engine.clock.now()
    settled = detail.execution.status.finished
    return desk_of(request).page(
        request,
        "execution.html",
        identity=caller,
        section="executions",
        watch=None if settled else address("/console/stream", {"kinds": "execution", "id": execution_id}),
        watch_ends=True,
        settled=settled,
        execution=detail.execution,
        detail=detail,
        graph=draw_execution(detail.definition, detail.actions, now),
        actions=actions_of(detail, now),
        journal=journal_of(detail),
        may_cancel=caller.may("workflows:execute") and not settled,
        may_ask=possible(detail) if caller.may("workflows:execute") else (),
        may_rerun=caller.may("workflows:execute"),
        may_decide=caller.may(_STANDARD) or caller.may(_CRITICAL),
    )


@router.get("/executions/{execution_id}/cancel")
async def confirm_cancel(request: Request, execution_id: str, caller: Starter) -> Response:
    """Ask once more, and for the reason."""
    execution = await engine_of(request).queries.execution(execution_id)
    return desk_of(request).page(request, "cancel.html", identity=caller, section="executions", execution=execution)


@router.post("/executions/{execution_id}/cancel")
async def cancel(request: Request, execution_id: str, caller: Starter, reason: Reason = "") -> Response:
    """End an execution."""
    await engine_of(request).cancel(execution_id, reason.strip(), actor=caller.name)
    return see_other(f"/executions/{execution_id}")


@router.get("/executions/{execution_id}/decision")
async def review(
    request: Request, execution_id: str, caller: Viewer, action: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """Show what a person is asked to approve."""
    detail = await engine_of(request).queries.execution_detail(execution_id)
    _check_waits(detail, action)
    critical = is_critical(detail, action)
    await _admit_decision(request, caller, critical=False)
    actions = [each for each in detail.definition.actions if action in (None, each.name)]
    return desk_of(request).page(
        request,
        "decision.html",
        identity=caller,
        section="executions",
        execution=detail.execution,
        detail=detail,
        action=action,
        actions=actions,
        critical=critical,
        may_approve=not critical or caller.may(_CRITICAL),
    )


@router.post("/executions/{execution_id}/decision")
async def decide(
    request: Request,
    execution_id: str,
    caller: Viewer,
    agreed: Annotated[bool, Form()],
    action: Annotated[str | None, Form(max_length=200)] = None,
    reason: Reason = "",
) -> Response:
    """Approve or deny a proposed execution, or an action that waits for approval."""
    engine = engine_of(request)
    detail = await engine.queries.execution_detail(execution_id)
    await _admit_decision(request, caller, critical=agreed and is_critical(detail, action))
    _check_waits(detail, action)
    await engine.decide(execution_id, action, agreed, reason=reason.strip(), actor=caller.name)
    return see_other(f"/executions/{execution_id}")


async def _admit_decision(request: Request, caller: Identity, *, critical: bool) -> None:
    # The same rule as the REST API's: whoever may approve what is critical may approve all.
    if critical or not caller.may(_CRITICAL):
        await admit(request, _CRITICAL if critical else _STANDARD)


def _check_waits(detail: ExecutionDetail, action: str | None) -> None:
    if action is None:
        if detail.execution.status is not WorkflowStatus.PROPOSED:
            raise Conflict(
                f"this execution is {detail.execution.status.value}, not proposed: there is nothing to decide"
            )
        return
    run = next((run for run in detail.actions if run.name == action), None)
    if run is None:
        raise NotFound(kind="action", name=action)
    if detail.execution.status.finished or not waits_for_person(run):
        raise Conflict(f"the action {action!r} does not wait for approval (any more)")


def is_critical(detail: ExecutionDetail, action: str | None) -> bool:
    """Whether the action, or any action of a proposed execution, is critical."""
    try:
        plan = compile_workflow(detail.definition)
    except DefinitionError:
        # An operation that is not known any more: nobody can say that it is harmless.
        return True
    return any(step.effect == "critical" for step in plan.steps if action in (None, step.name))
