"""Executions and their journals, as stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, bindparam, func, literal, or_, select, union_all
from sqlalchemy.engine import Connection, Row

from automation.errors import NotFound
from automation.model.execution import Execution, JournalEntry, Wish, WorkflowStatus
from automation.store import large
from automation.store.packing import Told, rows_of, rows_of_many
from automation.store.pages import LIMIT, Page, limited
from automation.store.store import Store, decode, to_json
from automation.store.tables import definitions, executions, large_value_uses, nodes, waits

_WAITING = tuple(
    status.value
    for status in (WorkflowStatus.WAITING, WorkflowStatus.PROPOSED, WorkflowStatus.PAUSED, WorkflowStatus.PENDING)
)

_WITH_DEFINITION = (
    select(executions, definitions.c.body)
    .join(definitions, definitions.c.id == executions.c.definition_id)
    .where(executions.c.id == bindparam("id", type_=String))
)


@dataclass(frozen=True, slots=True)
class Stored:
    """An execution with all that is needed to run it on."""

    execution: Execution
    definition: str
    node: str | None
    cancel_reason: str | None
    entries: tuple[JournalEntry, ...]
    large: Mapping[str, int] = field(default_factory=dict)
    """The large values that its journal names, with their sizes."""


def from_row(row: Row[Any]) -> Execution:
    """The execution of a row of its table."""
    return Execution(
        id=row.id,
        workflow=row.workflow,
        definition_id=row.definition_id,
        status=WorkflowStatus(row.status),
        priority=row.priority,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        event_source=row.event_source,
        event_id=row.event_id,
        reason=row.reason,
        actor=row.actor,
        idempotency_key=row.idempotency_key,
        error=decode(row.error) if row.error else None,
        # One that came too late has nothing to say any more.
        wish=read_wish(row.wish) if row.finished_at is None else None,
        rerun_of=row.rerun_of,
        forked_from=row.forked_from,
        concurrency_key=row.concurrency_key,
        parent=row.parent,
        parent_action=row.parent_action,
    )


def write_wish(wish: Wish) -> str:
    """A wish as it is kept in its row: always the same text for the same wish."""
    return to_json([wish.act, wish.actor, wish.reason])


def read_wish(text: str | None) -> Wish | None:
    """The wish of a row, or None."""
    return Wish(*decode(text)) if text else None


async def get(store: Store, execution_id: str) -> Execution | None:
    """The summary row, or None."""
    row = await store.first(select(executions).where(executions.c.id == execution_id))
    return from_row(row) if row else None


async def by_key(store: Store, key: str) -> tuple[Execution, str | None] | None:
    """The execution that was started with this idempotency key, and the hash of its inputs."""
    row = await store.first(select(executions).where(executions.c.idempotency_key == key))
    return (from_row(row), row.request_hash) if row else None


async def by_event(store: Store, source: str, event_id: str) -> tuple[Execution, ...]:
    """The executions that an event started, oldest first."""
    query = select(executions).where(executions.c.event_source == source, executions.c.event_id == event_id)
    return tuple(from_row(row) for row in await store.fetch(query.order_by(executions.c.id)))


async def entries(store: Store, execution_id: str) -> tuple[JournalEntry, ...]:
    """The journal of an execution, in order, with its large values. Raises NotFound if one is not there."""

    def read(connection: Connection) -> tuple[JournalEntry, ...]:
        rows = rows_of(connection, execution_id)
        bodies = large.whole(connection, [row.body for row in rows])
        return tuple(entry_of(execution_id, row, body) for row, body in zip(rows, bodies, strict=True))

    return await store.read(read)


async def load(store: Store, execution_id: str, *, whole: bool = True) -> Stored | None:
    """An execution with its definition and journal, or None.

    Without `whole`, a `LargeValue` stands for each large value of the journal, and it is not read.
    """

    return await store.read(lambda connection: read_stored(connection, execution_id, whole=whole))


def read_stored(connection: Connection, execution_id: str, *, whole: bool = True) -> Stored | None:
    """What `load` returns, for a reader that looks at more in the same picture."""
    row = connection.execute(_WITH_DEFINITION, {"id": execution_id}).first()
    if row is None:
        return None
    rows = rows_of(connection, execution_id)
    texts = [told.body for told in rows]
    bodies = large.whole(connection, texts) if whole else [large.named(text) for text in texts]
    entries = tuple(entry_of(execution_id, told, body) for told, body in zip(rows, bodies, strict=True))
    found = large.distinct(decode(text) for text in texts if large.MARK in text)
    return Stored(from_row(row), row.body, row.node, row.cancel_reason, entries, found)


async def of_ids(store: Store, execution_ids: Sequence[str]) -> list[Stored]:
    """Those of the executions that are there, with their definitions and without their journals."""

    def read(connection: Connection) -> list[Stored]:
        rows = connection.execute(select(executions).where(executions.c.id.in_(execution_ids))).all()
        wanted = {row.definition_id for row in rows}
        query = select(definitions.c.id, definitions.c.body).where(definitions.c.id.in_(wanted))
        bodies = {row.id: row.body for row in connection.execute(query)}
        return [Stored(from_row(row), bodies[row.definition_id], row.node, row.cancel_reason, ()) for row in rows]

    return await store.read(read)


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of an execution that is taken up."""

    entries: tuple[JournalEntry, ...]
    large: Mapping[str, int]
    """The large values that it names, with their sizes."""


