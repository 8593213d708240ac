"""The seats of concurrency keys, as stored: who holds one, and who waits for one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, String, bindparam, func, select

from automation.store.executions import Stored, read_stored
from automation.store.store import Store
from automation.store.tables import executions, seats


async def holders(store: Store, workflow: str, key: str) -> tuple[str, ...]:
    """The executions that hold a seat of a key."""
    query = select(seats.c.execution_id).where(seats.c.workflow == workflow, seats.c.key == key)
    return tuple(row.execution_id for row in await store.fetch(query.order_by(seats.c.execution_id)))


_WAITING = (
    executions.c.workflow == bindparam("workflow", type_=String),
    executions.c.concurrency_key == bindparam("key", type_=String),
    executions.c.finished_at.is_(None),
    executions.c.status == "pending",
    executions.c.cancel_reason.is_(None),
)
_HIGHEST = select(func.max(executions.c.priority)).where(*_WAITING).scalar_subquery()
_FIRST = select(executions.c.id).where(*_WAITING, executions.c.priority == _HIGHEST).order_by(executions.c.id).limit(1)
_NEWEST = select(executions.c.id).where(*_WAITING).order_by(executions.c.id.desc()).limit(1)
_TAKEN = (
    select(func.count())
    .select_from(seats)
    .where(seats.c.workflow == bindparam("workflow", type_=String), seats.c.key == bindparam("key", type_=String))
)


async def next_waiting(store: Store, workflow: str, key: str, *, newest: bool = False) -> str | None:
    """Who comes next: of the highest priority the first, or with `newest` the last of all; None if nobody waits."""
    claim = {"workflow": workflow, "key": key}
    query = _NEWEST if newest else _FIRST
    found: str | None = await store.read(lambda connection: connection.execute(query, claim).scalar())
    return found


@dataclass(frozen=True, slots=True)
class Next:
    """Who comes next for a seat of a key, with named large values, and how many of its seats are taken."""

    stored: Stored
    taken: int


async def next_of(store: Store, workflow: str, key: str) -> Next | None:
    """Who comes next and whether there is room, in one look; None if nobody waits."""
    claim = {"workflow": workflow, "key": key}

    def read(connection: Connection) -> Next | None:
        first = connection.execute(_FIRST, claim).scalar()
        stored = read_stored(connection, first, whole=False) if first is not None else None
        return Next(stored, connection.execute(_TAKEN, claim).scalar_one()) if stored is not None else None

    return await store.read(read)


async def queues(store: Store) -> list[tuple[str, str]]:
    """All keys that somebody waits for, each with its workflow."""
    query = select(executions.c.workflow, executions.c.concurrency_key).where(
        executions.c.concurrency_key.is_not(None),
        executions.c.finished_at.is_(None),
        executions.c.status == "pending",
    )
    return [(row.workflow, row.concurrency_key) for row in await store.fetch(query.distinct())]
