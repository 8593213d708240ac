"""Server-sent events: that something changed. A page then asks for what it shows, by the same route as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from automation.api.access import engine_of, identify, needs
from automation.api.waiting import patiently
from automation.console.desk import HEADERS
from automation.console.gate import PageRoute
from automation.errors import AutomationError, InputError
from automation.model.execution import WorkflowStatus
from automation.model.identity import Identity
from automation.telemetry.changes import Change

router = APIRouter(route_class=PageRoute, include_in_schema=False)

HEARTBEAT_SECONDS = 15.0
REST_SECONDS = 0.4
"""How long to wait after a message: all that changes meanwhile comes as one."""
LIST_REST_SECONDS = 1.0
"""The same for pages that show many things, and are dearer to make."""

_CHANGED = b"event: change\ndata:\n\n"
_ENDED = b"event: end\ndata:\n\n"
_ALIVE = b": alive\n\n"
_PERMISSIONS = {
    "execution": "workflows:view",
    "approval": "workflows:view",
    "definitions": "workflows:view",
    "guardrails": "workflows:view",
    "event": "events:view",
    "source": "events:view",
    "alert": "alerts:view",
}
_FINISHED = frozenset(status.value for status in WorkflowStatus if status.finished)


@router.get("/console/stream")
async def stream(
    request: Request,
    caller: Annotated[Identity, Depends(needs(None))],
    kinds: Annotated[str, Query(max_length=100)],
    id: Annotated[str | None, Query(max_length=500)] = None,
) -> StreamingResponse:
    """Tell when something of these kinds changes, or the one thing with this id; ends when that one has ended."""
    wanted = frozenset(kinds.split(","))
    if not wanted <= _PERMISSIONS.keys():
        raise InputError(f"kinds: each must be one of {', '.join(_PERMISSIONS)}")
    allowed = frozenset(kind for kind in wanted if caller.may(_PERMISSIONS[kind]))
    headers = HEADERS | {"X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(request, allowed, id), media_type="text/event-stream", headers=headers)


async def _messages(request: Request, kinds: frozenset[str], id: str | None) -> AsyncIterator[bytes]:
    closing: asyncio.Event = request.app.state.closing
    with engine_of(request).changes.watch(id) as watch:
        # What changed between the making of the page and this connection, or while there was none, is told now.
        yield b"retry: 2000\n" + _CHANGED
        if await _over(request, kinds, id):
            yield _ENDED
            return
        while not closing.is_set():
            changes = await patiently(watch.next(), closing, HEARTBEAT_SECONDS)
            if changes is None:
                if not await _welcome(request):
                    # The page asks once more, and is led to where one signs in.
                    yield _CHANGED
                    return
                yield _ALIVE
            elif any(change.kind in kinds for change in changes):
                yield _CHANGED
                if id is not None and any(_is_end(change) for change in changes):
                    yield _ENDED
                    return
                rest = LIST_REST_SECONDS if id is None else REST_SECONDS
                await patiently(asyncio.sleep(rest), closing, HEARTBEAT_SECONDS)


def _is_end(change: Change) -> bool:
    return change.kind == "execution" and change.status in _FINISHED


async def _over(request: Request, kinds: frozenset[str], id: str | None) -> bool:
    if id is None or "execution" not in kinds:
        return False
    try:
        return (await engine_of(request).queries.execution(id)).status.finished
    except AutomationError:
        return True


async def _welcome(request: Request) -> bool:
    """Whether who asked may still ask: a session can end while its page is open."""
    try:
        await identify(request)
    except AutomationError:
        return False
    return True
