"""Messages to people, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.operations import gives
from automation.api.render import Json
from automation.model.identity import Identity
from automation.store.alerts import Notification
from automation.store.pages import LIMIT

router = APIRouter(prefix="/api/v1/notifications", tags=["records"])


@dataclass(frozen=True, slots=True)
class NotificationList:
    """The newest messages to people."""

    items: tuple[Notification, ...]


@router.get("", responses=gives(NotificationList))
async def list_notifications(
    request: Request,
    caller: Annotated[Identity, Depends(needs("alerts:view"))],
    limit: Annotated[int, Query(ge=1, le=1000)] = LIMIT,
) -> Response:
    """The newest messages to people, newest first."""
    return Json(NotificationList(await engine_of(request).queries.notifications(limit)))
