"""Writes what executions have noted: one commit of each at a time, so that its journal has no gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from automation.errors import AutomationError, EngineStopped, StoreUnavailable
from automation.store.audit import Fact
from automation.store.statement import Op
from automation.store.store import Store
from automation.telemetry.changes import Changes
from automation.workflows.consent import Consent
from automation.workflows.run import Run


class Journal:
    """Writes the journals of the executions that run here, and all that goes with them."""

    def __init__(self, store: Store, consent: Consent, changes: Changes) -> None:
        self._store = store
        self._consent = consent
        self._changes = changes
        self._writing: set[asyncio.Task[None]] = set()
        """Commits that nobody may wait for any more."""

    async def flush(self, run: Run) -> None:
        """Return when all that was noted so far is on disk; all that is noted meanwhile goes with the next commit."""
        wanted = run.noted
        while run.stored < wanted:
            if not run.committing:
                await self._commit(run)
                continue
            if run.landed is None:
                run.landed = asyncio.get_running_loop().create_future()
            await asyncio.shield(run.landed)

    async def _commit(self, run: Run) -> None:
        run.committing = True
        upto = run.noted
        writing = self._write(run, upto, *run.taken())
        if not run.executing:
            await writing
            return
        # An action that is cancelled stops waiting, and no more: others count on what it has begun to write.
        task = asyncio.get_running_loop().create_task(writing)
        self._writing.add(task)
        task.add_done_callback(self._written)
        await asyncio.shield(task)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            # Whoever waited may be gone; that is no error of its own.
            task.exception()

    async def _write(self, run: Run, upto: int, ops: Sequence[Op], facts: Sequence[Fact]) -> None:
        try:
            try:
                if run.events is None:
                    await self._store.post(ops, facts)
                else:
                    events, run.events = run.events, None
                    await self._consent.announce(events, ops, facts, patiently=run.begun)
            except StoreUnavailable:
                # A start that cannot be written is refused; later facts have happened and must be kept.
                if not run.begun:
                    raise
                await self._store.commit_patiently(ops, facts)
        except BaseException as error:
            _landed(run, error if isinstance(error, AutomationError) else EngineStopped())
            raise
        run.stored = upto
        _landed(run, None)
        if self._changes:
            self._changes.tell("execution", run.id, run.state.status.value)


def _landed(run: Run, failure: AutomationError | None) -> None:
    """The commit has ended: tell those who wait for it as well."""
    run.committing = False
    landed, run.landed = run.landed, None
    if landed is None:
        return
    if failure is None:
        landed.set_result(None)
    else:
        landed.set_exception(failure)
        # Whoever waited may be gone; that is no error of its own.
        landed.exception()
