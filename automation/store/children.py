"""Executions that actions of other executions have started, as stored."""

from __future__ import annotations

from sqlalchemy import select

from automation.model.execution import Execution
from automation.store.executions import from_row, get
from automation.store.store import Store
from automation.store.tables import executions


async def of(store: Store, parent: str, action: str | None = None) -> tuple[Execution, ...]:
    """What an execution, or one of its actions, has started: oldest first."""
    query = select(executions).where(executions.c.parent == parent)
    if action is not None:
        query = query.where(executions.c.parent_action == action)
    return tuple(from_row(row) for row in await store.fetch(query.order_by(executions.c.id)))


async def ancestors(store: Store, execution_id: str, most: int) -> list[Execution]:
    """The execution, the one that has started it, and so on: at most so many."""
    found: list[Execution] = []
    left: str | None = execution_id
    while left is not None and len(found) < most:
        execution = await get(store, left)
        if execution is None:
            break
        found.append(execution)
        left = execution.parent
    return found
