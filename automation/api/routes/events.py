"""Events: publishing them, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from automation.api.access import admit, engine_of, needs
from automation.api.operations import Operation, RawRoute, gives, takes
from automation.api.publishing import Receipts, publish_all, read_events, refuse_overload
from automation.api.render import Json
from automation.api.schemas import promised
from automation.conditions import Explanation, shown
from automation.engine import AutomationEngine
from automation.model.event import Event
from automation.model.execution import Execution
from automation.model.identity import Identity
from automation.store.events import Decision, StoredEvent
from automation.store.pages import LIMIT, Page

router = APIRouter(prefix="/api/v1/events", tags=["events"])

Viewer = Annotated[Identity, Depends(needs("events:view"))]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]

EXAMPLE = {"type": "service_health_check_failed", "subject": "playback-api", "data": {"status": 503}}


@dataclass(frozen=True, slots=True)
class Value:
    """A part of a condition, how deep it stands in that, and its value, briefly."""

    expression: str
    depth: int
    value: str


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that is in force now and looks at such events: whether it would start its workflow, or why not."""

    workflow: str
    rule: str
    starts: bool
    reason: str
    values: tuple[Value, ...] = ()
    """What the parts of its conditions are worth."""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event, what it started, what was decided about it, and which rules consider it."""

    event: Event
    received_at: float
    matched: bool
    executions: tuple[Execution, ...]
    decisions: tuple[Decision, ...]
    considered: tuple[Considered, ...]


async def publish_events(request: Request) -> Response:
    """Publish an event, or a list of up to 1000.

    Answers when all of them, and all that they start, are on disk. One that is wrong refuses the whole list. The pair
    of `source` and `id` names an event: the same pair again is a duplicate, which starts nothing, so a request that
    was not answered can be sent again.
    """
    await admit(request, "events:publish")
    engine = engine_of(request)
    refuse_overload(engine)
    return await publish_all(engine, read_events(await request.body(), engine.config.api.max_body_depth))


_ONE_OR_MANY = {"anyOf": [promised(Event), {"type": "array", "items": promised(Event), "maxItems": 1000}]}
router.routes.append(
    RawRoute(
        "/api/v1/events",
        publish_events,
        Operation(
            "POST", "events", "events:publish", gives(Receipts, "Durable", 202), takes(_ONE_OR_MANY, EXAMPLE, [EXAMPLE])
        ),
    )
)


@router.get("", responses=gives(Page[StoredEvent]))
async def list_events(
    request: Request,
    caller: Viewer,
    type: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> Response:
    """Events, newest first."""
    return Json(await engine_of(request).queries.events(type=type, cursor=cursor, limit=limit))


@router.get("/{event_id:path}", responses=gives(EventView))
async def get_event(
    request: Request,
    event_id: Annotated[str, Path(max_length=1100)],
    caller: Viewer,
    source: Annotated[str | None, Query(max_length=1100, description="Where several sources use one id.")] = None,
) -> Response:
    """One event: what it started, what it did not start and why, and how the rules of now see it."""
    return Json(await view_of(engine_of(request), event_id, source))


async def view_of(engine: AutomationEngine, event_id: str, source: str | None) -> EventView:
    """An event, what became of it, and how the rules of now see it; raises NotFound."""
    detail = await engine.queries.event(event_id, source)
    stored = detail.stored
    considered = explained(engine, stored.event)
    return EventView(stored.event, stored.received_at, stored.matched, detail.executions, detail.decisions, considered)


def explained(engine: AutomationEngine, event: Event) -> tuple[Considered, ...]:
    """How the rules of now see an event."""
    return tuple(
        Considered(rule.workflow, rule.about, reason is None, reason or "", tuple(values_of(told)))
        for rule, reason, told in engine.triggers.explain(event)
    )


def values_of(told: Iterable[Explanation], depth: int = 0) -> Iterator[Value]:
    """The parts of conditions, each behind the whole that it is part of."""
    for part in told:
        said = f"{shown(part.value)} ({part.reason})" if part.reason else shown(part.value)
        yield Value(part.text, depth, said)
        yield from values_of(part.children, depth + 1)