async def journals(store: Store, execution_ids: Sequence[str]) -> dict[str, Journal | NotFound]:
    """The journals of executions, with their large values; for one whose large values are not there, the error."""

    def read(connection: Connection) -> dict[str, Journal | NotFound]:
        found: dict[str, Journal | NotFound] = {}
        for execution_id, rows in rows_of_many(connection, execution_ids).items():
            texts = [told.body for told in rows]
            try:
                bodies = large.whole(connection, texts)
            except NotFound as error:
                found[execution_id] = error
                continue
            named = large.distinct(decode(text) for text in texts if large.MARK in text)
            entries = (entry_of(execution_id, told, body) for told, body in zip(rows, bodies, strict=True))
            found[execution_id] = Journal(tuple(entries), named)
        return found

    return await store.read(read)


async def large_value(store: Store, execution_id: str, digest: str) -> bytes | None:
    """The JSON of a large value that the journal of an execution names, or None if it names none such."""
    uses = large_value_uses.c

    def read(connection: Connection) -> bytes | None:
        query = select(uses.sha256).where(uses.execution_id == execution_id, uses.sha256 == digest)
        return None if connection.execute(query).first() is None else large.text_of(connection, digest)

    return await store.read(read)


async def page(
    store: Store,
    *,
    workflow: str | None = None,
    status: WorkflowStatus | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
    id: str | None = None,
) -> Page[Execution]:
    """Executions, newest first; with `id`, only those whose id begins or ends with it."""
    newest = executions.c.id.desc()
    query = select(executions).order_by(newest).limit(limited(limit) + 1)
    if workflow is not None and status is None and id is None:
        query = select(executions).where(executions.c.id.in_(_newest_of(workflow, cursor, limit + 1))).order_by(newest)
    elif workflow is not None:
        query = query.where(executions.c.workflow == workflow)
    if status is not None:
        query = query.where(executions.c.status == status.value)
    if cursor is not None:
        query = query.where(executions.c.id < cursor)
    if id is not None:
        begins = executions.c.id.startswith(id, autoescape=True)
        query = query.where(or_(begins, executions.c.id.endswith(id, autoescape=True)))
    found = [from_row(row) for row in await store.fetch(query)]
    return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


def _newest_of(workflow: str, cursor: str | None, limit: int) -> Select[Any]:
    """The ids of the newest executions of a workflow.

    The index has the status between the workflow and the id, as a filter by both needs it: so the newest of each status
    are looked up, and of those the newest.
    """
    parts = []
    for status in WorkflowStatus:
        part = select(executions.c.id).where(executions.c.workflow == workflow, executions.c.status == status.value)
        if cursor is not None:
            part = part.where(executions.c.id < cursor)
        parts.append(select(part.order_by(executions.c.id.desc()).limit(limit).subquery().c.id))
    found = union_all(*parts).subquery()
    return select(found.c.id).order_by(found.c.id.desc()).limit(limit)


COUNTED = 10_000
"""How many executions of a status are counted."""


async def counts(store: Store) -> dict[WorkflowStatus, int]:
    """How many executions there are in each status; COUNTED + 1 says that there are more.

    A page shows these numbers to people with each refresh: reading them must not take longer the more there are.
    """
    parts = []
    for status in WorkflowStatus:
        some = select(executions.c.id).where(executions.c.status == status.value).limit(COUNTED + 1).subquery()
        parts.append(select(literal(status.value).label("status"), func.count().label("total")).select_from(some))
    rows = await store.fetch(union_all(*parts))
    return {WorkflowStatus(row.status): row.total for row in rows if row.total}


