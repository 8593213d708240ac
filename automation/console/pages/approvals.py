"""Approvals: what waits for a person, and what people have answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import audited, engine_of, needs
from automation.console.desk import address, choice, desk_of
from automation.console.gate import PageRoute, see_other
from automation.errors import Forbidden
from automation.model.approval import Approval, ApprovalStatus
from automation.model.identity import Identity
from automation.model.workflow import ActionDefinition, WorkflowDefinition
from automation.workflows.asking import lacking, refuse_answer

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50
TABS = ("pending", "approved", "denied", "expired", "withdrawn")


@dataclass(frozen=True, slots=True)
class Row:
    """One approval, and what this reader may do with it."""

    approval: Approval
    review: str | None
    """Where it is looked at in full and answered."""
    at_once: bool
    """Whether it may be answered from the list: not what is critical."""
    lacking: str | None
    """What is missing for it to be approved, once somebody has answered."""
    asked: tuple[ActionDefinition, ...] = ()
    """What would be done."""


@router.get("/approvals")
async def list_approvals(
    request: Request,
    caller: Annotated[Identity, Depends(needs("workflows:view"))],
    status: Annotated[str, Query(max_length=20)] = "pending",
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Approvals, newest first; by default those that wait."""
    engine = engine_of(request)
    wanted = choice(ApprovalStatus, "" if status == "all" else status, "status")
    page = await engine.approvals.list(status=wanted, cursor=cursor, limit=PER_PAGE)
    workflows = await engine.queries.definitions_of([approval.execution_id for approval in page.items])
    return desk_of(request).page(
        request,
        "approvals.html",
        identity=caller,
        section="approvals",
        watch=None if cursor else "/console/stream?kinds=approval,execution",
        rows=[row_of(approval, caller, workflows.get(approval.execution_id)) for approval in page.items],
        status=status,
        tabs=(*TABS, "all"),
        pending=await engine.approvals.pending_count(),
        newest=address("/approvals", {"status": status}) if cursor else None,
        older=address("/approvals", {"status": status, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.post("/approvals/{approval_id}")
async def answer(
    request: Request,
    approval_id: str,
    caller: Annotated[Identity, Depends(needs("workflows:view"))],
    agreed: Annotated[bool, Form()],
    reason: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Approve or deny, and go back to what waits."""
    answering = engine_of(request).approvals.answer(approval_id, agreed, reason=reason.strip(), by=caller)
    await audited(request, caller, answering)
    return see_other("/approvals")


def row_of(approval: Approval, caller: Identity, workflow: WorkflowDefinition | None = None) -> Row:
    """An approval as this reader sees it."""
    pending = approval.status is ApprovalStatus.PENDING
    parameters = {"action": approval.action}
    review = address(f"/executions/{approval.execution_id}/decision", parameters)
    return Row(
        approval,
        review if pending and may_answer(approval, caller, agreed=False) else None,
        pending and approval.effect != "critical" and may_answer(approval, caller, agreed=True),
        lacking(approval.terms, approval, approval.answers) if pending and approval.answers else None,
        asked_by(workflow, approval.action) if workflow else (),
    )


def asked_by(workflow: WorkflowDefinition, action: str | None) -> tuple[ActionDefinition, ...]:
    """The actions that an approval is about: the one that waits, or an item of which does, or all of a proposal."""
    name = action and action.partition("[")[0]
    return tuple(each for each in workflow.actions if name in (None, each.name))


def may_answer(approval: Approval, caller: Identity, *, agreed: bool) -> bool:
    """Whether this caller may answer so."""
    try:
        refuse_answer(approval, caller, agreed)
    except Forbidden:
        return False
    return True
