"""Events and decisions, as stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Row

from automation.model.event import Event
from automation.store import statements
from automation.store.pages import LIMIT, Page, limited, number
from automation.store.statement import Op
from automation.store.store import Store, decode, to_json
from automation.store.tables import decisions, events


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with when it was received and whether it started anything."""

    event: Event
    received_at: float
    matched: bool
    held_back: tuple[str, ...] = ()
    """Why it did not start what it could have: the outcomes of the decisions about that, such as `cooldown`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was decided, with its reason: why an event did not start what it could have."""

    at: float
    kind: str
    subject: str
    outcome: str
    reason: str
    event_source: str | None = None
    event_id: str | None = None

    def op(self) -> Op:
        """The write that stores it."""
        return statements.DECISION(
            at=self.at,
            kind=self.kind,
            subject=self.subject,
            outcome=self.outcome,
            reason=self.reason,
            event_source=self.event_source,
            event_id=self.event_id,
        )


def insert(event: Event, received_at: float, matched: bool) -> Op:
    """The write that stores an event; refused if `(source, id)` is there."""
    # In the order of the columns: it is written more often than anything else, and names cost as much as all the rest.
    return statements.EVENT, (
        event.source,
        event.id,
        event.type,
        event.subject,
        event.severity,
        event.time,
        received_at,
        to_json(event.data),
        to_json(event.labels) if event.labels else "{}",
        matched,
    )


def event_from_row(row: Row[Any], prefix: str = "") -> Event:
    """The event of a row of its table, whose columns have this prefix."""
    found = row._mapping
    return Event(
        type=found[f"{prefix}type"],
        subject=found[f"{prefix}subject"],
        data=decode(found[f"{prefix}data"]),
        source=found[f"{prefix}source"],
        severity=found[f"{prefix}severity"],
        labels=decode(found[f"{prefix}labels"]),
        id=found[f"{prefix}id"],
        time=found[f"{prefix}time"],
    )


async def _from_rows(store: Store, rows: Iterable[Row[Any]]) -> tuple[StoredEvent, ...]:
    found = [(event_from_row(row), row) for row in rows]
    held = await _held_back(store, [(event.source, event.id) for event, _ in found])
    return tuple(
        StoredEvent(event, row.received_at, bool(row.matched), tuple(held.get((event.source, event.id), ())))
        for event, row in found
    )


async def _held_back(store: Store, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], dict[str, None]]:
    """The outcomes of what kept events from starting something, each once, by their pairs of source and id."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    columns = select(decisions.c.event_id, decisions.c.outcome).order_by(decisions.c.seq)
    for source, ids in _by_source(names).items():
        about = (decisions.c.event_source == source, decisions.c.event_id.in_(ids), decisions.c.kind == "start")
        for row in await store.fetch(columns.where(*about)):
            found.setdefault((source, row.event_id), {})[row.outcome] = None
    return found


def _by_source(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for source, event_id in names:
        found.setdefault(source, []).append(event_id)
    return found


async def get(store: Store, event_id: str, source: str | None = None) -> StoredEvent | None:
    """The event with this id (of this source, or the newest of any)."""
    query = select(events).where(events.c.id == event_id).order_by(events.c.seq.desc()).limit(1)
    if source is not None:
        query = query.where(events.c.source == source)
    row = await store.first(query)
    return (await _from_rows(store, [row]))[0] if row else None


async def known(store: Store, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the pairs of source and id that are stored already."""
    found: set[tuple[str, str]] = set()
    for source, ids in _by_source(names).items():
        rows = await store.fetch(select(events.c.id).where(events.c.source == source, events.c.id.in_(ids)))
        found.update((source, row.id) for row in rows)
    return found


async def page(
    store: Store, *, type: str | None = None, cursor: str | None = None, limit: int = LIMIT
) -> Page[StoredEvent]:
    """Events, newest first."""
    query = select(events).order_by(events.c.seq.desc()).limit(limited(limit) + 1)
    if type is not None:
        query = query.where(events.c.type == type)
    before = number(cursor)
    if before is not None:
        query = query.where(events.c.seq < before)
    rows = await store.fetch(query)
    next_cursor = str(rows[limit - 1].seq) if len(rows) > limit else None
    return Page(await _from_rows(store, rows[:limit]), next_cursor)


def _decision(row: Row[Any]) -> Decision:
    return Decision(row.at, row.kind, row.subject, row.outcome, row.reason, row.event_source, row.event_id)


async def decisions_of(store: Store, source: str, event_id: str) -> tuple[Decision, ...]:
    """What was decided about an event."""
    query = select(decisions).where(decisions.c.event_source == source, decisions.c.event_id == event_id)
    return tuple(_decision(row) for row in await store.fetch(query.order_by(decisions.c.seq)))


async def decision_page(
    store: Store, *, kind: str | None = None, cursor: str | None = None, limit: int = LIMIT
) -> Page[Decision]:
    """Decisions, newest first."""
    query = select(decisions).order_by(decisions.c.seq.desc()).limit(limited(limit) + 1)
    if kind is not None:
        query = query.where(decisions.c.kind == kind)
    before = number(cursor)
    if before is not None:
        query = query.where(decisions.c.seq < before)
    rows = await store.fetch(query)
    return Page(tuple(_decision(row) for row in rows[:limit]), str(rows[limit - 1].seq) if len(rows) > limit else None)


@dataclass(frozen=True, slots=True)
class Span:
    """Which stored events: received from a time on and up to another, of one type."""

    since: float
    until: float
    type: str | None = None


async def received(store: Store, span: Span, after: int, limit: int) -> list[tuple[int, StoredEvent]]:
    """Events with their numbers, oldest first, from behind a number on."""
    query = select(events).where(events.c.seq > after, events.c.received_at >= span.since)
    query = query.where(events.c.received_at <= span.until).order_by(events.c.seq).limit(limit)
    if span.type is not None:
        query = query.where(events.c.type == span.type)
    rows = await store.fetch(query)
    return [(row.seq, stored) for row, stored in zip(rows, await _from_rows(store, rows), strict=True)]
