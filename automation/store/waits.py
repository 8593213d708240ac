"""What executions wait for beside times and people, as stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Row

from automation.model.event import Event
from automation.store import statements
from automation.store.events import event_from_row
from automation.store.statement import Op
from automation.store.store import Store, decode, to_json
from automation.store.tables import events, executions, waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One action of one execution waits for an event, or for the end of a child."""

    id: str
    execution_id: str
    action: str
    created_at: float
    event_type: str | None = None
    condition: str | None = None
    names: Mapping[str, Any] = field(default_factory=dict)
    """Values of the execution that the condition compares with."""
    child_id: str | None = None

    def op(self) -> Op:
        """The write that stores it. Only events that come later can meet it."""
        return statements.WAIT(
            id=self.id,
            execution_id=self.execution_id,
            action=self.action,
            event_type=self.event_type,
            condition=self.condition,
            names=to_json(self.names),
            child_id=self.child_id,
            created_at=self.created_at,
        )

    def met(self, event: Mapping[str, Any], now: float) -> Op:
        """The write that says which event has met it; without effect if another has."""
        return statements.WAIT_MET(met_at=now, event=to_json(event), where_id=self.id)


@dataclass(frozen=True, slots=True)
class Met:
    """That what an action waits for has come."""

    id: str
    execution_id: str
    action: str
    event: dict[str, Any] | None


def _wait(row: Row[Any]) -> Wait:
    return Wait(
        id=row.id,
        execution_id=row.execution_id,
        action=row.action,
        created_at=row.created_at,
        event_type=row.event_type,
        condition=row.condition,
        names=decode(row.names),
        child_id=row.child_id,
    )


def _met(row: Row[Any]) -> Met:
    return Met(row.id, row.execution_id, row.action, decode(row.event) if row.event else None)


async def for_events(store: Store) -> list[Wait]:
    """All waits for events that none has met."""
    query = select(waits).where(waits.c.met_at.is_(None), waits.c.event_type.is_not(None))
    return [_wait(row) for row in await store.fetch(query)]


async def met_of(store: Store, execution_id: str) -> list[Met]:
    """What has come for an execution."""
    query = select(waits).where(waits.c.execution_id == execution_id, waits.c.met_at.is_not(None))
    return [_met(row) for row in await store.fetch(query)]


async def met_of_many(store: Store, execution_ids: Sequence[str]) -> dict[str, list[Met]]:
    """What has come for these executions; those for which nothing has are left out."""
    found: dict[str, list[Met]] = {}
    query = select(waits).where(waits.c.execution_id.in_(execution_ids), waits.c.met_at.is_not(None))
    for row in await store.fetch(query):
        found.setdefault(row.execution_id, []).append(_met(row))
    return found


async def met_for(store: Store, node: str) -> list[Met]:
    """What has come for the executions that a node holds."""
    query = select(waits).join(executions, executions.c.id == waits.c.execution_id)
    return [_met(row) for row in await store.fetch(query.where(waits.c.met_at.is_not(None), executions.c.node == node))]


async def overlooked(store: Store, since: float) -> list[tuple[Wait, Event]]:
    """Waits that began after `since` and none has met, each with the stored events that came later, in their order."""
    query = (
        select(waits, *(column.label(f"later_{column.name}") for column in events.c))
        .join(events, events.c.type == waits.c.event_type)
        .where(waits.c.met_at.is_(None), waits.c.created_at > since, events.c.seq > waits.c.after_seq)
        .order_by(events.c.seq)
    )
    return [(_wait(row), event_from_row(row, "later_")) for row in await store.fetch(query)]
