"""Approvals: what people are asked, and their answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from automation.api.access import audited, engine_of, needs
from automation.api.operations import gives, takes
from automation.api.reading import read_model
from automation.api.render import Json
from automation.model.approval import Approval, ApprovalStatus
from automation.model.base import Definition
from automation.model.identity import Identity
from automation.store.pages import LIMIT, Page

router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

Viewer = Annotated[Identity, Depends(needs("workflows:view"))]
Approver = Annotated[Identity, Depends(needs("actions:execute_standard", "actions:execute_critical"))]
Id = Annotated[str, Path(max_length=100)]
Cursor = Annotated[str | None, Query(pattern="^[0-9a-f-]{36}$", description="`next_cursor` of the page before.")]


class AnswerRequest(Definition):
    """Why it is answered so."""

    reason: Annotated[str, Field(max_length=2000)] = ""


@router.get("", responses=gives(Page[Approval]))
async def list_approvals(
    request: Request,
    caller: Viewer,
    status: ApprovalStatus | None = None,
    workflow: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """Approvals, newest first."""
    part = engine_of(request).approvals
    return Json(await part.list(status=status, workflow=workflow, cursor=cursor, limit=limit))


@router.get("/{approval_id}", responses=gives(Approval))
async def get_approval(request: Request, approval_id: Id, caller: Viewer) -> Response:
    """One approval, with all answers so far."""
    return Json(await engine_of(request).approvals.get(approval_id))


@router.post(
    "/{approval_id}/approve",
    responses=gives(Approval, "The approval as it is now"),
    openapi_extra=takes(AnswerRequest, {"reason": "looks right"}, required=False),
)
async def approve(request: Request, approval_id: Id, caller: Approver) -> Response:
    """Approve what waits for that. The same answer again changes nothing.

    To approve what is critical, `actions:execute_critical` is needed.
    """
    return await _answer(request, approval_id, caller, agreed=True)


@router.post(
    "/{approval_id}/deny",
    responses=gives(Approval, "The approval as it is now"),
    openapi_extra=takes(AnswerRequest, {"reason": "not on a Friday"}, required=False),
)
async def deny(request: Request, approval_id: Id, caller: Approver) -> Response:
    """Deny what waits for approval. One denial decides."""
    return await _answer(request, approval_id, caller, agreed=False)


async def _answer(request: Request, approval_id: str, caller: Identity, *, agreed: bool) -> Response:
    order = await read_model(request, AnswerRequest)
    answering = engine_of(request).approvals.answer(approval_id, agreed, reason=order.reason, by=caller)
    return Json(await audited(request, caller, answering))
