"""The audit chain: its rows, and whether they are as they were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.config import AuditKind
from automation.errors import Problem
from automation.model.identity import Identity
from automation.store.pages import LIMIT, Page
from automation.store.records import AuditRow

router = APIRouter(prefix="/api/v1/audit", tags=["records"])

Auditor = Annotated[Identity, Depends(needs("system:admin"))]


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows there are, and what does not fit."""

    valid: bool
    rows: int
    problems: tuple[Problem, ...]


@router.get("", responses=gives(Page[AuditRow]))
async def list_audit(
    request: Request,
    caller: Auditor,
    kind: AuditKind | None = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """Audit rows, newest first."""
    return Json(await engine_of(request).queries.audit(kind=kind, cursor=cursor, limit=limit))


@router.get("/verify", responses=gives(Verification))
async def verify_audit(request: Request, caller: Auditor) -> Response:
    """Check every row of the chain: whether one was changed, removed or moved."""
    rows, problems = await engine_of(request).queries.verify_audit()
    return Json(Verification(not problems, rows, tuple(problems)))
