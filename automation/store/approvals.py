"""Approvals, as stored. An approval whose effect its execution's journal has is *settled*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.engine import Row

from automation.model.approval import Answer, Approval, ApprovalStatus, Terms
from automation.store import statements
from automation.store.pages import LIMIT, Page, limited
from automation.store.statement import Op
from automation.store.store import Store, to_json
from automation.store.tables import approvals, executions

_DECIDED = (ApprovalStatus.APPROVED.value, ApprovalStatus.DENIED.value, ApprovalStatus.EXPIRED.value)
_answers = msgspec.json.Decoder(tuple[Answer, ...]).decode
_terms = msgspec.json.Decoder(Terms).decode


def insert(approval: Approval) -> Op:
    """The write that stores a new one."""
    return statements.APPROVAL(
        id=approval.id,
        execution_id=approval.execution_id,
        workflow=approval.workflow,
        action=approval.action,
        operation=approval.operation,
        effect=approval.effect,
        reason=approval.reason,
        asked_at=approval.asked_at,
        started_by=approval.started_by,
        by_hand=approval.by_hand,
        terms=to_json(approval.terms),
        status=approval.status.value,
        answers=to_json(approval.answers),
        escalated_at=approval.escalated_at,
        decided_at=approval.decided_at,
        revision=approval.revision,
    )


def change(approval: Approval) -> Op:
    """The write that makes this of the revision before it; refused if that is not the one that is stored."""
    return statements.APPROVAL_CHANGE(
        status=approval.status.value,
        answers=to_json(approval.answers),
        escalated_at=approval.escalated_at,
        decided_at=approval.decided_at,
        revision=approval.revision,
        where_id=approval.id,
        where_revision=approval.revision - 1,
    )


def from_row(row: Row[Any]) -> Approval:
    """The approval of a row."""
    return Approval(
        id=row.id,
        execution_id=row.execution_id,
        workflow=row.workflow,
        action=row.action,
        operation=row.operation,
        effect=row.effect,
        reason=row.reason,
        asked_at=row.asked_at,
        started_by=row.started_by,
        by_hand=bool(row.by_hand),
        terms=_terms(row.terms),
        status=ApprovalStatus(row.status),
        answers=_answers(row.answers),
        escalated_at=row.escalated_at,
        decided_at=row.decided_at,
        revision=row.revision,
    )


async def get(store: Store, approval_id: str) -> Approval | None:
    """The approval with this id, or None."""
    row = await store.first(select(approvals).where(approvals.c.id == approval_id))
    return from_row(row) if row else None


async def newest(store: Store, execution_id: str, action: str | None) -> Approval | None:
    """The last one that was asked for an action of an execution, or for the whole of it; None if there was none."""
    query = select(approvals).where(
        approvals.c.execution_id == execution_id, approvals.c.action.is_not_distinct_from(action)
    )
    row = await store.first(query.order_by(approvals.c.id.desc()).limit(1))
    return from_row(row) if row else None


async def of_execution(store: Store, execution_id: str) -> tuple[Approval, ...]:
    """All that were asked for an execution, in the order in which they were."""
    query = select(approvals).where(approvals.c.execution_id == execution_id).order_by(approvals.c.id)
    return tuple(from_row(row) for row in await store.fetch(query))


async def unsettled(store: Store, execution_id: str) -> tuple[Approval, ...]:
    """Those of an execution that are decided, and that its journal does not yet tell."""
    query = select(approvals).where(
        approvals.c.execution_id == execution_id,
        approvals.c.settled_at.is_(None),
        approvals.c.status.in_(_DECIDED),
    )
    return tuple(from_row(row) for row in await store.fetch(query.order_by(approvals.c.id)))


@dataclass(frozen=True, slots=True)
class Answered:
    """An execution with an approval that is decided and not yet settled."""

    execution_id: str
    workflow: str
    node: str | None
    status: str


async def answered(store: Store) -> list[Answered]:
    """The unfinished executions that have an approval to look at."""
    query = (
        select(executions.c.id, executions.c.workflow, executions.c.node, executions.c.status)
        .join(approvals, approvals.c.execution_id == executions.c.id)
        .where(
            approvals.c.settled_at.is_(None),
            approvals.c.status.in_(_DECIDED),
            executions.c.finished_at.is_(None),
        )
        .distinct()
    )
    return [Answered(row.id, row.workflow, row.node, row.status) for row in await store.fetch(query)]


async def page(
    store: Store,
    *,
    status: ApprovalStatus | None = None,
    workflow: str | None = None,
    cursor: str | None = None,
    limit: int = LIMIT,
) -> Page[Approval]:
    """Approvals, newest first."""
    query = select(approvals).order_by(approvals.c.id.desc()).limit(limited(limit) + 1)
    if status is not None:
        query = query.where(approvals.c.status == status.value)
    if workflow is not None:
        query = query.where(approvals.c.workflow == workflow)
    if cursor is not None:
        query = query.where(approvals.c.id < cursor)
    found = [from_row(row) for row in await store.fetch(query)]
    return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)


async def pending_count(store: Store) -> int:
    """How many wait for an answer."""
    query = select(func.count()).where(approvals.c.settled_at.is_(None), approvals.c.status == "pending")
    row = await store.first(query)
    return int(row[0]) if row else 0
