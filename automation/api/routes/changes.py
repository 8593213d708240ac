"""Live changes, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import Response

from automation.api.access import engine_of, needs
from automation.api.render import to_json
from automation.api.waiting import patiently
from automation.model.identity import Identity
from automation.telemetry.changes import Changes

router = APIRouter(prefix="/api/v1/changes", tags=["records"])

HEARTBEAT_SECONDS = 15.0
_RETRY_MILLISECONDS = 2000


@router.get(
    "", responses={200: {"description": "A stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}
)
async def watch_changes(
    request: Request,
    caller: Annotated[Identity, Depends(needs("workflows:view"))],
    execution: Annotated[str | None, Query(max_length=100, description="Only changes of this execution.")] = None,
) -> Response:
    """What changes, as server-sent events: `{"kind", "id", "status"}`, to be read anew by its id.

    Kinds are `execution`, `event`, `alert`, `source` and others. Several changes of one thing may come as one; a
    comment every 15 seconds shows that the stream lives.
    """
    stream = _stream(engine_of(request).changes, execution, request.app.state.closing)
    # nginx would hold back what does not fill a buffer.
    return EventSourceResponse(stream, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _stream(changes: Changes, only: str | None, closing: asyncio.Event) -> AsyncIterator[bytes]:
    with changes.watch(only) as watch:
        yield format_sse_event(comment="watching", data_str=None) + b"retry: %d\n\n" % _RETRY_MILLISECONDS
        while not closing.is_set():
            found = await patiently(watch.next(), closing, HEARTBEAT_SECONDS)
            if closing.is_set():
                return
            for change in found or ():
                yield format_sse_event(event=change.kind, data_str=to_json(change).decode())
            if not found:
                yield KEEPALIVE_COMMENT
