"""The seats of concurrency keys, as stored: who holds one, and who waits for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Update,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)

from automation.store.executions import Stored, read_stored
from automation.store.statement import Statement
from automation.store.store import Store
from automation.store.tables import executions, seats

_WAITING = (
    executions.c.workflow == bindparam("workflow", type_=String),
    executions.c.concurrency_key == bindparam("key", type_=String),
    executions.c.finished_at.is_(None),
    executions.c.status == literal_column("'pending'"),
    executions.c.cancel_reason.is_(None),
)


def _take(name: str, *further: ColumnElement[bool]) -> Statement:
    """That an execution has a seat: the least number below the limit that no seat of the key has. Its row is refused if
    somebody else takes it too, so that there are never more than the limit, whoever looks at the same moment."""
    of_key = [seats.c.workflow == bindparam("workflow", type_=String), seats.c.key == bindparam("key", type_=String)]
    after = select((seats.c.seat + literal_column("1")).label("seat")).where(*of_key)
    candidates = union_all(select(literal_column("0", Integer).label("seat")), after).subquery()
    taken = select(seats.c.seat).where(*of_key)
    free = (
        select(func.min(candidates.c.seat).label("seat"))
        .where(candidates.c.seat < bindparam("limit", type_=Integer), candidates.c.seat.not_in(taken))
        .subquery()
    )
    row = select(
        bindparam("workflow", type_=String),
        bindparam("key", type_=String),
        free.c.seat,
        bindparam("execution_id", type_=String),
    )
    return Statement(
        name,
        insert(seats).from_select(
            ["workflow", "key", "seat", "execution_id"], row.where(free.c.seat.is_not(None), *further)
        ),
        ("workflow", "key", "execution_id", "limit"),
        5,
        expect=1,
    )


TAKE = _take("seat_take")
TAKE_ALONE = _take("seat_take_alone", ~exists().where(*_WAITING))
"""The same, and refused if somebody waits: whose turn comes first."""
LEAVE = Statement(
    "seat_leave",
    delete(seats).where(seats.c.execution_id == bindparam("where_execution_id")),
    ("where_execution_id",),
    6,
)
_UNFINISHED = (
    update(executions).where(executions.c.id == bindparam("where_id")).where(executions.c.finished_at.is_(None))
)
ADMIT = Statement(
    "execution_admit",
    _UNFINISHED.values(status=literal_column("'running'"), node=bindparam("node"), started_at=bindparam("started_at"))
    .where(text("status = 'pending'"))
    .where(executions.c.cancel_reason.is_(None)),
    ("node", "started_at", "where_id"),
    4,
    expect=1,
)
"""That one who waits runs; refused if it does no longer, or is to be cancelled."""


def _others() -> Update:
    """All of a key but the newest so many, and but this one: those of which a new execution takes the place, unless it
    is cancelled by now. Of two that start at the same moment only the later one does: no newer one has a seat yet."""

    def under_way(table: Any) -> list[Any]:
        return [
            table.c.workflow == bindparam("where_workflow"),
            table.c.concurrency_key == bindparam("where_key"),
            table.c.finished_at.is_(None),
            table.c.cancel_reason.is_(None),
            table.c.id != bindparam("where_id"),
            table.c.status != literal_column("'proposed'"),
        ]

    found, newer, this = executions, executions.alias("newer"), executions.alias("this")
    count = select(func.count()).where(*under_way(newer), newer.c.id > found.c.id).scalar_subquery()
    seated = exists().where(seats.c.execution_id == found.c.id)
    before = or_(found.c.id < bindparam("where_id"), seated)
    wanted = exists().where(this.c.id == bindparam("where_id"), this.c.cancel_reason.is_(None))
    replaced = (*under_way(found), count >= bindparam("where_kept", type_=Integer), before, wanted)
    return update(found).values(cancel_reason=bindparam("cancel_reason")).where(*replaced)


REPLACE = Statement(
    "executions_replace",
    _others(),
    ("cancel_reason", "where_workflow", "where_key", "where_id", "where_kept"),
    4,
)


async def holders(store: Store, workflow: str, key: str) -> tuple[str, ...]:
    """The executions that hold a seat of a key."""
    query = select(seats.c.execution_id).where(seats.c.workflow == workflow, seats.c.key == key)
    return tuple(row.execution_id for row in await store.fetch(query.order_by(seats.c.execution_id)))


_ANYBODY = select(executions.c.id).where(executions.c.status == literal_column("'pending'")).limit(1)
_HIGHEST = select(func.max(executions.c.priority)).where(*_WAITING).scalar_subquery()
_FIRST = select(executions.c.id).where(*_WAITING, executions.c.priority == _HIGHEST).order_by(executions.c.id).limit(1)
_NEWEST = select(executions.c.id).where(*_WAITING).order_by(executions.c.id.desc()).limit(1)
_TAKEN = (
    select(func.count())
    .select_from(seats)
    .where(seats.c.workflow == bindparam("workflow", type_=String), seats.c.key == bindparam("key", type_=String))
)


async def first_waiting(store: Store, workflow: str, key: str) -> str | None:
    """Who comes next: of the highest priority the first; None if nobody waits."""
    return await _one(store, _FIRST, workflow, key)


async def newest_waiting(store: Store, workflow: str, key: str) -> str | None:
    """The last who has come to wait; None if nobody waits."""
    return await _one(store, _NEWEST, workflow, key)


async def _one(store: Store, query: Select[Any], workflow: str, key: str) -> str | None:
    claim = {"workflow": workflow, "key": key}
    found: str | None = await store.read(lambda connection: connection.execute(query, claim).scalar())
    return found


@dataclass(frozen=True, slots=True)
class Next:
    """Who comes next for a seat of a key, with named large values, and how many of its seats are taken."""

    key: str
    stored: Stored
    taken: int

    @property
    def claim(self) -> tuple[str, str]:
        """The workflow and the key."""
        return (self.stored.execution.workflow, self.key)


async def next_of(store: Store, claims: Sequence[tuple[str, str]]) -> list[Next]:
    """For each workflow and key for which somebody waits who comes next, and whether there is room: in one look."""

    def read(connection: Connection) -> list[Next]:
        found: list[Next] = []
        if connection.execute(_ANYBODY).first() is None:
            # As nearly always, when somebody leaves a seat: one look for all keys.
            return found
        for workflow, key in claims:
            claim = {"workflow": workflow, "key": key}
            first = connection.execute(_FIRST, claim).scalar()
            stored = read_stored(connection, first, whole=False) if first is not None else None
            if stored is not None:
                found.append(Next(key, stored, connection.execute(_TAKEN, claim).scalar_one()))
        return found

    return await store.read(read)


async def queues(store: Store) -> list[tuple[str, str]]:
    """All keys that somebody waits for, each with its workflow."""
    query = select(executions.c.workflow, executions.c.concurrency_key).where(
        executions.c.concurrency_key.is_not(None),
        executions.c.finished_at.is_(None),
        executions.c.status == "pending",
    )
    return [(row.workflow, row.concurrency_key) for row in await store.fetch(query.distinct())]
