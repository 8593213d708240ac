"""Ends an execution of which the database has refused a write, from what it has of it.

It would stand there as running for ever, and every restart would take it up in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from automation.clock import Clock
from automation.errors import AutomationError, StoreError
from automation.model.execution import ActionStatus, WorkflowStatus
from automation.store import executions
from automation.store.store import Store
from automation.workflows.rollback import Ending
from automation.workflows.run import Run
from automation.workflows.state import fold

log = logging.getLogger("automation.workflows")

Undo = Callable[[Run, WorkflowStatus, dict[str, Any] | None], Awaitable[Ending]]
End = Callable[[Run, WorkflowStatus, dict[str, Any] | None], Awaitable[None]]


class Salvage:
    """Ends such executions: first with their rollback, then without."""

    def __init__(self, store: Store, clock: Clock, undo: Undo, end: End) -> None:
        self._store = store
        self._clock = clock
        self._undo = undo
        self._end = end

    async def end(self, run: Run, error: AutomationError) -> bool:
        """End one of which nothing runs any more; False if it is not ours to end, or cannot be ended."""
        told = {"type": type(error).__name__, "message": error.message}
        for undoing in (True, False):
            try:
                left = await self._left(run, told)
                if left is None:
                    return False
                ending: Ending = (WorkflowStatus.FAILED, told)
                await self._end(left, *(await self._undo(left, *ending) if undoing else ending))
                return True
            except StoreError as further:
                log.error("execution %s cannot be ended: %s", run.id, further.message)
        return False

    async def _left(self, run: Run, error: Mapping[str, Any]) -> Run | None:
        """It as it is on disk, what was under way in it failed; None if it has ended or another engine has it."""
        stored = await executions.load(self._store, run.id)
        if stored is None or stored.node != run.node or stored.execution.status.finished:
            return None
        state = fold((step.name for step in run.plan.steps), stored.entries)
        left = Run.of(stored.execution, run.plan, state, stored.large, node=run.node, limits=self._store.limits)
        for key in [key for key, action in state.actions.items() if action.status is ActionStatus.RUNNING]:
            left.note(self._clock.now(), "action_failed", key, {"error": dict(error)})
        return left
