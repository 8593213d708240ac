"""Decisions: what did not happen, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.model.identity import Identity
from automation.store.events import Decision
from automation.store.pages import LIMIT, Page

router = APIRouter(prefix="/api/v1/decisions", tags=["records"])


@router.get("", responses=gives(Page[Decision]))
async def list_decisions(
    request: Request,
    caller: Annotated[Identity, Depends(needs("events:view"))],
    kind: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """What was decided and why, newest first: duplicates, cooldowns, refused starts."""
    return Json(await engine_of(request).queries.decisions(kind=kind, cursor=cursor, limit=limit))
