"""Executions: what was and is done, step by step, and what a person may ask of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import admit, audited, engine_of, needs
from automation.console.desk import address, choice, desk_of
from automation.console.detail import actions_of, journal_of
from automation.console.drawing import draw_execution
from automation.console.gate import PageRoute, see_other
from automation.console.pages.approvals import asked_by, may_answer, row_of
from automation.console.pages.control import possible
from automation.errors import NotFound
from automation.model.approval import Approval
from automation.model.execution import ExecutionDetail, WorkflowStatus
from automation.model.identity import Identity
from automation.workflows.asking import refuse_decided

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
        approvals=[row_of(approval, caller) for approval in await engine.approvals.of(execution_id)],
        may_cancel=caller.may("workflows:execute") and not settled,
        may_ask=possible(detail) if caller.may("workflows:execute") else (),
        may_rerun=caller.may("workflows:execute"),
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
    engine = engine_of(request)
    detail = await engine.queries.execution_detail(execution_id)
    await _admit_decision(request, caller)
    approval = await _asked(request, detail, action)
    return desk_of(request).page(
        request,
        "decision.html",
        identity=caller,
        section="approvals",
        execution=detail.execution,
        detail=detail,
        action=action,
        actions=asked_by(detail.definition, action),
        approval=approval,
        may_approve=may_answer(approval, caller, agreed=True),
        may_deny=may_answer(approval, caller, agreed=False),
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
    await _admit_decision(request, caller)
    approval = await _asked(request, detail, action)
    answering = engine.approvals.answer(approval.id, agreed, reason=reason.strip(), by=caller)
    await audited(request, caller, answering)
    return see_other(f"/executions/{execution_id}")


async def _admit_decision(request: Request, caller: Identity) -> None:
    # The same rule as the REST API's: whoever may approve what is critical may approve all.
    if not caller.may(_CRITICAL):
        await admit(request, _STANDARD)


async def _asked(request: Request, detail: ExecutionDetail, action: str | None) -> Approval:
    """The approval that waits for an answer; raises NotFound, Conflict."""
    if action is not None and not asked_by(detail.definition, action):
        raise NotFound(kind="action", name=action)
    approval = await engine_of(request).approvals.asked(detail.execution.id, action)
    refuse_decided(approval)
    return approval