def _met() -> ColumnElement[bool]:
    """What it waited for has come."""
    waiting = executions.c.status == WorkflowStatus.WAITING.value
    return and_(waiting, executions.c.id.in_(select(waits.c.execution_id).where(waits.c.met_at.is_not(None))))


PORTION = 500
"""How many executions are taken up at once."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """An unfinished execution that is due and that no living node holds."""

    id: str
    node: str | None
    """Who held it."""
    workflow: str
    definition_id: str
    priority: int
    status: WorkflowStatus


async def orphans(store: Store, silent: Collection[str], now: float, after: Orphan | None = None) -> tuple[Orphan, ...]:
    """The most urgent executions that anybody may take up, at most PORTION of them; the next come `after` the last.

    Alive are the nodes that are signed on, without those that are `silent`.
    """
    dead = ~executions.c.node.in_(select(nodes.c.id).where(nodes.c.id.not_in(silent)))
    # One that waits without a time waits for a person, who will bring it back.
    active = and_(executions.c.wake_at.is_(None), executions.c.status.not_in(_WAITING))
    # One of which something is asked may have been parked just as that was: it is due whatever it waits for.
    asked = or_(executions.c.cancel_reason.is_not(None), executions.c.wish.is_not(None))
    due = or_(active, executions.c.wake_at <= now, asked, _met())
    priority, id = executions.c.priority, executions.c.id
    others = (executions.c.workflow, executions.c.definition_id, executions.c.status)
    query = select(id, executions.c.node, priority, *others).where(
        executions.c.finished_at.is_(None), or_(executions.c.node.is_(None), dead), due
    )
    if after is not None:
        query = query.where(or_(priority < after.priority, and_(priority == after.priority, id > after.id)))
    rows = await store.fetch(query.order_by(priority.desc(), id).limit(PORTION))
    return tuple(
        Orphan(row.id, row.node, row.workflow, row.definition_id, row.priority, WorkflowStatus(row.status))
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody has asked of an execution, perhaps by way of another node than the one that runs it."""

    execution_id: str
    cancel_reason: str | None
    wish: Wish | None


async def asked_of(store: Store, node: str) -> list[Asked]:
    """What was asked of the executions that this node runs."""
    query = select(executions.c.id, executions.c.cancel_reason, executions.c.wish).where(
        executions.c.node == node,
        executions.c.finished_at.is_(None),
        or_(executions.c.cancel_reason.is_not(None), executions.c.wish.is_not(None)),
    )
    return [Asked(row.id, row.cancel_reason, read_wish(row.wish)) for row in await store.fetch(query)]


async def next_wake(store: Store) -> float | None:
    """When the next waiting execution is due."""
    query = select(func.min(executions.c.wake_at)).where(
        executions.c.finished_at.is_(None), executions.c.node.is_(None)
    )
    row = await store.first(query)
    return row[0] if row else None


async def unfinished_count(store: Store) -> int:
    """How many executions have work left that is due: those that wait for a time or a person are not counted."""
    query = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.finished_at.is_(None), or_(executions.c.status.not_in(_WAITING), _met()))
    )
    row = await store.first(query)
    return int(row[0]) if row else 0


async def oldest_unfinished(store: Store) -> float | None:
    """When the oldest execution was created that has not ended, whatever it waits for; None if all have."""
    # Ids begin with the time, and an index has them in order for each status.
    parts = [
        select(
            select(executions.c.created_at)
            .where(executions.c.status == status.value)
            .order_by(executions.c.id)
            .limit(1)
            .scalar_subquery()
            .label("created_at")
        )
        for status in WorkflowStatus
        if not status.finished
    ]
    rows = await store.fetch(union_all(*parts))
    return min((row.created_at for row in rows if row.created_at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Node:
    """A process that runs executions."""

    id: str
    host: str
    pid: int
    process_started: float
    lease_until: float


async def all_nodes(store: Store) -> list[Node]:
    """All nodes that have not signed off."""
    rows = await store.fetch(select(nodes))
    return [Node(row.id, row.host, row.pid, row.process_started, row.lease_until) for row in rows]


def entry_of(execution_id: str, told: Told, body: dict[str, Any]) -> JournalEntry:
    """The journal entry of a row."""
    return JournalEntry(
        execution_id=execution_id, seq=told.seq, at=told.at, kind=told.kind, action=told.action, body=body
    )
