"""What guardrails remember, as stored: acts on targets, what is held by hand, open circuits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.engine import Row

from automation.model.guardrail import Act, HeldAct
from automation.store import statements
from automation.store.statement import Op
from automation.store.store import Store, decode, to_json
from automation.store.tables import acts, breakers, executions, holds


@dataclass(frozen=True, slots=True)
class Hold:
    """What somebody has put in force by hand: `stop`, or a `freeze` by its name."""

    kind: str
    name: str
    body: dict[str, Any]
    actor: str
    at: float

    def op(self) -> Op:
        """The write that stores it."""
        return statements.HOLD(kind=self.kind, name=self.name, body=to_json(self.body), actor=self.actor, at=self.at)


async def all_holds(store: Store) -> list[Hold]:
    """All that is in force by hand, oldest first."""
    rows = await store.fetch(select(holds).order_by(holds.c.at, holds.c.name))
    return [Hold(row.kind, row.name, decode(row.body), row.actor, row.at) for row in rows]


def act_op(act: Act, node: str, now: float) -> Op:
    """The write that stores an act that begins, or begins again."""
    return statements.ACT(
        execution_id=act.execution_id,
        action=act.action,
        workflow=act.workflow,
        operation=act.operation,
        target=act.target,
        service=act.service,
        replicas=act.replicas,
        replicas_of=act.replicas_of,
        node=node,
        began_at=act.began_at,
        until=act.until,
        held_by=None,
        changed_at=now,
    )


def held_op(held: HeldAct, node: str) -> Op:
    """The write that stores that an action waits; what it has begun before stays known."""
    return statements.ACT_HOLD(
        execution_id=held.execution_id,
        action=held.action,
        workflow=held.workflow,
        operation=held.operation,
        target=held.target,
        service=None,
        replicas=0,
        replicas_of=0,
        node=node,
        began_at=None,
        until=held.until,
        held_by=held.guardrail,
        changed_at=held.since,
    )


async def acts_since(store: Store, changed: float, *, not_of: str) -> list[Act]:
    """Acts that have begun, or ended, since then; without those of one node."""
    query = select(acts).where(acts.c.changed_at >= changed, acts.c.began_at.is_not(None), acts.c.node != not_of)
    return [_act(row) for row in await store.fetch(query)]


async def acts_until_now(store: Store, since: float, now: float) -> list[Act]:
    """Acts that have begun, or ended, since then, and those that are under way however long."""
    recent = or_(acts.c.changed_at >= since, acts.c.until > now)
    query = select(acts).where(recent, acts.c.began_at.is_not(None))
    return [_act(row) for row in await store.fetch(query)]


async def held(store: Store, limit: int = 1000) -> list[HeldAct]:
    """Actions of unfinished executions that wait for a guardrail, the longest waiting first."""
    query = (
        select(acts)
        .join(executions, executions.c.id == acts.c.execution_id)
        .where(acts.c.held_by.is_not(None), executions.c.finished_at.is_(None))
        .order_by(acts.c.changed_at)
        .limit(limit)
    )
    return [
        HeldAct(
            row.execution_id,
            row.action,
            row.workflow,
            row.operation,
            row.target,
            row.held_by,
            row.changed_at,
            row.until,
        )
        for row in await store.fetch(query)
    ]


def _act(row: Row[Any]) -> Act:
    return Act(
        row.execution_id,
        row.action,
        row.workflow,
        row.operation,
        row.target,
        row.service,
        row.replicas,
        row.replicas_of,
        row.began_at,
        row.until,
    )


@dataclass(frozen=True, slots=True)
class StoredBreaker:
    """A circuit that is not closed."""

    operation: str
    target: str
    state: str
    failures: int
    version: int
    until: float
    opened_at: float
    error: str

    def op(self) -> Op:
        """The write that stores it."""
        return statements.BREAKER(
            operation=self.operation,
            target=self.target,
            state=self.state,
            failures=self.failures,
            version=self.version,
            until=self.until,
            opened_at=self.opened_at,
            error=self.error,
        )


async def all_breakers(store: Store) -> list[StoredBreaker]:
    """All circuits that are not closed."""
    return [
        StoredBreaker(
            row.operation, row.target, row.state, row.failures, row.version, row.until, row.opened_at, row.error
        )
        for row in await store.fetch(select(breakers))
    ]
