"""The seats of concurrency keys, as stored: who holds one, and who waits for one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from automation.store.store import Store
from automation.store.tables import executions, seats


async def holders(store: Store, workflow: str, key: str) -> tuple[str, ...]:
    """The executions that hold a seat of a key."""
    query = select(seats.c.execution_id).where(seats.c.workflow == workflow, seats.c.key == key)
    return tuple(row.execution_id for row in await store.fetch(query.order_by(seats.c.execution_id)))


async def next_waiting(store: Store, workflow: str, key: str, *, newest: bool = False) -> str | None:
    """Who comes next: of the highest priority the first, or with `newest` the last of all; None if nobody waits."""
    waiting = (
        executions.c.workflow == workflow,
        executions.c.concurrency_key == key,
        executions.c.finished_at.is_(None),
        executions.c.status == "pending",
        executions.c.cancel_reason.is_(None),
    )
    query = select(executions.c.id).where(*waiting)
    if newest:
        query = query.order_by(executions.c.id.desc())
    else:
        highest = select(func.max(executions.c.priority)).where(*waiting).scalar_subquery()
        query = query.where(executions.c.priority == highest).order_by(executions.c.id)
    row = await store.first(query.limit(1))
    return row.id if row else None


@dataclass(frozen=True, slots=True)
class Queue:
    """A key that somebody waits for, and how many of its seats are taken."""

    workflow: str
    key: str
    taken: int


async def queues(store: Store) -> list[Queue]:
    """All keys that somebody waits for."""
    taken = (
        select(func.count())
        .where(seats.c.workflow == executions.c.workflow, seats.c.key == executions.c.concurrency_key)
        .scalar_subquery()
    )
    query = (
        select(executions.c.workflow, executions.c.concurrency_key, taken.label("taken"))
        .where(
            executions.c.concurrency_key.is_not(None),
            executions.c.finished_at.is_(None),
            executions.c.status == "pending",
        )
        .group_by(executions.c.workflow, executions.c.concurrency_key)
    )
    return [Queue(row.workflow, row.concurrency_key, row.taken) for row in await store.fetch(query)]
